/* layer_test.c - linear and convolution: right, and the same bits in any company. */
#include "tests/dnn_tools.h"

#include "dnn/layer.h"
#include "dnn/ops.h"

static const struct {
    int k, n;
} shapes[] = {{1, 1},     {17, 1},    {1, 17},    {17, 33},   {16, 48},
              {128, 32},  {64, 64},   {100, 36},  {768, 100}, {32, 768},
              {2048, 96}, {8192, 64}, {1024, 200}};

enum { SHAPES = sizeof shapes / sizeof *shapes, ROWS = 1024 };

static enum cf_status open_view(struct cf_linear **lin, struct cf_dnn *dnn,
                                const struct cf_view *v, const float *bias,
                                struct cf_error *err)
{
    struct cf_weight w;

    *lin = NULL;
    CF_TRY(cf_weight_of(&w, v, err));
    return cf_linear_open(lin, dnn, &w, bias, CF_HOLD_PACK, err);
}

static struct cf_linear *linear(struct cf_dnn *dnn, const float *w, const float *bias,
                                int n, int k)
{
    int64_t dim[] = {n, k};
    struct cf_view v = cf_view_f32(w, 2, dim);
    struct cf_linear *lin = NULL;

    assert_ok(open_view(&lin, dnn, &v, bias, why));
    return lin;
}

static void a_linear_layer_is_x_times_w_transposed_plus_b(void **state)
{
    enum { M = 5 };

    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int k = shapes[s].k, n = shapes[s].n;
        float *w = randoms((size_t)n * k), *b = randoms(n), *x = randoms((size_t)M * k);
        float *y = floats((size_t)M * n);
        struct cf_linear *lin = linear(team[0], w, s % 2 ? b : NULL, n, k);

        assert_int_equal(cf_linear_in(lin), k);
        assert_int_equal(cf_linear_out(lin), n);
        assert_ok(cf_linear_run(lin, y, x, M, why));
        for (int i = 0; i < M; i++) {
            for (int j = 0; j < n; j++) {
                double sum = s % 2 ? b[j] : 0;

                for (int l = 0; l < k; l++)
                    sum += (double)x[i * k + l] * w[(size_t)j * k + l];
                assert_near(y[i * n + j], sum, 1e-6 + 1e-7 * k);
            }
        }
        cf_linear_close(lin);
        cf_free(w);
        cf_free(b);
        cf_free(x);
        cf_free(y);
    }
}

/* The next number of rows to try: all of them for one shape (all kernels that oneDNN
 * picks by the number of rows come up), else all to 70 and then steps that hit no round
 * number alone. */
static int next_rows(int m, int s)
{
    int every = shapes[s].k == 128;

    if (m == ROWS)
        return ROWS + 1;
    m = every || m < 70 ? m + 1 : m * 7 / 5 + 1;
    return m > ROWS ? ROWS : m;
}

static void a_row_has_the_same_bits_for_any_number_of_rows_and_threads(void **state)
{
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int k = shapes[s].k, n = shapes[s].n;
        float *w = randoms((size_t)n * k), *b = randoms(n),
              *x = randoms((size_t)ROWS * k);
        float *one = floats((size_t)ROWS * n), *y = floats((size_t)ROWS * n);

        for (int t = 0; t < TEAMS; t++) {
            struct cf_linear *lin = linear(team[t], w, b, n, k);

            for (int r = 0; t == 0 && r < ROWS; r++)
                assert_ok(
                    cf_linear_run(lin, one + (size_t)r * n, x + (size_t)r * k, 1, why));
            for (int m = 1; m <= ROWS; m = next_rows(m, s)) {
                memset(y, 0xff, (size_t)m * n * sizeof *y);
                assert_ok(cf_linear_run(lin, y, x, m, why));
                if (memcmp(y, one, (size_t)m * n * sizeof *y))
                    fail_msg("K %d, N %d, %d threads: %d rows differ from one", k, n,
                             t + 1, m);
            }
            cf_linear_close(lin);
        }
        cf_free(w);
        cf_free(b);
        cf_free(x);
        cf_free(one);
        cf_free(y);
    }
}

