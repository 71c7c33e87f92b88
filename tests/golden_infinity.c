/* golden_infinity.c - fixtures of the Infinity transformer; see tests/golden/infinity. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/golden_fixture.h"

/* ---- weights: the listing is right, and the model opens with nothing left over ---- */

static void listing(struct cf_fixture *f)
{
    const char *name;
    json_t *t;

    json_object_foreach(json_object_get(f->json, "tensors"), name, t)
    {
        const struct cf_view *v = cf_fixture_find(f, "%s", name);
        const json_t *shape = json_object_get(t, "shape");
        const json_t *most = json_object_get(t, "max_abs_value");
        float *values, top = 0.0f, want;
        int same = v != NULL && json_array_size(shape) == (size_t)v->ndim;

        for (int i = 0; same && i < v->ndim; i++)
            same = json_integer_value(json_array_get(shape, (size_t)i)) == v->dim[i];
        if (!same) {
            cf_fixture_fail(f, "%s: not as listed", name);
            return;
        }
        if (most == NULL || (values = cf_fixture_floats(f, v)) == NULL)
            continue;
        for (int64_t i = 0; i < cf_view_count(v); i++)
            top = fmaxf(top, fabsf(values[i]));
        want = (float)json_number_value(most);
        if (top != want)
            cf_fixture_fail(f, "%s: largest value %g, listed %g", name, (double)top,
                            (double)want);
        cf_free(values);
    }
}

static void transformer_weights(struct cf_fixture *f)
{
    json_t *json =
        cf_fixture_infinity_json(f, json_object_get(f->json, "model_config"), f->file);
    struct cf_inf_weights w = {0};
    struct cf_inf_shape shape;

    listing(f);
    if (cf_inf_parse(&shape, json, &f->err) != CF_OK)
        cf_fixture_fail(f, "%s", f->err.msg);
    else if (cf_inf_weights_open(&w, &shape, f->file, f->dnn, CF_HOLD_PACK, &f->err) !=
             CF_OK)
        cf_fixture_fail(f, "%s", f->err.msg);
    cf_inf_weights_close(&w, f->err.status == CF_OK || w.block ? shape.depth : 0);
    for (int i = 0; i < cf_ckpt_count(f->file); i++)
        cf_fixture_find(f, "%s",
                        cf_ckpt_name(f->file, i)); /* bound, or the open failed */
    json_decref(json);
}

static void vae_weights(struct cf_fixture *f)
{
    const json_t *config = json_object_get(f->json, "vae_config");
    json_t *json = cf_fixture_vae_json(f, config);
    struct cf_vae *vae = NULL;
    struct cf_vae_shape shape;

    listing(f);
    if (cf_vae_parse(&shape, json, &f->err) != CF_OK ||
        cf_vae_open(&vae, &shape, cf_ckpt_path(f->file), f->dnn, &f->err) != CF_OK)
        cf_fixture_fail(f, "%s", f->err.msg);
    else if (json_object_get(config, "has_encoder") != NULL &&
             cf_vae_has_encoder(vae) != cf_fixture_int(f, config, "has_encoder"))
        cf_fixture_fail(f, "encoder: found %d", cf_vae_has_encoder(vae));
    for (int i = 0; i < cf_ckpt_count(f->file); i++)
        cf_fixture_find(f, "%s", cf_ckpt_name(f->file, i));
    cf_vae_close(vae);
    json_decref(json);
}

/* ---- generate ---- */

struct run {
    struct cf_fixture *f;
    struct cf_gen *gen;
    struct cf_gen_params params;
    struct cf_gen_item *item;
    struct cf_text *text, *negative;         /* [batch] */
    const uint8_t *(*forced)[CF_MAX_SCALES]; /* [batch] */
    float *features, *neg_features;
    int batch, longest;
};

