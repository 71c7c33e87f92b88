#include "pipeline/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"
#include "models/schedule.h"
#include "pipeline/engine.h"

/* A number, or a list of them, or nothing. */
static enum cf_status floats(const json_t *o, const char *key, float *dst, int *n,
                             struct cf_error *err)
{
    const json_t *v = json_object_get(o, key);

    if (!v)
        return CF_OK;
    if (json_is_number(v)) {
        dst[0] = (float)json_number_value(v);
        *n = 1;
        return CF_OK;
    }
    if (!json_is_array(v) || json_array_size(v) < 1 || json_array_size(v) > CF_MAX_STEPS)
        return cf_fail(err, CF_EFORMAT, "recipe: %s: expected a number or 1..%d numbers",
                       key, CF_MAX_STEPS);
    *n = (int)json_array_size(v);
    for (int i = 0; i < *n; i++) {
        const json_t *e = json_array_get(v, (size_t)i);

        if (!json_is_number(e))
            return cf_fail(err, CF_EFORMAT, "recipe: %s[%d] is not a number", key, i);
        dst[i] = (float)json_number_value(e);
    }
    return CF_OK;
}

static enum cf_status insertion(const json_t *o, struct cf_gen_params *p,
                                struct cf_error *err)
{
    const json_t *v = json_object_get(o, "cfg_insertion_layer");

    if (!v)
        return CF_OK;
    if (!json_is_array(v) || json_array_size(v) < 1 || json_array_size(v) > CF_MAX_INSERT)
        return cf_fail(err, CF_EFORMAT,
                       "recipe: cfg_insertion_layer: expected a list of 1..%d layers",
                       CF_MAX_INSERT);
    p->n_insert = (int)json_array_size(v);
    for (int i = 0; i < p->n_insert; i++) {
        const json_t *e = json_array_get(v, (size_t)i);

        if (!json_is_integer(e) || json_integer_value(e) > 0 ||
            json_integer_value(e) < -1000)
            return cf_fail(err, CF_EFORMAT,
                           "recipe: cfg_insertion_layer[%d]: expected 0 or -1, -2, ...",
                           i);
        p->insert[i] = (int)json_integer_value(e);
    }
    return CF_OK;
}

static enum cf_status webp(const json_t *o, struct cf_webp *w, struct cf_error *err)
{
    int64_t method;
    double q;

    if (json_object_get(o, "lossless"))
        CF_TRY(cf_json_bool(o, "lossless", &w->lossless, "recipe", err));
    if (json_object_get(o, "sharp_yuv"))
        CF_TRY(cf_json_bool(o, "sharp_yuv", &w->sharp_yuv, "recipe", err));
    if (json_object_get(o, "quality")) {
        CF_TRY(cf_json_num(o, "quality", 0, 100, &q, "recipe", err));
        w->quality = (float)q;
    }
    if (json_object_get(o, "method")) {
        CF_TRY(cf_json_int(o, "method", 0, 6, &method, "recipe", err));
        w->method = (int)method;
    }
    return cf_webp_check(w, err);
}

/* A copy of the text that key has; NULL where it has none. */
static enum cf_status text(const json_t *o, const char *key, char **out,
                           struct cf_error *err)
{
    const char *v;

    if (!json_object_get(o, key))
        return CF_OK;
    CF_TRY(cf_json_str(o, key, &v, "recipe", err));
    *out = cf_strdup(v, err);
    return *out ? CF_OK : CF_ENOMEM;
}

/* The image whose scales are kept. A record tells its hash and not where it lies, so
 * without a path only the hash is required to come with the number. */
static enum cf_status init(struct cf_settings *r, const json_t *o, struct cf_error *err)
{
    const char *sha256;
    int64_t keep;

    CF_TRY(text(o, "init_image", &r->init, err));
    if (json_object_get(o, "keep_scales")) {
        CF_TRY(cf_json_int(o, "keep_scales", 1, CF_MAX_STEPS, &keep, "recipe", err));
        r->keep = (int)keep;
    }
    if (json_object_get(o, "init_sha256")) {
        CF_TRY(cf_json_str(o, "init_sha256", &sha256, "recipe", err));
        snprintf(r->init_sha256, sizeof r->init_sha256, "%s", sha256);
    }
    if (!r->keep != !(r->init || r->init_sha256[0]))
        return cf_fail(err, CF_EFORMAT, "recipe: init_image and keep_scales go together");
    return CF_OK;
}

static enum cf_status fill(struct cf_settings *r, const json_t *o, struct cf_error *err)
{
    int64_t top_k, skip;
    double top_p;
    bool strict;
    char *kv = NULL;

