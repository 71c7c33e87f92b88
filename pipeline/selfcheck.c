#include "pipeline/selfcheck.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/detect.h"
#include "models/gen.h"
#include "pipeline/holding.h"
#include "textenc/known.h"
#include "weights/checkpoint.h"

static const char prompt[] = "a red apple on a wooden table";

struct check {
    const struct cf_model *model;
    struct cf_dnn *dnn;
    cf_check_fn *tell;
    void *ctx;
    struct cf_inf_shape inf; /* found by shapes */
    int scales_seen;
    char fault[160]; /* of the logits, for want of a way out of the probe */
};

static void tell(const struct check *c, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(const struct check *c, const char *name, const char *fmt, ...)
{
    char found[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(found, sizeof found, fmt, ap);
    va_end(ap);
    c->tell(c->ctx, name, found);
}

/* ---- numbers ---- */

struct stat_of {
    double mean, deviation, min, max;
    bool finite;
};

static struct stat_of stat_floats(const float *f, int64_t n)
{
    struct stat_of s = {.min = INFINITY, .max = -INFINITY, .finite = true};
    double square = 0;

    for (int64_t i = 0; i < n; i++) {
        double v = (double)f[i];

        s.finite = s.finite && isfinite(f[i]);
        s.mean += v;
        square += v * v;
        s.min = v < s.min ? v : s.min;
        s.max = v > s.max ? v : s.max;
    }
    s.mean /= (double)n;
    s.deviation = sqrt(fmax(square / (double)n - s.mean * s.mean, 0));
    return s;
}

/* ---- shapes ---- */

static enum cf_status same_sections(struct check *c, const struct cf_vae_shape *vae,
                                    struct cf_error *err)
{
    const json_t *root = c->model->json;
    struct cf_inf_shape inf;
    struct cf_vae_shape v;

    CF_TRY(cf_inf_parse(&inf, json_object_get(root, "infinity"), err));
    CF_TRY(cf_vae_parse(&v, json_object_get(root, "vae"), err));
    CF_TRY(cf_pair_vae(&c->inf, vae, err));
    if (inf.bits != c->inf.bits || inf.patchify != c->inf.patchify)
        return cf_fail(err, CF_EMISMATCH,
                       "model.json: infinity: bits %d, spatial_patchify %s; the files "
                       "have %d, %s",
                       inf.bits, inf.patchify ? "true" : "false", c->inf.bits,
                       c->inf.patchify ? "true" : "false");
    return CF_OK;
}

static enum cf_status check_shapes(struct check *c, struct cf_error *err)
{
    struct cf_ckpt *transformer = NULL, *tokenizer = NULL;
    struct cf_encoder_config encoder;
    struct cf_vae_shape vae = {0};
    const struct cf_geometry *g;
    enum cf_status status;
    struct cf_shapes in;
    bool has_encoder;

    status = cf_ckpt_open(&transformer, c->model->path[CF_PART_TRANSFORMER], err);
    if (status == CF_OK) {
        in = cf_shapes_of_ckpt(transformer);
        status = cf_inf_detect(&c->inf, &in, err);
    }
    if (status == CF_OK)
        status = cf_ckpt_open(&tokenizer, c->model->path[CF_PART_VAE], err);
    if (status == CF_OK) {
        in = cf_shapes_of_ckpt(tokenizer);
        status = cf_vae_detect(&vae, &has_encoder, &in, err);
    }
    if (status == CF_OK)
        status = same_sections(c, &vae, err);
    if (status == CF_OK)
        status = cf_encoder_config_load(&encoder, c->model->path[CF_PART_TEXT], err);
    cf_ckpt_close(transformer);
    cf_ckpt_close(tokenizer);
    if (status != CF_OK)
        return status;
    g = cf_geometry_match(&c->inf);
    tell(c, "shapes",
         "transformer (%s) of %d bits a token, tokenizer of %d, text %d wide, encoder %d",
         g ? g->name : "own geometry", c->inf.dv, vae.bits, c->inf.text,
         cf_encoder_config_hidden(&encoder));
    return CF_OK;
}

/* ---- weights ---- */

static bool holds_floats(const struct cf_view *v)
{
    return v->dtype == CF_F32 || v->dtype == CF_F16 || v->dtype == CF_BF16 ||
           v->dtype == CF_F64;
}

static enum cf_status check_tensor(const char *name, const struct cf_view *v, float *buf,
                                   int64_t room, struct cf_error *err)
{
    int64_t all = cf_view_count(v);

    for (int64_t at = 0; at < all; at += room) {
        int64_t n = all - at < room ? all - at : room;

        CF_TRY(cf_view_floats(buf, v, at, n, err));
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(buf[i]))
                return cf_fail(err, CF_EFORMAT, "%.200s: element %lld is %g", name,
                               (long long)(at + i), (double)buf[i]);
    }
    return CF_OK;
}

static enum cf_status check_file(const char *path, int *tensors, int64_t *bytes,
                                 struct cf_error *err)
{
    enum { ROOM = 1 << 16 };
    float *buf = cf_alloc(ROOM, sizeof *buf, err);
    struct cf_ckpt *ckpt = NULL;
    enum cf_status status = buf ? cf_ckpt_open(&ckpt, path, err) : CF_ENOMEM;

    for (int i = 0; status == CF_OK && i < cf_ckpt_count(ckpt); i++) {
        const struct cf_view *v = cf_ckpt_view(ckpt, i);

        if (holds_floats(v))
            status = check_tensor(cf_ckpt_name(ckpt, i), v, buf, ROOM, err);
        ++*tensors;
    }
    if (status == CF_OK)
        *bytes += (int64_t)cf_ckpt_bytes(ckpt);
    cf_ckpt_close(ckpt);
    cf_free(buf);
    return status;
}

static enum cf_status check_weights(struct check *c, struct cf_error *err)
{
    static const enum cf_part part[] = {CF_PART_TRANSFORMER, CF_PART_VAE, CF_PART_TEXT};
    int64_t bytes = 0;
    int tensors = 0;

    for (int i = 0; i < 3; i++)
        CF_TRY(check_file(c->model->path[part[i]], &tensors, &bytes, err));
    tell(c, "weights", "%d tensors, %lld bytes, all finite", tensors, (long long)bytes);
    return CF_OK;
}

/* ---- text ---- */

static enum cf_status check_text(struct check *c, struct cf_text *text,
                                 struct cf_error *err)
{
    const struct cf_prompt p = {prompt, sizeof prompt - 1};
    const struct cf_model *m = c->model;
    struct cf_textenc *te;
    struct stat_of s;
    enum cf_status status;

    CF_TRY(cf_textenc_open(&te, c->dnn, json_object_get(m->json, "text"),
                           m->path[CF_PART_TEXT], m->path[CF_PART_VOCAB],
                           cf_holding_hold(m), err));
    status = cf_textenc_encode(te, &p, 1, text, err);
    cf_textenc_close(te);
    if (status != CF_OK)
        return status;
    CF_TRY(cf_pair_text(&c->inf, text->dim, "", err));
    s = stat_floats(text->features, (int64_t)text->n * text->dim);
    if (!s.finite || !(s.deviation > 0))
        return cf_fail(err, CF_ENUMERIC, "features of \"%s\": mean %g, deviation %g",
                       prompt, s.mean, s.deviation);
    tell(c, "text", "\"%s\": %d tokens of %d; mean %.4g, deviation %.4g, %.4g .. %.4g",
         prompt, text->n, text->dim, s.mean, s.deviation, s.min, s.max);
    return CF_OK;
}

/* ---- an image ---- */

/* The two logits of a bit, whose difference decides it. */
static void see(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim)
{
    struct check *c = ctx;
    int64_t n = 1, unsure = 0, sure = 0;
    struct stat_of s;
    int scale, end = 0;

    (void)u8;
    if (!f || sscanf(name, "sc%d.logits%n", &scale, &end) != 1 || end == 0 || c->fault[0])
        return;
    for (int d = 0; d < ndim; d++)
        n *= dim[d];
    s = stat_floats(f, n);
    for (int64_t i = 0; i + 1 < n; i += 2) {
        float apart = fabsf(f[i + 1] - f[i]);

        unsure += apart < 1;
        sure += apart > 4;
    }
    if (!s.finite || !(s.deviation > 0)) {
        snprintf(c->fault, sizeof c->fault,
                 "logits of scale %d: mean %g, deviation %g, expected finite ones that "
                 "differ",
                 scale, s.mean, s.deviation);
        return;
    }
    c->scales_seen++;
    tell(c, "logits",
         "scale %d: mean %.4g, deviation %.4g, %.4g .. %.4g; apart by less than 1: %.0f "
         "%%, by more than 4: %.0f %%",
         scale, s.mean, s.deviation, s.min, s.max, 200.0 * (double)unsure / (double)n,
         200.0 * (double)sure / (double)n);
}

static enum cf_status smallest(struct cf_gen_params *p, const json_t *json,
                               struct cf_error *err)
{
    struct cf_sizes sizes;

    cf_gen_params_default(p);
    CF_TRY(cf_sizes_parse(&sizes, json_object_get(json, "sizes"), err));
    cf_sizes_smallest(&sizes, &p->width, &p->height);
    return CF_OK;
}

struct image_run {
    const struct cf_gen_ops *ops;
    struct cf_gen *gen;
    struct cf_plan plan;
    struct cf_arena arena;
    struct cf_image image;
};

static enum cf_status run_steps(struct check *c, struct image_run *r,
                                const struct cf_text *text, struct cf_error *err)
{
    struct cf_gen_item item = {.seed = 1, .cond = text};
    const struct cf_probe probe = {see, c};
    struct cf_gen_state *state;

    CF_TRY(r->ops->begin(r->gen, &r->plan, &item, &r->arena, NULL, &probe, &state, err));
    for (int k = 0; k < r->plan.n_step; k++) {
        CF_TRY(r->ops->step(state, k, err));
        if (c->fault[0])
            return cf_fail(err, CF_ENUMERIC, "%s", c->fault);
    }
    if (c->scales_seen != r->plan.n_step)
        return cf_fail(err, CF_EBUG, "logits of %d scales seen, expected %d",
                       c->scales_seen, r->plan.n_step);
    return r->ops->decode(state, 0, &r->image, err);
}

static void tell_pixels(const struct check *c, const struct image_run *r)
{
    size_t n = 3 * (size_t)r->plan.width * (size_t)r->plan.height;
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        double v = r->image.rgb[i];

        sum += v;
        square += v * v;
    }
    sum /= (double)n;
    tell(c, "pixels", "%d x %d, all finite; mean %.1f, deviation %.1f of 255",
         r->plan.width, r->plan.height, sum,
         sqrt(fmax(square / (double)n - sum * sum, 0)));
}

