/* groups_test.c - how threads are shared out, over machines that hwloc makes up. */
#include "pipeline/groups.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>

#include <cmocka.h>

static const double mib = 1 << 20;

/* As if it were this machine, which synthetic ones are not. */
static struct cf_topology machine(const char *synthetic)
{
    struct cf_error err = {0};
    struct cf_topology t;

    setenv("HWLOC_SYNTHETIC", synthetic, 1);
    assert_int_equal(cf_topology_read(&t, &err), CF_OK);
    unsetenv("HWLOC_SYNTHETIC");
    t.here = true;
    return t;
}

static struct cf_groups_ask ask(int threads, double weights)
{
    return (struct cf_groups_ask){.threads = threads,
                                  .weights = weights,
                                  .own = weights,
                                  .room = 1e6 * mib,
                                  .text_weights = 800 * mib};
}

/* No core twice, no group across nodes, no more threads than were asked for. */
static void check(const struct cf_groups *g, const struct cf_topology *t,
                  const struct cf_groups_ask *a)
{
    int threads = g->beside ? g->encoder : 0, end = 0;

    assert_in_range(g->n, 1, a->threads);
    assert_in_range(g->encoder, 1, a->threads);
    for (int i = 0; i < g->n; i++) {
        const struct cf_group_place *p = &g->place[i];

        assert_true(p->threads >= 1);
        threads += p->threads;
        assert_int_equal(p->cores, p->threads);
        assert_true(p->first >= end);
        end = p->first + p->cores;
        for (int k = 0; k < p->cores && g->bound; k++)
            if (g->place[g->n - 1].node > 0)
                assert_int_equal(t->core[p->first + k].node, p->node);
    }
    assert_int_equal(threads, a->threads);
    if (g->bound)
        assert_true(end <= t->cores);
    assert_true(strlen(g->why) > 0 && strlen(g->why) < sizeof g->why - 1);
}

static struct cf_groups choose(const struct cf_topology *t, const struct cf_groups_ask *a)
{
    struct cf_error err = {0};
    struct cf_groups g;

    assert_int_equal(cf_groups_choose(&g, t, a, &err), CF_OK);
    check(&g, t, a);
    return g;
}

/* Machine, threads, MiB of weights: groups, threads of the first and last, bound. */
struct row {
    const char *machine;
    int threads;
    double mib;
    int n, first, last;
    bool bound;
};

static void check_rows(const struct row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cf_topology t = machine(row[i].machine);
        struct cf_groups_ask a = ask(row[i].threads, row[i].mib * mib);
        struct cf_groups g = choose(&t, &a);

        if (g.n != row[i].n || g.place[0].threads != row[i].first ||
            g.place[g.n - 1].threads != row[i].last || g.bound != row[i].bound)
            fail_msg("%s, %d threads, %.0f MiB: %s", row[i].machine, row[i].threads,
                     row[i].mib, g.why);
        cf_groups_free(&g);
        cf_topology_free(&t);
    }
}

static void a_group_has_threads_by_its_weights(void **state)
{
    static const struct row rows[] = {
        {"core:2 pu:1", 2, 12, 2, 1, 1, false},
        {"core:2 pu:1", 2, 600, 2, 1, 1, false},
        {"core:2 pu:1", 2, 9000, 1, 2, 2, false},
        {"core:8 pu:1", 8, 767, 8, 1, 1, false},
        {"core:8 pu:1", 8, 768, 4, 2, 2, false},
        {"core:8 pu:1", 8, 1536, 2, 4, 4, false},
        {"core:8 pu:1", 8, 9000, 1, 8, 8, false},
        {"core:64 pu:1", 64, 4400, 5, 12, 13, false},
        {"core:1 pu:1", 1, 9000, 1, 1, 1, false},
        /* 512 MiB of L3 a core: more of the weights stay there */
        {"L3Cache:1(size=1073741824) core:2 pu:1", 2, 1023, 2, 1, 1, false},
        {"L3Cache:1(size=1073741824) core:2 pu:1", 2, 1024, 1, 2, 2, false},
    };

    (void)state;
    check_rows(rows, sizeof rows / sizeof *rows);
}

