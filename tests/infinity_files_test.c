/* infinity_files_test.c - model files: what is read, what is refused, and how it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/models_util.h"
#include "tests/weights_util.h"

enum { DIM = 256, PIXELS = 96 * 96 * 3 };

static struct cf_dnn *dnn;
static char model_path[UTIL_PATH], vae_path[UTIL_PATH];
static char *dir; /* temporary */
static struct cf_text text;
static const struct cf_gen_ops *ops;

/* Opens and expects a failure whose message holds both words. */
static void refused(const json_t *json, const char *transformer, const char *vae,
                    enum cf_status status, const char *says, const char *also)
{
    struct cf_gen_files files = {json, transformer, vae, CF_HOLD_PACK};
    struct cf_error err = {0};
    struct cf_gen *gen;

    assert_int_equal(ops->open(&gen, &files, dnn, &err), status);
    assert_null(gen);
    if (strstr(err.msg, says) == NULL || strstr(err.msg, also) == NULL)
        fail_msg("\"%s\": expected \"%s\" and \"%s\"", err.msg, says, also);
}

static json_t *tiny(void)
{
    return util_model_json("inf-tiny-2b", "vae-p16-d16", NULL);
}

static uint8_t *picture(const json_t *json, const char *transformer, const char *vae)
{
    struct cf_gen *gen = util_open(json, transformer, vae, dnn);
    struct cf_gen_item it = {.seed = 3, .cond = &text};
    struct cf_gen_params p;
    uint8_t *rgb;

    cf_gen_params_default(&p);
    rgb = util_run(gen, &p, &it, 1, NULL, NULL);
    ops->close(gen);
    return rgb;
}

static void assert_same(uint8_t *a, uint8_t *b, int same)
{
    assert_int_equal(memcmp(a, b, PIXELS) == 0, same);
    cf_free(a);
    cf_free(b);
}

static void set(json_t *json, const char *section, const char *key, json_t *value)
{
    json_object_set_new(json_object_get(json, section), key, value);
}

/* block_chunks.i.module.j. of two chunks of two to blocks.b. */
static const char *unchunk(const char *old, char buf[256])
{
    int i, j, n = 0;

    if (sscanf(old, "block_chunks.%d.module.%d.%n", &i, &j, &n) != 2)
        return old;
    snprintf(buf, 256, "blocks.%d.%s", 2 * i + j, old + n);
    return buf;
}

static void one_chunk_is_named_blocks(void **state)
{
    const char *path = util_path(dir, "blocks.safetensors");
    json_t *json = tiny();
    uint8_t *two = picture(json, model_path, vae_path);

    (void)state;
    util_rewrite(path, model_path, unchunk, NULL);
    set(json, "infinity", "block_chunks", json_integer(1));
    assert_same(two, picture(json, path, vae_path), 1);
    json_decref(json);
}

static void level_embeddings_may_be_added_before_every_chunk(void **state)
{
    const char *path = util_path(dir, "blocks.safetensors");
    json_t *once = tiny(), *every = tiny();

    (void)state;
    set(every, "infinity", "level_embed_first_block_only", json_false());
    assert_same(picture(once, model_path, vae_path), picture(every, model_path, vae_path),
                0);
    util_rewrite(path, model_path, unchunk, NULL);
    set(every, "infinity", "block_chunks", json_integer(1)); /* one chunk, one addition */
    assert_same(picture(once, model_path, vae_path), picture(every, path, vae_path), 1);
    json_decref(once);
    json_decref(every);
}

static const char *no_zero_bias(const char *old, char buf[256])
{
    (void)buf;
    return strstr(old, "zero_k_bias") != NULL ? NULL : old;
}

static void zero_biases_may_be_absent_and_buffers_present(void **state)
{
    static const char *const buffer[] = {"lvl_1L", "attn_bias_for_masking",
                                         "Infinity_visible_kvlen",
                                         "Infinity_invisible_qlen"};
    json_t *json = tiny();

    (void)state;
    for (size_t i = 0; i < sizeof(buffer) / sizeof(buffer[0]); i++) {
        const char *path = util_path(dir, "buffers.safetensors");

        util_rewrite(path, model_path, no_zero_bias, buffer[i]);
        ops->close(util_open(json, path, vae_path, dnn));
    }
    json_decref(json);
}