static void a_team_that_grows_later_changes_no_bit(void **state)
{
    enum { K = 768, N = 100, M = 300 };
    float *w = randoms(N * K), *x = randoms(M * K), *y = floats(M * N),
          *z = floats(M * N);
    struct cf_linear *lin, *early;
    struct cf_dnn *dnn;

    (void)state;
    assert_ok(cf_dnn_open(&dnn, cf_dnn_level(team[0]), 1, why));
    lin = linear(dnn, w, NULL, N, K);
    early = linear(dnn, w, NULL, N, K);
    assert_ok(cf_linear_run(early, y, x, M, why));
    assert_ok(cf_dnn_set_threads(dnn, 3, why));
    assert_int_equal(cf_dnn_threads(dnn), 3);
    for (int i = 0; i < 2; i++) {
        memset(z, 0xff, M * N * sizeof *z);
        assert_ok(cf_linear_run(i ? early : lin, z, x, M, why));
        assert_same_floats(y, z, M * N);
    }
    assert_int_equal(cf_dnn_set_threads(dnn, 0, NULL), CF_EUSAGE);
    assert_int_equal(cf_dnn_threads(dnn), 3);
    cf_linear_close(early);
    cf_linear_close(lin);
    cf_dnn_close(dnn);
    cf_free(w);
    cf_free(x);
    cf_free(y);
    cf_free(z);
}

static void a_start_off_the_grid_changes_no_bit(void **state)
{
    enum { K = 64, N = 80, M = 37 };
    float *w = randoms(N * K), *x = randoms(M * K), *y = floats(M * N);
    float *x1 = floats(M * K + 1), *y1 = floats(M * N + 1);
    struct cf_linear *lin;

    (void)state;
    memcpy(x1 + 1, x, M * K * sizeof *x);
    for (int t = 0; t < TEAMS; t++) {
        lin = linear(team[t], w, NULL, N, K);
        assert_ok(cf_linear_run(lin, y, x, M, why));
        assert_ok(cf_linear_run(lin, y1 + 1, x1 + 1, M, why));
        assert_same_floats(y, y1 + 1, M * N);
        cf_linear_close(lin);
    }
    cf_free(w);
    cf_free(x);
    cf_free(y);
    cf_free(x1);
    cf_free(y1);
}

static void gelu_on_the_way_out_has_the_bits_of_gelu_afterwards(void **state)
{
    static const int rows[] = {1, 2, 5, 300};

    (void)state;
    for (int n = 0; n < SHAPES * 3 * 4; n++) {
        int k = shapes[n / 12].k, out = shapes[n / 12].n, m = rows[n % 4];
        size_t size = (size_t)m * (size_t)out;
        float *w = randoms((size_t)out * k), *b = randoms(out);
        float *x = randoms((size_t)m * k), *want = floats(size), *got = floats(size);
        struct cf_weight weight = {.type = CF_W_F32, .n = out, .k = k, .w = w};
        struct cf_dnn *dnn = team[n % TEAMS];
        struct cf_linear *lin = NULL;

        assert_ok(cf_linear_open(&lin, dnn, &weight, b, (enum cf_hold)(n / 4 % 3), why));
        assert_ok(cf_linear_run(lin, want, x, m, why));
        cf_gelu_tanh(dnn, want, want, (int64_t)size);
        assert_ok(cf_linear_run_gelu(lin, got, x, m, why));
        assert_same_floats(got, want, size);
        cf_linear_close(lin);
        cf_free(w);
        cf_free(b);
        cf_free(x);
        cf_free(want);
        cf_free(got);
    }
}

static void half_and_bfloat_weights_count_as_the_floats_they_are(void **state)
{
    enum { K = 40, N = 24, M = 9 };
    static const uint16_t half[4] = {0x3c00, 0xb800, 0x3555, 0x0001};
    static const uint16_t bf[4] = {0x3f80, 0xbf00, 0x3eab, 0x0010};
    uint16_t w16[N * K];
    float w32[N * K], *x = randoms(M * K), y[2][M * N];
    int64_t dim[] = {N, K};

    (void)state;
    for (int type = 0; type < 2; type++) {
        struct cf_view v = {
            .data = w16, .dtype = type ? CF_BF16 : CF_F16, .ndim = 2, .dim = {N, K}};
        struct cf_view v32 = cf_view_f32(w32, 2, dim);
        struct cf_linear *lin[2];

        for (int i = 0; i < N * K; i++)
            w16[i] = (type ? bf : half)[(i * 7 + i / 5) % 4];
        assert_ok(cf_view_floats(w32, &v, 0, N * K, why));
        assert_ok(open_view(&lin[0], team[0], &v, NULL, why));
        assert_ok(open_view(&lin[1], team[0], &v32, NULL, why));
        for (int i = 0; i < 2; i++) {
            assert_ok(cf_linear_run(lin[i], y[i], x, M, why));
            cf_linear_close(lin[i]);
        }
        assert_same_floats(y[0], y[1], M * N);
    }
    cf_free(x);
}

