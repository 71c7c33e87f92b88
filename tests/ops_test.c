/* ops_test.c - what lies between the products, against the formulas in double.
 *
 * Every op runs on teams of 1, 2 and 3 threads, on sizes that do not divide evenly; the
 * bits must be the same. */
#include "tests/dnn_tools.h"

#include "base/tensor.h"
#include "dnn/ops.h"

enum { ROWS = 211, C = 132 };

/* Mean and biased variance of a row. */
static void stats(const float *x, int c, double *mean, double *var)
{
    double sum = 0, sq = 0;

    for (int i = 0; i < c; i++)
        sum += x[i];
    *mean = sum / c;
    for (int i = 0; i < c; i++)
        sq += (x[i] - *mean) * (x[i] - *mean);
    *var = sq / c;
}

/* Nothing joins the stream: y = 0, which the result replaces. */
static void layernorm(struct cf_dnn *dnn, float *y, float *x, int rows, const float *g,
                      const float *b)
{
    const struct cf_join how = {.mul = g, .add = b, .eps = 1e-5f};

    memset(y, 0, (size_t)rows * C * sizeof *y);
    cf_join_norm(dnn, y, x, y, 1, rows, C, &how);
}

static void layernorm_is_its_definition(void **state)
{
    float *x = randoms(ROWS * C), *g = randoms(C), *b = randoms(C), *first = NULL;
    float *y = floats(ROWS * C), *plain = floats(ROWS * C);

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        layernorm(team[t], y, x, ROWS, g, b);
        if (t)
            assert_same_floats(y, first, ROWS * C);
        else
            first = copy_of(y, ROWS * C);
    }
    for (int r = 0; r < ROWS; r++) {
        double mean, var;

        stats(x + r * C, C, &mean, &var);
        for (int i = 0; i < C; i++)
            assert_near(y[r * C + i],
                        (x[r * C + i] - mean) / sqrt(var + 1e-5f) * g[i] + b[i], 2e-6);
    }
    layernorm(team[1], plain, x, ROWS, NULL, NULL);
    for (int i = 0; i < C; i++)
        assert_near(plain[i] * g[i] + b[i], y[i], 2e-6);
    cf_free(plain);
    cf_free(x);
    cf_free(g);
    cf_free(b);
    cf_free(y);
    cf_free(first);
}

static void adaptive_layernorm_takes_scale_and_shift_of_its_group(void **state)
{
    enum { GROUPS = 3, PER = 71, STRIDE = 2 * C + 5 };
    float *x = randoms(GROUPS * PER * C), *m = randoms(GROUPS * STRIDE), *first = NULL;
    float *y = floats(GROUPS * PER * C);

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        cf_adaln(team[t], y, x, GROUPS, PER, C, 1e-6f, m, m + C, STRIDE);
        if (t)
            assert_same_floats(y, first, GROUPS * PER * C);
        else
            first = copy_of(y, GROUPS * PER * C);
    }
    for (int r = 0; r < GROUPS * PER; r++) {
        const float *mod = m + r / PER * STRIDE;
        double mean, var;

        stats(x + r * C, C, &mean, &var);
        for (int i = 0; i < C; i++)
            assert_near(y[r * C + i],
                        (x[r * C + i] - mean) / sqrt(var + 1e-6f) * (1 + (double)mod[i]) +
                            mod[C + i],
                        2e-6);
    }
    cf_free(x);
    cf_free(m);
    cf_free(y);
    cf_free(first);
}

static void rmsnorm_may_take_one_head_of_a_wider_row(void **state)
{
    enum { HD = 20 };
    float *x = randoms(ROWS * C), *w = randoms(HD), *y = floats(ROWS * HD), *first = NULL;

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        cf_rmsnorm(team[t], y, HD, x + 40, C, ROWS, HD, 1e-6f, w);
        if (t)
            assert_same_floats(y, first, ROWS * HD);
        else
            first = copy_of(y, ROWS * HD);
    }
    for (int r = 0; r < ROWS; r++) {
        double sq = 0;

        for (int i = 0; i < HD; i++)
            sq += (double)x[r * C + 40 + i] * x[r * C + 40 + i];
        for (int i = 0; i < HD; i++)
            assert_near(y[r * HD + i], x[r * C + 40 + i] / sqrt(sq / HD + 1e-6f) * w[i],
                        1e-6);
    }
    cf_free(x);
    cf_free(w);
    cf_free(y);
    cf_free(first);
}

