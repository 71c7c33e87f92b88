/* infinity_weights.c - geometry from model.json, tensors bound, matrices packed. */
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

/* ---- binding: views of everything first, so that all faults are told together ---- */

struct pair {
    struct cf_view w, b;
};

struct block_views {
    struct cf_view ada, scale, q_bias, v_bias, qkv, ca_v_bias, ca_kv, zero[2];
    struct pair proj, ca_q, ca_proj, fc1, fc2, ca_norm;
};

struct views {
    struct cf_view cfg_uncond, pos_start, text_norm, pool_q, pool_v_bias, pool_kv, level,
        zero;
    struct pair pool_proj, ca1, ca2, word, ada, head_ada, head;
    struct block_views *block;
};

static void want(struct cf_bind *b, struct cf_view *v, const char *prefix,
                 const char *name, int64_t rows, int64_t cols)
{
    int64_t dim[2] = {rows, cols};

    cf_bind_want(b, v, CF_BIND_REQUIRED, cols ? 2 : 1, dim, "%s%s", prefix, name);
}

static void want_pair(struct cf_bind *b, struct pair *p, const char *prefix,
                      const char *name, int64_t out, int64_t in)
{
    int64_t dim[2] = {out, in};

    cf_bind_want(b, &p->w, CF_BIND_REQUIRED, in ? 2 : 1, dim, "%s%s.weight", prefix,
                 name);
    cf_bind_want(b, &p->b, CF_BIND_REQUIRED, 1, dim, "%s%s.bias", prefix, name);
}

static void want_zero(struct cf_bind *b, struct cf_view *v, const char *prefix,
                      const char *name, int64_t n)
{
    cf_bind_want(b, v, CF_BIND_OPTIONAL, 1, &n, "%s%s", prefix, name);
}

static void want_block(struct cf_bind *b, struct block_views *v, const char *p,
                       const struct cf_inf_shape *s)
{
    const int64_t ada[4] = {1, 1, 6, s->c}, scale[4] = {1, s->heads, 1, 1};
    int c = s->c;

    cf_bind_want(b, &v->ada, CF_BIND_REQUIRED, 4, ada, "%sada_gss", p);
    cf_bind_want(b, &v->scale, CF_BIND_REQUIRED, 4, scale, "%ssa.scale_mul_1H11", p);
    want(b, &v->q_bias, p, "sa.q_bias", c, 0);
    want(b, &v->v_bias, p, "sa.v_bias", c, 0);
    want_zero(b, &v->zero[0], p, "sa.zero_k_bias", c);
    want(b, &v->qkv, p, "sa.mat_qkv.weight", 3 * c, c);
    want_pair(b, &v->proj, p, "sa.proj", c, c);
    want(b, &v->ca_v_bias, p, "ca.v_bias", c, 0);
    want_zero(b, &v->zero[1], p, "ca.zero_k_bias", c);
    want_pair(b, &v->ca_q, p, "ca.mat_q", c, c);
    want(b, &v->ca_kv, p, "ca.mat_kv.weight", 2 * c, c);
    want_pair(b, &v->ca_proj, p, "ca.proj", c, c);
    want_pair(b, &v->fc1, p, "ffn.fc1", s->mlp, c);
    want_pair(b, &v->fc2, p, "ffn.fc2", c, s->mlp);
    want_pair(b, &v->ca_norm, p, "ca_norm", c, 0);
}