    CF_TRY(text(o, "model", &r->model, err));
    CF_TRY(text(o, "size", &r->size, err));
    CF_TRY(text(o, "kv_type", &kv, err));
    if (kv && cf_kv_parse(kv, &r->params.kv_type, "recipe: kv_type", err) != CF_OK) {
        cf_free(kv);
        return err->status;
    }
    cf_free(kv);
    CF_TRY(init(r, o, err));
    if (json_object_get(o, "positive_prompt"))
        CF_TRY(cf_json_bool(o, "positive_prompt", &r->positive, "recipe", err));
    CF_TRY(floats(o, "cfg", r->params.guidance, &r->params.n_guidance, err));
    CF_TRY(floats(o, "tau", r->params.temperature, &r->params.n_temperature, err));
    CF_TRY(floats(o, "flip_bits", r->params.flip, &r->params.n_flip, err));
    CF_TRY(floats(o, "prune_tokens", r->params.prune, &r->params.n_prune, err));
    CF_TRY(insertion(o, &r->params, err));
    if (json_object_get(o, "cfg_skip")) {
        CF_TRY(cf_json_int(o, "cfg_skip", 0, CF_MAX_STEPS, &skip, "recipe", err));
        r->params.cfg_skip = (int)skip;
    }
    if (json_object_get(o, "top_k")) {
        CF_TRY(cf_json_int(o, "top_k", 0, 1 << 30, &top_k, "recipe", err));
        r->params.top_k = (int)top_k;
    }
    if (json_object_get(o, "top_p")) {
        CF_TRY(cf_json_num(o, "top_p", 0, 1, &top_p, "recipe", err));
        r->params.top_p = (float)top_p;
    }
    if (json_object_get(o, "strict_size")) {
        CF_TRY(cf_json_bool(o, "strict_size", &strict, "recipe", err));
        r->params.strict_size = strict;
    }
    return webp(o, &r->webp, err);
}

enum cf_status cf_settings_read(struct cf_settings *r, const char *json, int width,
                                int height, struct cf_error *err)
{
    json_t *o = cf_json_parse(json, strlen(json), 10000, "recipe", err);
    enum cf_status st;

    memset(r, 0, sizeof *r);
    cf_gen_params_default(&r->params);
    cf_webp_default(&r->webp);
    r->params.width = width;
    r->params.height = height;
    if (!o)
        return err->status;
    st = json_is_object(o) ? fill(r, o, err)
                           : cf_fail(err, CF_EFORMAT, "recipe: expected a JSON object");
    json_decref(o);
    if (width) { /* pixels go before a name */
        cf_free(r->size);
        r->size = NULL;
    }
    if (st != CF_OK)
        cf_settings_free(r);
    return st;
}

void cf_settings_free(struct cf_settings *r)
{
    cf_free(r->model);
    cf_free(r->size);
    cf_free(r->init);
    r->model = r->size = r->init = NULL;
}

enum cf_status cf_kv_parse(const char *word, int *kv_type, const char *what,
                           struct cf_error *err)
{
    static const char *const words[] = {"f32", "bf16", NULL};
    int n;

    CF_TRY(cf_parse_word(word, words, &n, what, err));
    *kv_type = n ? CF_BF16 : CF_F32;
    return CF_OK;
}

enum cf_status cf_settings_size(struct cf_settings *r, const struct cf_model *model,
                                struct cf_error *err)
{
    struct cf_size_name name;
    struct cf_sizes sizes;
    json_t *section;

    if (!r->size)
        return CF_OK;
    if (!cf_size_name_read(r->size, &name))
        return cf_fail(err, CF_EFORMAT, "recipe: size \"%.40s\" is no size by name",
                       r->size);
    CF_TRY(cf_json_obj(model->json, "sizes", &section, "model.json", err));
    CF_TRY(cf_sizes_parse(&sizes, section, err));
    if (cf_sizes_named(&sizes, &name, &r->params.width, &r->params.height, err) != CF_OK)
        return cf_wrap(err, "recipe");
    cf_free(r->size);
    r->size = NULL;
    return CF_OK;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool cf_settings_same_model(const struct cf_settings *a, const struct cf_settings *b)
{
    return same(a->model, b->model);
}

bool cf_settings_same_group(const struct cf_settings *a, const struct cf_settings *b)
{
    const struct cf_gen_params *p = &a->params, *q = &b->params;

    if (!same(a->model, b->model) || !same(a->size, b->size))
        return false;
    return p->kv_type == q->kv_type && p->width == q->width && p->height == q->height &&
           p->top_k == q->top_k && p->top_p == q->top_p &&
           p->strict_size == q->strict_size && p->n_guidance == q->n_guidance &&
           p->n_temperature == q->n_temperature && p->n_insert == q->n_insert &&
           p->n_flip == q->n_flip && p->cfg_skip == q->cfg_skip &&
           p->n_prune == q->n_prune &&
           memcmp(p->guidance, q->guidance, (size_t)p->n_guidance * sizeof(float)) == 0 &&
           memcmp(p->temperature, q->temperature,
                  (size_t)p->n_temperature * sizeof(float)) == 0 &&
           memcmp(p->insert, q->insert, (size_t)p->n_insert * sizeof(int)) == 0 &&
           memcmp(p->flip, q->flip, (size_t)p->n_flip * sizeof(float)) == 0 &&
           memcmp(p->prune, q->prune, (size_t)p->n_prune * sizeof(float)) == 0;
}

static float field(const struct cf_step *s, enum cf_step_field which)
{
    return which == CF_STEP_GUIDANCE      ? s->guidance
           : which == CF_STEP_TEMPERATURE ? s->temperature
                                          : s->flip;
}

static bool all_equal(const struct cf_plan *plan, enum cf_step_field which)
{
    for (int k = 1; k < plan->n_step; k++)
        if (field(&plan->step[k], which) != field(&plan->step[0], which))
            return false;
    return true;
}

/* The shortest decimal that reads back as the same float. */
static void shortest(char *buf, size_t size, float v)
{
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(buf, size, "%.*g", digits, (double)v);
        if (strtof(buf, NULL) == v)
            return;
    }
}