static void check_groupnorm(int64_t pixels, int c, int groups, float offset, int silu)
{
    size_t n = (size_t)pixels * c;
    int per = c / groups;
    float *x = randoms(n), *g = randoms(c), *b = randoms(c), *y = floats(n),
          *mul = floats(c), *add = floats(c), *first = NULL;

    for (size_t i = 0; i < n; i++)
        x[i] += offset;
    for (int t = 0; t < TEAMS; t++) {
        cf_groupnorm_stats(team[t], mul, add, x, pixels, c, groups, 1e-6f, g, b);
        cf_groupnorm_apply(team[t], y, x, pixels, c, mul, add, silu);
        if (t)
            assert_same_floats(y, first, n);
        else
            first = copy_of(y, n);
    }
    for (int k = 0; k < groups; k++) {
        double sum = 0, sq = 0, mean, var;

        for (int64_t p = 0; p < pixels; p++)
            for (int i = k * per; i < (k + 1) * per; i++)
                sum += x[p * c + i];
        mean = sum / (double)(pixels * per);
        for (int64_t p = 0; p < pixels; p++)
            for (int i = k * per; i < (k + 1) * per; i++)
                sq += (x[p * c + i] - mean) * (x[p * c + i] - mean);
        var = sq / (double)(pixels * per);
        for (int64_t p = 0; p < pixels; p++) {
            for (int i = k * per; i < (k + 1) * per; i++) {
                double v = (x[p * c + i] - mean) / sqrt(var + 1e-6f) * g[i] + b[i];

                assert_near(y[p * c + i], silu ? v / (1 + exp(-v)) : v,
                            2e-6 + 1e-6 * fabs(offset));
            }
        }
    }
    cf_free(x);
    cf_free(g);
    cf_free(b);
    cf_free(mul);
    cf_free(add);
    cf_free(y);
    cf_free(first);
}

static void groupnorm_is_its_definition_for_images_of_any_size(void **state)
{
    (void)state;
    check_groupnorm(1, 8, 2, 0, 0);
    check_groupnorm(37, 32, 32, 0, 1);
    check_groupnorm(1000, 128, 32, 5, 1);
    check_groupnorm(4097, 20, 5, -3, 0);
    check_groupnorm(3, 16384, 64, 0, 1);
}

static void activations_are_their_definitions(void **state)
{
    enum { N = 30011 };
    float *x = randoms(N), *up = randoms(N), *y = floats(N), *z = floats(N),
          *s = floats(N), *g = floats(N);
    float *first[4] = {0};

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] *= 12;
    for (int t = 0; t < TEAMS; t++) {
        float *now[4] = {y, z, s, g};

        cf_gelu_tanh(team[t], y, x, N);
        cf_silu(team[t], z, x, N);
        cf_swiglu(team[t], s, x, up, N);
        memcpy(g, x, N * sizeof *g);
        cf_geglu(team[t], g, g, up, N);
        for (int i = 0; i < 4; i++) {
            if (t)
                assert_same_floats(now[i], first[i], N);
            else
                first[i] = copy_of(now[i], N);
        }
    }
    for (int i = 0; i < N; i++) {
        double v = x[i], silu = v / (1 + exp(-v));

        assert_near(y[i],
                    0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))),
                    3e-7 * fmax(1, fabs(v)));
        assert_near(z[i], silu, 3e-7 * fmax(1, fabs(v)));
        assert_near(s[i], silu * up[i], 3e-7 * fmax(1, fabs(v)));
        /* The team flushes subnormals; we do not. */
        assert_near(g[i], (double)y[i] * up[i], 6e-8 * fabs((double)y[i]) + 1.2e-38);
    }
    for (int i = 0; i < 4; i++)
        cf_free(first[i]);
    cf_free(x);
    cf_free(up);
    cf_free(y);
    cf_free(z);
    cf_free(s);
    cf_free(g);
}

