/* packs_test.c - machines of a process share packed weights, whoever comes first. */
#include "tests/dnn_tools.h"

#include <pthread.h>
#include <stdatomic.h>

#include "dnn/layer.h"
#include "dnn/packs.h"

enum { BYTES = 1000, BLOCKS = 6 };

static struct cf_error none;
static atomic_int filled;

static void ok(enum cf_status status)
{
    if (status != CF_OK)
        fail_msg("%s", none.msg);
}

/* arg: the byte that all are. */
static enum cf_status fill(void *data, void *arg, struct cf_error *err)
{
    (void)err;
    atomic_fetch_add(&filled, 1);
    memset(data, *(const int *)arg, BYTES);
    return CF_OK;
}

static enum cf_status refuse(void *data, void *arg, struct cf_error *err)
{
    (void)data;
    (void)arg;
    return cf_fail(err, CF_EUNSUP, "not today");
}

static struct cf_packs *open_packs(int threads)
{
    struct cf_packs *p;

    atomic_store(&filled, 0);
    ok(cf_packs_open(&p, threads, &none));
    return p;
}

static struct cf_pack get(struct cf_dnn *dnn, const char *format, int value)
{
    struct cf_pack pack;

    ok(cf_pack_get(&pack, dnn, format, BYTES, fill, &value, &none));
    return pack;
}

static void the_second_machine_finds_what_the_first_has_packed(void **state)
{
    struct cf_packs *p = open_packs(1);
    struct cf_pack a, b;

    (void)state;
    for (int i = 0; i < 2; i++)
        ok(cf_packs_begin(p, team[i], "model", NULL, &none));
    a = get(team[0], "floats", 7);
    b = get(team[1], "floats", 7);
    assert_int_equal(filled, 1);
    assert_ptr_equal(a.data, b.data);
    assert_int_equal((uintptr_t)a.data % 64, 0);
    for (int i = 0; i < 2; i++)
        cf_packs_end(team[i]);
    cf_pack_put(&a);
    assert_int_equal(((const char *)b.data)[BYTES - 1], 7); /* still there */
    cf_pack_put(&b);
    cf_packs_close(p);
}

static void blocks_differ_by_key_number_and_format(void **state)
{
    struct cf_packs *p = open_packs(1);
    struct cf_pack pack[5];

    (void)state;
    ok(cf_packs_begin(p, team[0], "model", NULL, &none));
    pack[0] = get(team[0], "floats", 1);
    pack[1] = get(team[0], "floats", 2);
    cf_packs_end(team[0]);
    ok(cf_packs_begin(p, team[0], "another model", NULL, &none));
    pack[2] = get(team[0], "floats", 3);
    cf_packs_end(team[0]);
    ok(cf_packs_begin(p, team[0], "model", NULL, &none));
    pack[3] = get(team[0], "floats", 1);
    pack[4] =
        get(team[0], "other floats", 4); /* the number is taken: memory of its own */
    cf_packs_end(team[0]);
    assert_int_equal(filled, 4);
    assert_ptr_equal(pack[0].data, pack[3].data);
    for (int i = 0; i < 5; i++) {
        static const int want[] = {1, 2, 3, 1, 4};

        assert_int_equal(((const char *)pack[i].data)[0], want[i]);
        cf_pack_put(&pack[i]);
        assert_null(pack[i].data);
    }
    cf_packs_close(p);
}

static void outside_of_begin_and_end_nothing_is_shared(void **state)
{
    struct cf_pack a, b;

    (void)state;
    atomic_store(&filled, 0);
    a = get(team[0], "floats", 7);
    b = get(team[0], "floats", 7);
    assert_int_equal(filled, 2);
    assert_ptr_not_equal(a.data, b.data);
    cf_pack_put(&a);
    cf_pack_put(&b);
}

static void a_failure_is_told_and_the_next_one_tries_again(void **state)
{
    struct cf_packs *p = open_packs(1);
    struct cf_error err = {0};
    struct cf_pack pack;

    (void)state;
    for (int i = 0; i < 2; i++)
        ok(cf_packs_begin(p, team[i], "model", NULL, &none));
    assert_int_equal(cf_pack_get(&pack, team[0], "floats", BYTES, refuse, NULL, &err),
                     CF_EUNSUP);
    assert_null(pack.data);
    assert_non_null(strstr(err.msg, "not today"));
    pack = get(team[1], "floats", 5);
    assert_int_equal(((const char *)pack.data)[0], 5);
    for (int i = 0; i < 2; i++)
        cf_packs_end(team[i]);
    cf_pack_put(&pack);
    cf_packs_close(p);
}

