/* kv_test.c - a cache of keys and values in blocks, and attention over it. */
#include "tests/dnn_tools.h"

#include "dnn/kv.h"
#include "dnn/ops.h"

enum { KEYS = 171, QUERIES = 70 };

static const struct cf_attn shapes[] = {
    {2, 2, 12, 0.3f, CF_F32},  {4, 2, 64, 0.2f, CF_BF16}, {3, 3, 128, 0.1f, CF_F32},
    {2, 1, 20, 0.5f, CF_BF16}, {1, 1, 256, 1, CF_BF16},   {2, 2, 224, 0.07f, CF_F32},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Keys and values as one row [2, kv_heads, hd] each, with a gap behind it. */
struct data {
    const struct cf_attn *a;
    float *rows, *cs, *sn;
    int32_t *pos;
    int64_t stride, width;
    size_t bytes;
};

static void make(struct data *d, const struct cf_attn *a)
{
    d->a = a;
    d->width = (int64_t)a->kv_heads * a->hd;
    d->stride = 2 * d->width + 3;
    d->rows = randoms((size_t)(KEYS * d->stride));
    d->cs = randoms((size_t)(KEYS * a->hd / 2));
    d->sn = randoms((size_t)(KEYS * a->hd / 2));
    d->pos = cf_alloc(KEYS, sizeof *d->pos, NULL);
    assert_non_null(d->pos);
    for (int j = 0; j < KEYS; j++)
        d->pos[j] = j * 7 % KEYS;
    d->bytes = (size_t)(cf_kv_blocks(KEYS) * cf_kv_block(a)) * cf_dtype_size(a->kv);
}

static void drop(struct data *d)
{
    cf_free(d->rows);
    cf_free(d->cs);
    cf_free(d->sn);
    cf_free(d->pos);
}

/* A cache of all keys, appended as many at a time as told (the last number over and
 * over), turned if turn is 1, by positions of their own if 2. What nobody writes is NaN.
 */
static void *fill(const struct data *d, struct cf_dnn *dnn, const int *steps, int turn)
{
    unsigned char *cache = cf_alloc(1, d->bytes, NULL);

    assert_non_null(cache);
    memset(cache, 0xff, d->bytes);
    for (int64_t at = 0, n; at < KEYS; at += n) {
        struct cf_kv_rows rows = {.k = d->rows + at * d->stride, .stride = d->stride};

        n = *steps < KEYS - at ? *steps : KEYS - at;
        rows.v = rows.k + d->width;
        rows.n = n;
        if (turn) {
            int64_t first = turn == 1 ? at * (d->a->hd / 2) : 0;

            rows.cs = d->cs + first;
            rows.sn = d->sn + first;
            rows.pos = turn == 2 ? d->pos + at : NULL;
        }
        cf_kv_append(dnn, d->a, cache, at, &rows);
        if (steps[1])
            steps++;
    }
    return cache;
}

/* x rounded to what the cache keeps. */
static float rounded(const struct cf_attn *a, float x)
{
    uint16_t b;
    struct cf_view v = {&b, CF_BF16, 1, {1}};

    if (a->kv == CF_F32)
        return x;
    assert_ok(cf_floats_store(&b, CF_BF16, &x, 1, why));
    assert_ok(cf_view_floats(&x, &v, 0, 1, why));
    return x;
}

static void keys_are_kept_as_the_nearest_of_their_type(void **state)
{
    static const int once[] = {KEYS, 0};

    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct data d;
        float *got;
        void *cache;

        make(&d, &shapes[i]);
        got = floats((size_t)(KEYS * d.width));
        cache = fill(&d, team[i % TEAMS], once, 0);
        cf_kv_keys(team[0], d.a, got, cache, 0, KEYS);
        for (int j = 0; j < KEYS; j++)
            for (int c = 0; c < d.width; c++)
                assert_true(got[j * d.width + c] ==
                            rounded(d.a, d.rows[j * d.stride + c]));
        cf_kv_keys(team[0], d.a, got, cache, 40, 9);
        for (int c = 0; c < d.width; c++)
            assert_true(got[8 * d.width + c] == rounded(d.a, d.rows[48 * d.stride + c]));
        cf_free(cache);
        cf_free(got);
        drop(&d);
    }
}