static json_t *sizes_json(struct cf_fixture *f)
{
    double ratio = json_number_value(json_object_get(f->json, "h_div_w"));
    struct cf_scale scale[CF_MAX_SCALES];
    struct cf_scale rope;
    json_t *list = json_array();
    int n = cf_fixture_schedule(f, json_object_get(f->json, "schedule"), scale);

    if (ratio <= 0.0 && n > 0)
        ratio = (double)scale[n - 1].h / scale[n - 1].w;
    rope = cf_templates[cf_template_nearest(ratio)].scale[CF_TEMPLATE_SCALES - 1];
    for (int s = 0; s < n; s++)
        json_array_append_new(list, json_pack("[i, i]", scale[s].h, scale[s].w));
    return json_pack("{s:o, s:[i, i]}", "scales", list, "rope_grid", rope.h, rope.w);
}

static void open_model(struct run *r)
{
    struct cf_fixture *f = r->f;
    char model_path[2304], vae_path[2304];
    json_t *model = cf_fixture_other(f, "model", model_path);
    json_t *vae = cf_fixture_other(f, "vae", vae_path), *json = NULL;
    struct cf_gen_files files = {
        .transformer = model_path, .vae = vae_path, .hold = f->form.hold};
    struct cf_ckpt *weights = NULL;

    if (model == NULL || vae == NULL)
        goto out;
    if (cf_ckpt_open(&weights, model_path, &f->err) != CF_OK) {
        cf_fixture_fail(f, "%s", f->err.msg);
        goto out;
    }
    json = json_pack(
        "{s:o, s:o, s:o, s:{s:i, s:i, s:i, s:i, s:[i]}}", "infinity",
        cf_fixture_infinity_json(f, json_object_get(model, "model_config"), weights),
        "vae", cf_fixture_vae_json(f, json_object_get(vae, "vae_config")), "sizes",
        sizes_json(f), "sampling", "cfg", 1, "tau", 1, "top_k", 0, "top_p", 0,
        "cfg_insertion_layer", 0);
    files.json = json;
    if (cf_gen_find("infinity")->open(&r->gen, &files, f->dnn, &f->err) != CF_OK)
        cf_fixture_fail(f, "%s", f->err.msg);
out:
    cf_ckpt_close(weights);
    json_decref(json);
    json_decref(model);
    json_decref(vae);
}

