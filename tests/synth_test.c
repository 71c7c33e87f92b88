/* synth_test.c - random models are alive: values as promised, streams of order one
 * through many blocks, logits that are neither coins nor certain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "models/gen.h"
#include "pipeline/synth_law.h"
#include "pipeline/synth_model.h"
#include "textenc/textenc.h"
#include "weights/model.h"

#define assert_ok(call)                                                                  \
    do {                                                                                 \
        struct cf_error ok_err = {0}, *why = &ok_err;                                    \
        if ((call) != CF_OK)                                                             \
            fail_msg("%s", ok_err.msg);                                                  \
    } while (0)

static struct cf_dnn *dnn;
static char top[] = "/tmp/cfgen-synth-test.XXXXXX";

static int open_all(void **state)
{
    struct cf_error err = {0};

    (void)state;
    return !mkdtemp(top) || cf_dnn_open(&dnn, CF_CPU_AUTO, 2, &err) != CF_OK;
}

static int close_all(void **state)
{
    char command[200];

    (void)state;
    cf_dnn_close(dnn);
    snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command);
}

/* Mean and deviation of x. */
struct moments {
    double mean, deviation;
};

static struct moments moments(const float *x, int64_t n)
{
    struct moments m = {0};

    for (int64_t i = 0; i < n; i++)
        m.mean += (double)x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        m.deviation += ((double)x[i] - m.mean) * ((double)x[i] - m.mean) / (double)n;
    m.deviation = sqrt(m.deviation);
    return m;
}

static void values_have_the_moments_of_their_law(void **state)
{
    enum { N = 1 << 18 };
    const struct cf_key matrix = {.name = "blocks.0.ffn.fc1.weight",
                                  .kind = CF_KEY_MATRIX,
                                  .ndim = 2,
                                  .dim = {512, 512}};
    const struct cf_key gain = {
        .name = "text_norm.weight", .kind = CF_KEY_GAIN, .ndim = 1, .dim = {N}};
    struct cf_synth_law law = cf_synth_law(&matrix, 1, 12, 1);
    float *x = cf_alloc(N, sizeof *x, NULL);
    struct moments m;

    (void)state;
    assert_non_null(x);
    cf_synth_fill(x, &law, 0, N);
    m = moments(x, N);
    assert_true(fabs(m.mean) < 4e-4);
    assert_true(fabs(m.deviation * sqrt(512.0) - 1.0) < 0.01);
    law = cf_synth_law(&gain, 1, 12, 1);
    cf_synth_fill(x, &law, 0, N);
    m = moments(x, N);
    assert_true(fabs(m.mean - 1.0) < 1e-3 && fabs(m.deviation - 0.05) < 1e-3);
    cf_free(x);
}

static void a_value_depends_on_seed_name_and_place_alone(void **state)
{
    struct cf_key key = {
        .name = "head.bias", .kind = CF_KEY_SMALL, .ndim = 1, .dim = {4096}};
    struct cf_synth_law law = cf_synth_law(&key, 5, 1, 1), other;
    float all[4096], part[100], else_[100];

    (void)state;
    cf_synth_fill(all, &law, 0, 4096);
    cf_synth_fill(part, &law, 2048, 100);
    assert_memory_equal(part, all + 2048, sizeof part);
    other = cf_synth_law(&key, 6, 1, 1);
    cf_synth_fill(else_, &other, 2048, 100);
    assert_memory_not_equal(part, else_, sizeof part);
    snprintf(key.name, sizeof key.name, "head.weights");
    other = cf_synth_law(&key, 5, 1, 1);
    cf_synth_fill(else_, &other, 2048, 100);
    assert_memory_not_equal(part, else_, sizeof part);
}

/* ---- a whole model ---- */

enum { DEPTH = 40, STEPS = 7 };

static struct {
    double block[STEPS][DEPTH]; /* deviation of the residual stream behind each block */
    double head[STEPS];
} seen;