/* The same two steps as ops of their own. */
static void keys_are_normalised_and_turned_before_they_are_rounded(void **state)
{
    static const int once[] = {KEYS, 0};

    (void)state;
    for (int i = 0; i < 2 * SHAPES; i++) {
        struct data d;
        float *got, *want;
        void *cache;

        make(&d, &shapes[i / 2]);
        got = floats((size_t)(KEYS * d.width));
        want = copy_of(d.rows, (size_t)(KEYS * d.stride));
        cache = fill(&d, team[i % TEAMS], once, 1 + i % 2);
        cf_kv_keys(team[0], d.a, got, cache, 0, KEYS);
        cf_l2norm_heads(team[0], want, KEYS, d.stride, d.a->kv_heads, d.a->hd, NULL, NULL,
                        NULL, NULL);
        cf_rope(team[0], want, KEYS, d.stride, d.a->kv_heads, d.a->hd, d.cs, d.sn,
                i % 2 ? d.pos : NULL, 1);
        for (int j = 0; j < KEYS; j++)
            for (int c = 0; c < d.width; c++)
                assert_true(got[j * d.width + c] == rounded(d.a, want[j * d.stride + c]));
        cf_free(cache);
        cf_free(got);
        cf_free(want);
        drop(&d);
    }
}

static void a_cache_is_the_same_however_it_was_appended(void **state)
{
    static const int once[] = {KEYS, 0}, odd[] = {1, 4, 9, 16, 25, 36, 49, 0},
                     single[] = {1, 0}, blocks[] = {CF_KV_BLOCK, 0};
    static const int *const steps[] = {odd, single, blocks};

    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct data d;
        void *want, *got;

        make(&d, &shapes[i]);
        want = fill(&d, team[0], once, 1);
        for (int k = 0; k < 3; k++) {
            got = fill(&d, team[(i + k) % TEAMS], steps[k], 1);
            assert_memory_equal(got, want, d.bytes);
            cf_free(got);
        }
        cf_free(want);
        drop(&d);
    }
}

/* Attention over rows of the numbers that the cache keeps: what a block holds behind its
 * last key is NaN here, and never counts. */
static void attention_over_a_cache_is_that_over_the_same_rows(void **state)
{
    static const int odd[] = {1, 4, 9, 16, 25, 36, 49, 0};

    (void)state;
    for (int i = 0; i < 3 * SHAPES; i++) {
        int nk = i % 3 == 0 ? KEYS : i % 3 == 1 ? 128 : 5;
        int nq = i % 3 == 2 ? 5 : QUERIES;
        int64_t wide;
        struct cf_attn rows;
        struct cf_attn_seq s;
        float *q, *want, *got;
        struct data d;
        void *cache;

        make(&d, &shapes[i / 3]);
        wide = (int64_t)d.a->heads * d.a->hd;
        q = randoms((size_t)(nq * wide));
        want = floats((size_t)(nq * wide));
        got = floats((size_t)(nq * wide));
        cache = fill(&d, team[0], odd, 0);
        for (int64_t x = 0; x < KEYS * d.stride; x++)
            d.rows[x] = rounded(d.a, d.rows[x]);
        rows = *d.a;
        rows.kv = CF_F32;
        s = (struct cf_attn_seq){.dst = want,
                                 .q = q,
                                 .k = d.rows,
                                 .v = d.rows + d.width,
                                 .d_stride = wide,
                                 .q_stride = wide,
                                 .k_stride = d.stride,
                                 .k_head = d.a->hd,
                                 .v_stride = d.stride,
                                 .v_head = d.a->hd,
                                 .nq = nq,
                                 .nk = nk,
                                 .causal = i % 2};
        assert_ok(cf_attn_run(team[0], &rows, &s, 1, why));
        s.dst = got;
        s.k = s.v = NULL;
        s.cache = cache;
        for (int t = 0; t < TEAMS; t++) {
            memset(got, 0, (size_t)(nq * wide) * sizeof *got);
            assert_ok(cf_attn_run(team[t], d.a, &s, 1, why));
            assert_same_floats(got, want, (size_t)(nq * wide));
        }
        cf_free(q);
        cf_free(want);
        cf_free(got);
        cf_free(cache);
        drop(&d);
    }
}

static void a_cache_with_a_mask_is_refused(void **state)
{
    uint8_t ok[1] = {1};
    struct cf_attn_seq s = {.cache = ok, .key_ok = ok, .nk = 1};
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_attn_run(team[0], &shapes[0], &s, 1, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "a cache with a mask"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_kept_as_the_nearest_of_their_type),
        cmocka_unit_test(keys_are_normalised_and_turned_before_they_are_rounded),
        cmocka_unit_test(a_cache_is_the_same_however_it_was_appended),
        cmocka_unit_test(attention_over_a_cache_is_that_over_the_same_rows),
        cmocka_unit_test(a_cache_with_a_mask_is_refused),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
