/* infinity_bits_test.c - bits put into the generator from outside, and taken from images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/infinity_util.h"

struct caught {
    uint8_t *bits[4];
    size_t size[4];
};

static void catch_bits(void *ctx, const char *name, const float *f, const uint8_t *u8,
                       int ndim, const int64_t *dim)
{
    struct caught *c = ctx;
    size_t n = 1;
    int s;

    (void)f;
    if (u8 == NULL || sscanf(name, "sc%d.bits", &s) != 1)
        return;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    c->bits[s] = cf_alloc(n, 1, NULL);
    c->size[s] = n;
    memcpy(c->bits[s], u8, n);
}

static void release(struct caught *c)
{
    for (int s = 0; s < 4; s++)
        cf_free(c->bits[s]);
    memset(c, 0, sizeof(*c));
}

static void bits_forced_to_what_came_out_change_nothing(void **state)
{
    struct caught first = {0}, again = {0};
    struct cf_probe watch = {catch_bits, &first}, watch2 = {catch_bits, &again};
    struct cf_gen_item it = item(1);
    struct cf_gen_params p;
    uint8_t *a, *b;

    (void)state;
    cf_gen_params_default(&p);
    a = util_run(gen, &p, &it, 1, &watch, NULL);
    it.forced = (const uint8_t *const *)first.bits;
    it.n_forced = 4;
    it.seed += 1; /* all bits are given: the seed does not count */
    b = util_run(gen, &p, &it, 1, &watch2, NULL);
    for (int s = 0; s < 4; s++)
        assert_memory_equal(first.bits[s], again.bits[s], first.size[s]);
    assert_same(a, b, 1);
    release(&first);
    release(&again);
}

static void more_forced_scales_than_steps_are_refused(void **state)
{
    const uint8_t *bits[5] = {0};
    struct cf_gen_item it = item(0);
    struct cf_error err = {0};
    struct cf_gen_state *st;
    struct cf_gen_params p;
    struct cf_arena arena;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&p);
    it.forced = bits;
    it.n_forced = 5;
    assert_int_equal(ops->plan(gen, &p, 1, 32, &plan, &err), CF_OK);
    assert_int_equal(cf_arena_open(&arena, plan.arena_bytes, &err), CF_OK);
    assert_int_equal(ops->begin(gen, &plan, &it, &arena, NULL, NULL, &st, &err),
                     CF_ERANGE);
    cf_arena_close(&arena);
}

static void flips_spoil_the_asked_scales_and_repeat(void **state)
{
    struct caught clean = {0}, spoilt = {0};
    struct cf_probe watch = {catch_bits, &clean}, watch2 = {catch_bits, &spoilt};
    struct cf_gen_item it = item(1);
    struct cf_gen_params p;
    uint8_t *a, *b;

    (void)state;
    cf_gen_params_default(&p);
    a = util_run(gen, &p, &it, 1, &watch, NULL);
    p.n_flip = 4;
    p.flip[1] = 1.0f;
    b = util_run(gen, &p, &it, 1, &watch2, NULL);
    assert_memory_equal(clean.bits[0], spoilt.bits[0], clean.size[0]);
    for (size_t i = 0; i < clean.size[1]; i++)
        assert_int_equal(clean.bits[1][i] ^ spoilt.bits[1][i], 1);
    assert_memory_not_equal(clean.bits[2], spoilt.bits[2], clean.size[2]); /* it heard */
    assert_same(a, b, 0);
    p.flip[1] = 0.3f;
    assert_same(one(gen, &p, it), one(gen, &p, it), 1);
    release(&clean);
    release(&spoilt);
}

static void an_image_encodes_to_bits_that_rebuild_it(void **state)
{
    enum { SIDE = 96 };
    char model[UTIL_PATH], vae[UTIL_PATH];
    json_t *json = util_model_json("inf-tiny-8b", "vae-p8-d14", NULL);
    struct cf_image image = {NULL, SIDE, SIDE, 3 * SIDE + 5}, wrong = image;
    const uint8_t *forced[4];
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct caught got = {0};
    struct cf_probe watch = {catch_bits, &got};
    struct cf_text t = util_text(5, DIM, 1);
    struct cf_gen_item it = {.cond = &t};
    struct cf_plan plan;
    struct cf_gen *g;
    size_t *offset;
    uint8_t *bits;

    (void)state;
    util_golden(model, "inf-tiny-8b.safetensors");
    util_golden(vae, "vae-p8-d14.safetensors");
    g = util_open(json, model, vae, dnn);
    image.rgb = cf_calloc(SIDE, image.stride, NULL);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE * 3; x++)
            image.rgb[(size_t)y * image.stride + (size_t)x] = (uint8_t)(x * y / 7);
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(g, &p, 1, 5, &plan, &err), CF_OK);
    wrong.h = 95;
    assert_int_equal(ops->encode(g, &plan, &wrong, &bits, &offset, &err), CF_ERANGE);
    err.status = CF_OK;
    if (ops->encode(g, &plan, &image, &bits, &offset, &err) != CF_OK)
        fail_msg("%s", err.msg);
    for (int s = 0; s < 4; s++)
        forced[s] = bits + offset[s];
    it.forced = forced;
    it.n_forced = 4;
    cf_free(util_run(g, &p, &it, 1, &watch, NULL));
    for (int s = 0; s < 4; s++)
        assert_memory_equal(got.bits[s], forced[s], got.size[s]);
    release(&got);
    cf_free(bits);
    cf_free(offset);
    cf_free(image.rgb);
    cf_free(t.features);
    ops->close(g);
    json_decref(json);
}

static void without_an_encoder_encoding_is_refused(void **state)
{
    static uint8_t rgb[PIXELS];
    struct cf_image image = {rgb, 96, 96, 288};
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_plan plan;
    size_t *offset;
    uint8_t *bits;

    (void)state;
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(gen, &p, 1, 5, &plan, &err), CF_OK);
    assert_int_equal(ops->encode(gen, &plan, &image, &bits, &offset, &err), CF_EUNSUP);
    assert_null(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_forced_to_what_came_out_change_nothing),
        cmocka_unit_test(more_forced_scales_than_steps_are_refused),
        cmocka_unit_test(flips_spoil_the_asked_scales_and_repeat),
        cmocka_unit_test(an_image_encodes_to_bits_that_rebuild_it),
        cmocka_unit_test(without_an_encoder_encoding_is_refused),
    };

    return cmocka_run_group_tests_name("infinity bits", tests, setup, teardown);
}