static void a_tensor_nobody_knows_is_refused(void **state)
{
    const char *path = util_path(dir, "extra.safetensors");
    json_t *json = tiny();

    (void)state;
    util_rewrite(path, model_path, NULL, "block_chunks.0.module.0.swiglu");
    refused(json, path, vae_path, CF_EMISMATCH, "swiglu", "not expected");
    json_decref(json);
}

static const char *holes(const char *old, char buf[256])
{
    (void)buf;
    return strcmp(old, "pos_start") == 0 ||
                   strcmp(old, "block_chunks.1.module.0.ffn.fc1.bias") == 0
               ? NULL
               : old;
}

static void all_missing_tensors_are_told_at_once(void **state)
{
    const char *path = util_path(dir, "holes.safetensors");
    json_t *json = tiny();

    (void)state;
    util_rewrite(path, model_path, holes, NULL);
    refused(json, path, vae_path, CF_EMISMATCH, "pos_start: missing",
            "block_chunks.1.module.0.ffn.fc1.bias: missing");
    json_decref(json);
}

static void another_geometry_is_told_with_both_shapes(void **state)
{
    json_t *json = tiny();

    (void)state;
    set(json, "infinity", "mlp_hidden", json_integer(512));
    refused(json, model_path, vae_path, CF_ESHAPE, "ffn.fc1.weight: shape [256, 64]",
            "expected [512, 64]");
    json_decref(json);
}

static void a_wrong_vae_is_told_in_one_sentence(void **state)
{
    char other[UTIL_PATH];
    json_t *json = tiny(), *mixed;

    (void)state;
    util_golden(other, "vae-p8-d14.safetensors");
    /* the manifest contradicts itself */
    mixed = util_model_json("inf-tiny-2b", "vae-p8-d14", NULL);
    refused(mixed, model_path, other, CF_EMISMATCH, "16 bits per position",
            "the VAE reads 14");
    /* the manifest is right, the file is another */
    refused(json, model_path, other, CF_EMISMATCH, "14 bits per position", "expected 16");
    /* the transformer is another */
    util_golden(other, "inf-tiny-8b.safetensors");
    refused(json, other, vae_path, CF_EMISMATCH, "56 bits per token", "expected 16");
    json_decref(json);
    json_decref(mixed);
}

static void released_sizes_need_tokens_of_16_pixels(void **state)
{
    static const char sizes[] =
        "{\"templates\":\"released\",\"classes\":[\"0.06M\"],\"trained\":[\"0.06M\"]}";
    json_t *json = util_model_json("inf-tiny-8b", "vae-p8-d14", sizes);
    char model[UTIL_PATH], vae[UTIL_PATH];

    (void)state;
    util_golden(model, "inf-tiny-8b.safetensors");
    util_golden(vae, "vae-p8-d14.safetensors");
    ops->close(util_open(json, model, vae, dnn)); /* patch 8, patchify 2 */
    set(json, "vae", "patch", json_integer(4));
    refused(json, model, vae, CF_EMISMATCH, "16 pixels", "covers 8");
    json_decref(json);
}

static void released_sizes_are_taken_by_ratio_and_class(void **state)
{
    static const char sizes[] = "{\"templates\":\"released\",\"classes\":[\"0.06M\","
                                "\"1M\"],\"trained\":[\"1M\"]}";
    json_t *json = util_model_json("inf-tiny-2b", "vae-p16-d16", sizes);
    struct cf_gen *gen = util_open(json, model_path, vae_path, dnn);
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(gen, &p, 1, 9, &plan, &err), CF_OK);
    assert_int_equal(plan.width, 1024);
    assert_int_equal(plan.n_step, 13);
    p.width = 336;
    p.height = 224;
    assert_int_equal(ops->plan(gen, &p, 1, 9, &plan, &err), CF_OK);
    assert_int_equal(plan.n_step, 7);
    assert_int_equal(plan.width, 336);
    assert_int_equal(plan.rope_w, 78);
    assert_non_null(strstr(plan.note, "not trained"));
    ops->close(gen);
    json_decref(json);
}

static void unknown_and_missing_keys_are_named(void **state)
{
    static const char *const section[] = {"infinity", "vae", "sizes", "sampling"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        json_t *json = tiny();

        set(json, section[i], "colour", json_true());
        refused(json, model_path, vae_path, CF_EFORMAT, "colour", "");
        json_object_del(json, section[i]);
        refused(json, model_path, vae_path, CF_EFORMAT, section[i], "");
        json_decref(json);
    }
}

