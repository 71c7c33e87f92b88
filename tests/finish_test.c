/* finish_test.c - which files are decoded again before they are trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pipeline/finish.h"

/* The verification as it is, counted, or one that finds a difference. */
static int verified;
static bool broken;

enum cf_status __real_cf_webp_verify(const struct cf_blob *blob,
                                     const struct cf_image *image, struct cf_error *err);
enum cf_status __wrap_cf_webp_verify(const struct cf_blob *blob,
                                     const struct cf_image *image, struct cf_error *err);

enum cf_status __wrap_cf_webp_verify(const struct cf_blob *blob,
                                     const struct cf_image *image, struct cf_error *err)
{
    verified++;
    return broken ? cf_fail(err, CF_EMISMATCH, "pixel (0, 0)")
                  : __real_cf_webp_verify(blob, image, err);
}

static enum cf_status encode(bool lossless, bool *proved)
{
    static uint8_t rgb[3 * 16 * 8];
    static char text[] = "x", recipe[] = "{}";
    const struct cf_image image = {.rgb = rgb, .w = 16, .h = 8, .stride = 3 * 16};
    struct cf_story story = {.prompt = text,
                             .model_name = text,
                             .recipe = recipe,
                             .guidance = text,
                             .temperature = text,
                             .sampler = text,
                             .width = 16,
                             .height = 8,
                             .steps = 1,
                             .isa = "c"};
    struct cf_error err = {0};
    struct cf_blob blob = {0};
    struct cf_webp webp;
    enum cf_status st;

    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * i);
    cf_webp_default(&webp);
    webp.lossless = lossless;
    st = cf_finish_encode(&image, &webp, &story, CF_META_FULL, NULL, proved, &blob, &err);
    cf_blob_free(&blob);
    return st;
}

static void the_first_lossless_file_is_decoded_again_and_no_other(void **state)
{
    bool proved = false;

    (void)state;
    verified = 0;
    assert_int_equal(encode(false, &proved), CF_OK);
    assert_int_equal(verified, 0);
    assert_int_equal(encode(true, &proved), CF_OK);
    assert_int_equal(verified, 1);
    assert_int_equal(encode(true, &proved), CF_OK);
    assert_int_equal(verified, 1);
}

static void a_file_that_decodes_to_other_pixels_is_refused_each_time(void **state)
{
    bool proved = false;

    (void)state;
    broken = true;
    assert_int_equal(encode(true, &proved), CF_EMISMATCH);
    assert_int_equal(encode(true, &proved), CF_EMISMATCH);
    broken = false;
    assert_int_equal(encode(true, &proved), CF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_lossless_file_is_decoded_again_and_no_other),
        cmocka_unit_test(a_file_that_decodes_to_other_pixels_is_refused_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
