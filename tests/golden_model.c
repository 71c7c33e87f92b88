/* golden_model.c - kind "model": a model directory of the source tree, prompts to pixels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/golden_fixture.h"
#include "weights/model.h"

struct run {
    struct cf_fixture *f;
    struct cf_model *model;
    struct cf_gen *gen;
    struct cf_text text[64];
    struct cf_gen_item item[64];
    float *features;
    int batch, longest;
};

static void read_texts(struct run *r)
{
    const struct cf_view *lens = cf_fixture_need(r->f, 1, (int64_t[]){-1}, "lens");
    const struct cf_view *v = cf_fixture_need(r->f, 2, (int64_t[]){-1, -1}, "text");
    int64_t at = 0;

    if (lens == NULL || v == NULL || lens->dtype != CF_I32 || lens->dim[0] > 64 ||
        (r->features = cf_fixture_floats(r->f, v)) == NULL) {
        cf_fixture_fail(r->f, "lens: expected I32, up to 64 prompts");
        return;
    }
    r->batch = (int)lens->dim[0];
    for (int b = 0; b < r->batch; b++) {
        struct cf_text *t = &r->text[b];
        int32_t n;

        memcpy(&n, (const char *)lens->data + 4 * b, 4);
        t->n = n;
        t->dim = (int)v->dim[1];
        t->features = r->features + at * v->dim[1];
        at += n;
        r->longest = n > r->longest ? n : r->longest;
        r->item[b].cond = t;
        r->item[b].seed =
            (uint64_t)json_integer_value(json_object_get(r->f->json, "seed"));
    }
    if (at != v->dim[0])
        cf_fixture_fail(r->f, "lens: do not add up to the rows of text");
}

static void run_images(struct run *r)
{
    const struct cf_gen_ops *ops = cf_gen_find(r->model->generator);
    struct cf_fixture_probe watch = {r->f, 0, r->batch};
    struct cf_probe probe = {cf_fixture_see, &watch};
    struct cf_error *err = &r->f->err;
    const json_t *json = r->f->json;
    struct cf_gen_files files = {r->model->json, r->model->path[CF_PART_TRANSFORMER],
                                 r->model->path[CF_PART_VAE]};
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
    if (f.why[0] == '\0' && cf_model_open(&r.model, path, true, &f.err) != CF_OK)
        cf_fixture_fail(&f, "%s", f.err.msg);
    if (f.why[0] == '\0')
        read_texts(&r);
    if (f.why[0] == '\0')
        run_images(&r);
    cf_model_close(r.model);
    cf_free(r.features);
    cf_fixture_find(&f, "ids"); /* token ids: the text encoder's half */
    cf_fixture_close(&f, g);
    return 1;
}

int cf_golden_model(struct cf_golden *g, const char *dir)
{
    return cf_fixture_walk(dir, each, g);
}
