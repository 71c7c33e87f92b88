/* golden_codec.c - fixtures without a transformer: rotary tables, bit distributions, the
 * image codec, and the flips of training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/resample.h"
#include "models/bsq.h"
#include "models/sampler.h"
#include "tests/golden_fixture.h"

static void *mem(size_t count, size_t size)
{
    void *p = cf_calloc(count + 1, size, NULL);

    if (p == NULL)
        abort();
    return p;
}

/* ---- rope ---- */

void cf_golden_rope(struct cf_fixture *f)
{
    int hd = cf_fixture_int(f, f->json, "head_dim");
    json_t *item;
    size_t i;

    if (hd < 4 || hd % 4 != 0 || hd > CF_INF_MAX_HEAD) {
        cf_fixture_fail(f, "json: head_dim %d", hd);
        return;
    }
    json_array_foreach(json_object_get(f->json, "items"), i, item)
    {
        json_t *ratio = json_object_get(item, "h_div_w");
        char *r = json_dumps(ratio, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)), name[128];
        const char *pn = json_string_value(json_object_get(item, "pn"));
        struct cf_schedule sched = {0};
        int64_t dim[2] = {0, hd / 2};
        float *cs, *sn;

        sched.n = cf_fixture_schedule(f, json_object_get(item, "schedule"), sched.scale);
        sched.rope = cf_templates[cf_template_nearest(json_number_value(ratio))]
                         .scale[CF_TEMPLATE_SCALES - 1];
        dim[0] = cf_schedule_tokens(&sched, sched.n);
        cs = mem((size_t)(dim[0] * dim[1]), sizeof(float));
        sn = mem((size_t)(dim[0] * dim[1]), sizeof(float));
        cf_inf_rope(cs, sn, &sched, hd);
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof(name), "%s.%s.%s", k ? "sin" : "cos", r ? r : "?",
                     pn ? pn : "?");
            cf_fixture_floats_are(f, name, k ? sn : cs,
                                  cf_fixture_need(f, 2, dim, "%s", name), 0,
                                  dim[0] * dim[1], 1e-6);
        }
        free(r);
        cf_free(cs);
        cf_free(sn);
    }
}

/* ---- sampling ---- */

void cf_golden_sampling(struct cf_fixture *f)
{
    const struct cf_view *v = cf_fixture_need(f, 2, (int64_t[]){-1, 2}, "logits");
    float *logits = cf_fixture_floats(f, v), *probs;
    json_t *combo;
    size_t i;

    if (logits == NULL)
        return;
    probs = mem((size_t)cf_view_count(v), sizeof(float));
    json_array_foreach(json_object_get(f->json, "combos"), i, combo)
    {
        const char *name = json_string_value(json_object_get(combo, "tensor"));
        float top_p = (float)json_number_value(json_object_get(combo, "top_p"));
        int top_k = cf_fixture_int(f, combo, "top_k");

        for (int64_t t = 0; t < v->dim[0]; t++) {
            float p = cf_sample_prob(logits[2 * t], logits[2 * t + 1], top_k, top_p);

            probs[2 * t] = 1.0f - p;
            probs[2 * t + 1] = p;
        }
        cf_fixture_floats_are(f, name ? name : "?", probs,
                              cf_fixture_need(f, 2, v->dim, "%s", name ? name : "?"), 0,
                              cf_view_count(v), 1e-6);
    }
    cf_free(logits);
    cf_free(probs);
}

/* ---- codec ---- */

/* [c, h, w] to [h, w, c], and back */
static void to_last(float *dst, const float *src, int c, int64_t hw)
{
    for (int64_t i = 0; i < hw; i++)
        for (int k = 0; k < c; k++)
            dst[i * c + k] = src[k * hw + i];
}

static void to_first(float *dst, const float *src, int c, int64_t hw)
{
    for (int64_t i = 0; i < hw; i++)
        for (int k = 0; k < c; k++)
            dst[k * hw + i] = src[i * c + k];
}