struct opener {
    struct cf_packs *packs;
    struct cf_dnn *dnn;
    struct cf_pack pack[BLOCKS];
};

static void *open_all(void *arg)
{
    struct opener *o = arg;
    struct cf_error err = {0};

    cf_packs_begin(o->packs, o->dnn, "model", NULL, &err);
    for (int i = 0; i < BLOCKS; i++)
        cf_pack_get(&o->pack[i], o->dnn, "floats", BYTES, fill, &i, &err);
    cf_packs_end(o->dnn);
    return err.status == CF_OK ? NULL : o;
}

static void machines_that_open_at_once_fill_each_block_once(void **state)
{
    struct opener o[TEAMS];
    pthread_t thread[TEAMS];

    (void)state;
    for (int round = 0; round < 50; round++) {
        struct cf_packs *p = open_packs(2);

        for (int t = 0; t < TEAMS; t++) {
            o[t] = (struct opener){.packs = p, .dnn = team[t]};
            assert_int_equal(pthread_create(&thread[t], NULL, open_all, &o[t]), 0);
        }
        for (int t = 0; t < TEAMS; t++) {
            void *failed;

            pthread_join(thread[t], &failed);
            assert_null(failed);
        }
        assert_int_equal(filled, BLOCKS);
        for (int t = 0; t < TEAMS; t++)
            for (int i = 0; i < BLOCKS; i++) {
                assert_int_equal(((const char *)o[t].pack[i].data)[BYTES - 1], i);
                assert_ptr_equal(o[t].pack[i].data, o[0].pack[i].data);
                if (t == TEAMS - 1)
                    for (int u = 0; u < TEAMS; u++)
                        cf_pack_put(&o[u].pack[i]);
            }
        cf_packs_close(p);
    }
}

/* ---- what lies ready ---- */

static char ready_bytes[2][1024] __attribute__((aligned(64)));
static struct cf_pack_block ready_block[2] = {
    {"floats", ready_bytes[0], 1024},
    {"old floats", ready_bytes[1], 1024},
};
static int dropped;

static int find(void *ctx, const struct cf_pack_block **block, void **held)
{
    ++*(int *)ctx;
    *block = ready_block;
    *held = ready_block;
    return 2;
}

static void drop(void *held)
{
    assert_ptr_equal(held, ready_block);
    dropped++;
}

static void blocks_that_lie_ready_are_used_and_given_back(void **state)
{
    struct cf_packs *p = open_packs(1);
    int found = 0, n;
    struct cf_packs_ready ready = {&found, find, drop};
    struct cf_pack_block *made;
    struct cf_pack a, b;

    (void)state;
    dropped = 0;
    for (int i = 0; i < 2; i++)
        ok(cf_packs_begin(p, team[i], "model", &ready, &none));
    a = get(team[0], "floats", 7);
    b = get(team[1], "floats", 7);
    assert_int_equal(found, 1);
    assert_int_equal(filled, 0);
    assert_ptr_equal(a.data, ready_bytes[0]);
    assert_ptr_equal(b.data, ready_bytes[0]);
    ok(cf_packs_made(team[0], &made, &n, &none));
    assert_int_equal(n, 0); /* nothing that is not known */
    for (int i = 0; i < 2; i++)
        cf_packs_end(team[i]);
    cf_pack_put(&a);
    assert_int_equal(dropped, 0);
    cf_pack_put(&b);
    assert_int_equal(dropped, 1);
    cf_packs_close(p);
}

static void a_ready_block_of_another_kind_is_filled_anew_and_told_once(void **state)
{
    struct cf_packs *p = open_packs(1);
    int found = 0, n;
    struct cf_packs_ready ready = {&found, find, drop};
    struct cf_pack_block *made;
    struct cf_pack pack[3];

    (void)state;
    ok(cf_packs_begin(p, team[0], "model", &ready, &none));
    for (int i = 0; i < 3; i++)
        pack[i] = get(team[0], "floats", 7 + i);
    assert_int_equal(filled, 2);
    assert_ptr_not_equal(pack[1].data, ready_bytes[1]);
    ok(cf_packs_made(team[0], &made, &n, &none));
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(made[i].format, "floats");
        assert_ptr_equal(made[i].data, pack[i].data);
        assert_int_equal(made[i].bytes, 1024);
        cf_pack_put(&pack[i]);
    }
    assert_int_equal(((const char *)made[2].data)[BYTES], 0); /* rounded up with zeros */
    cf_free(made);
    ok(cf_packs_made(team[0], &made, &n, &none));
    assert_int_equal(n, 0);
    cf_packs_end(team[0]);
    cf_packs_close(p);
}