/* Packed by ourselves, by oneDNN, and in place: one product, and where the kernels are
 * our own one rounding. */
static void however_weights_are_held_the_product_is_the_same(void **state)
{
    enum { M = 21 };

    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int k = shapes[s].k, n = shapes[s].n;
        float *w = randoms((size_t)n * k), *b = randoms(n), *x = randoms((size_t)M * k);
        const struct cf_weight weight = {CF_W_F32, n, k, 0, w, NULL};
        float *y[3];

        for (int hold = CF_HOLD_PACK; hold <= CF_HOLD_ONEDNN; hold++) {
            struct cf_linear *lin;

            y[hold] = floats((size_t)M * n);
            assert_ok(cf_linear_open(&lin, team[1], &weight, b, hold, why));
            assert_ok(cf_linear_run(lin, y[hold], x, M, why));
            cf_linear_close(lin);
        }
        for (int i = 0; i < M * n; i++)
            assert_near(y[CF_HOLD_MAP][i], y[CF_HOLD_ONEDNN][i], 2e-6 + 2e-7 * k);
        assert_same_floats(
            y[CF_HOLD_PACK],
            y[cf_dnn_level(team[1]) > CF_CPU_C ? CF_HOLD_MAP : CF_HOLD_ONEDNN], M * n);
        for (int hold = CF_HOLD_PACK; hold <= CF_HOLD_ONEDNN; hold++)
            cf_free(y[hold]);
        cf_free(w);
        cf_free(b);
        cf_free(x);
    }
}

static void wrong_weights_and_sizes_are_refused_with_a_reason(void **state)
{
    float w[64] = {0}, y[8];
    struct cf_view v = {.data = w, .dtype = CF_I8, .ndim = 2, .dim = {2, 2}};
    struct cf_conv_shape s = {.stride = 3};
    struct cf_linear *lin;
    struct cf_conv *conv;
    struct cf_conv_pass pass = {.src = w, .h = 3, .w = 3};
    struct cf_error err[13] = {0};

    (void)state;
    assert_int_equal(open_view(&lin, team[0], &v, NULL, &err[0]), CF_EUNSUP);
    assert_null(lin);
    v.dtype = CF_F32;
    v.ndim = 1;
    assert_int_equal(open_view(&lin, team[0], &v, NULL, &err[1]), CF_ESHAPE);
    v.ndim = 2;
    v.dim[0] = 0;
    assert_int_equal(open_view(&lin, team[0], &v, NULL, &err[2]), CF_ESHAPE);
    v.dim[0] = 2;
    assert_ok(open_view(&lin, team[0], &v, NULL, why));
    assert_int_equal(cf_linear_run(lin, y, w, -1, &err[3]), CF_ERANGE);
    assert_int_equal(cf_linear_run(lin, NULL, NULL, 0, NULL), CF_OK);
    cf_linear_close(lin);
    cf_linear_close(NULL);
    assert_int_equal(cf_conv_open(&conv, team[0], &v, NULL, s, &err[4]), CF_ESHAPE);
    v = (struct cf_view){.data = w, .dtype = CF_F32, .ndim = 4, .dim = {1, 1, 3, 3}};
    assert_int_equal(cf_conv_open(&conv, team[0], &v, NULL, s, &err[5]), CF_ERANGE);
    s.stride = 1;
    assert_ok(cf_conv_open(&conv, team[0], &v, NULL, s, why));
    assert_int_equal(cf_conv_run(conv, y, w, 2, 3, &err[6]), CF_ERANGE);
    assert_non_null(strstr(err[6].msg, "2 x 3"));
    assert_int_equal(cf_conv_rows(conv, y, NULL, &pass, 0, 1, y, &err[7]), CF_ERANGE);
    cf_conv_close(conv);
    assert_int_equal(cf_conv_open_as(&conv, team[0], &v, NULL, s, CF_CONV_WINO4, &err[8]),
                     CF_ERANGE);
    assert_null(conv);
    s = (struct cf_conv_shape){1, 1, 1, 1, 1};
    assert_ok(cf_conv_open(&conv, team[0], &v, NULL, s, why));
    assert_int_equal(cf_conv_rows(conv, y, NULL, &pass, 2, 2, y, &err[9]), CF_ERANGE);
    assert_int_equal(cf_conv_rows(conv, y, NULL, &pass, -1, 2, y, &err[10]), CF_ERANGE);
    cf_conv_close(conv);
    assert_ok(cf_conv_open_as(&conv, team[0], &v, NULL, s, CF_CONV_PHASES, why));
    assert_int_equal(cf_conv_run(conv, y, w, 3, 3, &err[11]), CF_ERANGE);
    assert_int_equal(cf_conv_rows(conv, y, NULL, &pass, 0, 1, y, &err[12]), CF_ERANGE);
    cf_conv_close(conv);
    cf_conv_close(NULL);
}

