/* infinity_weights.c - geometry from model.json, tensors bound, layers opened. */
#include "models/infinity.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "weights/bind.h"
#include "weights/config.h"

enum cf_status cf_inf_parse(struct cf_inf_shape *s, const json_t *json,
                            struct cf_error *err)
{
    static const char where[] = "model.json: infinity";
    double eps;

    memset(s, 0, sizeof(*s));
    CF_TRY(cf_config_only(json, where, err, "embed_dim", "depth", "num_heads",
                          "mlp_hidden", "bits", "text_width", "text_maxlen", "pool_heads",
                          "block_chunks", "spatial_patchify",
                          "level_embed_first_block_only", "norm_eps", NULL));
    CF_TRY(cf_config_int(json, "embed_dim", 4, 65536, &s->c, where, err));
    CF_TRY(cf_config_int(json, "depth", 1, 1024, &s->depth, where, err));
    CF_TRY(cf_config_int(json, "num_heads", 1, 1024, &s->heads, where, err));
    CF_TRY(cf_config_int(json, "mlp_hidden", 1, 1 << 20, &s->mlp, where, err));
    CF_TRY(cf_config_int(json, "bits", 1, CF_BSQ_MAX_BITS, &s->bits, where, err));
    CF_TRY(cf_config_int(json, "text_width", 1, 65536, &s->text, where, err));
    CF_TRY(cf_config_int(json, "text_maxlen", 1, 65536, &s->text_max, where, err));
    CF_TRY(cf_config_int(json, "pool_heads", 1, 1024, &s->pool_heads, where, err));
    CF_TRY(cf_config_int(json, "block_chunks", 1, 1024, &s->chunks, where, err));
    CF_TRY(cf_json_bool(json, "spatial_patchify", &s->patchify, where, err));
    CF_TRY(cf_json_bool(json, "level_embed_first_block_only", &s->level_first_only, where,
                        err));
    CF_TRY(cf_json_num(json, "norm_eps", 1e-12, 1.0, &eps, where, err));
    s->eps = (float)eps;
    s->dv = s->patchify ? 4 * s->bits : s->bits;
    if (s->c % s->heads != 0 || s->c / s->heads % 4 != 0 ||
        s->c / s->heads > CF_INF_MAX_HEAD)
        return cf_fail(
            err, CF_EFORMAT,
            "%s: embed_dim %d over num_heads %d, expected a head size that is a "
            "multiple of 4 up to %d",
            where, s->c, s->heads, CF_INF_MAX_HEAD);
    s->hd = s->c / s->heads;
    if (s->c % s->pool_heads != 0)
        return cf_fail(err, CF_EFORMAT,
                       "%s: embed_dim %d is no multiple of pool_heads %d", where, s->c,
                       s->pool_heads);
    if (s->depth % s->chunks != 0)
        return cf_fail(err, CF_EFORMAT, "%s: depth %d is no multiple of block_chunks %d",
                       where, s->depth, s->chunks);
    return CF_OK;
}

/* ---- binding: everything is found first, so that all faults are told together ---- */

struct affine {
    struct cf_weight w;
    struct cf_view b;
};

struct block_tensors {
    struct cf_view ada, scale, q_bias, v_bias, ca_v_bias, ca_norm_w, ca_norm_b, zero[2];
    struct cf_weight qkv, ca_kv;
    struct affine proj, ca_q, ca_proj, fc1, fc2;
};

struct tensors {
    struct cf_view cfg_uncond, pos_start, text_norm, pool_q, pool_v_bias, level, zero;
    struct cf_weight pool_kv;
    struct affine pool_proj, ca1, ca2, word, ada, head_ada, head;
    struct block_tensors *block;
};

static void want_vector(struct cf_bind *b, struct cf_view *v, const char *prefix,
                        const char *name, int64_t n)
{
    cf_bind_want(b, v, CF_BIND_REQUIRED, 1, &n, "%s%s", prefix, name);
}

