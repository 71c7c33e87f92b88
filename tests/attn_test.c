/* attn_test.c - attention in tiles against the definition in double. */
#include "tests/dnn_tools.h"

#include "dnn/attn.h"

struct problem {
    struct cf_attn a;
    int nq, nk, causal;
    int gap;    /* floats between rows, so that strides differ from widths */
    float size; /* magnitude of queries and keys */
};

struct data {
    float *q, *k, *v, *dst;
    uint8_t *ok;
    struct cf_attn_seq seq;
    size_t n_dst;
};

static void make(struct data *d, const struct problem *p, int masked)
{
    int64_t q_stride = p->a.heads * p->a.hd + p->gap;
    int64_t k_stride = p->a.kv_heads * p->a.hd + 2 * p->gap;

    d->q = randoms((size_t)(p->nq * q_stride));
    d->k = randoms((size_t)(p->nk * k_stride) + 1);
    d->v = randoms((size_t)(p->nk * k_stride) + 1);
    d->n_dst = (size_t)(p->nq * q_stride);
    d->dst = floats(d->n_dst);
    d->ok = cf_alloc((size_t)p->nk, 1, NULL);
    for (int64_t i = 0; i < p->nq * q_stride; i++)
        d->q[i] *= p->size;
    for (int j = 0; j < p->nk; j++) {
        d->ok[j] = (j * 7 + j / 3) % 5 != 0;
        for (int64_t i = 0; masked && !d->ok[j] && i < k_stride; i++)
            d->k[j * k_stride + i] = d->v[j * k_stride + i] = NAN;
    }
    d->seq = (struct cf_attn_seq){
        .dst = d->dst,
        .q = d->q,
        .k = d->k,
        .v = d->v,
        .d_stride = q_stride,
        .q_stride = q_stride,
        .k_stride = k_stride,
        .k_head = p->a.hd,
        .v_stride = k_stride,
        .v_head = p->a.hd,
        .nq = p->nq,
        .nk = p->nk,
        .key_ok = masked ? d->ok : NULL,
        .causal = p->causal,
    };
}

static void drop(struct data *d)
{
    cf_free(d->q);
    cf_free(d->k);
    cf_free(d->v);
    cf_free(d->dst);
    cf_free(d->ok);
}

static void check_row(const struct cf_attn *a, const struct cf_attn_seq *s, int i, int h)
{
    int g = h / (a->heads / a->kv_heads),
        sees = s->causal ? i + 1 + s->nk - s->nq : s->nk;
    double *p = cf_calloc((size_t)s->nk + 1, sizeof *p, NULL), max = -INFINITY, sum = 0;
    double size = 0; /* of what is added up for a score, which rounds */
    const float *q = s->q + i * s->q_stride + h * a->hd, *ks = s->k, *vs = s->v;

    for (int j = 0; j < sees; j++) {
        double terms = 0;

        for (int c = 0; c < a->hd; c++) {
            double x = (double)q[c] * ks[j * s->k_stride + g * s->k_head + c];

            p[j] += x;
            terms += fabs(x);
        }
        size = fmax(size, terms * a->scale);
        p[j] *= a->scale;
        if (s->bias)
            p[j] += s->bias[h * s->bias_head + j - i];
        if (s->key_ok && !s->key_ok[j])
            p[j] = -INFINITY;
        max = fmax(max, p[j]);
    }
    for (int j = 0; j < sees; j++)
        sum += p[j] = p[j] == -INFINITY ? 0 : exp(p[j] - max);
    for (int c = 0; c < a->hd; c++) {
        double want = 0;

        for (int j = 0; j < sees; j++)
            if (p[j] > 0)
                want += p[j] / sum * vs[j * s->v_stride + g * s->v_head + c];
        assert_near(s->dst[i * s->d_stride + h * a->hd + c], want, 2e-6 + 1.2e-7 * size);
    }
    cf_free(p);
}

static const struct problem problems[] = {
    {{1, 1, 4, 0.5f, CF_F32}, 1, 1, 0, 0, 1},
    {{2, 2, 12, 0.3f, CF_F32}, 5, 9, 0, 3, 1},
    {{3, 1, 16, 0.25f, CF_F32}, 65, 129, 0, 1, 3},
    {{2, 1, 20, 0.2f, CF_F32}, 64, 128, 1, 0, 2},
    {{4, 2, 24, 1, CF_F32}, 13, 300, 0, 5, 2},
    {{2, 2, 32, 0.2f, CF_F32}, 130, 257, 1, 0, 1},
    {{2, 2, 64, 0.125f, CF_F32}, 100, 100, 1, 7, 1},
    {{1, 1, 96, 0.1f, CF_F32}, 3, 40, 0, 0, 1},
    {{6, 2, 128, 0.09f, CF_F32}, 17, 70, 1, 4, 1},
    {{2, 2, 224, 0.07f, CF_F32}, 9, 31, 0, 0, 1},
    {{1, 1, 256, 1, CF_F32}, 66, 140, 0, 2, 6},
    {{2, 1, 252, 0.1f, CF_F32}, 2, 20, 0, 0, 1},
};

