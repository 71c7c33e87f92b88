/* lanczos_test.c - images of any size become those of a wanted one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lanczos.h"

/* Smooth in both directions, so that rounding in between stays below one step. */
static uint8_t wave(int x, int y, int w, int h, int c)
{
    return (uint8_t)lround(127.5 + 100 * sin(5.0 * x / w + c) * cos(4.0 * y / h - c));
}

static struct cf_image picture(int w, int h, size_t gap)
{
    struct cf_image m = {.w = w, .h = h, .stride = 3 * (size_t)w + gap};

    m.rgb = cf_calloc((size_t)h, m.stride, NULL);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                m.rgb[(size_t)y * m.stride + 3 * (size_t)x + (size_t)c] =
                    wave(x, y, w, h, c);
    return m;
}

static double lanczos(double x)
{
    const double pi = acos(-1.0);

    if (x == 0)
        return 1;
    return fabs(x) < 3 ? 3 * sin(pi * x) * sin(pi * x / 3) / (pi * pi * x * x) : 0;
}

/* The definition: a weighted mean over the whole line, in double. */
static double weight_at(double at, int in, double scale, int j, double *sum)
{
    double stretch = scale > 1 ? scale : 1, w = 0;

    *sum = 0;
    for (int i = 0; i < in; i++) {
        double v = lanczos((i + 0.5 - at) / stretch);

        *sum += v;
        if (i == j)
            w = v;
    }
    return w;
}

static double naive(const struct cf_image *src, int cw, int ch, int x, int y, int c)
{
    double sx = (double)src->w / cw, sy = (double)src->h / ch, all = 0;

    for (int i = 0; i < src->h; i++) {
        double sum, w = weight_at((y + 0.5) * sy, src->h, sy, i, &sum), line = 0;

        if (w == 0)
            continue;
        for (int j = 0; j < src->w; j++) {
            double s, v = weight_at((x + 0.5) * sx, src->w, sx, j, &s);

            line += v / s * src->rgb[(size_t)i * src->stride + 3 * (size_t)j + (size_t)c];
        }
        all += w / sum * line;
    }
    return all;
}

/* [source] to [target] by way of [cover]; the middle is kept. */
static const struct {
    int sw, sh, w, h, cw, ch;
} cases[] = {
    {64, 48, 32, 32, 42, 32}, {48, 64, 32, 32, 32, 42}, {20, 20, 33, 33, 33, 33},
    {9, 31, 16, 8, 16, 55},   {31, 9, 8, 16, 55, 16},   {1, 1, 5, 3, 5, 5},
    {200, 3, 7, 5, 333, 5},
};

static void every_pixel_is_that_of_the_definition(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct cf_image src = picture(cases[k].sw, cases[k].sh, k), dst;
        struct cf_error err = {0};

        assert_int_equal(cf_lanczos_cover(&dst, &src, cases[k].w, cases[k].h, &err),
                         CF_OK);
        assert_int_equal(dst.w, cases[k].w);
        assert_int_equal(dst.h, cases[k].h);
        for (int y = 0; y < dst.h; y++)
            for (int x = 0; x < dst.w; x++)
                for (int c = 0; c < 3; c++) {
                    double want = naive(&src, cases[k].cw, cases[k].ch,
                                        x + (cases[k].cw - dst.w) / 2,
                                        y + (cases[k].ch - dst.h) / 2, c);
                    double got =
                        dst.rgb[(size_t)y * dst.stride + 3 * (size_t)x + (size_t)c];

                    assert_true(fabs(got - (want < 0     ? 0
                                            : want > 255 ? 255
                                                         : want)) < 1.6);
                }
        cf_free(dst.rgb);
        cf_free(src.rgb);
    }
}

static void an_image_of_that_size_is_copied(void **state)
{
    struct cf_image src = picture(24, 17, 5), dst;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_lanczos_cover(&dst, &src, 24, 17, &err), CF_OK);
    for (size_t y = 0; y < 17; y++)
        assert_memory_equal(dst.rgb + y * dst.stride, src.rgb + y * src.stride, 3 * 24);
    cf_free(dst.rgb);
    cf_free(src.rgb);
}

static void one_colour_stays_that_colour(void **state)
{
    struct cf_image src = {.w = 37, .h = 11, .stride = 3 * 37}, dst;
    struct cf_error err = {0};

    (void)state;
    src.rgb = cf_alloc(11, src.stride, NULL);
    for (int v = 0; v < 256; v += 15) {
        memset(src.rgb, v, 11 * src.stride);
        assert_int_equal(cf_lanczos_cover(&dst, &src, 16, 24, &err), CF_OK);
        for (size_t i = 0; i < 24 * dst.stride; i++)
            assert_int_equal(dst.rgb[i], v);
        cf_free(dst.rgb);
    }
    cf_free(src.rgb);
}

/* Covering 1024 x 1024 with it whole would be 16 million pixels wide. */
static void a_strip_costs_no_more_than_what_is_kept_of_it(void **state)
{
    struct cf_image src = picture(16383, 1, 0), dst;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_lanczos_cover(&dst, &src, 1024, 1024, &err), CF_OK);
    cf_free(dst.rgb);
    cf_free(src.rgb);
}

static void no_size_is_an_error(void **state)
{
    struct cf_image src = picture(4, 4, 0), none = {0}, dst;
    struct cf_error err = {0}, other = {0};

    (void)state;
    assert_int_equal(cf_lanczos_cover(&dst, &src, 0, 4, &err), CF_ERANGE);
    assert_null(dst.rgb);
    assert_int_equal(cf_lanczos_cover(&dst, &none, 4, 4, &other), CF_ERANGE);
    cf_free(src.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_is_that_of_the_definition),
        cmocka_unit_test(an_image_of_that_size_is_copied),
        cmocka_unit_test(one_colour_stays_that_colour),
        cmocka_unit_test(a_strip_costs_no_more_than_what_is_kept_of_it),
        cmocka_unit_test(no_size_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
