#include "pipeline/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

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

static enum cf_status fill(struct cf_settings *r, const json_t *o, struct cf_error *err)
{
    const char *model;
    int64_t top_k;
    double top_p;
    bool strict;

    if (json_object_get(o, "model")) {
        CF_TRY(cf_json_str(o, "model", &model, "recipe", err));
        r->model = cf_strdup(model, err);
        if (!r->model)
            return CF_ENOMEM;
    }
    CF_TRY(floats(o, "cfg", r->params.guidance, &r->params.n_guidance, err));
    CF_TRY(floats(o, "tau", r->params.temperature, &r->params.n_temperature, err));
    CF_TRY(floats(o, "flip_bits", r->params.flip, &r->params.n_flip, err));
    CF_TRY(insertion(o, &r->params, err));
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
    if (st != CF_OK)
        cf_settings_free(r);
    return st;
}

void cf_settings_free(struct cf_settings *r)
{
    cf_free(r->model);
    r->model = NULL;
}

bool cf_settings_same_group(const struct cf_settings *a, const struct cf_settings *b)
{
    const struct cf_gen_params *p = &a->params, *q = &b->params;

    if (!a->model != !b->model || (a->model && strcmp(a->model, b->model) != 0))
        return false;
    return p->width == q->width && p->height == q->height && p->top_k == q->top_k &&
           p->top_p == q->top_p && p->strict_size == q->strict_size &&
           p->n_guidance == q->n_guidance && p->n_temperature == q->n_temperature &&
           p->n_insert == q->n_insert && p->n_flip == q->n_flip &&
           memcmp(p->guidance, q->guidance, (size_t)p->n_guidance * sizeof(float)) == 0 &&
           memcmp(p->temperature, q->temperature,
                  (size_t)p->n_temperature * sizeof(float)) == 0 &&
           memcmp(p->insert, q->insert, (size_t)p->n_insert * sizeof(int)) == 0 &&
           memcmp(p->flip, q->flip, (size_t)p->n_flip * sizeof(float)) == 0;
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

char *cf_settings_resolved(const struct cf_plan *plan, const struct cf_webp *w,
                           const char *generator, int keep_scales, struct cf_error *err)
{
    json_t *o = json_object(), *scales = json_array(), *insert = json_array();
    char *dump, *out = NULL;

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
    if (keep_scales)
        json_object_set_new(o, "keep_scales", json_integer(keep_scales));
    json_object_set_new(o, "top_k", json_integer(plan->params.top_k));
    json_object_set_new(o, "top_p", number(plan->params.top_p));
    json_object_set_new(o, "cfg_insertion_layer", insert);
    json_object_set_new(o, "scales", scales);
    json_object_set_new(o, "width", json_integer(plan->width));
    json_object_set_new(o, "height", json_integer(plan->height));
    json_object_set_new(o, "webp", webp_json(w));
    dump = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (dump)
        out = cf_strdup(dump, err);
    else
        cf_fail(err, CF_ENOMEM, "recipe: no memory");
    free(dump);
    json_decref(o);
    return out;
}