static void sums_and_residuals_are_their_definitions(void **state)
{
    enum { GROUPS = 2, PER = 97, N = GROUPS * PER * C };
    float *x = randoms(N), *y = randoms(N), *g = randoms(GROUPS * 2 * C);
    float *first = NULL;

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        float *a = copy_of(x, N), *m = floats(N);

        cf_add(team[t], a, y, N);
        cf_add_gated(team[t], a, y, GROUPS, PER, C, g, 2 * C);
        cf_add_row(team[t], a, g + C, GROUPS * PER, C);
        cf_mix(team[t], m, x, 4, a, -3, N);
        for (int i = 0; i < N; i++) {
            double gain = g[i / (PER * C) * 2 * C + i % C];
            double want = (double)x[i] + y[i] + gain * y[i] + g[C + i % C];

            assert_near(a[i], want, 1e-6);
            assert_near(m[i], 4.0 * x[i] - 3 * want, 5e-6);
        }
        if (t)
            assert_same_floats(m, first, N);
        else
            first = copy_of(m, N);
        cf_free(a);
        cf_free(m);
    }
    cf_free(x);
    cf_free(y);
    cf_free(g);
    cf_free(first);
}

static void heads_are_brought_to_length_mul_and_zero_stays_zero(void **state)
{
    enum { HEADS = 3, HD = 24, STRIDE = HEADS * HD + 10 };
    static const float mul[HEADS] = {1, 10, 0.5f};
    float *x = randoms(ROWS * STRIDE), *first = NULL;

    (void)state;
    memset(x, 0, HD * sizeof *x);
    for (int t = 0; t < TEAMS; t++) {
        float *y = copy_of(x, ROWS * STRIDE);

        cf_l2norm_heads(team[t], y, ROWS, STRIDE, HEADS, HD, mul, NULL, NULL, NULL);
        for (int r = 0; r < ROWS; r++) {
            for (int h = 0; h < HEADS; h++) {
                double sq = 0;

                for (int i = 0; i < HD; i++)
                    sq += pow(x[r * STRIDE + h * HD + i], 2);
                for (int i = 0; i < HD; i++)
                    assert_near(y[r * STRIDE + h * HD + i],
                                x[r * STRIDE + h * HD + i] / fmax(sqrt(sq), 1e-12) *
                                    mul[h],
                                2e-6);
            }
            assert_same_floats(y + r * STRIDE + HEADS * HD, x + r * STRIDE + HEADS * HD,
                               10);
        }
        if (t)
            assert_same_floats(y, first, ROWS * STRIDE);
        else
            first = copy_of(y, ROWS * STRIDE);
        cf_free(y);
    }
    cf_free(x);
    cf_free(first);
}

static void rotary_turns_pairs_by_the_angle_of_their_position(void **state)
{
    enum { HEADS = 2, HD = 20, HALF = HD / 2, STRIDE = HEADS * HD + 4, POS = 300 };
    float *x = randoms(ROWS * STRIDE), *cs = floats(POS * HALF), *sn = floats(POS * HALF);
    int32_t pos[ROWS];

    (void)state;
    for (int i = 0; i < POS * HALF; i++) {
        cs[i] = cosf((float)i);
        sn[i] = sinf((float)i);
    }
    for (int r = 0; r < ROWS; r++)
        pos[r] = (r * 13) % POS;
    for (int mode = 0; mode < 4 * TEAMS; mode++) {
        int pairs = mode & 1, given = mode >> 1 & 1;
        float *y = copy_of(x, ROWS * STRIDE);

        cf_rope(team[mode / 4], y, ROWS, STRIDE, HEADS, HD, cs, sn, given ? pos : NULL,
                pairs);
        for (int i = 0; i < ROWS * HEADS * HALF; i++) {
            int r = i / (HEADS * HALF), h = i / HALF % HEADS, j = i % HALF;
            int at = r * STRIDE + h * HD, a = pairs ? 2 * j : j;
            int b = pairs ? 2 * j + 1 : j + HALF;
            double c = cs[(given ? pos[r] : r) * HALF + j];
            double s = sn[(given ? pos[r] : r) * HALF + j];

            assert_near(y[at + a], x[at + a] * c - x[at + b] * s, 1e-6);
            assert_near(y[at + b], x[at + a] * s + x[at + b] * c, 1e-6);
        }
        cf_free(y);
    }
    cf_free(x);
    cf_free(cs);
    cf_free(sn);
}