static int list_of(struct cf_fixture *f, const char *key, float *out, int n)
{
    const json_t *list = json_object_get(f->json, key);

    if ((int)json_array_size(list) < n)
        cf_fixture_fail(f, "json: %s has %zu values for %d scales", key,
                        json_array_size(list), n);
    for (int i = 0; i < n; i++)
        out[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return n;
}

static void read_params(struct run *r)
{
    struct cf_fixture *f = r->f;
    const json_t *insert = json_object_get(f->json, "cfg_insertion_layer");
    int n = (int)json_array_size(json_object_get(f->json, "schedule"));

    cf_gen_params_default(&r->params);
    r->params.n_guidance = list_of(f, "cfg_list", r->params.guidance, n);
    r->params.n_temperature = list_of(f, "tau_list", r->params.temperature, n);
    r->params.n_insert = (int)json_array_size(insert);
    for (int i = 0; i < r->params.n_insert && i < CF_MAX_INSERT; i++)
        r->params.insert[i] = (int)json_integer_value(json_array_get(insert, (size_t)i));
    r->params.top_k = cf_fixture_int(f, f->json, "top_k");
    r->params.top_p = (float)json_number_value(json_object_get(f->json, "top_p"));
    r->params.kv_type = (int)f->form.kv;
}

/* Texts of all prompts from one packed tensor. */
static float *texts(struct run *r, const char *tensor, const char *lens,
                    struct cf_text *text)
{
    const json_t *list = json_object_get(r->f->json, lens);
    const struct cf_view *v = cf_fixture_need(r->f, 2, (int64_t[]){-1, -1}, "%s", tensor);
    float *all = cf_fixture_floats(r->f, v);
    int64_t at = 0;

    if ((int)json_array_size(list) != r->batch)
        cf_fixture_fail(r->f, "json: %s has %zu entries", lens, json_array_size(list));
    for (int b = 0; all != NULL && b < r->batch; b++) {
        text[b].n = (int)json_integer_value(json_array_get(list, (size_t)b));
        text[b].dim = (int)v->dim[1];
        text[b].features = all + at * v->dim[1];
        at += text[b].n;
        r->longest = text[b].n > r->longest ? text[b].n : r->longest;
    }
    if (all != NULL && at != v->dim[0])
        cf_fixture_fail(r->f, "json: %s do not add up to the rows of %s", lens, tensor);
    return all;
}

static void read_items(struct run *r)
{
    struct cf_fixture *f = r->f;
    const json_t *neg = json_object_get(f->json, "neg_lens");
    const char *bits = f->form.exact ? "in.gt_bits%d" : "sc%d.bits";
    int forced = f->form.exact
                     ? cf_fixture_int(f, f->json, "gt_leak")
                     : (int)json_array_size(json_object_get(f->json, "schedule"));

    for (int b = 0; b < r->batch; b++) {
        r->item[b].cond = &r->text[b];
        r->item[b].n_forced = forced;
        r->item[b].forced = forced > 0 ? r->forced[b] : NULL;
    }
    r->features = texts(r, "in.text", "text_lens", r->text);
    if (json_is_array(neg)) {
        r->neg_features = texts(r, "in.neg_text", "neg_lens", r->negative);
        for (int b = 0; b < r->batch; b++)
            r->item[b].negative = &r->negative[b];
    }
    for (int s = 0; s < forced && s < CF_MAX_SCALES; s++) {
        const struct cf_view *v;
        char name[32];

        snprintf(name, sizeof(name), bits, s);
        v = cf_fixture_need(f, 4, (int64_t[]){r->batch, -1, -1, -1}, "%s", name);
        for (int b = 0; v != NULL && b < r->batch; b++)
            r->forced[b][s] =
                (const uint8_t *)v->data + b * (cf_view_count(v) / r->batch);
    }
}

/* A probe that compares logits alone; the other tensors count as looked at. */
static void see_logits(void *ctx, const char *name, const float *v, const uint8_t *u8,
                       int ndim, const int64_t *dim)
{
    struct cf_fixture_probe *p = ctx;
    const struct cf_view *want = cf_fixture_find(p->f, "%s", name);
    int64_t n = 1;

    (void)u8;
    if (want == NULL || strstr(name, ".logits") == NULL)
        return;
    for (int i = 0; i < ndim; i++)
        n *= dim[i];
    if (n == cf_view_count(want))
        cf_fixture_floats_are_near(p->f, name, v, want, p->f->form.tolerance);
    else
        cf_fixture_fail(p->f, "%s: %lld values, recorded %lld", name, (long long)n,
                        (long long)cf_view_count(want));
}

static void run_images(struct run *r)
{
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    struct cf_fixture_probe watch = {r->f, 0, r->batch};
    struct cf_probe probe = {r->f->form.exact ? cf_fixture_see : see_logits, &watch};
    struct cf_error *err = &r->f->err;
    struct cf_gen_state *state;
    struct cf_arena arena = {0};
    struct cf_image image = {0};
    struct cf_plan plan;

    if (ops->plan(r->gen, &r->params, r->batch, r->longest, &plan, err) != CF_OK ||
        cf_arena_open(&arena, plan.arena_bytes, err) != CF_OK ||
        ops->begin(r->gen, &plan, r->item, &arena, NULL, &probe, &state, err) != CF_OK)
        goto out;
    for (int k = 0; k < plan.n_step; k++)
        if (ops->step(state, k, err) != CF_OK)
            goto out;
    image.w = plan.width;
    image.h = plan.height;
    image.stride = 3 * (size_t)image.w;
    image.rgb = cf_alloc((size_t)image.h, image.stride, err);
    for (watch.image = 0; image.rgb != NULL && watch.image < r->batch; watch.image++)
        if (ops->decode(state, watch.image, &image, err) != CF_OK)
            goto out;
    if (arena.high != plan.arena_bytes)
        cf_fixture_fail(r->f, "%zu bytes planned, %zu used", plan.arena_bytes,
                        arena.high);
out:
    if (err->status != CF_OK)
        cf_fixture_fail(r->f, "%s", err->msg);
    cf_free(image.rgb);
    cf_arena_close(&arena);
}

static void generate(struct cf_fixture *f)
{
    struct run r = {.f = f, .batch = cf_fixture_int(f, f->json, "batch")};

    if (r.batch < 1 || r.batch > 1000) {
        cf_fixture_fail(f, "json: batch %d", r.batch);
        return;
    }
    r.item = calloc((size_t)r.batch, sizeof(*r.item));
    r.text = calloc((size_t)r.batch, sizeof(*r.text));
    r.negative = calloc((size_t)r.batch, sizeof(*r.negative));
    r.forced = calloc((size_t)r.batch, sizeof(*r.forced));
    for (int i = 0; !f->form.exact && i < cf_ckpt_count(f->file); i++)
        cf_fixture_find(f, "%s", cf_ckpt_name(f->file, i));
    open_model(&r);
    read_params(&r);
    read_items(&r);
    if (f->why[0] == '\0')
        run_images(&r);
    cf_gen_find("infinity")->close(r.gen);
    free(r.item);
    free(r.text);
    free(r.negative);
    free(r.forced);
    cf_free(r.features);
    cf_free(r.neg_features);
}

/* ---- all kinds ---- */

static int each(void *ctx, const char *dir, const char *base, json_t *json)
{
    static const struct {
        const char *kind;
        void (*run)(struct cf_fixture *f);
    } table[] = {
        {"transformer-weights", transformer_weights},
        {"vae-weights", vae_weights},
        {"generate", generate},
        {"codec", cf_golden_codec},
        {"bit-self-correction", cf_golden_bsc},
        {"rope", cf_golden_rope},
        {"sampling", cf_golden_sampling},
    };
    const char *kind = json_string_value(json_object_get(json, "kind"));
    struct cf_golden *g = ctx;
    struct cf_fixture f;

    if (strcmp(kind, "model") == 0)
        return 0; /* golden_model.c */
    cf_fixture_open(&f, dir, base, json, g->threads);
    f.form.exact = 1; /* packed, keys and values in f32 */
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(kind, table[i].kind) == 0) {
            if (f.why[0] == '\0')
                table[i].run(&f);
            cf_fixture_close(&f, g);
            return 1;
        }
    cf_fixture_fail(&f, "unknown kind \"%s\"", kind);
    cf_fixture_close(&f, g);
    return 1;
}

struct formed {
    struct cf_golden *g;
    const struct cf_golden_form *form;
};

static int each_generate(void *ctx, const char *dir, const char *base, json_t *json)
{
    const struct formed *as = ctx;
    struct cf_fixture f;

    if (strcmp(json_string_value(json_object_get(json, "kind")), "generate") != 0)
        return 0;
    cf_fixture_open(&f, dir, base, json, as->g->threads);
    f.form = *as->form;
    if (f.why[0] == '\0')
        generate(&f);
    cf_fixture_close(&f, as->g);
    return 1;
}

int cf_golden_generate(struct cf_golden *g, const char *dir,
                       const struct cf_golden_form *form)
{
    struct formed as = {g, form};

    return cf_fixture_walk(dir, each_generate, &as);
}

int cf_golden_infinity(struct cf_golden *g, const char *dir)
{
    return cf_fixture_walk(dir, each, g);
}