static const struct conv_case {
    int i, o, k, h, w;
    struct cf_conv_shape s;
} convs[] = {
    {3, 20, 3, 9, 11, {1, 1, 1, 1, 1}},   {32, 3, 3, 12, 10, {1, 1, 1, 1, 1}},
    {128, 3, 3, 6, 7, {1, 1, 1, 1, 1}},   {4, 16, 3, 8, 8, {1, 1, 1, 1, 1}},
    {5, 7, 3, 6, 5, {1, 1, 1, 1, 1}},     {32, 48, 3, 16, 13, {1, 1, 1, 1, 1}},
    {64, 64, 3, 14, 14, {2, 0, 0, 1, 1}}, {3, 32, 3, 16, 16, {2, 0, 0, 1, 1}},
    {24, 40, 3, 9, 9, {2, 1, 1, 1, 1}},   {16, 32, 1, 7, 9, {1, 0, 0, 0, 0}},
    {20, 12, 1, 5, 6, {2, 0, 0, 0, 0}},   {96, 16, 1, 1, 1, {1, 0, 0, 0, 0}},
    {16, 16, 3, 1, 1, {1, 1, 1, 1, 1}},   {32, 32, 3, 8, 9, {1, 0, 0, 0, 0}},
    {32, 32, 3, 7, 8, {1, 0, 1, 1, 1}},   {256, 16, 3, 8, 8, {1, 1, 1, 1, 1}},
};

enum { CONVS = sizeof convs / sizeof *convs };

static struct cf_conv *open_conv(struct cf_dnn *dnn, const struct conv_case *c,
                                 const float *w, const float *bias)
{
    int64_t dim[] = {c->o, c->i, c->k, c->k};
    struct cf_view v = cf_view_f32(w, 4, dim);
    struct cf_conv *conv = NULL;

    assert_ok(cf_conv_open(&conv, dnn, &v, bias, c->s, why));
    return conv;
}

/* Output (y, x, o) in double. */
static double conv_at(const struct conv_case *c, const float *w, const float *src, int y,
                      int x, int o)
{
    double sum = 0;

    for (int dy = 0; dy < c->k; dy++) {
        for (int dx = 0; dx < c->k; dx++) {
            int sy = y * c->s.stride + dy - c->s.top,
                sx = x * c->s.stride + dx - c->s.left;

            if (sy < 0 || sx < 0 || sy >= c->h || sx >= c->w)
                continue;
            for (int i = 0; i < c->i; i++)
                sum += (double)src[(sy * c->w + sx) * c->i + i] *
                       w[((o * c->i + i) * c->k + dy) * c->k + dx];
        }
    }
    return sum;
}

static void a_convolution_is_its_definition_for_any_number_of_threads(void **state)
{
    (void)state;
    for (int n = 0; n < CONVS; n++) {
        const struct conv_case *c = &convs[n];
        int oh = (c->h + c->s.top + c->s.bottom - c->k) / c->s.stride + 1;
        int ow = (c->w + c->s.left + c->s.right - c->k) / c->s.stride + 1;
        size_t size = (size_t)oh * ow * c->o;
        float *w = randoms((size_t)c->o * c->i * c->k * c->k), *b = randoms(c->o);
        float *src = randoms((size_t)c->h * c->w * c->i);
        float *dst = floats(size), *first = floats(size);

        for (int t = 0; t < TEAMS; t++) {
            struct cf_conv *conv = open_conv(team[t], c, w, n % 2 ? b : NULL);

            assert_int_equal(cf_conv_in(conv), c->i);
            assert_int_equal(cf_conv_out(conv), c->o);
            assert_ok(cf_conv_run(conv, t ? dst : first, src, c->h, c->w, why));
            if (t)
                assert_same_floats(dst, first, size);
            cf_conv_close(conv);
        }
        for (size_t i = 0; i < size; i++) {
            int o = (int)i % c->o, x = (int)i / c->o % ow, y = (int)i / c->o / ow;

            assert_near(first[i], conv_at(c, w, src, y, x, o) + (n % 2 ? b[o] : 0),
                        2e-6 + 1e-7 * c->i * c->k * c->k);
        }
        cf_free(w);
        cf_free(b);
        cf_free(src);
        cf_free(dst);
        cf_free(first);
    }
}