/* Compares [h, w, c] with image b of a recorded [B, c, h, w]. */
static void planes_are(struct cf_fixture *f, const char *name, const float *got, int b,
                       int batch, int c, int h, int w, double tolerance)
{
    const int64_t dim[4] = {batch, c, h, w}, n = (int64_t)c * h * w;
    const struct cf_view *v = cf_fixture_need(f, 4, dim, "%s", name);
    float *t = mem((size_t)n, sizeof(float));

    to_first(t, got, c, (int64_t)h * w);
    cf_fixture_floats_are(f, name, t, v, b * n, n, tolerance);
    cf_free(t);
}

struct codec {
    struct cf_fixture *f;
    struct cf_vae *vae;
    struct cf_scale scale[CF_MAX_SCALES], full;
    int n, d, batch;
    float *latent, *sum, *work, *pooled;
    uint64_t *code;
    uint8_t *bits;
};

static void codec_scales(struct codec *c, int b)
{
    struct cf_dnn *dnn = c->f->dnn;
    char name[64];

    for (int s = 0; s < c->n; s++) {
        struct cf_scale g = c->scale[s];
        int64_t n = (int64_t)g.h * g.w, dim[4] = {c->batch, g.h, g.w, c->d};

        if (cf_bsq_residual(dnn, c->code, c->latent, c->sum, c->full, g, c->d, c->work,
                            &c->f->err) != CF_OK) {
            cf_fixture_fail(c->f, "%s", c->f->err.msg);
            return;
        }
        cf_bsq_to_bytes(c->bits, c->code, n, c->d);
        snprintf(name, sizeof(name), "bits%d", s);
        cf_fixture_bytes_are(c->f, name, c->bits,
                             cf_fixture_need(c->f, 4, dim, "%s", name), b * n * c->d,
                             n * c->d);
        cf_bsq_add_scale(dnn, c->sum, c->full, c->code, g, c->d, c->work);
        if (s + 1 == c->n)
            break;
        g = c->scale[s + 1];
        cf_resize_area(dnn, c->pooled, g.h, g.w, c->sum, c->full.h, c->full.w, c->d,
                       c->work);
        snprintf(name, sizeof(name), "var_input%d", s);
        if (cf_fixture_find(c->f, "%s", name) != NULL)
            planes_are(c->f, name, c->pooled, b, c->batch, c->d, g.h, g.w, 5e-6);
    }
}

static void codec_image(struct codec *c, struct cf_arena *a, const float *pixels, int b,
                        int h, int w)
{
    struct cf_error *err = &c->f->err;
    const float *out;
    size_t n = (size_t)c->full.h * (size_t)c->full.w * (size_t)c->d;

    if (cf_vae_encode(c->vae, &out, pixels, h, w, a, NULL, err) != CF_OK) {
        cf_fixture_fail(c->f, "%s", err->msg);
        return;
    }
    memcpy(c->latent, out, n * sizeof(float));
    memset(c->sum, 0, n * sizeof(float));
    planes_are(c->f, "enc_h", c->latent, b, c->batch, c->d, c->full.h, c->full.w, 1e-4);
    codec_scales(c, b);
    planes_are(c->f, "summed_codes", c->sum, b, c->batch, c->d, c->full.h, c->full.w,
               5e-6);
    if (cf_fixture_find(c->f, "z") != NULL)
        planes_are(c->f, "z", c->sum, b, c->batch, c->d, c->full.h, c->full.w, 5e-6);
    if (cf_vae_decode(c->vae, &out, c->sum, c->full.h, c->full.w, a, NULL, err) != CF_OK)
        cf_fixture_fail(c->f, "%s", err->msg);
    else
        planes_are(c->f, "recon", out, b, c->batch, 3, h, w, 1e-4);
}

