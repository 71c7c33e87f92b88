#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/golden_fixture.h"
#include "tests/models_util.h"

void util_golden(char path[UTIL_PATH], const char *name)
{
    const char *top = getenv("CFGEN_SRCDIR");

    snprintf(path, UTIL_PATH, "%s/tests/golden/infinity/%s", top ? top : "..", name);
}

static json_t *fixture(const char *name)
{
    char path[UTIL_PATH], file[200];
    json_t *json;

    snprintf(file, sizeof(file), "%s.json", name);
    util_golden(path, file);
    json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    return json;
}

json_t *util_model_json(const char *model, const char *vae, const char *sizes)
{
    json_t *m = fixture(model), *v = fixture(vae), *json;
    char path[UTIL_PATH], file[200];
    struct cf_fixture f = {0};
    struct cf_ckpt *ckpt;

    if (sizes == NULL)
        sizes = "{\"scales\":[[1,1],[2,2],[4,4],[6,6]],\"rope_grid\":[64,64]}";
    snprintf(file, sizeof(file), "%s.safetensors", model);
    util_golden(path, file);
    assert_int_equal(cf_ckpt_open(&ckpt, path, &f.err), CF_OK);
    json =
        json_pack("{s:o, s:o, s:o, s:{s:f, s:f, s:i, s:f, s:[i]}}", "infinity",
                  cf_fixture_infinity_json(&f, json_object_get(m, "model_config"), ckpt),
                  "vae", cf_fixture_vae_json(&f, json_object_get(v, "vae_config")),
                  "sizes", json_loads(sizes, 0, NULL), "sampling", "cfg", 3.0, "tau", 1.0,
                  "top_k", 0, "top_p", 0.0, "cfg_insertion_layer", 0);
    assert_non_null(json);
    assert_string_equal(f.why, "");
    cf_ckpt_close(ckpt);
    json_decref(m);
    json_decref(v);
    return json;
}

void util_rewrite(const char *to, const char *from,
                  const char *(*name)(const char *old, char buf[256]), const char *extra)
{
    json_t *header = json_object();
    struct cf_error err = {0};
    struct cf_ckpt *ckpt;
    size_t at = 0;
    uint64_t len;
    char *text = NULL, buf[256];
    FILE *f = NULL;

    assert_int_equal(cf_ckpt_open(&ckpt, from, &err), CF_OK);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            if (extra != NULL)
                json_object_set_new(header, extra,
                                    json_pack("{s:s, s:[i], s:[I, I]}", "dtype", "F32",
                                              "shape", 2, "data_offsets", (json_int_t)at,
                                              (json_int_t)at + 8));
            text = json_dumps(header, JSON_COMPACT);
            len = strlen(text);
            f = fopen(to, "wb");
            assert_non_null(f);
            fwrite(&len, 8, 1, f); /* our machines are little-endian */
            fwrite(text, 1, len, f);
        }
        for (int i = 0; i < cf_ckpt_count(ckpt); i++) {
            const char *old = cf_ckpt_name(ckpt, i), *now = name ? name(old, buf) : old;
            const struct cf_view *v = cf_ckpt_find(ckpt, old);
            size_t size = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);
            json_t *shape = json_array();

            for (int k = 0; k < v->ndim; k++)
                json_array_append_new(shape, json_integer(v->dim[k]));
            if (now != NULL && pass == 0) {
                json_object_set_new(header, now,
                                    json_pack("{s:s, s:O, s:[I, I]}", "dtype",
                                              cf_dtype_name(v->dtype), "shape", shape,
                                              "data_offsets", (json_int_t)at,
                                              (json_int_t)(at + size)));
                at += size;
            } else if (now != NULL) {
                fwrite(v->data, 1, size, f);
            }
            json_decref(shape);
        }
    }
    if (extra != NULL)
        fwrite("\0\0\0\0\0\0\0\0", 1, 8, f);
    assert_int_equal(fclose(f), 0);
    free(text);
    json_decref(header);
    cf_ckpt_close(ckpt);
}

struct cf_gen *util_open(const json_t *json, const char *transformer, const char *vae,
                         struct cf_dnn *dnn)
{
    return util_open_held(json, transformer, vae, CF_HOLD_PACK, dnn);
}

struct cf_gen *util_open_held(const json_t *json, const char *transformer,
                              const char *vae, enum cf_hold hold, struct cf_dnn *dnn)
{
    struct cf_gen_files files = {json, transformer, vae, hold};
    struct cf_error err = {0};
    struct cf_gen *gen;

    if (cf_gen_find("infinity")->open(&gen, &files, dnn, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return gen;
}

struct cf_text util_text(int n, int dim, uint32_t seed)
{
    struct cf_text t = {.n = n, .dim = dim};

    t.features = cf_alloc((size_t)n * (size_t)dim, sizeof(float), NULL);
    assert_non_null(t.features);
    for (int i = 0; i < n * dim; i++)
        t.features[i] =
            4.0f * cf_rng_uniform(seed, CF_RNG_TEST, 9, (uint32_t)i, 0) - 2.0f;
    return t;
}

uint8_t *util_run(const struct cf_gen *gen, const struct cf_gen_params *params,
                  const struct cf_gen_item *item, int n, const struct cf_probe *probe,
                  struct cf_plan *out)
{
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    struct cf_error err = {0};
    struct cf_gen_state *st;
    struct cf_arena arena;
    struct cf_plan plan;
    uint8_t *rgb;
    size_t size;
    int longest = 1;

    for (int i = 0; i < n; i++) {
        longest = item[i].cond->n > longest ? item[i].cond->n : longest;
        if (item[i].negative != NULL && item[i].negative->n > longest)
            longest = item[i].negative->n;
    }
    if (ops->plan(gen, params, n, longest, &plan, &err) != CF_OK ||
        cf_arena_open(&arena, plan.arena_bytes, &err) != CF_OK ||
        ops->begin(gen, &plan, item, &arena, NULL, probe, &st, &err) != CF_OK)
        fail_msg("%s", err.msg);
    for (int k = 0; k < plan.n_step; k++)
        if (ops->step(st, k, &err) != CF_OK)
            fail_msg("%s", err.msg);
    size = (size_t)plan.width * (size_t)plan.height * 3;
    rgb = cf_alloc((size_t)n, size, &err);
    for (int i = 0; i < n; i++) {
        struct cf_image image = {rgb + (size_t)i * size, plan.width, plan.height,
                                 3 * (size_t)plan.width};

        if (ops->decode(st, i, &image, &err) != CF_OK)
            fail_msg("%s", err.msg);
    }
    assert_int_equal(arena.high, plan.arena_bytes);
    cf_arena_close(&arena);
    if (out != NULL)
        *out = plan;
    return rgb;
}