static enum cf_status open_image(struct check *c, struct image_run *r,
                                 const struct cf_text *text, struct cf_error *err)
{
    const struct cf_model *m = c->model;
    const struct cf_gen_files files = {.json = m->json,
                                       .transformer = m->path[CF_PART_TRANSFORMER],
                                       .vae = m->path[CF_PART_VAE],
                                       .hold = cf_holding_hold(m)};
    struct cf_gen_params params;

    r->ops = cf_gen_find(m->generator);
    if (!r->ops)
        return cf_fail(err, CF_EUNSUP, "generator \"%s\"", m->generator);
    CF_TRY(smallest(&params, m->json, err));
    CF_TRY(r->ops->open(&r->gen, &files, c->dnn, err));
    tell(c, "tensors", "the generator reads every tensor of transformer and decoder");
    CF_TRY(r->ops->plan(r->gen, &params, 1, text->n, &r->plan, err));
    CF_TRY(cf_arena_open(&r->arena, r->plan.arena_bytes, err));
    r->image = (struct cf_image){
        .w = r->plan.width, .h = r->plan.height, .stride = 3 * (size_t)r->plan.width};
    r->image.rgb = cf_alloc((size_t)r->plan.height, r->image.stride, err);
    return r->image.rgb ? CF_OK : CF_ENOMEM;
}