void cf_golden_codec(struct cf_fixture *f)
{
    const struct cf_view *image =
        cf_fixture_need(f, 4, (int64_t[]){-1, 3, -1, -1}, "in.image");
    float *in = cf_fixture_floats(f, image), *pixels;
    struct codec c = {.f = f};
    struct cf_vae_shape shape;
    struct cf_arena need, a;
    const float *none;
    json_t *other = NULL, *config = NULL;
    char path[2304];
    int h, w;
    size_t n;

    if (in == NULL || (other = cf_fixture_other(f, "vae", path)) == NULL)
        goto out;
    config = cf_fixture_vae_json(f, json_object_get(other, "vae_config"));
    c.n = cf_fixture_schedule(f, json_object_get(f->json, "schedule"), c.scale);
    if (c.n == 0 || cf_vae_parse(&shape, config, &f->err) != CF_OK ||
        cf_vae_open(&c.vae, &shape, path, f->dnn, &f->err) != CF_OK) {
        cf_fixture_fail(f, "%s", f->err.msg);
        goto out;
    }
    c.batch = (int)image->dim[0];
    c.d = shape.bits;
    c.full = c.scale[c.n - 1];
    h = (int)image->dim[2];
    w = (int)image->dim[3];
    if (c.full.h * shape.patch != h || c.full.w * shape.patch != w) {
        cf_fixture_fail(f, "json: the last scale is not the latent of in.image");
        goto out;
    }
    n = (size_t)c.full.h * (size_t)c.full.w * (size_t)c.d;
    c.latent = mem(n, sizeof(float));
    c.sum = mem(n, sizeof(float));
    c.pooled = mem(n, sizeof(float));
    c.work = mem(cf_bsq_work(c.full, c.d), sizeof(float));
    c.code = mem(n, sizeof(*c.code));
    c.bits = mem(n, 1);
    pixels = mem((size_t)h * (size_t)w * 3, sizeof(float));
    cf_arena_measure(&need);
    if (cf_vae_encode(c.vae, &none, NULL, h, w, &need, NULL, &f->err) != CF_OK ||
        cf_vae_decode(c.vae, &none, NULL, c.full.h, c.full.w, &need, NULL, &f->err) !=
            CF_OK ||
        cf_arena_open(&a, need.high, &f->err) != CF_OK) {
        cf_fixture_fail(f, "%s", f->err.msg);
    } else {
        for (int b = 0; b < c.batch; b++) {
            to_last(pixels, in + (int64_t)b * 3 * h * w, 3, (int64_t)h * w);
            codec_image(&c, &a, pixels, b, h, w);
        }
        cf_arena_close(&a);
    }
    cf_free(pixels);
out:
    cf_vae_close(c.vae);
    json_decref(config);
    json_decref(other);
    cf_free(in);
    cf_free(c.latent);
    cf_free(c.sum);
    cf_free(c.pooled);
    cf_free(c.work);
    cf_free(c.code);
    cf_free(c.bits);
}

/* ---- bit self-correction ---- */

struct bsc {
    struct cf_fixture *f;
    struct cf_scale scale[CF_MAX_SCALES], full; /* token grids; latent grid */
    int n, d, dv, patchify, batch, noisy;
    float *latent, *sum, *work, *tok;
    uint64_t *code;
    uint8_t *bits;
    int64_t at; /* tokens of x_BLC_wo_prefix so far */
};

/* Labels of a scale, then its flips. */
static void bsc_scale(struct bsc *c, int b, int s, struct cf_scale g)
{
    int64_t n = (int64_t)g.h * g.w, tokens = (int64_t)c->scale[s].h * c->scale[s].w;
    int64_t dim[4] = {c->batch, g.h, g.w, c->d}, flat[3] = {c->batch, tokens, c->dv};
    const struct cf_view *mask;
    char name[64];

    snprintf(name, sizeof(name), "labels%d", s);
    cf_bsq_unpack(c->bits, c->code, c->scale[s], c->d, c->patchify);
    cf_fixture_bytes_are(c->f, name, c->bits, cf_fixture_need(c->f, 3, flat, "%s", name),
                         b * tokens * c->dv, tokens * c->dv);
    if (s >= c->noisy)
        return;
    mask = cf_fixture_need(c->f, 4, dim, "mask%d", s);
    cf_bsq_to_bytes(c->bits, c->code, n, c->d);
    for (int64_t i = 0; mask != NULL && i < n * c->d; i++)
        c->bits[i] ^= ((const uint8_t *)mask->data)[b * n * c->d + i] != 0;
    cf_bsq_from_bytes(c->code, c->bits, n, c->d);
    snprintf(name, sizeof(name), "flipped_bits%d", s);
    cf_fixture_bytes_are(c->f, name, c->bits, cf_fixture_need(c->f, 4, dim, "%s", name),
                         b * n * c->d, n * c->d);
}