enum { PROBLEMS = sizeof problems / sizeof *problems };

static void check_all(int masked)
{
    for (int n = 0; n < PROBLEMS; n++) {
        const struct problem *p = &problems[n];
        struct data d;

        make(&d, p, masked);
        assert_ok(cf_attn_run(team[n % TEAMS], &p->a, &d.seq, 1, why));
        for (int i = 0; i < p->nq; i++)
            for (int h = 0; h < p->a.heads; h++)
                check_row(&p->a, &d.seq, i, h);
        drop(&d);
    }
}

static void attention_is_its_definition(void **state)
{
    (void)state;
    check_all(0);
}

static void a_masked_key_never_counts_not_even_as_nan(void **state)
{
    (void)state;
    check_all(1);
}

/* With and without a mask; bias_head is sometimes wider than needed. */
static void a_bias_by_distance_is_added_to_each_score(void **state)
{
    (void)state;
    for (int n = 0; n < 2 * PROBLEMS; n++) {
        const struct problem *p = &problems[n / 2];
        int64_t width = p->nq + p->nk - 1 + n % 3;
        float *bias = randoms((size_t)(p->a.heads * width));
        struct data d;

        for (int64_t i = 0; i < p->a.heads * width; i++)
            bias[i] *= 5;
        make(&d, p, n % 2);
        d.seq.bias = bias + p->nq - 1;
        d.seq.bias_head = width;
        assert_ok(cf_attn_run(team[n % TEAMS], &p->a, &d.seq, 1, why));
        for (int i = 0; i < p->nq; i++)
            for (int h = 0; h < p->a.heads; h++)
                check_row(&p->a, &d.seq, i, h);
        cf_free(bias);
        drop(&d);
    }
}

/* T5: a table of the longest prompt serves all, whoever else is in the batch. */
static void a_bias_table_of_any_length_gives_the_same_bits(void **state)
{
    enum { N = 70, WIDE = 2 * 300 - 1, TIGHT = 2 * N - 1 };
    struct problem p = {{3, 3, 16, 1, CF_F32}, N, N, 0, 0, 1};
    float *wide = randoms(3 * WIDE), *tight = floats(3 * TIGHT), *first;
    struct data d;

    (void)state;
    for (int h = 0; h < 3; h++)
        memcpy(tight + h * TIGHT, wide + h * WIDE + 300 - N, TIGHT * sizeof *tight);
    make(&d, &p, 0);
    d.seq.bias = wide + 299;
    d.seq.bias_head = WIDE;
    assert_ok(cf_attn_run(team[0], &p.a, &d.seq, 1, why));
    first = copy_of(d.dst, d.n_dst);
    d.seq.bias = tight + N - 1;
    d.seq.bias_head = TIGHT;
    assert_ok(cf_attn_run(team[2], &p.a, &d.seq, 1, why));
    assert_same_floats(d.dst, first, d.n_dst);
    cf_free(first);
    cf_free(wide);
    cf_free(tight);
    drop(&d);
}

static void a_query_without_a_key_gives_zeros(void **state)
{
    struct problem p = {{2, 2, 16, 1, CF_F32}, 3, 20, 0, 0, 1};
    struct data d;

    (void)state;
    make(&d, &p, 1);
    memset(d.ok, 0, 20);
    memset(d.dst, 0xff, d.n_dst * sizeof *d.dst);
    assert_ok(cf_attn_run(team[0], &p.a, &d.seq, 1, why));
    for (size_t i = 0; i < d.n_dst; i++)
        assert_true(d.dst[i] == 0);
    memset(d.dst, 0xff, d.n_dst * sizeof *d.dst);
    d.seq.nk = 0;
    d.seq.key_ok = NULL;
    assert_ok(cf_attn_run(team[0], &p.a, &d.seq, 1, why));
    for (size_t i = 0; i < d.n_dst; i++)
        assert_true(d.dst[i] == 0);
    drop(&d);
}

/* A causal query asked alone sees the keys that it would see in company. */
static void a_query_has_the_same_bits_alone_and_in_company(void **state)
{
    (void)state;
    for (int n = 0; n < PROBLEMS; n++) {
        const struct problem *p = &problems[n];
        struct data d;
        float *all;

        make(&d, p, n % 2);
        assert_ok(cf_attn_run(team[0], &p->a, &d.seq, 1, why));
        all = copy_of(d.dst, d.n_dst);
        for (int i = 0; i < p->nq; i++) {
            struct cf_attn_seq one = d.seq;

            one.q += i * one.q_stride;
            one.dst += i * one.d_stride;
            one.nq = 1;
            one.nk = p->causal ? i + 1 + p->nk - p->nq : p->nk;
            assert_ok(cf_attn_run(team[i % TEAMS], &p->a, &one, 1, why));
        }
        assert_same_floats(d.dst, all, d.n_dst);
        cf_free(all);
        drop(&d);
    }
}