/* The same bits as the two ops they are made of. */
static void heads_are_rotated_after_they_are_brought_to_length(void **state)
{
    enum { HEADS = 3, HD = 20, STRIDE = HEADS * HD + 4, N = ROWS * STRIDE, POS = 90 };
    static const float mul[HEADS] = {1, 10, 0.5f};
    float *x = randoms(N), *cs = randoms(POS * HD / 2), *sn = randoms(POS * HD / 2);
    int32_t pos[ROWS];

    (void)state;
    for (int r = 0; r < ROWS; r++)
        pos[r] = (r * 13) % POS;
    for (int t = 0; t < TEAMS; t++) {
        float *want = copy_of(x, N), *got = copy_of(x, N);

        cf_l2norm_heads(team[0], want, ROWS, STRIDE, HEADS, HD, mul, NULL, NULL, NULL);
        cf_rope(team[0], want, ROWS, STRIDE, HEADS, HD, cs, sn, pos, 1);
        cf_l2norm_heads(team[t], got, ROWS, STRIDE, HEADS, HD, mul, cs, sn, pos);
        assert_same_floats(got, want, N);
        cf_free(want);
        cf_free(got);
    }
    cf_free(x);
    cf_free(cs);
    cf_free(sn);
}

static void a_branch_joins_the_stream_that_is_then_normalised(void **state)
{
    enum { GROUPS = 3, PER = 31, N = GROUPS * PER * C };
    float *x = randoms(N), *y = randoms(N), *m = randoms(GROUPS * 4 * C);

    (void)state;
    for (int n = 0; n < 2 * TEAMS; n++) {
        int gated = n % 2, t = n / 2;
        const struct cf_join how = {.gate = gated ? m + 2 * C : NULL,
                                    .mul = m,
                                    .add = m + C,
                                    .one = 1.0f,
                                    .eps = 1e-6f,
                                    .gate_stride = 4 * C,
                                    .norm_stride = 4 * C};
        float *want_x = copy_of(x, N), *got_x = copy_of(x, N), *got = copy_of(y, N);
        float *want = floats(N);

        if (gated)
            cf_add_gated(team[0], want_x, y, GROUPS, PER, C, how.gate, 4 * C);
        else
            cf_add(team[0], want_x, y, N);
        cf_adaln(team[0], want, want_x, GROUPS, PER, C, 1e-6f, m, m + C, 4 * C);
        cf_join_norm(team[t], got, got_x, got, GROUPS, PER, C, &how);
        assert_same_floats(got_x, want_x, N);
        assert_same_floats(got, want, N);
        cf_free(want_x);
        cf_free(got_x);
        cf_free(want);
        cf_free(got);
    }
    cf_free(x);
    cf_free(y);
    cf_free(m);
}

static void one_bad_value_among_many_is_found(void **state)
{
    enum { N = 50021 };
    float *x = randoms(N);

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        assert_true(cf_all_finite(team[t], x, N));
        assert_true(cf_all_finite(team[t], x, 0));
        for (int i = 0; i < N; i += 7001) {
            float was = x[i];

            x[i] = t ? NAN : INFINITY;
            assert_false(cf_all_finite(team[t], x, N));
            x[i] = was;
        }
    }
    cf_free(x);
}

static void nothing_is_done_for_no_rows(void **state)
{
    (void)state;
    cf_join_norm(team[0], NULL, NULL, NULL, 0, 1, C, &(struct cf_join){.eps = 1e-6f});
    cf_add(team[0], NULL, NULL, 0);
    cf_groupnorm_stats(team[0], NULL, NULL, NULL, 0, C, 4, 1e-6f, NULL, NULL);
    cf_groupnorm_apply(team[0], NULL, NULL, 0, C, NULL, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_is_its_definition),
        cmocka_unit_test(adaptive_layernorm_takes_scale_and_shift_of_its_group),
        cmocka_unit_test(rmsnorm_may_take_one_head_of_a_wider_row),
        cmocka_unit_test(groupnorm_is_its_definition_for_images_of_any_size),
        cmocka_unit_test(activations_are_their_definitions),
        cmocka_unit_test(sums_and_residuals_are_their_definitions),
        cmocka_unit_test(heads_are_brought_to_length_mul_and_zero_stays_zero),
        cmocka_unit_test(rotary_turns_pairs_by_the_angle_of_their_position),
        cmocka_unit_test(heads_are_rotated_after_they_are_brought_to_length),
        cmocka_unit_test(a_branch_joins_the_stream_that_is_then_normalised),
        cmocka_unit_test(one_bad_value_among_many_is_found),
        cmocka_unit_test(nothing_is_done_for_no_rows),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