/* Any number of rows. */
static void want_rows(struct cf_bind *b, struct cf_view *v, const char *name,
                      int64_t width)
{
    const int64_t dim[2] = {-1, width};

    cf_bind_want(b, v, CF_BIND_REQUIRED, 2, dim, "%s", name);
}

static void want_affine(struct cf_bind *b, struct affine *a, const char *prefix,
                        const char *name, int64_t out, int64_t in)
{
    cf_bind_weight(b, &a->w, out, in, "%s%s.weight", prefix, name);
    cf_bind_want(b, &a->b, CF_BIND_REQUIRED, 1, &out, "%s%s.bias", prefix, name);
}

static void want_zero(struct cf_bind *b, struct cf_view *v, const char *prefix,
                      const char *name, int64_t n)
{
    cf_bind_want(b, v, CF_BIND_OPTIONAL, 1, &n, "%s%s", prefix, name);
}

static void want_block(struct cf_bind *b, struct block_tensors *v, const char *p,
                       const struct cf_inf_shape *s)
{
    const int64_t ada[4] = {1, 1, 6, s->c}, scale[4] = {1, s->heads, 1, 1};
    int c = s->c;

    cf_bind_want(b, &v->ada, CF_BIND_REQUIRED, 4, ada, "%sada_gss", p);
    cf_bind_want(b, &v->scale, CF_BIND_REQUIRED, 4, scale, "%ssa.scale_mul_1H11", p);
    want_vector(b, &v->q_bias, p, "sa.q_bias", c);
    want_vector(b, &v->v_bias, p, "sa.v_bias", c);
    want_zero(b, &v->zero[0], p, "sa.zero_k_bias", c);
    cf_bind_weight(b, &v->qkv, 3 * c, c, "%ssa.mat_qkv.weight", p);
    want_affine(b, &v->proj, p, "sa.proj", c, c);
    want_vector(b, &v->ca_v_bias, p, "ca.v_bias", c);
    want_zero(b, &v->zero[1], p, "ca.zero_k_bias", c);
    want_affine(b, &v->ca_q, p, "ca.mat_q", c, c);
    cf_bind_weight(b, &v->ca_kv, 2 * c, c, "%sca.mat_kv.weight", p);
    want_affine(b, &v->ca_proj, p, "ca.proj", c, c);
    want_affine(b, &v->fc1, p, "ffn.fc1", s->mlp, c);
    want_affine(b, &v->fc2, p, "ffn.fc2", c, s->mlp);
    want_vector(b, &v->ca_norm_w, p, "ca_norm.weight", c);
    want_vector(b, &v->ca_norm_b, p, "ca_norm.bias", c);
}

static enum cf_status bind(struct tensors *v, const struct cf_inf_shape *s,
                           const struct cf_ckpt *ckpt, struct cf_error *err)
{
    const int64_t start[3] = {1, 1, s->c};
    const int64_t pool[3] = {1, s->pool_heads, s->c / s->pool_heads};
    struct cf_bind *b = cf_bind_begin(ckpt, err);
    int c = s->c, per = s->depth / s->chunks;

    want_rows(b, &v->cfg_uncond, "cfg_uncond", s->text);
    cf_bind_want(b, &v->pos_start, CF_BIND_REQUIRED, 3, start, "pos_start");
    want_vector(b, &v->text_norm, "", "text_norm.weight", s->text);
    cf_bind_want(b, &v->pool_q, CF_BIND_REQUIRED, 3, pool, "text_proj_for_sos.ca.mat_q");
    want_vector(b, &v->pool_v_bias, "", "text_proj_for_sos.ca.v_bias", c);
    want_zero(b, &v->zero, "", "text_proj_for_sos.ca.zero_k_bias", c);
    cf_bind_weight(b, &v->pool_kv, 2 * c, s->text, "text_proj_for_sos.ca.mat_kv.weight");
    want_affine(b, &v->pool_proj, "", "text_proj_for_sos.ca.proj", c, c);
    want_affine(b, &v->ca1, "", "text_proj_for_ca.0", c, s->text);
    want_affine(b, &v->ca2, "", "text_proj_for_ca.2", c, c);
    want_rows(b, &v->level, "lvl_embed.weight", c);
    want_affine(b, &v->word, "", "word_embed", c, s->dv);
    want_affine(b, &v->ada, "", "shared_ada_lin.1", 6 * c, c);
    want_affine(b, &v->head_ada, "", "head_nm.ada_lin.1", 2 * c, c);
    want_affine(b, &v->head, "", "head", 2 * s->dv, c);
    for (int i = 0; i < s->depth; i++) {
        char prefix[64];

        if (s->chunks > 1)
            snprintf(prefix, sizeof(prefix), "block_chunks.%d.module.%d.", i / per,
                     i % per);
        else
            snprintf(prefix, sizeof(prefix), "blocks.%d.", i);
        want_block(b, &v->block[i], prefix, s);
    }
    /* Buffers of training that may lie in a released file. */
    cf_bind_ignore(b, "lvl_1L");
    cf_bind_ignore(b, "attn_bias_for_masking");
    cf_bind_ignore(b, "Infinity_visible_kvlen");
    cf_bind_ignore(b, "Infinity_invisible_qlen");
    return cf_bind_end(b, true, err);
}

