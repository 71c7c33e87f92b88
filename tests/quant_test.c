/* quant_test.c - int8 and 4-bit weights: how near they come, what stays exact, what is
 * refused. */
#include "tests/dnn_tools.h"

#include "dnn/quant.h"

/* A matrix quantized by a machine, all of it in one block. */
static struct cf_weight quantized(struct cf_dnn *dnn, enum cf_wtype type, int group,
                                  const float *src, int64_t n, int64_t k)
{
    size_t bytes = cf_weight_bytes(type, n, k, group);
    size_t matrix = (size_t)n * cf_weight_row_bytes(type, k);
    char *all = cf_alloc(bytes, 1, NULL);

    assert_non_null(all);
    assert_ok(cf_quantize(dnn, all, all + matrix, type, group, src, n, k, why));
    return (struct cf_weight){type, n, k, group, all, all + matrix};
}

static void drop(struct cf_weight *w)
{
    cf_free((void *)(uintptr_t)w->w);
}

/* Sum of twelve uniforms, variance 4; heavy: its fifth power now and then. */
static void fill(float *x, size_t n, bool heavy)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = 0.0f;
        for (int j = 0; j < 12; j++)
            x[i] += uniform();
        if (heavy && i % 61 == 0)
            x[i] *= x[i] * x[i] * x[i] * x[i];
    }
}

/* Relative L2 distance of a quantized matrix, row by row as base/weight.h defines it. */
static double distance(const struct cf_weight *w, const float *src)
{
    float *row = floats((size_t)w->k);
    double diff = 0.0, norm = 0.0;

    for (int64_t r = 0; r < w->n; r++) {
        cf_weight_row(row, w, r);
        for (int64_t i = 0; i < w->k; i++) {
            double x = (double)src[r * w->k + i], d = (double)row[i] - x;

            diff += d * d;
            norm += x * x;
        }
    }
    cf_free(row);
    return sqrt(diff / norm);
}

static void check_distance(bool heavy, enum cf_wtype type, int group, double most)
{
    enum { N = 24, K = 1536 };
    float *src = floats((size_t)N * K);
    struct cf_weight w;

    fill(src, (size_t)N * K, heavy);
    w = quantized(team[1], type, group, src, N, K);
    if (!(distance(&w, src) < most))
        fail_msg("relative error %g, expected below %g", distance(&w, src), most);
    drop(&w);
    cf_free(src);
}

/* A step of s has an error of s / sqrt(12): 4 sigma over 127 steps, 2.1 and 2.4 sigma
 * over 8 steps, and a little more or less for luck and search. */
static void gaussian_rows_are_near(void **state)
{
    (void)state;
    check_distance(false, CF_W_I8, 0, 0.0095);
    check_distance(false, CF_W_Q4, 32, 0.085);
    check_distance(false, CF_W_Q4, 64, 0.095);
}

static void heavy_tails_are_near_in_the_norm_that_they_dominate(void **state)
{
    (void)state;
    check_distance(true, CF_W_I8, 0, 0.025);
    check_distance(true, CF_W_Q4, 32, 0.06);
    check_distance(true, CF_W_Q4, 64, 0.06);
}

/* Never worse than the plain scale of max / 127 and of max / 8. */
static void search_beats_the_plain_scale(void **state)
{
    enum { K = 512 };
    float *src = floats(K);
    double plain = 0.0, found = 0.0;
    float row[K], top = 0.0f;
    struct cf_weight w;

    (void)state;
    fill(src, K, true);
    for (int i = 0; i < K; i++)
        top = fmaxf(top, fabsf(src[i]));
    for (int i = 0; i < K; i++)
        plain += pow((double)(src[i] - roundf(src[i] * 127.0f / top) * top / 127.0f), 2);
    w = quantized(team[0], CF_W_I8, 0, src, 1, K);
    cf_weight_row(row, &w, 0);
    for (int i = 0; i < K; i++)
        found += pow((double)(src[i] - row[i]), 2);
    if (!(found <= plain * 1.0001))
        fail_msg("squared error %g, %g without a search", found, plain);
    drop(&w);
    cf_free(src);
}

static void zero_rows_stay_zero(void **state)
{
    float src[3 * 64] = {0}, row[64];

    (void)state;
    src[64] = 1.0f; /* the middle row only */
    for (int t = 0; t < 2; t++) {
        struct cf_weight w =
            quantized(team[0], t ? CF_W_Q4 : CF_W_I8, t ? 32 : 0, src, 3, 64);

        for (int r = 0; r < 3; r++) {
            cf_weight_row(row, &w, r);
            for (int i = 0; i < 64; i++) /* -0 is a zero */
                assert_true(row[i] == src[r * 64 + i]);
        }
        drop(&w);
    }
}

