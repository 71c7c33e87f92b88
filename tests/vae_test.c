/* vae_test.c - the convolutional tokenizer; numbers are check-golden's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "models/vae.h"
#include "tests/models_util.h"

static struct cf_dnn *dnn;
static struct cf_vae *vae; /* patch 8, 14 bits, with encoder */

static void pixels_are_truncated_not_rounded(void **state)
{
    const float pixels[6] = {-1.0f, 1.0f, 0.0f, -2.0f, 2.0f, 0.9999f};
    uint8_t rgb[6], want[6] = {0, 255, 127, 0, 255, 254};
    struct cf_image image = {rgb, 2, 1, 6};

    (void)state;
    cf_vae_to_rgb(&image, pixels);
    assert_memory_equal(rgb, want, 6);
}

static void every_byte_survives_the_way_to_floats_and_back(void **state)
{
    uint8_t rgb[256 * 3], back[256 * 3];
    float pixels[256 * 3];
    struct cf_image image = {rgb, 256, 1, sizeof(rgb)},
                    out = {back, 256, 1, sizeof(back)};

    (void)state;
    for (int i = 0; i < 256; i++)
        memset(rgb + 3 * i, i, 3);
    cf_vae_from_rgb(pixels, &image);
    assert_true(pixels[0] == -1.0f && pixels[767] == 1.0f);
    for (int i = 0; i < 768; i++)
        pixels[i] += 1e-5f; /* truncation needs to be met from above */
    cf_vae_to_rgb(&out, pixels);
    assert_memory_equal(rgb, back, sizeof(rgb));
}

static void scratch_is_what_was_measured_and_given_back(void **state)
{
    static const int side[][2] = {{1, 1}, {3, 5}, {12, 8}};
    float latent[12 * 8 * 14] = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct cf_error err = {0};
        struct cf_arena need, a;
        const float *pixels;

        cf_arena_measure(&need);
        assert_int_equal(
            cf_vae_decode(vae, &pixels, NULL, side[i][0], side[i][1], &need, NULL, &err),
            CF_OK);
        assert_null(pixels);
        assert_int_equal(need.used, 0);
        assert_int_equal(cf_arena_open(&a, need.high, &err), CF_OK);
        assert_int_equal(
            cf_vae_decode(vae, &pixels, latent, side[i][0], side[i][1], &a, NULL, &err),
            CF_OK);
        assert_int_equal(a.high, need.high);
        assert_int_equal(a.used, 0);
        assert_true(fabsf(pixels[0]) <= 1.0f);
        cf_arena_close(&a);
        assert_int_equal(cf_arena_open(&a, need.high - 64, &err), CF_OK);
        assert_int_equal(
            cf_vae_decode(vae, &pixels, latent, side[i][0], side[i][1], &a, NULL, &err),
            CF_ENOMEM);
        cf_arena_close(&a);
    }
}

static void a_latent_that_is_no_number_is_told(void **state)
{
    float latent[2 * 2 * 14] = {0};
    struct cf_error err = {0};
    struct cf_arena a;
    const float *pixels;

    (void)state;
    latent[20] = NAN;
    cf_arena_measure(&a);
    cf_vae_decode(vae, &pixels, NULL, 2, 2, &a, NULL, &err);
    assert_int_equal(cf_arena_open(&a, a.high, &err), CF_OK);
    assert_int_equal(cf_vae_decode(vae, &pixels, latent, 2, 2, &a, NULL, &err),
                     CF_ENUMERIC);
    assert_non_null(strstr(err.msg, "decoder"));
    cf_arena_close(&a);
}

static void cancel_is_noticed_between_layers(void **state)
{
    float latent[2 * 2 * 14] = {0};
    struct cf_cancel cancel = {0};
    struct cf_error err = {0};
    struct cf_arena a;
    const float *pixels;

    (void)state;
    cf_arena_measure(&a);
    cf_vae_decode(vae, &pixels, NULL, 2, 2, &a, NULL, &err);
    assert_int_equal(cf_arena_open(&a, a.high, &err), CF_OK);
    cf_cancel_set(&cancel);
    assert_int_equal(cf_vae_decode(vae, &pixels, latent, 2, 2, &a, &cancel, &err),
                     CF_ECANCEL);
    assert_int_equal(a.used, 0);
    cf_arena_close(&a);
}

static void an_image_must_be_a_multiple_of_the_patch(void **state)
{
    struct cf_error err = {0};
    struct cf_arena a;
    const float *latent;

    (void)state;
    cf_arena_measure(&a);
    assert_int_equal(cf_vae_encode(vae, &latent, NULL, 64, 60, &a, NULL, &err),
                     CF_ERANGE);
    assert_non_null(strstr(err.msg, "multiples of 8"));
}

static void channels_without_a_group_count_are_refused(void **state)
{
    json_t *json =
        json_pack("{s:i, s:[i, i], s:i, s:i, s:i}", "base_channels", 20, "ch_mult", 1, 2,
                  "num_res_blocks", 1, "bits", 16, "patch", 2);
    struct cf_vae_shape shape;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_vae_parse(&shape, json, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "20 channels"));
    json_decref(json);
}

static int setup(void **state)
{
    json_t *json = util_model_json("inf-tiny-8b", "vae-p8-d14", NULL);
    struct cf_vae_shape shape;
    struct cf_error err = {0};
    char path[UTIL_PATH];
    int bad;

    (void)state;
    util_golden(path, "vae-p8-d14.safetensors");
    bad = cf_dnn_open(&dnn, CF_CPU_AUTO, 2, &err) != CF_OK ||
          cf_vae_parse(&shape, json_object_get(json, "vae"), &err) != CF_OK ||
          cf_vae_open(&vae, &shape, path, dnn, &err) != CF_OK;
    json_decref(json);
    return bad ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    cf_vae_close(vae);
    cf_dnn_close(dnn);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_truncated_not_rounded),
        cmocka_unit_test(every_byte_survives_the_way_to_floats_and_back),
        cmocka_unit_test(scratch_is_what_was_measured_and_given_back),
        cmocka_unit_test(a_latent_that_is_no_number_is_told),
        cmocka_unit_test(cancel_is_noticed_between_layers),
        cmocka_unit_test(an_image_must_be_a_multiple_of_the_patch),
        cmocka_unit_test(channels_without_a_group_count_are_refused),
    };

    return cmocka_run_group_tests_name("vae", tests, setup, teardown);
}