/* ---- threads ---- */

enum { MANY = 10007 };
struct count {
    struct cf_dnn *dnn;
    int64_t grain;
    atomic_int seen[MANY];
    float tiny; /* a subnormal number */
    atomic_int kept;
};

static void count_part(void *arg, int64_t first, int64_t last)
{
    struct count *c = arg;
    volatile float x = c->tiny;

    if (last != MANY && last % c->grain)
        return;
    if (x * 1.5f != 0)
        atomic_fetch_add(&c->kept, 1);
    for (int64_t i = first; i < last; i++)
        atomic_fetch_add(&c->seen[i], 1);
}

static enum cf_status split(void *data, void *arg, struct cf_error *err)
{
    struct count *c = arg;

    (void)err;
    memset(data, 0, BYTES);
    cf_pack_split(c->dnn, MANY, c->grain, count_part, c);
    return CF_OK;
}

static void a_fill_is_split_over_more_threads_than_the_machine_has(void **state)
{
    static struct count c;

    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct cf_packs *p = open_packs(threads);
        struct cf_pack pack;

        memset(&c, 0, sizeof c);
        c.dnn = team[threads % TEAMS];
        c.grain = threads * 16;
        c.tiny = 1e-40f;
        ok(cf_packs_begin(p, c.dnn, "model", NULL, &none));
        ok(cf_pack_get(&pack, c.dnn, "floats", BYTES, split, &c, &none));
        cf_packs_end(c.dnn);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(c.seen[i], 1);
#ifdef __SSE__
        assert_int_equal(c.kept, 0); /* all of them flush */
#endif
        cf_pack_put(&pack);
        cf_packs_close(p);
    }
}

/* ---- layers ---- */

enum { N = 40, K = 72, M = 5 };

/* What machine t gives for a layer opened with packs, or alone. */
static void run_layer(float *y, struct cf_packs *p, int t, const float *w, const float *x,
                      struct cf_linear **kept)
{
    struct cf_weight weight = {CF_W_F32, N, K, 0, w, NULL};

    if (p)
        ok(cf_packs_begin(p, team[t], "model", NULL, &none));
    ok(cf_linear_open(kept, team[t], &weight, NULL, CF_HOLD_PACK, &none));
    cf_packs_end(team[t]);
    ok(cf_linear_run(*kept, y, x, M, &none));
}

static void a_layer_gives_the_same_bytes_with_shared_weights(void **state)
{
    float *w = randoms(N * K), *x = randoms(M * K), alone[M * N], shared[M * N];
    struct cf_packs *p = open_packs(4);
    struct cf_linear *lin[TEAMS + 1];

    (void)state;
    run_layer(alone, NULL, 0, w, x, &lin[TEAMS]);
    for (int t = 0; t < TEAMS; t++) {
        run_layer(shared, p, t, w, x, &lin[t]);
        assert_memory_equal(alone, shared, sizeof alone);
        memset(w, 0, N * K * sizeof *w); /* the others do not read it */
    }
    for (int t = 0; t <= TEAMS; t++)
        cf_linear_close(lin[t]);
    cf_packs_close(p);
    cf_free(w);
    cf_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_machine_finds_what_the_first_has_packed),
        cmocka_unit_test(blocks_differ_by_key_number_and_format),
        cmocka_unit_test(outside_of_begin_and_end_nothing_is_shared),
        cmocka_unit_test(a_failure_is_told_and_the_next_one_tries_again),
        cmocka_unit_test(machines_that_open_at_once_fill_each_block_once),
        cmocka_unit_test(blocks_that_lie_ready_are_used_and_given_back),
        cmocka_unit_test(a_ready_block_of_another_kind_is_filled_anew_and_told_once),
        cmocka_unit_test(a_fill_is_split_over_more_threads_than_the_machine_has),
        cmocka_unit_test(a_layer_gives_the_same_bytes_with_shared_weights),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
