/* golden_model.c - kind "model": a model directory of the source tree, prompts to pixels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/golden_fixture.h"
#include "weights/model.h"

enum { MAX_PROMPTS = 64 };

struct run {
    struct cf_fixture *f;
    struct cf_model *model;
    struct cf_gen *gen;
    struct cf_text text[MAX_PROMPTS];
    struct cf_gen_item item[MAX_PROMPTS];
    int batch, longest;
};

/* Encodes the prompts of the fixture; text[] is ours to free. */
static void encode(struct run *r)
{
    const json_t *list = json_object_get(r->f->json, "prompts");
    struct cf_prompt prompt[MAX_PROMPTS];
    struct cf_textenc *te = NULL;

    r->batch = (int)json_array_size(list);
    if (r->batch < 1 || r->batch > MAX_PROMPTS) {
        cf_fixture_fail(r->f, "json: %d prompts", r->batch);
        r->batch = 0;
        return;
    }
    for (int b = 0; b < r->batch; b++) {
        const json_t *p = json_array_get(list, (size_t)b);

        prompt[b] = (struct cf_prompt){json_string_value(p), json_string_length(p)};
        if (prompt[b].text == NULL) {
            cf_fixture_fail(r->f, "json: prompt %d is no text", b);
            return;
        }
    }
    if (cf_textenc_open(&te, r->f->dnn, json_object_get(r->model->json, "text"),
                        r->model->path[CF_PART_TEXT], r->model->path[CF_PART_VOCAB],
                        CF_HOLD_PACK, &r->f->err) != CF_OK ||
        cf_textenc_encode(te, prompt, r->batch, r->text, &r->f->err) != CF_OK)
        cf_fixture_fail(r->f, "%s", r->f->err.msg);
    cf_textenc_close(te);
}

static void ints_are(struct cf_fixture *f, const char *name, const int32_t *got,
                     const struct cf_view *want, int64_t start, int n)
{
    if (want == NULL)
        return;
    if (want->dtype != CF_I32 || start + n > want->dim[0] ||
        memcmp(got, (const char *)want->data + 4 * start, 4 * (size_t)n) != 0)
        cf_fixture_fail(f, "%s: not those recorded", name);
}

/* Token ids and features of every prompt are those recorded, packed without gaps. */
static void compare_texts(struct run *r)
{
    const struct cf_view *lens = cf_fixture_need(r->f, 1, (int64_t[]){r->batch}, "lens");
    const struct cf_view *ids = cf_fixture_need(r->f, 1, (int64_t[]){-1}, "ids");
    const struct cf_view *v =
        cf_fixture_need(r->f, 2, (int64_t[]){-1, r->text[0].dim}, "text");
    int64_t at = 0;

    for (int b = 0; b < r->batch; b++) {
        struct cf_text *t = &r->text[b];
        int32_t n = t->n;

        ints_are(r->f, "lens", &n, lens, b, 1);
        ints_are(r->f, "ids", t->ids, ids, at, t->n);
        cf_fixture_floats_are(r->f, "text", t->features, v, at * t->dim,
                              (int64_t)t->n * t->dim, 1e-4);
        at += t->n;
        r->longest = t->n > r->longest ? t->n : r->longest;
        r->item[b].cond = t;
        r->item[b].seed =
            (uint64_t)json_integer_value(json_object_get(r->f->json, "seed"));
    }
    if (v != NULL && at != v->dim[0])
        cf_fixture_fail(r->f, "text: %lld rows, recorded %lld", (long long)at,
                        (long long)v->dim[0]);
}

static void run_images(struct run *r)
{
    const struct cf_gen_ops *ops = cf_gen_find(r->model->generator);
    struct cf_fixture_probe watch = {r->f, 0, r->batch};
    struct cf_probe probe = {cf_fixture_see, &watch};
    struct cf_error *err = &r->f->err;
    const json_t *json = r->f->json;
    struct cf_gen_files files = {r->model->json, r->model->path[CF_PART_TRANSFORMER],
                                 r->model->path[CF_PART_VAE], CF_HOLD_PACK};
    struct cf_gen_state *state;
    struct cf_gen_params params;
    struct cf_arena arena = {0};
    struct cf_image image = {0};
    struct cf_plan plan;

    cf_gen_params_default(&params);
    params.guidance[0] = (float)json_number_value(json_object_get(json, "cfg"));
    params.temperature[0] = (float)json_number_value(json_object_get(json, "tau"));
    params.n_guidance = params.n_temperature = 1;
    params.top_k = cf_fixture_int(r->f, json, "top_k");
    params.top_p = 0.0f;
    if (ops == NULL)
        cf_fail(err, CF_EUNSUP, "generator %s", r->model->generator);
    else if (ops->open(&r->gen, &files, r->f->dnn, err) == CF_OK &&
             ops->plan(r->gen, &params, r->batch, r->longest, &plan, err) == CF_OK &&
             cf_arena_open(&arena, plan.arena_bytes, err) == CF_OK &&
             ops->begin(r->gen, &plan, r->item, &arena, NULL, &probe, &state, err) ==
                 CF_OK) {
        for (int k = 0; k < plan.n_step && err->status == CF_OK; k++)
            ops->step(state, k, err);
        image = (struct cf_image){NULL, plan.width, plan.height, 3 * (size_t)plan.width};
        image.rgb = cf_alloc((size_t)image.h, image.stride, err);
        for (; watch.image < r->batch && err->status == CF_OK; watch.image++)
            ops->decode(state, watch.image, &image, err);
    }
    if (err->status != CF_OK)
        cf_fixture_fail(r->f, "%s", err->msg);
    cf_free(image.rgb);
    cf_arena_close(&arena);
    if (ops != NULL)
        ops->close(r->gen);
}

static int each(void *ctx, const char *dir, const char *base, json_t *json)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const char *name = json_string_value(json_object_get(json, "model"));
    const char *top = getenv("CFGEN_SRCDIR");
    struct cf_golden *g = ctx;
    struct cf_fixture f;
    struct run r = {.f = &f};
    char path[1024];

    if (strcmp(kind, "model") != 0)
        return 0;
    cf_fixture_open(&f, dir, base, json, g->threads);
    snprintf(path, sizeof(path), "%s/models/%s", top ? top : CF_GOLDEN_SRCDIR,
             name ? name : "?");
    if (f.why[0] == '\0' && cf_model_open(&r.model, path, CF_MODEL_FULL, &f.err) != CF_OK)
        cf_fixture_fail(&f, "%s", f.err.msg);
    if (f.why[0] == '\0')
        encode(&r);
    if (f.why[0] == '\0')
        compare_texts(&r);
    if (f.why[0] == '\0')
        run_images(&r);
    cf_model_close(r.model);
    for (int b = 0; b < r.batch; b++)
        cf_text_free(&r.text[b]);
    cf_fixture_close(&f, g);
    return 1;
}

int cf_golden_model(struct cf_golden *g, const char *dir)
{
    return cf_fixture_walk(dir, each, g);
}