static enum cf_status check_image(struct check *c, const struct cf_text *text,
                                  struct cf_error *err)
{
    struct image_run *r = cf_calloc(1, sizeof *r, err);
    enum cf_status status;

    if (!r)
        return CF_ENOMEM;
    status = open_image(c, r, text, err);
    if (status == CF_OK)
        status = run_steps(c, r, text, err);
    if (status == CF_OK)
        tell_pixels(c, r);
    if (r->ops)
        r->ops->close(r->gen);
    cf_arena_close(&r->arena);
    cf_free(r->image.rgb);
    cf_free(r);
    return status;
}

enum cf_status cf_selfcheck(const struct cf_model *model, struct cf_dnn *dnn,
                            cf_check_fn *tell_fn, void *ctx, struct cf_error *err)
{
    struct check c = {.model = model, .dnn = dnn, .tell = tell_fn, .ctx = ctx};
    struct cf_text text = {0};
    enum cf_status status;

    if (check_shapes(&c, err) != CF_OK)
        return cf_wrap(err, "shapes");
    if (check_weights(&c, err) != CF_OK)
        return cf_wrap(err, "weights");
    if (check_text(&c, &text, err) != CF_OK)
        status = cf_wrap(err, "text");
    else if (check_image(&c, &text, err) != CF_OK)
        status = cf_wrap(err, "image");
    else
        status = CF_OK;
    cf_text_free(&text);
    return status;
}
