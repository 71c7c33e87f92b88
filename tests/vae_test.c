/* vae_test.c - the convolutional tokenizer; numbers are check-golden's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "models/vae_part.h"
#include "tests/models_util.h"
#include "weights/model.h"

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

/* One call of decode (to [h, w, 3] pixels) or encode; cf_free. */
static float *run(struct cf_vae *v, int decode, const float *src, int h, int w, int band)
{
    int patch = v->shape.patch, lh = h / patch, lw = w / patch;
    size_t n = decode ? (size_t)h * w * 3 : (size_t)lh * lw * v->shape.bits;
    struct cf_error err = {0};
    struct cf_arena need, a;
    const float *out;
    float *copy = cf_alloc(n, sizeof(*copy), &err);

    v->band = band;
    for (int pass = 0; pass < 2; pass++) {
        struct cf_arena *at = pass ? &a : &need;

        if (pass)
            assert_int_equal(cf_arena_open(&a, need.high, &err), CF_OK);
        else
            cf_arena_measure(&need);
        if (decode)
            cf_vae_decode(v, &out, src, lh, lw, at, NULL, &err);
        else
            cf_vae_encode(v, &out, src, h, w, at, NULL, &err);
        assert_string_equal(err.msg, "");
    }
    assert_int_equal(a.high, need.high);
    memcpy(copy, out, n * sizeof(*copy));
    cf_arena_close(&a);
    v->band = 0;
    return copy;
}

/* h x w latent positions there and back, with bands of every kind. */
static void check_bands(struct cf_vae *v, int h, int w)
{
    static const int band[] = {8, 16, 24, 3, 0};
    int patch = v->shape.patch, bits = v->shape.bits;
    float latent[256 * 16];

    assert_true(h * w <= 256 && bits <= 16);
    for (int i = 0; i < h * w * bits; i++)
        latent[i] = (float)((i * 7919 + i / 13) % 17 - 8) / 8;
    h *= patch;
    w *= patch;
    for (int decode = 1; decode >= (cf_vae_has_encoder(v) ? 0 : 1); decode--) {
        size_t n = decode ? (size_t)h * w * 3 : (size_t)h * w / patch / patch * bits;
        float *pixels = run(v, 1, latent, h, w, INT32_MAX / 4);
        float *whole = run(v, decode, decode ? latent : pixels, h, w, INT32_MAX / 4);

        for (size_t i = 0; i < sizeof(band) / sizeof(*band); i++) {
            float *got = run(v, decode, decode ? latent : pixels, h, w, band[i]);

            assert_memory_equal(got, whole, n * sizeof(*got));
            cf_free(got);
        }
        cf_free(pixels);
        cf_free(whole);
    }
}

static void no_value_depends_on_the_height_of_bands(void **state)
{
    (void)state;
    check_bands(vae, 5, 7);
    check_bands(vae, 9, 4);
}

static void the_shipped_decoder_does_not_depend_on_bands_either(void **state)
{
    const char *top = getenv("CFGEN_SRCDIR");
    json_t *json;
    struct cf_vae_shape shape;
    struct cf_error err = {0};
    char path[UTIL_PATH];
    struct cf_vae *shipped;

    (void)state;
    snprintf(path, sizeof(path), "%s/models/" CF_DEFAULT_MODEL "/model.json",
             top ? top : "..");
    json = json_load_file(path, 0, NULL);
    assert_int_equal(cf_vae_parse(&shape, json_object_get(json, "vae"), &err), CF_OK);
    snprintf(path, sizeof(path), "%s/models/" CF_DEFAULT_MODEL "/vae.safetensors",
             top ? top : "..");
    assert_int_equal(cf_vae_open(&shipped, &shape, path, dnn, &err), CF_OK);
    check_bands(shipped, 11, 8);
    cf_vae_close(shipped);
    json_decref(json);
}