static void see(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim)
{
    int64_t n = 1;
    int s, b, end = 0;

    (void)ctx;
    (void)u8;
    for (int i = 0; i < ndim; i++)
        n *= dim[i];
    if (sscanf(name, "sc%d.blk%d.out%n", &s, &b, &end) == 2 && end && !name[end])
        seen.block[s][b] = moments(f, n).deviation;
    end = 0;
    if (sscanf(name, "sc%d.head%n", &s, &end) == 1 && end && !name[end])
        seen.head[s] = moments(f, n).deviation;
}

static void walk(const struct cf_model *model, struct cf_text *text)
{
    const struct cf_gen_files files = {.json = model->json,
                                       .transformer = model->path[CF_PART_TRANSFORMER],
                                       .vae = model->path[CF_PART_VAE],
                                       .hold = CF_HOLD_MAP};
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    const struct cf_probe probe = {.see = see};
    const struct cf_gen_item item = {.seed = 1, .cond = text};
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, NULL);
    struct cf_gen_params params;
    struct cf_gen_state *st;
    struct cf_arena arena;
    struct cf_gen *gen;

    assert_non_null(plan);
    cf_gen_params_default(&params);
    params.width = params.height = 256;
    assert_ok(ops->open(&gen, &files, dnn, why));
    assert_ok(ops->plan(gen, &params, 1, text->n, plan, why));
    assert_int_equal(plan->n_step, STEPS);
    assert_ok(cf_arena_open(&arena, plan->arena_bytes, why));
    assert_ok(ops->begin(gen, plan, &item, &arena, NULL, &probe, &st, why));
    for (int k = 0; k < STEPS; k++)
        assert_ok(ops->step(st, k, why));
    cf_arena_close(&arena);
    ops->close(gen);
    cf_free(plan);
}

static void forty_blocks_stay_of_order_one(void **state)
{
    const struct cf_synth_options o = {
        .geometry = "infinity-8b",
        .encoder = "qwen2-1.5b",
        .type = CF_W_BF16,
        .text_type = CF_W_BF16,
        .group = 64,
        .change = {.embed_dim = 128,
                   .heads = 4,
                   .depth = DEPTH,
                   .base_channels = 24,
                   .text_width = 128,
                   .text_layers = 28,
                   .text_vocab = 300},
    };
    const struct cf_prompt prompt = {"a red apple", 11};
    struct cf_text text = {0};
    struct cf_textenc *te;
    struct cf_model *model;
    struct moments m;
    char dir[200];

    (void)state;
    snprintf(dir, sizeof dir, "%s/m", top);
    assert_ok(cf_synth_model(&o, dir, dnn, why));
    assert_ok(cf_model_open(&model, dir, CF_MODEL_FULL, why));
    assert_ok(cf_textenc_open(&te, dnn, json_object_get(model->json, "text"),
                              model->path[CF_PART_TEXT], model->path[CF_PART_VOCAB],
                              CF_HOLD_MAP, why));
    assert_ok(cf_textenc_encode(te, &prompt, 1, &text, why));
    m = moments(text.features, (int64_t)text.n * text.dim);
    assert_true(m.deviation > 0.5 && m.deviation < 2.0);
    walk(model, &text);
    for (int s = 0; s < STEPS; s++) {
        for (int b = 0; b < DEPTH; b++)
            if (!(seen.block[s][b] > 0.3 && seen.block[s][b] < 8.0))
                fail_msg("scale %d, block %d: deviation %g", s, b, seen.block[s][b]);
        if (!(seen.head[s] > 1.0 && seen.head[s] < 3.0))
            fail_msg("scale %d: logits of deviation %g", s, seen.head[s]);
    }
    cf_text_free(&text);
    cf_textenc_close(te);
    cf_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_the_moments_of_their_law),
        cmocka_unit_test(a_value_depends_on_seed_name_and_place_alone),
        cmocka_unit_test(forty_blocks_stay_of_order_one),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
