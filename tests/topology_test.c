/* topology_test.c - machines that are not this one: hwloc makes them up from a line. */
#include "base/topology.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>

#include <cmocka.h>

#include "base/team.h"

static struct cf_topology read_as(const char *synthetic)
{
    struct cf_error err = {0};
    struct cf_topology t;

    setenv("HWLOC_SYNTHETIC", synthetic, 1);
    assert_int_equal(cf_topology_read(&t, &err), CF_OK);
    unsetenv("HWLOC_SYNTHETIC");
    return t;
}

static int on_node(const struct cf_topology *t, int node)
{
    int n = 0;

    for (int i = 0; i < t->cores; i++)
        n += t->core[i].node == node;
    return n;
}

static void this_machine_has_the_cores_of_the_affinity_mask(void **state)
{
    struct cf_error err = {0};
    struct cf_topology t;
    cpu_set_t mask, seen;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    assert_int_equal(cf_topology_read(&t, &err), CF_OK);
    assert_true(t.here);
    assert_in_range(t.cores, 1, CPU_COUNT(&mask));
    CPU_ZERO(&seen);
    for (int i = 0; i < t.cores; i++) {
        cpu_set_t both;

        CPU_AND(&both, &seen, &t.core[i].cpu);
        assert_int_equal(CPU_COUNT(&both), 0);
        CPU_OR(&seen, &seen, &t.core[i].cpu);
    }
    assert_true(CPU_EQUAL(&seen, &mask));
    cf_topology_free(&t);
}

static void hardware_threads_of_a_core_are_one_core(void **state)
{
    struct cf_topology t = read_as("Package:2 L3Cache:1(size=67108864) "
                                   "L2Cache:4(size=2097152) core:1 pu:2");

    (void)state;
    assert_false(t.here);
    assert_int_equal(t.cores, 8);
    assert_int_equal(t.nodes, 1);
    assert_int_equal(CPU_COUNT(&t.core[7].cpu), 2);
    assert_int_equal(t.l2, 2 << 20);
    assert_int_equal(t.l3, 128 << 20);
    cf_topology_free(&t);
}

static void cores_are_in_the_order_of_their_nodes(void **state)
{
    struct cf_topology t = read_as("NUMANode:8 core:16 pu:1");

    (void)state;
    assert_int_equal(t.cores, 128);
    assert_int_equal(t.nodes, 8);
    for (int i = 0; i < t.cores; i++)
        assert_int_equal(t.core[i].node, i / 16);
    cf_topology_free(&t);
}

static void a_mask_leaves_its_own_processors_and_their_nodes(void **state)
{
    struct cf_topology t = read_as("NUMANode:4 L3Cache:1(size=33554432) core:2 pu:2");
    cpu_set_t mask;

    (void)state;
    CPU_ZERO(&mask);
    for (int cpu = 5; cpu < 11; cpu++) /* the second thread of a core, then three cores */
        CPU_SET(cpu, &mask);
    cf_topology_keep(&t, &mask);
    assert_int_equal(t.cores, 4);
    assert_int_equal(t.nodes, 2);
    assert_int_equal(on_node(&t, 0), 2);
    assert_int_equal(on_node(&t, 1), 2);
    assert_int_equal(CPU_COUNT(&t.core[0].cpu), 1);
    assert_true(CPU_ISSET(5, &t.core[0].cpu));
    assert_int_equal(CPU_COUNT(&t.core[1].cpu), 2);
    assert_int_equal(t.l3, 64 << 20);
    CPU_ZERO(&mask);
    CPU_SET(1000, &mask);
    cf_topology_keep(&t, &mask); /* of another machine */
    assert_int_equal(t.cores, 4);
    cf_topology_free(&t);
}

static void a_machine_that_cannot_be_read_is_a_row_of_processors(void **state)
{
    struct cf_error err = {0};
    struct cf_topology t;
    cpu_set_t mask;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    setenv("HWLOC_XMLFILE", "/nonexistent/machine.xml", 1);
    assert_int_equal(cf_topology_read(&t, &err), CF_OK);
    unsetenv("HWLOC_XMLFILE");
    assert_int_equal(t.nodes, 1);
    assert_in_range(t.cores, 1, CPU_COUNT(&mask));
    cf_topology_free(&t);
}

static void a_team_is_one_thread_a_core_unless_more_are_asked_for(void **state)
{
    struct cf_error err = {0};
    struct cf_team team;

    (void)state;
    unsetenv("OMP_NUM_THREADS");
    setenv("SLURM_CPUS_PER_TASK", "8", 1);
    setenv("HWLOC_SYNTHETIC", "core:1 pu:2", 1);
    assert_int_equal(cf_team_count(&team, 0, &err), CF_OK);
    assert_int_equal(team.cores, 1);
    assert_int_equal(team.threads, 1);
    unsetenv("SLURM_CPUS_PER_TASK");
    assert_int_equal(cf_team_count(&team, 0, &err), CF_OK);
    assert_int_equal(team.threads, 1);
    assert_int_equal(cf_team_count(&team, 7, &err), CF_OK);
    assert_int_equal(team.threads, 7);
    unsetenv("HWLOC_SYNTHETIC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_has_the_cores_of_the_affinity_mask),
        cmocka_unit_test(hardware_threads_of_a_core_are_one_core),
        cmocka_unit_test(cores_are_in_the_order_of_their_nodes),
        cmocka_unit_test(a_mask_leaves_its_own_processors_and_their_nodes),
        cmocka_unit_test(a_machine_that_cannot_be_read_is_a_row_of_processors),
        cmocka_unit_test(a_team_is_one_thread_a_core_unless_more_are_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