/* Bytes that a tokenizer wants for a side of pixels, without any file. */
static size_t wanted(const struct cf_vae_shape *shape, int decode, int side)
{
    struct cf_error err = {0};
    struct cf_vae *sizes;
    struct cf_arena a;
    const float *out;

    assert_int_equal(cf_vae_open(&sizes, shape, NULL, dnn, &err), CF_OK);
    cf_arena_measure(&a);
    if (decode)
        cf_vae_decode(sizes, &out, NULL, side / shape->patch, side / shape->patch, &a,
                      NULL, &err);
    else
        cf_vae_encode(sizes, &out, NULL, side, side, &a, NULL, &err);
    assert_string_equal(err.msg, "");
    cf_vae_close(sizes);
    return a.high;
}

static void two_pictures_and_a_band_are_all_the_memory_there_is(void **state)
{
    static const struct cf_vae_shape d32 = {128, {1, 2, 4, 4, 4}, 5, 2, 32, 16},
                                     d14 = {128, {1, 2, 4, 4}, 4, 2, 14, 8};

    (void)state;
    for (int side = 256; side <= 1024; side *= 2) {
        /* The largest activation: 256 channels of all pixels in the decoder, 128 in the
         * encoder. */
        size_t most = (size_t)side * side * 256 * sizeof(float), band = 34 << 20;

        assert_in_range(wanted(&d32, 1, side), most, most / 2 * 3 + band);
        assert_in_range(wanted(&d14, 1, side), most, most / 2 * 3 + band);
        assert_in_range(wanted(&d32, 0, side), most, most + band);
    }
}

static void what_is_wanted_is_known_without_the_file(void **state)
{
    struct cf_error err = {0};
    const float *pixels;
    struct cf_arena a;

    (void)state;
    cf_arena_measure(&a);
    assert_int_equal(cf_vae_decode(vae, &pixels, NULL, 6, 6, &a, NULL, &err), CF_OK);
    assert_int_equal(a.high, wanted(&vae->shape, 1, 48));
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

static void channels_that_no_norm_takes_are_refused(void **state)
{
    json_t *json =
        json_pack("{s:i, s:[i, i], s:i, s:i, s:i}", "base_channels", 20, "ch_mult", 1, 2,
                  "num_res_blocks", 1, "bits", 16, "patch", 2);
    struct cf_vae_shape shape;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_vae_parse(&shape, json, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "20 channels"));
    json_object_set_new(json, "base_channels", json_integer(4096));
    json_array_set_new(json_object_get(json, "ch_mult"), 1, json_integer(8));
    err = (struct cf_error){0};
    assert_int_equal(cf_vae_parse(&shape, json, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "32768 channels"));
    json_decref(json);
}

static int setup(void **state)
{
    json_t *json = util_model_json("inf-tiny-8b", "vae-p8-d14", NULL);
    enum cf_cpu level = CF_CPU_AUTO;
    struct cf_vae_shape shape;
    struct cf_error err = {0};
    char path[UTIL_PATH];
    int bad;

    (void)state;
    util_golden(path, "vae-p8-d14.safetensors");
    bad = cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err) != CF_OK ||
          cf_dnn_open(&dnn, level, 2, &err) != CF_OK ||
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
        cmocka_unit_test(no_value_depends_on_the_height_of_bands),
        cmocka_unit_test(the_shipped_decoder_does_not_depend_on_bands_either),
        cmocka_unit_test(two_pictures_and_a_band_are_all_the_memory_there_is),
        cmocka_unit_test(what_is_wanted_is_known_without_the_file),
        cmocka_unit_test(a_latent_that_is_no_number_is_told),
        cmocka_unit_test(cancel_is_noticed_between_layers),
        cmocka_unit_test(an_image_must_be_a_multiple_of_the_patch),
        cmocka_unit_test(channels_that_no_norm_takes_are_refused),
    };

    return cmocka_run_group_tests_name("vae", tests, setup, teardown);
}
