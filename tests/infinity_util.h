/* infinity_util.h - the tiny Infinity model that infinity_*_test.c ask for images. */
#ifndef CF_TESTS_INFINITY_UTIL_H
#define CF_TESTS_INFINITY_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/golden.h"
#include "tests/models_util.h"

enum { DIM = 256, PROMPTS = 3, PIXELS = 96 * 96 * 3 };

static struct cf_dnn *dnn;
static struct cf_gen *gen; /* tiny 2B, scales 1 2 4 6, 96 x 96 pixels */
static char model_path[UTIL_PATH], vae_path[UTIL_PATH];
static struct cf_text text[PROMPTS], negative;
static const struct cf_gen_ops *ops;

static inline struct cf_gen_item item(int i)
{
    return (struct cf_gen_item){.seed = 40 + (uint64_t)i, .cond = &text[i]};
}

static inline uint8_t *one(const struct cf_gen *g, const struct cf_gen_params *p,
                           struct cf_gen_item it)
{
    return util_run(g, p, &it, 1, NULL, NULL);
}

/* The pixels of both, which are freed; told is the claim. */
static inline void assert_same(uint8_t *a, uint8_t *b, int same)
{
    assert_int_equal(memcmp(a, b, PIXELS) == 0, same);
    cf_free(a);
    cf_free(b);
}

static inline int setup(void **state)
{
    json_t *json = util_model_json("inf-tiny-2b", "vae-p16-d16", NULL);
    struct cf_error err = {0};

    (void)state;
    ops = cf_gen_find("infinity");
    if (ops == NULL || cf_dnn_open(&dnn, CF_CPU_AUTO, 1, &err) != CF_OK)
        return -1;
    util_golden(model_path, "inf-tiny-2b.safetensors");
    util_golden(vae_path, "vae-p16-d16.safetensors");
    gen = util_open(json, model_path, vae_path, dnn);
    json_decref(json);
    for (int i = 0; i < PROMPTS; i++)
        text[i] = util_text(5 + 7 * i, DIM, 10 + (uint32_t)i);
    negative = util_text(3, DIM, 99);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PROMPTS; i++)
        cf_free(text[i].features);
    cf_free(negative.features);
    ops->close(gen);
    cf_dnn_close(dnn);
    return 0;
}

#endif