static void sequences_of_a_batch_do_not_touch_each_other(void **state)
{
    struct problem p = {{4, 2, 32, 0.2f, CF_F32}, 70, 150, 0, 3, 1};
    struct data d[5];
    struct cf_attn_seq seq[5];
    float *alone[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        p.nq = i == 2 ? 0 : 70 - 9 * i;
        p.nk = 150 - 31 * i;
        make(&d[i], &p, i % 2);
        seq[i] = d[i].seq;
        assert_ok(cf_attn_run(team[0], &p.a, &seq[i], 1, why));
        alone[i] = copy_of(d[i].dst, d[i].n_dst + 1);
    }
    for (int t = 0; t < TEAMS; t++) {
        for (int i = 0; i < 5; i++)
            memset(d[i].dst, 0, d[i].n_dst * sizeof *d[i].dst);
        assert_ok(cf_attn_run(team[t], &p.a, seq, 5, why));
        for (int i = 0; i < 5; i++)
            assert_same_floats(d[i].dst, alone[i], d[i].n_dst);
    }
    for (int i = 0; i < 5; i++) {
        cf_free(alone[i]);
        drop(&d[i]);
    }
}

/* Rounds floats to bfloat16 and keeps both. */
static uint16_t *round_to_bf16(float *x, size_t n)
{
    struct cf_view v = {NULL, CF_BF16, 1, {(int64_t)n}};
    uint16_t *b = cf_alloc(n, sizeof *b, NULL);

    assert_non_null(b);
    assert_ok(cf_floats_store(b, CF_BF16, x, (int64_t)n, why));
    v.data = b;
    assert_ok(cf_view_floats(x, &v, 0, (int64_t)n, why));
    return b;
}

static void bfloat_keys_and_values_count_as_the_floats_they_are(void **state)
{
    (void)state;
    for (int n = 0; n < 2 * PROBLEMS; n++) {
        struct problem p = problems[n / 2];
        size_t size = (size_t)p.nk * (size_t)(p.a.kv_heads * p.a.hd + 2 * p.gap);
        uint16_t *k, *v;
        struct data d;
        float *want;

        make(&d, &p, n % 2);
        k = round_to_bf16(d.k, size);
        v = round_to_bf16(d.v, size);
        assert_ok(cf_attn_run(team[0], &p.a, &d.seq, 1, why));
        want = copy_of(d.dst, d.n_dst);
        d.seq.k = k;
        d.seq.v = v;
        p.a.kv = CF_BF16;
        for (int t = 0; t < TEAMS; t++) {
            memset(d.dst, 0, d.n_dst * sizeof *d.dst);
            assert_ok(cf_attn_run(team[t], &p.a, &d.seq, 1, why));
            assert_same_floats(d.dst, want, d.n_dst);
        }
        cf_free(k);
        cf_free(v);
        cf_free(want);
        drop(&d);
    }
}

static void scores_of_a_hundred_neither_overflow_nor_blur(void **state)
{
    struct problem p = {{1, 1, 64, 1, CF_F32}, 40, 200, 0, 0, 25};
    struct data d;

    (void)state;
    make(&d, &p, 0);
    assert_ok(cf_attn_run(team[1], &p.a, &d.seq, 1, why));
    for (int i = 0; i < p.nq; i++)
        check_row(&p.a, &d.seq, i, 0);
    drop(&d);
}

static void impossible_heads_and_sizes_are_refused(void **state)
{
    static const struct cf_attn bad[] = {{1, 1, 0, 1, CF_F32},   {1, 1, 6, 1, CF_F32},
                                         {1, 1, 260, 1, CF_F32}, {3, 2, 8, 1, CF_F32},
                                         {0, 1, 8, 1, CF_F32},   {1, 0, 8, 1, CF_F32},
                                         {1, 1, 8, 0, CF_F32}};
    struct problem p = {{1, 1, 8, 1, CF_F32}, 4, 3, 1, 0, 1};
    struct cf_error err = {0};
    struct data d;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cf_attn_run(team[0], &bad[i], NULL, 0, NULL), CF_ERANGE);
    make(&d, &p, 0);
    assert_int_equal(cf_attn_run(team[0], &p.a, &d.seq, 1, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "4 queries, 3 keys"));
    err = (struct cf_error){0};
    p.a.kv = CF_F16;
    assert_int_equal(cf_attn_run(team[0], &p.a, NULL, 0, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "type F16"));
    drop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_its_definition),
        cmocka_unit_test(a_masked_key_never_counts_not_even_as_nan),
        cmocka_unit_test(a_bias_by_distance_is_added_to_each_score),
        cmocka_unit_test(a_bias_table_of_any_length_gives_the_same_bits),
        cmocka_unit_test(a_query_without_a_key_gives_zeros),
        cmocka_unit_test(a_query_has_the_same_bits_alone_and_in_company),
        cmocka_unit_test(sequences_of_a_batch_do_not_touch_each_other),
        cmocka_unit_test(bfloat_keys_and_values_count_as_the_floats_they_are),
        cmocka_unit_test(scores_of_a_hundred_neither_overflow_nor_blur),
        cmocka_unit_test(impossible_heads_and_sizes_are_refused),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