static void subnormal_rows_become_zero(void **state)
{
    float src[64], row[64];
    struct cf_weight w;

    (void)state;
    for (int i = 0; i < 64; i++)
        src[i] = 1e-39f;
    w = quantized(team[0], CF_W_I8, 0, src, 1, 64);
    cf_weight_row(row, &w, 0);
    for (int i = 0; i < 64; i++)
        assert_true(row[i] == 0.0f);
    drop(&w);
}

static void whole_steps_stay_exact(void **state)
{
    static const float int8_step[] = {0.25f, 0x1.234p-9f, 3.0f, 0x1.8p-60f, 0x1.2p80f};
    static const float q4_step[] = {0.25f, -0x1.2cp-9f, 3.0f, -24.0f};
    float src[64], row[64];
    struct cf_weight w;

    (void)state;
    for (size_t s = 0; s < sizeof int8_step / sizeof int8_step[0]; s++) {
        for (int i = 0; i < 64; i++)
            src[i] = (float)(i * 4 - 127 + (i > 60)) * int8_step[s];
        w = quantized(team[0], CF_W_I8, 0, src, 1, 64);
        cf_weight_row(row, &w, 0);
        assert_same_floats(row, src, 64);
        drop(&w);
    }
    for (size_t s = 0; s < sizeof q4_step / sizeof q4_step[0]; s++) {
        for (int seven = 0; seven < 2; seven++) {
            for (int i = 0; i < 64; i++)
                src[i] = (float)(seven ? i % 15 - 7 : i % 16 - 8) * q4_step[s];
            w = quantized(team[0], CF_W_Q4, 32 << seven, src, 1, 64);
            cf_weight_row(row, &w, 0);
            assert_same_floats(row, src, 64);
            drop(&w);
        }
    }
}

static void value_that_is_not_finite_is_named(void **state)
{
    float *src = randoms(40 * 64);
    char w[40 * 64], scale[40 * 8];

    (void)state;
    src[7 * 64 + 33] = NAN;
    src[31 * 64] = INFINITY;
    for (int t = 0; t < 2; t++) {
        for (int m = 0; m < TEAMS; m++) {
            struct cf_error err = {0};

            assert_int_equal(cf_quantize(team[m], w, scale, t ? CF_W_Q4 : CF_W_I8,
                                         t ? 64 : 0, src, 40, 64, &err),
                             CF_ENUMERIC);
            assert_string_equal(err.msg, "row 7, column 33: nan is not finite");
        }
    }
    cf_free(src);
}

static void impossible_shapes_and_values_are_refused(void **state)
{
    static const struct {
        enum cf_wtype type;
        int group;
        int64_t k;
        enum cf_status status;
    } bad[] = {
        {CF_W_Q4, 32, 48, CF_ERANGE},  {CF_W_Q4, 64, 96, CF_ERANGE},
        {CF_W_Q4, 16, 64, CF_ERANGE},  {CF_W_Q4, 0, 64, CF_ERANGE},
        {CF_W_BF16, 0, 64, CF_EUNSUP},
    };
    float src[96] = {0};
    char w[96], scale[16];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cf_quantize(team[0], w, scale, bad[i].type, bad[i].group, src, 1,
                                     bad[i].k, NULL),
                         bad[i].status);
    src[3] = 5e5f;
    assert_int_equal(cf_quantize(team[0], w, scale, CF_W_I8, 0, src, 1, 64, NULL), CF_OK);
    assert_int_equal(cf_quantize(team[0], w, scale, CF_W_Q4, 32, src, 1, 64, NULL),
                     CF_ERANGE);
}

static void bytes_do_not_depend_on_the_team(void **state)
{
    enum { N = 37, K = 320 };
    float *src = floats((size_t)N * K);

    (void)state;
    fill(src, (size_t)N * K, true);
    for (int t = 0; t < 3; t++) {
        enum cf_wtype type = t ? CF_W_Q4 : CF_W_I8;
        int group = t ? 32 * t : 0;
        struct cf_weight one = quantized(team[0], type, group, src, N, K);

        for (int m = 1; m < TEAMS; m++) {
            struct cf_weight more = quantized(team[m], type, group, src, N, K);

            assert_int_equal(memcmp(one.w, more.w, cf_weight_bytes(type, N, K, group)),
                             0);
            drop(&more);
        }
        drop(&one);
    }
    cf_free(src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaussian_rows_are_near),
        cmocka_unit_test(heavy_tails_are_near_in_the_norm_that_they_dominate),
        cmocka_unit_test(search_beats_the_plain_scale),
        cmocka_unit_test(zero_rows_stay_zero),
        cmocka_unit_test(subnormal_rows_become_zero),
        cmocka_unit_test(whole_steps_stay_exact),
        cmocka_unit_test(value_that_is_not_finite_is_named),
        cmocka_unit_test(impossible_shapes_and_values_are_refused),
        cmocka_unit_test(bytes_do_not_depend_on_the_team),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