static enum cf_status bind(struct views *v, const struct cf_inf_shape *s,
                           const struct cf_ckpt *ckpt, struct cf_error *err)
{
    const int64_t start[3] = {1, 1, s->c};
    const int64_t pool[3] = {1, s->pool_heads, s->c / s->pool_heads};
    struct cf_bind *b = cf_bind_begin(ckpt, err);
    int c = s->c, per = s->depth / s->chunks;

    want(b, &v->cfg_uncond, "", "cfg_uncond", -1, s->text);
    cf_bind_want(b, &v->pos_start, CF_BIND_REQUIRED, 3, start, "pos_start");
    want(b, &v->text_norm, "", "text_norm.weight", s->text, 0);
    cf_bind_want(b, &v->pool_q, CF_BIND_REQUIRED, 3, pool, "text_proj_for_sos.ca.mat_q");
    want(b, &v->pool_v_bias, "", "text_proj_for_sos.ca.v_bias", c, 0);
    want_zero(b, &v->zero, "", "text_proj_for_sos.ca.zero_k_bias", c);
    want(b, &v->pool_kv, "", "text_proj_for_sos.ca.mat_kv.weight", 2 * c, s->text);
    want_pair(b, &v->pool_proj, "", "text_proj_for_sos.ca.proj", c, c);
    want_pair(b, &v->ca1, "", "text_proj_for_ca.0", c, s->text);
    want_pair(b, &v->ca2, "", "text_proj_for_ca.2", c, c);
    want(b, &v->level, "", "lvl_embed.weight", -1, c);
    want_pair(b, &v->word, "", "word_embed", c, s->dv);
    want_pair(b, &v->ada, "", "shared_ada_lin.1", 6 * c, c);
    want_pair(b, &v->head_ada, "", "head_nm.ada_lin.1", 2 * c, c);
    want_pair(b, &v->head, "", "head", 2 * s->dv, c);
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

/* ---- packing ---- */

struct packer {
    struct cf_params *params;
    struct cf_dnn *dnn;
    enum cf_hold hold;
    struct cf_error *err;
};

static enum cf_status open_view(struct cf_linear **l, struct packer *p,
                                const struct cf_view *v, const float *bias)
{
    struct cf_weight w;

    CF_TRY(cf_weight_of(&w, v, p->err));
    return cf_linear_open(l, p->dnn, &w, bias, p->hold, p->err);
}

static enum cf_status lin(struct packer *p, struct cf_linear **l, const struct pair *v)
{
    struct cf_params tmp = {0}; /* the layer copies its bias */
    const float *bias;
    enum cf_status status = cf_params_floats(&tmp, &bias, &v->b, p->err);

    if (status == CF_OK)
        status = open_view(l, p, &v->w, bias);
    cf_params_close(&tmp);
    return status;
}

/* Keys have no bias, values have: [0 .., v_bias]. */
static enum cf_status lin_kv(struct packer *p, struct cf_linear **l,
                             const struct cf_view *w, const struct cf_view *v_bias, int c)
{
    struct cf_params tmp = {0};
    float *bias;
    enum cf_status status = cf_params_new(&tmp, &bias, 2 * (int64_t)c, p->err);

    if (status == CF_OK)
        status = cf_view_floats(bias + c, v_bias, 0, c, p->err);
    if (status == CF_OK)
        status = open_view(l, p, w, bias);
    cf_params_close(&tmp);
    return status;
}

static enum cf_status pack_block(struct packer *p, struct cf_inf_block *b,
                                 const struct block_views *v,
                                 const struct cf_inf_shape *s)
{
    struct pair q = {cf_view_rows(&v->qkv, 0, s->c), v->q_bias};
    struct cf_view kv = cf_view_rows(&v->qkv, s->c, 2 * s->c);
    float *scale;

    CF_TRY(cf_params_floats(p->params, &b->ada, &v->ada, p->err));
    CF_TRY(cf_params_new(p->params, &scale, s->heads, p->err));
    CF_TRY(cf_view_floats(scale, &v->scale, 0, s->heads, p->err));
    for (int h = 0; h < s->heads; h++)
        scale[h] = expf(fminf(scale[h], logf(100.0f)));
    b->scale = scale;
    CF_TRY(cf_params_floats(p->params, &b->ca_norm_w, &v->ca_norm.w, p->err));
    CF_TRY(cf_params_floats(p->params, &b->ca_norm_b, &v->ca_norm.b, p->err));
    CF_TRY(lin(p, &b->q, &q));
    CF_TRY(lin_kv(p, &b->kv, &kv, &v->v_bias, s->c));
    CF_TRY(lin(p, &b->proj, &v->proj));
    CF_TRY(lin(p, &b->ca_q, &v->ca_q));
    CF_TRY(lin_kv(p, &b->ca_kv, &v->ca_kv, &v->ca_v_bias, s->c));
    CF_TRY(lin(p, &b->ca_proj, &v->ca_proj));
    CF_TRY(lin(p, &b->fc1, &v->fc1));
    return lin(p, &b->fc2, &v->fc2);
}

static enum cf_status pack(struct cf_inf_weights *w, const struct views *v,
                           const struct cf_inf_shape *s, struct cf_dnn *dnn,
                           enum cf_hold hold, struct cf_error *err)
{
    struct packer p = {&w->params, dnn, hold, err};

    w->n_uncond =
        (int)(v->cfg_uncond.dim[0] < s->text_max ? v->cfg_uncond.dim[0] : s->text_max);
    w->n_level = (int)v->level.dim[0];
    CF_TRY(cf_params_floats(p.params, &w->cfg_uncond, &v->cfg_uncond, err));
    CF_TRY(cf_params_floats(p.params, &w->pos_start, &v->pos_start, err));
    CF_TRY(cf_params_floats(p.params, &w->text_norm, &v->text_norm, err));
    CF_TRY(cf_params_floats(p.params, &w->pool_q, &v->pool_q, err));
    CF_TRY(cf_params_floats(p.params, &w->level, &v->level, err));
    CF_TRY(lin_kv(&p, &w->pool_kv, &v->pool_kv, &v->pool_v_bias, s->c));
    CF_TRY(lin(&p, &w->pool_proj, &v->pool_proj));
    CF_TRY(lin(&p, &w->text_ca1, &v->ca1));
    CF_TRY(lin(&p, &w->text_ca2, &v->ca2));
    CF_TRY(lin(&p, &w->word, &v->word));
    CF_TRY(lin(&p, &w->ada, &v->ada));
    CF_TRY(lin(&p, &w->head_ada, &v->head_ada));
    CF_TRY(lin(&p, &w->head, &v->head));
    for (int i = 0; i < s->depth; i++)
        CF_TRY(pack_block(&p, &w->block[i], &v->block[i], s));
    return CF_OK;
}

enum cf_status cf_inf_weights_open(struct cf_inf_weights *w, const struct cf_inf_shape *s,
                                   const struct cf_ckpt *ckpt, struct cf_dnn *dnn,
                                   enum cf_hold hold, struct cf_error *err)
{
    struct views v = {0};
    enum cf_status status = CF_ENOMEM;

    memset(w, 0, sizeof(*w));
    w->block = cf_calloc((size_t)s->depth, sizeof(w->block[0]), err);
    v.block = cf_calloc((size_t)s->depth, sizeof(v.block[0]), err);
    if (w->block != NULL && v.block != NULL && (status = bind(&v, s, ckpt, err)) == CF_OK)
        status = pack(w, &v, s, dnn, hold, err);
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