static void bad_geometry_is_refused_before_files_are_read(void **state)
{
    static const struct {
        const char *section, *key;
        int value;
        const char *says;
    } bad[] = {
        {"infinity", "num_heads", 3, "num_heads 3"},
        {"infinity", "num_heads", 32, "multiple of 4"},
        {"infinity", "pool_heads", 7, "pool_heads 7"},
        {"infinity", "block_chunks", 3, "block_chunks 3"},
        {"infinity", "depth", 0, "depth"},
        {"infinity", "bits", 65, "bits"},
        {"vae", "patch", 12, "patch 12"},
        {"vae", "patch", 32, "patch 32"},
        {"sampling", "top_k", -1, "top_k"},
        {"sampling", "tau", 0, "tau"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *json = tiny();

        set(json, bad[i].section, bad[i].key, json_integer(bad[i].value));
        refused(json, "/nonexistent", "/nonexistent", CF_EFORMAT, bad[i].says, "");
        json_decref(json);
    }
}

static void a_prompt_longer_than_the_null_text_is_refused(void **state)
{
    struct cf_text longer = util_text(40, DIM, 5);
    struct cf_gen_item it = {.cond = &longer};
    struct cf_error err = {0};
    json_t *json = tiny();
    struct cf_gen_state *st;
    struct cf_gen_params p;
    struct cf_arena arena;
    struct cf_plan plan;
    struct cf_gen *gen;

    (void)state;
    set(json, "infinity", "text_maxlen", json_integer(64)); /* the file has 32 rows */
    gen = util_open(json, model_path, vae_path, dnn);
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(gen, &p, 1, 40, &plan, &err), CF_OK);
    assert_int_equal(cf_arena_open(&arena, plan.arena_bytes, &err), CF_OK);
    assert_int_equal(ops->begin(gen, &plan, &it, &arena, NULL, NULL, &st, &err),
                     CF_ERANGE);
    assert_non_null(strstr(err.msg, "cfg_uncond has only 32"));
    cf_arena_close(&arena);
    p.n_guidance = 1; /* no unconditional rows, no limit but text_maxlen */
    p.guidance[0] = 1.0f;
    cf_free(util_run(gen, &p, &it, 1, NULL, NULL));
    it.cond = &text;
    it.negative = &longer; /* a prompt of one's own has no null text */
    p.n_guidance = 0;
    cf_free(util_run(gen, &p, &it, 1, NULL, NULL));
    ops->close(gen);
    cf_free(longer.features);
    json_decref(json);
}

static void null_text_is_cut_to_the_models_own_rows(void **state)
{
    json_t *json = tiny();
    uint8_t *whole = picture(json, model_path, vae_path);
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_plan plan;
    struct cf_gen *gen;

    (void)state;
    set(json, "infinity", "text_maxlen", json_integer(text.n)); /* the file has 32 */
    assert_same(whole, picture(json, model_path, vae_path), 1);
    gen = util_open(json, model_path, vae_path, dnn);
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(gen, &p, 1, text.n + 1, &plan, &err), CF_ERANGE);
    ops->close(gen);
    json_decref(json);
}

static void a_schedule_longer_than_the_level_embedding_is_refused(void **state)
{
    static const char sizes[] =
        "{\"scales\":[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],"
        "[1,1],[1,1],[1,1],[1,1],[1,1]],\"rope_grid\":[4,4]}";
    json_t *json = util_model_json("inf-tiny-2b", "vae-p16-d16", sizes);
    struct cf_gen *gen = util_open(json, model_path, vae_path, dnn);
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&p);
    assert_int_equal(ops->plan(gen, &p, 1, 9, &plan, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "lvl_embed has 15 rows"));
    ops->close(gen);
    json_decref(json);
}

static void default_lists_may_be_longer_than_the_schedule_but_not_shorter(void **state)
{
    json_t *json = tiny();
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_plan plan;
    struct cf_gen *gen;

    (void)state;
    cf_gen_params_default(&p);
    set(json, "sampling", "cfg", json_pack("[f, f, f, f, f, f]", 1., 2., 3., 4., 5., 6.));
    gen = util_open(json, model_path, vae_path, dnn);
    assert_int_equal(ops->plan(gen, &p, 1, 9, &plan, &err), CF_OK);
    assert_true(plan.step[3].guidance == 4.0f);
    ops->close(gen);
    set(json, "sampling", "cfg", json_pack("[f, f]", 1., 2.));
    gen = util_open(json, model_path, vae_path, dnn);
    assert_int_equal(ops->plan(gen, &p, 1, 9, &plan, &err), CF_ERANGE);
    ops->close(gen);
    json_decref(json);
}