static void one_layer_serves_images_of_many_sizes(void **state)
{
    struct conv_case c = {32, 16, 3, 0, 0, {1, 1, 1, 1, 1}};
    float *w = randoms(16 * 32 * 9), *src = randoms(40 * 40 * 32),
          *dst = floats(40 * 40 * 16);
    struct cf_conv *conv = open_conv(team[1], &c, w, NULL);

    (void)state;
    for (int side = 1; side <= 40; side++) {
        c.h = side;
        c.w = 41 - side;
        assert_ok(cf_conv_run(conv, dst, src, c.h, c.w, why));
        assert_near(dst[(c.h * c.w - 1) * 16 + 3],
                    conv_at(&c, w, src, c.h - 1, c.w - 1, 3), 1e-5);
    }
    cf_conv_close(conv);
    cf_free(w);
    cf_free(src);
    cf_free(dst);
}

static const enum cf_conv_how hows[] = {CF_CONV_DIRECT, CF_CONV_WINO2, CF_CONV_WINO4};

enum { HOWS = sizeof hows / sizeof *hows };

/* What decoding in bands relies on. */
static void a_band_of_an_image_has_the_bits_of_the_whole(void **state)
{
    enum { I = 32, O = 32, H = 40, W = 24 };
    struct conv_case whole = {I, O, 3, H, W, {1, 1, 1, 1, 1}};
    int64_t dim[] = {O, I, 3, 3};
    float *w = randoms(O * I * 9), *b = randoms(O), *src = randoms(H * W * I);
    float *all = floats(H * W * O), *part = floats(H * W * O);
    struct cf_view v = cf_view_f32(w, 4, dim);
    struct cf_conv_pass pass = {.src = src, .h = H, .w = W};

    (void)state;
    for (int t = 0; t < TEAMS * HOWS; t++) {
        enum cf_conv_how how = hows[t / TEAMS];
        struct cf_dnn *dnn = team[t % TEAMS];
        struct cf_conv *one;

        assert_ok(cf_conv_open_as(&one, dnn, &v, b, whole.s, how, why));
        assert_ok(cf_conv_run(one, all, src, H, W, why));
        for (int band = 1; band <= 16; band++) {
            float *work = floats(cf_conv_work(dnn, how, I, O, &pass, band, 0));

            for (int y = 0; y < H; y += band) {
                int rows = y + band < H ? band : H - y;

                assert_ok(cf_conv_rows(one, part, NULL, &pass, y, rows, work, why));
                assert_same_floats(part, all + y * W * O, rows * W * O);
            }
            cf_free(work);
        }
        cf_conv_close(one);
    }
    cf_free(w);
    cf_free(b);
    cf_free(src);
    cf_free(all);
    cf_free(part);
}

/* Channels in and out, rows and columns of the picture. */
static const struct pass_case {
    int i, o, h, w, twice, norm;
} passes[] = {
    {16, 16, 1, 1, 0, 0},   {5, 7, 3, 5, 0, 1},      {24, 40, 9, 7, 0, 1},
    {48, 24, 3, 5, 1, 0},   {1, 33, 4, 4, 0, 0},     {130, 70, 13, 9, 0, 1},
    {300, 140, 6, 5, 1, 0}, {64, 130, 37, 41, 0, 1}, {24, 24, 1, 70, 0, 1},
};

/* u of a pass, whole. */
static float *convolved(const struct pass_case *c, const float *src, const float *mul,
                        const float *add)
{
    int h = c->h << c->twice, w = c->w << c->twice;
    float *u = floats((size_t)h * w * c->i);

    for (int at = 0; at < h * w * c->i; at++) {
        int i = at % c->i, x = at / c->i % w >> c->twice, y = at / c->i / w >> c->twice;
        double v = src[(y * c->w + x) * c->i + i];

        if (c->norm)
            v = v * mul[i] + add[i];
        u[at] = (float)(c->norm ? v / (1 + exp(-v)) : v);
    }
    return u;
}