static void a_node_has_a_group_at_least_and_groups_are_bound_there(void **state)
{
    static const struct row rows[] = {
        {"NUMANode:2 core:1 pu:1", 2, 9000, 2, 1, 1, true},
        {"NUMANode:2 core:4 pu:1", 8, 9000, 2, 4, 4, true},
        {"NUMANode:2 core:32 pu:1", 64, 9000, 2, 32, 32, true},
        {"NUMANode:2 core:32 pu:1", 64, 6144, 4, 16, 16, true},
        {"NUMANode:8 core:16 pu:1", 128, 9000, 8, 16, 16, true},
        {"NUMANode:8 core:16 pu:2", 128, 9000, 8, 16, 16, true},
        {"NUMANode:4 core:32 pu:1", 128, 12, 128, 1, 1, true},
    };

    (void)state;
    check_rows(rows, sizeof rows / sizeof *rows);
}

/* A part of the mask, or more threads than it has: where they will be nobody knows. */
static void threads_are_not_bound_to_cores_that_are_not_all_ours(void **state)
{
    static const struct row rows[] = {
        {"NUMANode:2 core:32 pu:1", 32, 99999, 1, 32, 32, false},
        {"NUMANode:2 core:32 pu:1", 128, 99999, 1, 128, 128, false},
        {"NUMANode:2 core:32 pu:2", 128, 99999, 1, 128, 128, false},
        {"NUMANode:8 core:16 pu:1", 4, 12, 4, 1, 1, false},
    };
    struct cf_topology t = machine("NUMANode:2 core:4 pu:1");
    struct cf_groups_ask a = ask(4, 12 * mib);
    struct cf_groups g;

    (void)state;
    check_rows(rows, sizeof rows / sizeof *rows);
    a.bind = CF_BIND_CORES;
    g = choose(&t, &a);
    assert_false(g.bound);
    assert_non_null(strstr(g.why, "not bound"));
    cf_groups_free(&g);
    a.threads = 8;
    a.rationed = true; /* others use them as well */
    a.bind = CF_BIND_AUTO;
    g = choose(&t, &a);
    assert_false(g.bound);
    cf_groups_free(&g);
    a.rationed = false;
    a.together = true; /* so do the other workers of the crew */
    g = choose(&t, &a);
    assert_false(g.bound);
    cf_groups_free(&g);
    cf_topology_free(&t);
}

static void a_small_mask_is_a_small_machine(void **state)
{
    struct cf_topology t = machine("NUMANode:4 core:16 pu:2");
    struct cf_groups_ask a = ask(6, 9000 * mib);
    struct cf_groups g;
    cpu_set_t mask;

    (void)state;
    CPU_ZERO(&mask);
    for (int cpu = 28; cpu < 40;
         cpu++) /* two cores of the first node, four of the next */
        CPU_SET(cpu, &mask);
    cf_topology_keep(&t, &mask);
    g = choose(&t, &a);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.place[0].threads, 2);
    assert_int_equal(g.place[1].threads, 4);
    assert_true(g.bound);
    cf_groups_free(&g);
    cf_topology_free(&t);
}

static void binding_is_as_asked_where_it_can_be(void **state)
{
    struct cf_topology one = machine("core:8 pu:2"), two = machine("NUMANode:2 core:4");
    struct cf_groups_ask a = ask(8, 12 * mib);
    struct cf_groups g;

    (void)state;
    a.bind = CF_BIND_CORES;
    g = choose(&one, &a);
    assert_true(g.bound);
    cf_groups_free(&g);
    a.bind = CF_BIND_NONE;
    g = choose(&two, &a);
    assert_false(g.bound);
    cf_groups_free(&g);
    two.here = false;
    a.bind = CF_BIND_CORES;
    g = choose(&two, &a);
    assert_false(g.bound);
    assert_non_null(strstr(g.why, "not of this machine"));
    cf_groups_free(&g);
    cf_topology_free(&one);
    cf_topology_free(&two);
}

static void weights_that_do_not_fit_on_each_node_are_read_across(void **state)
{
    struct cf_topology t = machine("NUMANode:4 core:8 pu:1");
    struct cf_groups_ask a = ask(32, 9000 * mib);
    struct cf_groups g;

    (void)state;
    a.room = 4 * a.own;
    g = choose(&t, &a);
    assert_int_equal(g.n, 4);
    cf_groups_free(&g);
    a.room = 3.9 * a.own;
    g = choose(&t, &a);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.place[0].threads, 32);
    assert_int_equal(g.place[0].node, 0);
    cf_groups_free(&g);
    a.own = 0; /* mapped: the page cache holds them once for all nodes */
    g = choose(&t, &a);
    assert_int_equal(g.n, 4);
    cf_groups_free(&g);
    cf_topology_free(&t);
}