/* ---- layers ---- */

struct opener {
    struct cf_inf_weights *w;
    struct cf_dnn *dnn;
    enum cf_hold hold;
    struct cf_error *err;
};

static enum cf_status open_linear(struct opener *o, struct cf_linear **l,
                                  const struct cf_weight *w, const float *bias)
{
    cf_held_add(&o->w->held, w, cf_linear_maps(w, o->hold));
    return cf_linear_open(l, o->dnn, w, bias, o->hold, o->err);
}

static enum cf_status lin(struct opener *o, struct cf_linear **l, const struct affine *a)
{
    struct cf_params tmp = {0}; /* the layer copies its bias */
    const float *bias;
    enum cf_status status = cf_params_floats(&tmp, &bias, &a->b, o->err);

    if (status == CF_OK)
        status = open_linear(o, l, &a->w, bias);
    cf_params_close(&tmp);
    return status;
}

/* Keys have no bias, values have: [0 .., v_bias]. */
static enum cf_status lin_kv(struct opener *o, struct cf_linear **l,
                             const struct cf_weight *w, const struct cf_view *v_bias,
                             int c)
{
    struct cf_params tmp = {0};
    float *bias;
    enum cf_status status = cf_params_new(&tmp, &bias, 2 * (int64_t)c, o->err);

    if (status == CF_OK)
        status = cf_view_floats(bias + c, v_bias, 0, c, o->err);
    if (status == CF_OK)
        status = open_linear(o, l, w, bias);
    cf_params_close(&tmp);
    return status;
}

static enum cf_status open_block(struct opener *o, struct cf_inf_block *b,
                                 const struct block_tensors *v,
                                 const struct cf_inf_shape *s)
{
    struct affine q = {cf_weight_rows(&v->qkv, 0, s->c), v->q_bias};
    struct cf_weight kv = cf_weight_rows(&v->qkv, s->c, 2 * s->c);
    struct cf_params *own = &o->w->params;
    float *scale;

    CF_TRY(cf_params_floats(own, &b->ada, &v->ada, o->err));
    CF_TRY(cf_params_new(own, &scale, s->heads, o->err));
    CF_TRY(cf_view_floats(scale, &v->scale, 0, s->heads, o->err));
    for (int h = 0; h < s->heads; h++)
        scale[h] = expf(fminf(scale[h], logf(100.0f)));
    b->scale = scale;
    CF_TRY(cf_params_floats(own, &b->ca_norm_w, &v->ca_norm_w, o->err));
    CF_TRY(cf_params_floats(own, &b->ca_norm_b, &v->ca_norm_b, o->err));
    CF_TRY(lin(o, &b->q, &q));
    CF_TRY(lin_kv(o, &b->kv, &kv, &v->v_bias, s->c));
    CF_TRY(lin(o, &b->proj, &v->proj));
    CF_TRY(lin(o, &b->ca_q, &v->ca_q));
    CF_TRY(lin_kv(o, &b->ca_kv, &v->ca_kv, &v->ca_v_bias, s->c));
    CF_TRY(lin(o, &b->ca_proj, &v->ca_proj));
    CF_TRY(lin(o, &b->fc1, &v->fc1));
    return lin(o, &b->fc2, &v->fc2);
}

