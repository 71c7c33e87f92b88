/* infinity_nomem_test.c - memory that runs out at any place is an error, not a leak: the
 * nth of our allocations (--wrap=aligned_alloc) fails, for n = 1, 2, ... until all
 * succeed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/models_util.h"
#include "tests/nomem.h"

enum { DIM = 256, SIDE = 32 };

static const char sizes[] = "{\"scales\":[[1,1],[2,2]],\"rope_grid\":[4,4]}";

static struct cf_dnn *dnn;
static json_t *json;
static char model[UTIL_PATH], vae[UTIL_PATH];
static struct cf_text text;
static const struct cf_gen_ops *ops;
static enum cf_hold hold;

static enum cf_status open_close(struct cf_error *err)
{
    struct cf_gen_files files = {json, model, vae, hold};
    struct cf_gen *gen;
    enum cf_status status = ops->open(&gen, &files, dnn, err);

    ops->close(gen);
    return status;
}

/* A preview after every step, then the picture, then its bits. */
static enum cf_status all_calls(struct cf_error *err)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    struct cf_gen_files files = {json, model, vae, hold};
    struct cf_image image = {rgb, SIDE, SIDE, 3 * SIDE};
    struct cf_gen_item item = {.cond = &text};
    struct cf_gen_state *st;
    struct cf_gen_params p;
    struct cf_arena arena = {0};
    struct cf_plan plan;
    struct cf_gen *gen;
    size_t *offset;
    uint8_t *bits;

    cf_gen_params_default(&p);
    if (ops->open(&gen, &files, dnn, err) == CF_OK &&
        ops->plan(gen, &p, 1, text.n, &plan, err) == CF_OK &&
        cf_arena_open(&arena, plan.arena_bytes, err) == CF_OK &&
        ops->begin(gen, &plan, &item, &arena, NULL, NULL, &st, err) == CF_OK) {
        for (int k = 0; k < plan.n_step && err->status == CF_OK; k++)
            if (ops->step(st, k, err) == CF_OK)
                ops->decode(st, 0, &image, err);
        if (err->status == CF_OK &&
            ops->encode(gen, &plan, &image, &bits, &offset, err) == CF_OK) {
            cf_free(bits);
            cf_free(offset);
        }
    }
    cf_arena_close(&arena);
    ops->close(gen);
    return err->status;
}

static void opening_fails_cleanly_at_many_allocations(void **state)
{
    (void)state;
    for (hold = CF_HOLD_PACK; hold <= CF_HOLD_MAP; hold++)
        each_allocation_fails(open_close, 3);
}

static void running_fails_cleanly_at_many_allocations(void **state)
{
    (void)state;
    for (hold = CF_HOLD_PACK; hold <= CF_HOLD_MAP; hold++)
        each_allocation_fails(all_calls, 17);
}

/* The plan's promise: after begin, steps and pixels come out of the arena alone. */
static void second_image(int kv)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    struct cf_image image = {rgb, SIDE, SIDE, 3 * SIDE};
    struct cf_gen_item item = {.cond = &text};
    struct cf_error err = {0};
    struct cf_gen_state *st;
    struct cf_gen_params p;
    struct cf_arena arena;
    struct cf_plan plan;
    struct cf_gen *gen;

    gen = util_open_held(json, model, vae, hold, dnn);
    cf_gen_params_default(&p);
    p.kv_type = kv;
    assert_int_equal(ops->plan(gen, &p, 1, text.n, &plan, &err), CF_OK);
    assert_int_equal(cf_arena_open(&arena, plan.arena_bytes, &err), CF_OK);
    for (int image_no = 0; image_no < 2; image_no++) {
        nomem_count = 0;
        cf_arena_rewind(&arena, 0);
        assert_int_equal(ops->begin(gen, &plan, &item, &arena, NULL, NULL, &st, &err),
                         CF_OK);
        for (int k = 0; k < plan.n_step; k++)
            assert_int_equal(ops->step(st, k, &err), CF_OK);
        assert_int_equal(ops->decode(st, 0, &image, &err), CF_OK);
    }
    assert_int_equal(nomem_count, 0);
    cf_arena_close(&arena);
    ops->close(gen);
}

static void a_second_image_asks_for_no_memory(void **state)
{
    (void)state;
    for (hold = CF_HOLD_PACK; hold <= CF_HOLD_MAP; hold++) {
        second_image(CF_F32);
        second_image(CF_BF16);
    }
}

static int setup(void **state)
{
    struct cf_error err = {0};

    (void)state;
    ops = cf_gen_find("infinity");
    json = util_model_json("inf-tiny-8b", "vae-p8-d14", sizes);
    util_golden(model, "inf-tiny-8b.safetensors");
    util_golden(vae, "vae-p8-d14.safetensors");
    text = util_text(4, DIM, 8);
    return cf_dnn_open(&dnn, CF_CPU_AUTO, 1, &err) != CF_OK;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(json);
    cf_free(text.features);
    cf_dnn_close(dnn);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_fails_cleanly_at_many_allocations),
        cmocka_unit_test(running_fails_cleanly_at_many_allocations),
        cmocka_unit_test(a_second_image_asks_for_no_memory),
    };

    return cmocka_run_group_tests_name("infinity without memory", tests, setup, teardown);
}