static void there_are_no_more_groups_than_images_that_fit(void **state)
{
    static const struct {
        int most, n;
    } want[] = {{0, 32}, {32, 32}, {31, 16}, {5, 4}, {4, 4}, {3, 3}, {1, 1}};
    struct cf_topology t = machine("NUMANode:4 core:8 pu:1");

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct cf_groups_ask a = ask(32, 12 * mib);
        struct cf_groups g;

        a.most = want[i].most;
        g = choose(&t, &a);
        assert_int_equal(g.n, want[i].n);
        cf_groups_free(&g);
    }
    cf_topology_free(&t);
}

static void groups_that_are_asked_for_are_made_of_the_threads_there_are(void **state)
{
    static const struct {
        int groups, n, first, last;
    } want[] = {{1, 1, 12, 12}, {2, 2, 6, 6},   {3, 3, 6, 3},
                {5, 5, 3, 2},   {12, 12, 1, 1}, {99, 12, 1, 1}};
    struct cf_topology t = machine("NUMANode:2 core:6 pu:1");

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct cf_groups_ask a = ask(12, 9000 * mib);
        struct cf_groups g;

        a.groups = want[i].groups;
        g = choose(&t, &a);
        assert_int_equal(g.n, want[i].n);
        assert_int_equal(g.place[0].threads, want[i].first);
        assert_int_equal(g.place[g.n - 1].threads, want[i].last);
        cf_groups_free(&g);
    }
    cf_topology_free(&t);
}

static void
the_text_encoder_gets_threads_of_its_own_where_it_has_work_for_them(void **state)
{
    static const struct {
        int threads;
        double work;
        bool beside;
        int encoder;
    } want[] = {{16, 0.08, true, 1}, {64, 0.08, true, 5}, {64, 0.002, false, 2},
                {4, 0.5, false, 2},  {8, 0.5, true, 3},   {128, 1e9, true, 64},
                {1, 1e9, false, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct cf_topology t = machine("core:128 pu:1");
        struct cf_groups_ask a = ask(want[i].threads, 12 * mib);
        struct cf_groups g;

        a.text_work = want[i].work;
        g = choose(&t, &a);
        assert_int_equal(g.beside, want[i].beside);
        assert_int_equal(g.encoder, want[i].encoder);
        cf_groups_free(&g);
        a.weights = 1e6 * mib; /* one group of all threads: they take turns */
        g = choose(&t, &a);
        assert_int_equal(g.n, 1);
        assert_false(g.beside);
        cf_groups_free(&g);
        cf_topology_free(&t);
    }
}

static void words_about_binding_are_known_or_refused(void **state)
{
    struct cf_error err = {0};
    enum cf_bind bind;

    (void)state;
    assert_int_equal(cf_bind_parse("cores", &bind, &err), CF_OK);
    assert_int_equal(bind, CF_BIND_CORES);
    assert_int_equal(cf_bind_parse("none", &bind, &err), CF_OK);
    assert_int_equal(bind, CF_BIND_NONE);
    assert_int_equal(cf_bind_parse("close", &bind, &err), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--bind"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_has_threads_by_its_weights),
        cmocka_unit_test(a_node_has_a_group_at_least_and_groups_are_bound_there),
        cmocka_unit_test(threads_are_not_bound_to_cores_that_are_not_all_ours),
        cmocka_unit_test(a_small_mask_is_a_small_machine),
        cmocka_unit_test(binding_is_as_asked_where_it_can_be),
        cmocka_unit_test(weights_that_do_not_fit_on_each_node_are_read_across),
        cmocka_unit_test(there_are_no_more_groups_than_images_that_fit),
        cmocka_unit_test(groups_that_are_asked_for_are_made_of_the_threads_there_are),
        cmocka_unit_test(
            the_text_encoder_gets_threads_of_its_own_where_it_has_work_for_them),
        cmocka_unit_test(words_about_binding_are_known_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
