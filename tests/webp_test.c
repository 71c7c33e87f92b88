/* webp_test.c - pixels in, pixels out; what is refused, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "store/webp.h"
#include "tests/store_fail.h"

/* A photograph's stand-in: slow waves and a little noise. The bytes between 3 * w and
 * stride are poison that must never be read. */
static struct cf_image make_image(int w, int h, size_t stride)
{
    struct cf_image image = {.w = w, .h = h, .stride = stride};

    image.rgb = malloc(stride * (size_t)h);
    assert_non_null(image.rgb);
    memset(image.rgb, 0xee, stride * (size_t)h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < 3 * w; x++) {
            double wave = sin(x * 0.02 + y * 0.03 + x % 3);
            unsigned noise = cf_rng_u32(1, CF_RNG_TEST, (uint32_t)y, (uint32_t)x, 0) & 3;

            image.rgb[(size_t)y * stride + (size_t)x] =
                (uint8_t)(120 + 100 * wave + noise);
        }
    return image;
}

static struct cf_blob encode(const struct cf_image *image, bool lossless)
{
    struct cf_error err = {0};
    struct cf_blob blob;
    struct cf_webp w;

    cf_webp_default(&w);
    w.lossless = lossless;
    assert_int_equal(cf_webp_encode(image, &w, &blob, &err), CF_OK);
    assert_non_null(blob.data);
    return blob;
}

static double psnr(const struct cf_image *a, const struct cf_image *b)
{
    double sum = 0;

    assert_int_equal(a->w, b->w);
    assert_int_equal(a->h, b->h);
    for (int y = 0; y < a->h; y++)
        for (int x = 0; x < 3 * a->w; x++) {
            double d = a->rgb[(size_t)y * a->stride + (size_t)x] -
                       (double)b->rgb[(size_t)y * b->stride + (size_t)x];

            sum += d * d;
        }
    return 10 * log10(255.0 * 255.0 / (sum / (3.0 * a->w * a->h) + 1e-12));
}

static void round_trip(int w, int h, size_t stride, bool lossless, double least)
{
    struct cf_image in = make_image(w, h, stride), out;
    struct cf_blob blob = encode(&in, lossless);
    struct cf_error err = {0};

    assert_int_equal(cf_webp_decode(blob.data, blob.size, &out, &err), CF_OK);
    assert_int_equal(out.stride, 3 * (size_t)w);
    assert_true(psnr(&in, &out) >= least);
    cf_free(out.rgb);
    cf_blob_free(&blob);
    free(in.rgb);
}

static void lossless_gives_back_every_pixel(void **state)
{
    static const struct {
        int w, h;
        size_t stride;
    } c[] = {{1, 1, 3},         {1, 1, 17},   {2, 1, 6},      {1, 9, 5},
             {17, 13, 51},      {17, 13, 64}, {255, 3, 1000}, {256, 256, 768},
             {16383, 1, 49149}, {1, 16383, 3}};

    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        round_trip(c[i].w, c[i].h, c[i].stride, true,
                   150.0); /* that is: no error at all */
}

static void lossy_stays_close(void **state)
{
    (void)state;
    round_trip(256, 192, 768, false, 35.0);
    round_trip(33, 31, 120, false, 30.0);
    round_trip(1, 1, 3, false, 20.0);
}

static void the_same_pixels_give_the_same_bytes(void **state)
{
    struct cf_image tight = make_image(61, 47, 183), loose = make_image(61, 47, 256);
    struct cf_blob a, b;

    (void)state;
    for (int lossless = 0; lossless < 2; lossless++) {
        a = encode(&tight, lossless);
        b = encode(&loose, lossless);
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
        cf_blob_free(&a);
        cf_blob_free(&b);
    }
    free(tight.rgb);
    free(loose.rgb);
}

static void a_wrong_pixel_is_found(void **state)
{
    struct cf_image image = make_image(20, 10, 64), narrow = image;
    struct cf_blob blob = encode(&image, true);
    struct cf_error a = {0}, b = {0}, c = {0};

    (void)state;
    assert_int_equal(cf_webp_verify(&blob, &image, &a), CF_OK);
    image.rgb[9 * 64 + 3 * 19 + 2] ^= 1;
    assert_int_equal(cf_webp_verify(&blob, &image, &b), CF_EMISMATCH);
    assert_non_null(strstr(b.msg, "(19, 9)"));
    narrow.w = 19;
    assert_int_equal(cf_webp_verify(&blob, &narrow, &c), CF_EMISMATCH);
    assert_non_null(strstr(c.msg, "20 x 10, expected 19 x 10"));
    cf_blob_free(&blob);
    free(image.rgb);
}

