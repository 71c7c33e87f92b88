#include "base/topology.h"

#include <hwloc.h>
#include <string.h>

#include "base/alloc.h"

/* ---- without hwloc's word ---- */

/* One core a processor of the mask. */
static enum cf_status flat(struct cf_topology *t, const cpu_set_t *mask,
                           struct cf_error *err)
{
    int n = CPU_COUNT(mask) > 0 ? CPU_COUNT(mask) : 1;

    t->core = cf_calloc((size_t)n, sizeof *t->core, err);
    if (!t->core)
        return CF_ENOMEM;
    t->nodes = 1;
    t->here = CPU_COUNT(mask) > 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, mask))
            CPU_SET(cpu, &t->core[t->cores++].cpu);
    if (!t->cores)
        t->cores = 1;
    return CF_OK;
}

/* ---- hwloc ---- */

static enum cf_status load(hwloc_topology_t *topo, struct cf_error *err)
{
    static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_CORE, HWLOC_OBJ_L2CACHE,
                                            HWLOC_OBJ_L3CACHE};

    if (hwloc_topology_init(topo) != 0)
        return cf_fail(err, CF_ENOMEM, "topology: no memory for hwloc");
    hwloc_topology_set_all_types_filter(*topo, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        hwloc_topology_set_type_filter(*topo, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL);
    /* It never moves us to look at a processor from there. */
    hwloc_topology_set_flags(*topo, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
    if (hwloc_topology_load(*topo) == 0)
        return CF_OK;
    hwloc_topology_destroy(*topo);
    return cf_fail(err, CF_EUNSUP, "topology: hwloc cannot read it");
}

static size_t cache_of(hwloc_obj_t obj, hwloc_topology_t topo, hwloc_obj_type_t type)
{
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(topo, type, obj);

    return cache ? (size_t)cache->attr->cache.size : 0;
}

static size_t all_l3(hwloc_topology_t topo)
{
    hwloc_obj_t l3 = NULL;
    size_t sum = 0;

    while ((l3 = hwloc_get_next_obj_by_type(topo, HWLOC_OBJ_L3CACHE, l3)))
        sum += (size_t)l3->attr->cache.size;
    return sum;
}

/* hwloc's order goes down the tree: neighbours share what can be shared. */
static enum cf_status take(struct cf_topology *t, hwloc_topology_t topo,
                           struct cf_error *err)
{
    hwloc_obj_type_t type = HWLOC_OBJ_CORE;
    int n = hwloc_get_nbobjs_by_type(topo, type);
    unsigned cpu;

    if (n < 1) { /* no word about cores: processors */
        type = HWLOC_OBJ_PU;
        n = hwloc_get_nbobjs_by_type(topo, type);
    }
    t->core = cf_calloc((size_t)(n > 0 ? n : 1), sizeof *t->core, err);
    if (!t->core)
        return CF_ENOMEM;
    for (int i = 0; i < n; i++) {
        hwloc_obj_t obj = hwloc_get_obj_by_type(topo, type, (unsigned)i);
        int node = hwloc_bitmap_first(obj->nodeset);

        t->core[i].node = node < 0 ? 0 : node;
        hwloc_bitmap_foreach_begin(cpu, obj->cpuset) if (cpu < CPU_SETSIZE)
            CPU_SET(cpu, &t->core[i].cpu);
        hwloc_bitmap_foreach_end();
        if (!t->l2)
            t->l2 = cache_of(obj, topo, HWLOC_OBJ_L2CACHE);
    }
    t->cores = n;
    t->l3 = all_l3(topo);
    t->here = hwloc_topology_is_thissystem(topo);
    return CF_OK;
}

/* ---- nodes ---- */

/* Cores by node, in their order otherwise, and the nodes numbered from 0 on. Those done
 * have negative numbers meanwhile, which no other has. */
static void sort_nodes(struct cf_topology *t)
{
    int done = 0;

    for (t->nodes = 0; done < t->cores; t->nodes++) {
        int node = t->core[done].node;

        for (int i = done; i < t->cores; i++) {
            struct cf_core c = t->core[i];

            if (c.node != node)
                continue;
            memmove(&t->core[done + 1], &t->core[done], (size_t)(i - done) * sizeof c);
            c.node = ~t->nodes;
            t->core[done++] = c;
        }
    }
    for (int i = 0; i < t->cores; i++)
        t->core[i].node = ~t->core[i].node;
}

void cf_topology_keep(struct cf_topology *t, const cpu_set_t *mask)
{
    cpu_set_t left;
    int n = 0;

    for (int i = 0; i < t->cores; i++) {
        CPU_AND(&left, &t->core[i].cpu, mask);
        n += CPU_COUNT(&left) > 0;
    }
    if (n == 0 || !t->core)
        return;
    t->l3 = t->l3 / (size_t)t->cores * (size_t)n;
    n = 0;
    for (int i = 0; i < t->cores; i++) {
        struct cf_core c = t->core[i];

        CPU_AND(&c.cpu, &c.cpu, mask);
        if (CPU_COUNT(&c.cpu) > 0)
            t->core[n++] = c;
    }
    t->cores = n;
    sort_nodes(t);
}

enum cf_status cf_topology_read(struct cf_topology *t, struct cf_error *err)
{
    hwloc_topology_t topo;
    struct cf_error why = {0};
    cpu_set_t mask;
    enum cf_status st;

    memset(t, 0, sizeof *t);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        CPU_ZERO(&mask);
    if (load(&topo, &why) != CF_OK)
        return flat(t, &mask, err);
    st = take(t, topo, err);
    hwloc_topology_destroy(topo);
    if (st != CF_OK)
        return st;
    if (t->cores < 1) {
        cf_topology_free(t);
        return flat(t, &mask, err);
    }
    sort_nodes(t);
    if (t->here)
        cf_topology_keep(t, &mask);
    return CF_OK;
}

void cf_topology_free(struct cf_topology *t)
{
    cf_free(t->core);
    memset(t, 0, sizeof *t);
}