static enum cf_status open_all(struct opener *o, const struct tensors *v,
                               const struct cf_inf_shape *s)
{
    struct cf_inf_weights *w = o->w;
    struct cf_params *own = &w->params;

    w->n_uncond =
        (int)(v->cfg_uncond.dim[0] < s->text_max ? v->cfg_uncond.dim[0] : s->text_max);
    w->n_level = (int)v->level.dim[0];
    CF_TRY(cf_params_floats(own, &w->cfg_uncond, &v->cfg_uncond, o->err));
    CF_TRY(cf_params_floats(own, &w->pos_start, &v->pos_start, o->err));
    CF_TRY(cf_params_floats(own, &w->text_norm, &v->text_norm, o->err));
    CF_TRY(cf_params_floats(own, &w->pool_q, &v->pool_q, o->err));
    CF_TRY(cf_params_floats(own, &w->level, &v->level, o->err));
    CF_TRY(lin_kv(o, &w->pool_kv, &v->pool_kv, &v->pool_v_bias, s->c));
    CF_TRY(lin(o, &w->pool_proj, &v->pool_proj));
    CF_TRY(lin(o, &w->text_ca1, &v->ca1));
    CF_TRY(lin(o, &w->text_ca2, &v->ca2));
    CF_TRY(lin(o, &w->word, &v->word));
    CF_TRY(lin(o, &w->ada, &v->ada));
    CF_TRY(lin(o, &w->head_ada, &v->head_ada));
    CF_TRY(lin(o, &w->head, &v->head));
    for (int i = 0; i < s->depth; i++)
        CF_TRY(open_block(o, &w->block[i], &v->block[i], s));
    w->held.own += own->count * sizeof(float);
    return CF_OK;
}

enum cf_status cf_inf_weights_open(struct cf_inf_weights *w, const struct cf_inf_shape *s,
                                   const struct cf_ckpt *ckpt, struct cf_dnn *dnn,
                                   enum cf_hold hold, struct cf_error *err)
{
    struct opener o = {w, dnn, hold, err};
    struct tensors v = {0};
    enum cf_status status = CF_ENOMEM;

    memset(w, 0, sizeof(*w));
    w->block = cf_calloc((size_t)s->depth, sizeof(w->block[0]), err);
    v.block = cf_calloc((size_t)s->depth, sizeof(v.block[0]), err);
    if (w->block != NULL && v.block != NULL && (status = bind(&v, s, ckpt, err)) == CF_OK)
        status = open_all(&o, &v, s);
    cf_free(v.block);
    return status;
}

void cf_inf_weights_close(struct cf_inf_weights *w, int depth)
{
    for (int i = 0; w->block != NULL && i < depth; i++) {
        struct cf_inf_block *b = &w->block[i];

        cf_linear_close(b->q);
        cf_linear_close(b->kv);
        cf_linear_close(b->proj);
        cf_linear_close(b->ca_q);
        cf_linear_close(b->ca_kv);
        cf_linear_close(b->ca_proj);
        cf_linear_close(b->fc1);
        cf_linear_close(b->fc2);
    }
    cf_linear_close(w->pool_kv);
    cf_linear_close(w->pool_proj);
    cf_linear_close(w->text_ca1);
    cf_linear_close(w->text_ca2);
    cf_linear_close(w->word);
    cf_linear_close(w->ada);
    cf_linear_close(w->head_ada);
    cf_linear_close(w->head);
    cf_params_close(&w->params);
    cf_free(w->block);
    memset(w, 0, sizeof(*w));
}