static void every_option_reaches_the_encoder(void **state)
{
    struct cf_image image = make_image(128, 128, 384);
    struct cf_error err = {0};
    struct cf_webp w;
    struct cf_blob base, other;

    (void)state;
    base = encode(&image, false);
    for (int i = 0; i < 3; i++) {
        cf_webp_default(&w);
        if (i == 0)
            w.quality = 30.0f;
        if (i == 1)
            w.method = 0;
        if (i == 2)
            w.sharp_yuv = false;
        assert_int_equal(cf_webp_encode(&image, &w, &other, &err), CF_OK);
        assert_true(other.size != base.size ||
                    memcmp(other.data, base.data, base.size) != 0);
        cf_blob_free(&other);
    }
    cf_blob_free(&base);
    free(image.rgb);
}

static void expect_refused(struct cf_webp w, int width, int height, size_t stride,
                           const char *word)
{
    static uint8_t rgb[3 * 16384];
    struct cf_image image = {.rgb = rgb, .w = width, .h = height, .stride = stride};
    struct cf_error err = {0};
    struct cf_blob blob;

    assert_int_equal(cf_webp_encode(&image, &w, &blob, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, word));
    assert_null(blob.data);
}

static void numbers_outside_their_range_are_named(void **state)
{
    struct cf_webp w, ok;

    (void)state;
    cf_webp_default(&ok);
    assert_int_equal(cf_webp_check(&ok, NULL), CF_OK);
    expect_refused(ok, 16384, 1, 49152, "16384 x 1");
    expect_refused(ok, 1, 16384, 3, "1 x 16384");
    expect_refused(ok, 0, 1, 3, "0 x 1");
    expect_refused(ok, 1, -1, 3, "1 x -1");
    expect_refused(ok, 4, 1, 11, "stride");
    expect_refused(ok, 4, 1, SIZE_MAX, "stride");
    w = ok;
    w.quality = NAN;
    expect_refused(w, 1, 1, 3, "quality");
    w.quality = 100.5f;
    expect_refused(w, 1, 1, 3, "quality");
    w.quality = -0.5f;
    expect_refused(w, 1, 1, 3, "quality");
    w = ok;
    w.method = 7;
    expect_refused(w, 1, 1, 3, "method");
    w.method = -1;
    expect_refused(w, 1, 1, 3, "method");
}

static void a_cut_file_is_told_from_a_whole_one(void **state)
{
    struct cf_image in = make_image(40, 30, 120), out;

    (void)state;
    for (int lossless = 0; lossless < 2; lossless++) {
        struct cf_blob blob = encode(&in, lossless);

        for (size_t n = 0; n < blob.size; n++) {
            struct cf_error err = {0};
            uint8_t *cut = malloc(n ? n : 1); /* its own block: a read past n is seen */

            memcpy(cut, blob.data, n);
            if (cf_webp_decode(cut, n, &out, &err) == CF_OK) /* only padding was cut */
                assert_true(n + 1 == blob.size);
            else
                assert_int_equal(err.status, CF_EFORMAT);
            cf_free(out.rgb);
            free(cut);
        }
        cf_blob_free(&blob);
    }
    free(in.rgb);
}

static void flipped_bits_do_no_harm(void **state)
{
    struct cf_image in = make_image(24, 24, 72), out;

    (void)state;
    for (int lossless = 0; lossless < 2; lossless++) {
        struct cf_blob blob = encode(&in, lossless);

        for (uint32_t i = 0; i < 2000; i++) {
            uint32_t r = cf_rng_u32(7, CF_RNG_TEST, i, 0, 0);
            struct cf_error err = {0};

            blob.data[(r >> 3) % blob.size] ^= (uint8_t)(1u << (r & 7));
            (void)cf_webp_decode(blob.data, blob.size, &out, &err);
            cf_free(out.rgb);
            blob.data[(r >> 3) % blob.size] ^= (uint8_t)(1u << (r & 7));
        }
        cf_blob_free(&blob);
    }
    free(in.rgb);
}

static void a_huge_promise_is_refused_before_memory_is_asked_for(void **state)
{
    /* A VP8L header that says 16383 x 16383. */
    static const uint8_t file[] = {'R',  'I',  'F',  'F',  22,   0,   0,  0, 'W', 'E',
                                   'B',  'P',  'V',  'P',  '8',  'L', 10, 0, 0,   0,
                                   0x2f, 0xfe, 0xbf, 0xff, 0x0f, 0,   0,  0, 0,   0};
    struct cf_error err = {0};
    struct cf_image out;

    (void)state;
    fail_arm(1);
    assert_int_equal(cf_webp_decode(file, sizeof file, &out, &err), CF_ERANGE);
    assert_false(fail_hit());
    assert_non_null(strstr(err.msg, "16383 x 16383"));
    assert_null(out.rgb);
}