/* ---- the VAE's file ---- */

static const char *flux_names(const char *old, char buf[256])
{
    char *p;

    snprintf(buf, 256, "%s", old);
    while ((p = strstr(buf, ".norm.")) != NULL)
        memmove(p, p + 5, strlen(p + 5) + 1);
    p = strstr(buf, ".conv.weight");
    if (p == NULL)
        p = strstr(buf, ".conv.bias");
    if (p != NULL)
        memmove(p, p + 5, strlen(p + 5) + 1);
    return buf;
}

static void vae_keys_are_read_with_and_without_the_inner_names(void **state)
{
    const char *path = util_path(dir, "flux.safetensors");
    json_t *json = tiny();

    (void)state;
    util_rewrite(path, vae_path, flux_names, "quantizer.lfq.mask");
    assert_same(picture(json, model_path, vae_path), picture(json, model_path, path), 1);
    json_decref(json);
}

static const char *vae_holes(const char *old, char buf[256])
{
    (void)buf;
    return strstr(old, "up.0.block.1.conv2") || strstr(old, "norm_out") ? NULL : old;
}

static void all_missing_tensors_of_the_vae_are_told_at_once(void **state)
{
    const char *path = util_path(dir, "vae.safetensors");
    json_t *json = tiny();

    (void)state;
    util_rewrite(path, vae_path, vae_holes, NULL);
    refused(json, model_path, path, CF_EMISMATCH, "4 tensors do not fit",
            "decoder.up.0.block.1.conv2.conv.weight: missing");
    json_decref(json);
}

static void half_an_encoder_is_refused(void **state)
{
    const char *path = util_path(dir, "half.safetensors");
    json_t *json = tiny();

    (void)state;
    util_rewrite(path, vae_path, NULL, "encoder.conv_out.conv.bias");
    refused(json, model_path, path, CF_EMISMATCH, "encoder.", "missing");
    json_decref(json);
}

static int setup(void **state)
{
    struct cf_error err = {0};

    (void)state;
    ops = cf_gen_find("infinity");
    if (ops == NULL || cf_dnn_open(&dnn, CF_CPU_AUTO, 1, &err) != CF_OK)
        return -1;
    util_golden(model_path, "inf-tiny-2b.safetensors");
    util_golden(vae_path, "vae-p16-d16.safetensors");
    dir = util_mkdir();
    text = util_text(6, DIM, 4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    util_rmdir(dir);
    cf_free(text.features);
    cf_dnn_close(dnn);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_chunk_is_named_blocks),
        cmocka_unit_test(level_embeddings_may_be_added_before_every_chunk),
        cmocka_unit_test(zero_biases_may_be_absent_and_buffers_present),
        cmocka_unit_test(a_tensor_nobody_knows_is_refused),
        cmocka_unit_test(all_missing_tensors_are_told_at_once),
        cmocka_unit_test(another_geometry_is_told_with_both_shapes),
        cmocka_unit_test(a_wrong_vae_is_told_in_one_sentence),
        cmocka_unit_test(released_sizes_need_tokens_of_16_pixels),
        cmocka_unit_test(released_sizes_are_taken_by_ratio_and_class),
        cmocka_unit_test(unknown_and_missing_keys_are_named),
        cmocka_unit_test(bad_geometry_is_refused_before_files_are_read),
        cmocka_unit_test(a_prompt_longer_than_the_null_text_is_refused),
        cmocka_unit_test(null_text_is_cut_to_the_models_own_rows),
        cmocka_unit_test(a_schedule_longer_than_the_level_embedding_is_refused),
        cmocka_unit_test(default_lists_may_be_longer_than_the_schedule_but_not_shorter),
        cmocka_unit_test(vae_keys_are_read_with_and_without_the_inner_names),
        cmocka_unit_test(all_missing_tensors_of_the_vae_are_told_at_once),
        cmocka_unit_test(half_an_encoder_is_refused),
    };

    return cmocka_run_group_tests_name("infinity files", tests, setup, teardown);
}