static void bsc_image(struct bsc *c, int b, int64_t all)
{
    const int64_t dim[3] = {c->batch, all, c->dv};
    const struct cf_view *x = cf_fixture_need(c->f, 3, dim, "x_BLC_wo_prefix");
    struct cf_dnn *dnn = c->f->dnn;

    c->at = 0;
    for (int s = 0; s < c->n; s++) {
        int m = c->patchify ? 2 : 1;
        struct cf_scale g = {c->scale[s].h * m, c->scale[s].w * m};
        int64_t next;

        if (cf_bsq_residual(dnn, c->code, c->latent, c->sum, c->full, g, c->d, c->work,
                            &c->f->err) != CF_OK) {
            cf_fixture_fail(c->f, "%s", c->f->err.msg);
            return;
        }
        bsc_scale(c, b, s, g);
        cf_bsq_add_scale(dnn, c->sum, c->full, c->code, g, c->d, c->work);
        if (s + 1 == c->n)
            break;
        next = (int64_t)c->scale[s + 1].h * c->scale[s + 1].w;
        cf_bsq_input(dnn, c->tok, c->sum, c->full, c->scale[s + 1], c->d, c->patchify,
                     c->work);
        cf_fixture_floats_are(c->f, "x_BLC_wo_prefix", c->tok, x,
                              (b * all + c->at) * c->dv, next * c->dv, 5e-6);
        c->at += next;
    }
}

void cf_golden_bsc(struct cf_fixture *f)
{
    const struct cf_view *raw =
        cf_fixture_need(f, 4, (int64_t[]){-1, -1, -1, -1}, "in.raw_features");
    const json_t *requant = json_object_get(f->json, "noise_apply_requant");
    float *in = cf_fixture_floats(f, raw);
    struct bsc c = {.f = f};
    int64_t all = -1, per;

    if (in == NULL)
        return;
    c.d = cf_fixture_int(f, f->json, "codebook_dim");
    c.patchify = cf_fixture_int(f, f->json, "apply_spatial_patchify");
    c.noisy = cf_fixture_int(f, f->json, "noise_apply_layers");
    c.n = cf_fixture_schedule(f, json_object_get(f->json, "schedule"), c.scale);
    c.batch = (int)raw->dim[0];
    c.full = (struct cf_scale){(int)raw->dim[2], (int)raw->dim[3]};
    c.dv = c.patchify ? 4 * c.d : c.d;
    if (requant != NULL && json_integer_value(requant) == 0)
        cf_fixture_fail(f, "json: noise_apply_requant 0 is not what inference does");
    if (c.n == 0 || c.d != raw->dim[1] || c.d < 1 || c.d > CF_BSQ_MAX_BITS ||
        c.full.h != c.scale[c.n - 1].h * (c.patchify ? 2 : 1) ||
        c.full.w != c.scale[c.n - 1].w * (c.patchify ? 2 : 1)) {
        cf_fixture_fail(f, "json: schedule or codebook_dim do not fit in.raw_features");
        cf_free(in);
        return;
    }
    per = (int64_t)c.full.h * c.full.w * c.d;
    for (int s = 0; s < c.n; s++)
        all += (int64_t)c.scale[s].h * c.scale[s].w;
    c.latent = mem((size_t)per, sizeof(float));
    c.sum = mem((size_t)per, sizeof(float));
    c.tok = mem((size_t)per, sizeof(float));
    c.work = mem(cf_bsq_work(c.full, c.d), sizeof(float));
    c.code = mem((size_t)per, sizeof(*c.code));
    c.bits = mem((size_t)per, 1);
    for (int b = 0; b < c.batch; b++) {
        to_last(c.latent, in + b * per, c.d, (int64_t)c.full.h * c.full.w);
        memset(c.sum, 0, (size_t)per * sizeof(float));
        bsc_image(&c, b, all);
    }
    cf_free(in);
    cf_free(c.latent);
    cf_free(c.sum);
    cf_free(c.tok);
    cf_free(c.work);
    cf_free(c.code);
    cf_free(c.bits);
}