static void without_memory_nothing_is_left_behind(void **state)
{
    struct cf_image in = make_image(64, 64, 192), out;
    struct cf_blob blob, good = encode(&in, false);
    struct cf_webp w;
    long n = 0;

    (void)state;
    cf_webp_default(&w);
    for (bool hit = true; hit;) {
        struct cf_error err = {0};

        fail_arm(++n);
        cf_webp_encode(&in, &w, &blob, &err);
        hit = fail_hit();
        assert_int_equal(err.status, hit ? CF_ENOMEM : CF_OK);
        if (hit) {
            assert_null(blob.data);
            assert_non_null(strstr(err.msg, "bytes wanted"));
        }
    }
    assert_true(n > 2);
    assert_int_equal(blob.size, good.size);
    cf_blob_free(&blob);
    {
        struct cf_error err = {0};

        fail_arm(1);
        assert_int_equal(cf_webp_decode(good.data, good.size, &out, &err), CF_ENOMEM);
        assert_true(fail_hit());
    }
    cf_blob_free(&good);
    cf_blob_free(&good); /* zeroed: twice is fine */
    cf_blob_free(NULL);
    free(in.rgb);
}

static void a_large_image_is_scaled_down_while_it_is_decoded(void **state)
{
    static const struct {
        int side, w, h;
    } want[] = {
        {300, 300, 150}, {100, 100, 50}, {1, 1, 1}, {600, 600, 300}, {900, 600, 300}};
    struct cf_image image = make_image(600, 300, 1800), out;
    struct cf_error err = {0};

    (void)state;
    for (int lossless = 0; lossless < 2; lossless++) {
        struct cf_blob blob = encode(&image, lossless);
        struct cf_webp_info info;

        assert_int_equal(cf_webp_info(blob.data, blob.size, &info, &err), CF_OK);
        assert_int_equal(info.w, 600);
        assert_int_equal(info.h, 300);
        assert_int_equal(info.lossless, lossless);
        for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
            assert_int_equal(
                cf_webp_decode_fit(blob.data, blob.size, want[i].side, &out, &err),
                CF_OK);
            assert_int_equal(out.w, want[i].w);
            assert_int_equal(out.h, want[i].h);
            assert_int_equal(out.stride, 3 * want[i].w);
            cf_free(out.rgb);
        }
        assert_int_equal(cf_webp_info(blob.data, 11, &info, &err), CF_EFORMAT);
        err = (struct cf_error){0};
        assert_int_equal(cf_webp_decode_fit(blob.data, blob.size / 2, 100, &out, &err),
                         CF_EFORMAT);
        assert_null(out.rgb);
        err = (struct cf_error){0};
        cf_blob_free(&blob);
    }
    free(image.rgb);
}

static void a_flag_stops_the_encoder(void **state)
{
    uint8_t *rgb = cf_calloc(512, 3 * 512, NULL);
    const struct cf_image image = {.rgb = rgb, .w = 512, .h = 512, .stride = 3 * 512};
    struct cf_cancel cancel = {0};
    struct cf_error err = {0};
    struct cf_blob blob = {0};
    struct cf_webp w;

    (void)state;
    cf_webp_default(&w);
    assert_int_equal(cf_webp_encode_until(&image, &w, &cancel, &blob, &err), CF_OK);
    cf_blob_free(&blob);
    cf_cancel_set(&cancel);
    assert_int_equal(cf_webp_encode_until(&image, &w, &cancel, &blob, &err), CF_ECANCEL);
    assert_null(blob.data);
    cf_free(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossless_gives_back_every_pixel),
        cmocka_unit_test(lossy_stays_close),
        cmocka_unit_test(the_same_pixels_give_the_same_bytes),
        cmocka_unit_test(a_wrong_pixel_is_found),
        cmocka_unit_test(every_option_reaches_the_encoder),
        cmocka_unit_test(numbers_outside_their_range_are_named),
        cmocka_unit_test(a_cut_file_is_told_from_a_whole_one),
        cmocka_unit_test(flipped_bits_do_no_harm),
        cmocka_unit_test(a_huge_promise_is_refused_before_memory_is_asked_for),
        cmocka_unit_test(a_large_image_is_scaled_down_while_it_is_decoded),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
        cmocka_unit_test(a_flag_stops_the_encoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