/* Every way to compute it, in bands of rows, with something added where it goes. */
static void a_pass_is_the_convolution_of_what_it_stands_for(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof passes / sizeof *passes; n++) {
        const struct pass_case *c = &passes[n];
        int h = c->h << c->twice, wide = c->w << c->twice;
        struct conv_case whole = {c->i, c->o, 3, h, wide, {1, 1, 1, 1, 1}};
        size_t size = (size_t)h * wide * c->o, line = (size_t)wide * c->o;
        int64_t dim[] = {c->o, c->i, 3, 3};
        float *w = randoms((size_t)c->o * c->i * 9), *b = randoms(c->o);
        float *src = randoms((size_t)c->h * c->w * c->i), *plus = randoms(size);
        float *mul = randoms(c->i), *add = randoms(c->i), *got[2];
        float *u = convolved(c, src, mul, add);
        struct cf_view v = cf_view_f32(w, 4, dim);
        struct cf_conv_pass pass = {.src = src,
                                    .mul = c->norm ? mul : NULL,
                                    .add = c->norm ? add : NULL,
                                    .h = c->h,
                                    .w = c->w,
                                    .twice = c->twice};

        int more = c->twice || c->o <= 3; /* a way that is not for all shapes */

        for (int t = 0; t < TEAMS * (HOWS + more); t++) {
            enum cf_conv_how how = t < TEAMS * HOWS ? hows[t / TEAMS]
                                   : c->twice       ? CF_CONV_PHASES
                                                    : CF_CONV_TAPS;
            struct cf_dnn *dnn = team[t % TEAMS];
            struct cf_conv *conv;
            int onto = t % 2, band = 1 + t % TEAMS * 3;
            size_t room = cf_conv_work(dnn, how, c->i, c->o, &pass, band, onto);
            float *work = floats(room + 16);

            for (size_t i = 0; i < 16; i++)
                work[room + i] = 5;
            got[t % TEAMS != 0] = copy_of(plus, size);
            assert_ok(cf_conv_open_as(&conv, dnn, &v, b, whole.s, how, why));
            for (int y = 0; y < h; y += band) {
                float *dst = got[t % TEAMS != 0] + (size_t)y * line;

                assert_ok(cf_conv_rows(conv, dst, onto ? dst : plus + (size_t)y * line,
                                       &pass, y, h - y < band ? h - y : band, work, why));
            }
            for (size_t i = 0; i < 16; i++)
                assert_true(work[room + i] == 5);
            cf_conv_close(conv);
            cf_free(work);
            if (t % TEAMS) {
                assert_same_floats(got[0], got[1], size);
                cf_free(got[1]);
                if (t % TEAMS == TEAMS - 1)
                    cf_free(got[0]);
                continue;
            }
            for (size_t i = 0; i < size; i++) {
                int o = (int)(i % (size_t)c->o), x = (int)(i / (size_t)c->o) % wide;

                assert_near(got[0][i],
                            conv_at(&whole, w, u, (int)(i / line), x, o) + b[o] + plus[i],
                            4e-6 + 2e-7 * c->i * 9);
            }
        }
        cf_free(w);
        cf_free(b);
        cf_free(src);
        cf_free(plus);
        cf_free(mul);
        cf_free(add);
        cf_free(u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_layer_is_x_times_w_transposed_plus_b),
        cmocka_unit_test(a_row_has_the_same_bits_for_any_number_of_rows_and_threads),
        cmocka_unit_test(a_team_that_grows_later_changes_no_bit),
        cmocka_unit_test(a_start_off_the_grid_changes_no_bit),
        cmocka_unit_test(gelu_on_the_way_out_has_the_bits_of_gelu_afterwards),
        cmocka_unit_test(half_and_bfloat_weights_count_as_the_floats_they_are),
        cmocka_unit_test(however_weights_are_held_the_product_is_the_same),
        cmocka_unit_test(wrong_weights_and_sizes_are_refused_with_a_reason),
        cmocka_unit_test(a_convolution_is_its_definition_for_any_number_of_threads),
        cmocka_unit_test(one_layer_serves_images_of_many_sizes),
        cmocka_unit_test(a_band_of_an_image_has_the_bits_of_the_whole),
        cmocka_unit_test(a_pass_is_the_convolution_of_what_it_stands_for),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