char *cf_plan_list(const struct cf_plan *plan, enum cf_step_field which,
                   struct cf_error *err)
{
    int n = all_equal(plan, which) ? 1 : plan->n_step;
    char *s = cf_alloc((size_t)n + 1, 16, err);
    size_t at = 0, room = 16 * ((size_t)n + 1);

    for (int k = 0; s && k < n; k++) {
        char num[16];

        shortest(num, sizeof num, field(&plan->step[k], which));
        at += (size_t)snprintf(s + at, room - at, "%s%s", k ? "," : "", num);
    }
    return s;
}

/* A float as the number its shortest decimal names, so that JSON shows 0.3 and not
 * 0.30000001192092896. */
static json_t *number(float v)
{
    char buf[32];

    shortest(buf, sizeof buf, v);
    return json_real(strtod(buf, NULL));
}

static json_t *list(const struct cf_plan *plan, enum cf_step_field which)
{
    json_t *a;

    if (all_equal(plan, which))
        return number(field(&plan->step[0], which));
    a = json_array();
    for (int k = 0; a && k < plan->n_step; k++)
        json_array_append_new(a, number(field(&plan->step[k], which)));
    return a;
}

static json_t *webp_json(const struct cf_webp *w)
{
    json_t *o = json_object();

    json_object_set_new(o, "lossless", json_boolean(w->lossless));
    json_object_set_new(o, "quality", number(w->quality));
    json_object_set_new(o, "method", json_integer(w->method));
    if (!w->lossless)
        json_object_set_new(o, "sharp_yuv", json_boolean(w->sharp_yuv));
    return o;
}

/* Approximations, where there are any. */
static void put_shortcuts(json_t *o, const struct cf_gen_params *p)
{
    json_t *prune = json_array();

    if (p->cfg_skip)
        json_object_set_new(o, "cfg_skip", json_integer(p->cfg_skip));
    for (int i = 0; i < p->n_prune; i++)
        json_array_append_new(prune, number(p->prune[i]));
    if (p->n_prune)
        json_object_set(o, "prune_tokens", prune);
    json_decref(prune);
}

char *cf_settings_resolved(const struct cf_plan *plan, const struct cf_webp *w,
                           const char *generator, const struct cf_request *req,
                           struct cf_error *err)
{
    json_t *o = json_object(), *scales = json_array(), *insert = json_array();
    char *out;

    for (int k = 0; k < plan->n_step; k++)
        json_array_append_new(scales,
                              json_pack("[ii]", plan->step[k].h, plan->step[k].w));
    for (int i = 0; i < plan->params.n_insert; i++)
        json_array_append_new(insert, json_integer(plan->params.insert[i]));
    json_object_set_new(o, "generator", json_string(generator));
    json_object_set_new(o, "cfg", list(plan, CF_STEP_GUIDANCE));
    json_object_set_new(o, "tau", list(plan, CF_STEP_TEMPERATURE));
    if (!all_equal(plan, CF_STEP_FLIP) || plan->step[0].flip > 0)
        json_object_set_new(o, "flip_bits", list(plan, CF_STEP_FLIP));
    put_shortcuts(o, &plan->params);
    if (req->init && req->keep) {
        json_object_set_new(o, "keep_scales", json_integer(req->keep));
        json_object_set_new(o, "init_sha256", json_string(req->init_sha256));
    }
    if (req->positive)
        json_object_set_new(o, "positive_prompt", json_true());
    json_object_set_new(o, "kv_type",
                        json_string(plan->params.kv_type == CF_BF16 ? "bf16" : "f32"));
    json_object_set_new(o, "top_k", json_integer(plan->params.top_k));
    json_object_set_new(o, "top_p", number(plan->params.top_p));
    json_object_set_new(o, "cfg_insertion_layer", insert);
    json_object_set_new(o, "scales", scales);
    json_object_set_new(o, "width", json_integer(plan->width));
    json_object_set_new(o, "height", json_integer(plan->height));
    json_object_set_new(o, "webp", webp_json(w));
    out = cf_json_text(o, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(9), err);
    json_decref(o);
    return out;
}
