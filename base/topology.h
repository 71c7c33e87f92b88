/* topology.h - the cores this process may use: on which NUMA node, behind which cache.
 *
 * hwloc finds out; HWLOC_SYNTHETIC and HWLOC_XMLFILE put another machine in the place of
 * this one, for tests. Where nothing can be found (a container without /sys), each
 * processor of the affinity mask is a core, all on one node, of unknown caches. */
#ifndef CF_BASE_TOPOLOGY_H
#define CF_BASE_TOPOLOGY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cf_core {
    int node;      /* NUMA node, 0 .. nodes-1 */
    cpu_set_t cpu; /* its processors: one, or several hardware threads */
};

struct cf_topology {
    int cores, nodes;     /* at least 1; nodes without a core do not count */
    size_t l2, l3;        /* bytes: L2 of a core, all L3 of these cores; 0 unknown */
    bool here;            /* this machine, so that threads may be bound by it */
    struct cf_core *core; /* [cores], owned; by node, neighbours behind one cache */
};

/* The cores of the calling thread's affinity mask, which cpusets and cgroups bound
 * already. Another machine's are not cut by the mask. CF_ENOMEM. */
enum cf_status cf_topology_read(struct cf_topology *t, struct cf_error *err);
void cf_topology_free(struct cf_topology *t); /* a zeroed one is fine */

/* Leave only cores with a processor in the mask, and of them only these processors. A
 * mask that holds none of them leaves all as it is. Nodes are counted anew; the L3 is
 * that of the part that is left. */
void cf_topology_keep(struct cf_topology *t, const cpu_set_t *mask);

#endif
