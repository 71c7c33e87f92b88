/* resample_test.c - grids that change size, against PyTorch's definitions. */
#include "tests/dnn_tools.h"

#include "dnn/resample.h"

static void bilinear_gives_the_numbers_of_pytorch(void **state)
{
    static const float src[] = {1, 2, 3, 4};
    /* F.interpolate(src, (4, 4), mode="bilinear", align_corners=False) */
    static const float want[] = {1,    1.25f, 1.75f, 2,    1.5f, 1.75f, 2.25f, 2.5f,
                                 2.5f, 2.75f, 3.25f, 3.5f, 3,    3.25f, 3.75f, 4};
    float dst[16], work[8];

    (void)state;
    cf_resize_bilinear(team[0], dst, 4, 4, src, 2, 2, 1, work);
    assert_same_floats(dst, want, 16);
}

static double bilinear_at(const float *src, int sh, int sw, int c, double y, double x,
                          int k)
{
    int y0, x0, y1, x1;

    y = fmax(y, 0);
    x = fmax(x, 0);
    y0 = (int)y < sh - 1 ? (int)y : sh - 1;
    x0 = (int)x < sw - 1 ? (int)x : sw - 1;
    y1 = y0 + 1 < sh ? y0 + 1 : y0;
    x1 = x0 + 1 < sw ? x0 + 1 : x0;
    y -= y0;
    x -= x0;
    return (1 - y) *
               ((1 - x) * src[(y0 * sw + x0) * c + k] + x * src[(y0 * sw + x1) * c + k]) +
           y * ((1 - x) * src[(y1 * sw + x0) * c + k] + x * src[(y1 * sw + x1) * c + k]);
}

static double area_at(const float *src, int sh, int sw, int c, int y, int dh, int x,
                      int dw, int k)
{
    int y0 = y * sh / dh, y1 = ((y + 1) * sh + dh - 1) / dh;
    int x0 = x * sw / dw, x1 = ((x + 1) * sw + dw - 1) / dw;
    double sum = 0;

    for (int i = y0; i < y1; i++)
        for (int j = x0; j < x1; j++)
            sum += src[(i * sw + j) * c + k];
    return sum / ((y1 - y0) * (x1 - x0));
}

static const int sizes[][5] = {/* sh, sw, dh, dw, c */
                               {1, 1, 16, 16, 32}, {2, 3, 7, 5, 3},  {5, 4, 16, 13, 17},
                               {16, 16, 5, 6, 32}, {8, 8, 1, 1, 20}, {13, 13, 16, 16, 5},
                               {7, 9, 7, 20, 4},   {9, 7, 3, 7, 1},  {64, 64, 48, 64, 8}};

static void check(int bilinear)
{
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int sh = sizes[s][0], sw = sizes[s][1], dh = sizes[s][2], dw = sizes[s][3];
        int c = sizes[s][4];
        size_t n = (size_t)dh * dw * c;
        float *src = randoms((size_t)sh * sw * c), *dst = floats(n), *first = NULL;
        float *work = floats((size_t)dh * sw * c);

        for (int t = 0; t < TEAMS; t++) {
            (bilinear ? cf_resize_bilinear : cf_resize_area)(team[t], dst, dh, dw, src,
                                                             sh, sw, c, work);
            if (t)
                assert_same_floats(dst, first, n);
            else
                first = copy_of(dst, n);
        }
        for (size_t i = 0; i < n; i++) {
            int k = (int)i % c, x = (int)i / c % dw, y = (int)i / c / dw;

            assert_near(dst[i],
                        bilinear ? bilinear_at(src, sh, sw, c, (y + 0.5) * sh / dh - 0.5,
                                               (x + 0.5) * sw / dw - 0.5, k)
                                 : area_at(src, sh, sw, c, y, dh, x, dw, k),
                        3e-7);
        }
        cf_free(src);
        cf_free(dst);
        cf_free(work);
        cf_free(first);
    }
}

static void bilinear_is_its_definition_growing_and_shrinking(void **state)
{
    (void)state;
    check(1);
}

static void area_averages_the_bins_of_adaptive_pooling(void **state)
{
    (void)state;
    check(0);
}

static void equal_sizes_copy_and_need_no_scratch(void **state)
{
    float *src = randoms(6 * 5 * 3), *dst = floats(6 * 5 * 3);

    (void)state;
    cf_resize_bilinear(team[0], dst, 6, 5, src, 6, 5, 3, NULL);
    assert_same_floats(dst, src, 6 * 5 * 3);
    memset(dst, 0, 6 * 5 * 3 * sizeof *dst);
    cf_resize_area(team[2], dst, 6, 5, src, 6, 5, 3, NULL);
    assert_same_floats(dst, src, 6 * 5 * 3);
    cf_free(src);
    cf_free(dst);
}

static void nearest2_repeats_every_pixel(void **state)
{
    enum { H = 9, W = 5, C = 7 };
    float *src = randoms(H * W * C), *dst = floats(4 * H * W * C);

    (void)state;
    for (int t = 0; t < TEAMS; t++) {
        memset(dst, 0, 4 * H * W * C * sizeof *dst);
        cf_upsample_nearest2(team[t], dst, src, H, W, C);
        for (int i = 0; i < 4 * H * W; i++)
            assert_same_floats(dst + i * C,
                               src + (i / (2 * W) / 2 * W + i % (2 * W) / 2) * C, C);
    }
    cf_free(src);
    cf_free(dst);
}

static void pixel_shuffle_orders_as_pytorch_and_unshuffle_undoes_it(void **state)
{
    enum { H = 3, W = 4, C = 5, F = 2, N = H * W * C * F * F };
    float *src = randoms(N), *dst = floats(N), *back = floats(N);

    (void)state;
    cf_pixel_shuffle(dst, src, H, W, C, F);
    for (int y = 0; y < H * F; y++)
        for (int x = 0; x < W * F; x++)
            for (int k = 0; k < C; k++)
                assert_true(
                    dst[(y * W * F + x) * C + k] ==
                    src[(y / F * W + x / F) * C * F * F + k * F * F + y % F * F + x % F]);
    cf_pixel_unshuffle(back, dst, H, W, C, F);
    assert_same_floats(back, src, N);
    cf_free(src);
    cf_free(dst);
    cf_free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bilinear_gives_the_numbers_of_pytorch),
        cmocka_unit_test(bilinear_is_its_definition_growing_and_shrinking),
        cmocka_unit_test(area_averages_the_bins_of_adaptive_pooling),
        cmocka_unit_test(equal_sizes_copy_and_need_no_scratch),
        cmocka_unit_test(nearest2_repeats_every_pixel),
        cmocka_unit_test(pixel_shuffle_orders_as_pytorch_and_unshuffle_undoes_it),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
