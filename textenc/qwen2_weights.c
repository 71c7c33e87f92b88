#include "textenc/qwen2_weights.h"

#include <string.h>

#include "base/alloc.h"
#include "textenc/enc.h"
#include "textenc/qwen2_keys.h"
#include "weights/bind.h"

static const char *const lin_name[CF_QWEN2_NLIN] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

struct layer_tensors {
    struct cf_weight lin[CF_QWEN2_NLIN];
    struct cf_view bias[3];
    struct cf_view attn_norm, mlp_norm, q_norm, k_norm;
};

static void want_layer(struct cf_bind *b, const struct cf_qwen2_config *c,
                       struct layer_tensors *v, const char *pre, int i)
{
    const int64_t h = c->hidden, hd = c->head_dim, in = c->intermediate;
    const int64_t q = c->heads * hd, kv = c->kv_heads * hd;
    const int64_t shape[CF_QWEN2_NLIN][2] = {{q, h},  {kv, h}, {kv, h}, {h, q},
                                             {in, h}, {in, h}, {h, in}};

    for (int l = 0; l < CF_QWEN2_NLIN; l++) {
        cf_bind_weight(b, &v->lin[l], shape[l][0], shape[l][1], "%slayers.%d.%s.weight",
                       pre, i, lin_name[l]);
        if (c->qkv_bias && l <= CF_QWEN2_V)
            cf_bind_want(b, &v->bias[l], CF_BIND_REQUIRED, 1, shape[l],
                         "%slayers.%d.%s.bias", pre, i, lin_name[l]);
    }
    cf_bind_want(b, &v->attn_norm, CF_BIND_REQUIRED, 1, &h,
                 "%slayers.%d.input_layernorm.weight", pre, i);
    cf_bind_want(b, &v->mlp_norm, CF_BIND_REQUIRED, 1, &h,
                 "%slayers.%d.post_attention_layernorm.weight", pre, i);
    if (!c->qk_norm)
        return;
    cf_bind_want(b, &v->q_norm, CF_BIND_REQUIRED, 1, &hd,
                 "%slayers.%d.self_attn.q_norm.weight", pre, i);
    cf_bind_want(b, &v->k_norm, CF_BIND_REQUIRED, 1, &hd,
                 "%slayers.%d.self_attn.k_norm.weight", pre, i);
}

struct opener {
    struct cf_held *held;
    struct cf_dnn *dnn;
    enum cf_hold hold;
    struct cf_error *err;
};

static enum cf_status open_linear(struct opener *o, struct cf_linear **lin,
                                  const struct cf_weight *w, const struct cf_view *v)
{
    float *bias = cf_enc_floats(v, o->err);
    enum cf_status st = v->data && !bias ? CF_ENOMEM : CF_OK;

    cf_held_add(o->held, w, cf_linear_maps(w, o->hold));
    if (st == CF_OK)
        st = cf_linear_open(lin, o->dnn, w, bias, o->hold, o->err);
    cf_free(bias);
    return st;
}

static enum cf_status open_layer(struct opener *o, struct cf_qwen2_layer *l, bool qk_norm,
                                 const struct layer_tensors *v)
{
    static const struct cf_view none;

    for (int i = 0; i < CF_QWEN2_NLIN; i++)
        if (open_linear(o, &l->lin[i], &v->lin[i],
                        i <= CF_QWEN2_V ? &v->bias[i] : &none) != CF_OK)
            return cf_wrap(o->err, "%s", lin_name[i]);
    l->attn_norm = cf_enc_vector(&v->attn_norm, o->held, o->err);
    l->mlp_norm = cf_enc_vector(&v->mlp_norm, o->held, o->err);
    l->q_norm = cf_enc_vector(&v->q_norm, o->held, o->err);
    l->k_norm = cf_enc_vector(&v->k_norm, o->held, o->err);
    if (!l->attn_norm || !l->mlp_norm || (qk_norm && (!l->q_norm || !l->k_norm)))
        return cf_fail(o->err, CF_ENOMEM, "norms of a layer");
    return CF_OK;
}

static enum cf_status bind_and_open(struct cf_qwen2_weights *w, struct cf_dnn *dnn,
                                    const struct cf_qwen2_config *c,
                                    struct layer_tensors *v, enum cf_hold hold,
                                    struct cf_error *err)
{
    const int64_t h = c->hidden;
    struct opener o = {&w->held, dnn, hold, err};
    struct cf_view norm;
    struct cf_bind *b;
    struct cf_shapes in = cf_shapes_of_ckpt(w->ckpt);
    char pre[CF_KEY_NAME];

    CF_TRY(cf_qwen2_prefix(pre, &in, err));
    b = cf_bind_begin(w->ckpt, err);
    if (!b)
        return CF_ENOMEM;
    cf_bind_weight(b, &w->embed, c->vocab, h, "%sembed_tokens.weight", pre);
    cf_bind_want(b, &norm, CF_BIND_REQUIRED, 1, &h, "%snorm.weight", pre);
    for (int i = 0; i < w->n_layers; i++)
        want_layer(b, c, &v[i], pre, i);
    CF_TRY(cf_bind_end(b, false, err));
    for (int i = 0; i < w->n_layers; i++)
        if (open_layer(&o, &w->layer[i], c->qk_norm, &v[i]) != CF_OK)
            return cf_wrap(err, "%s: layer %d", cf_ckpt_path(w->ckpt), i);
    w->norm = cf_enc_vector(&norm, &w->held, err);
    if (!w->norm)
        return cf_fail(err, CF_ENOMEM, "final norm");
    cf_ckpt_rest(w->ckpt); /* what was packed is not read again */
    return CF_OK;
}

enum cf_status cf_qwen2_weights_open(struct cf_qwen2_weights *w, struct cf_dnn *dnn,
                                     const struct cf_qwen2_config *c, const char *path,
                                     int n_layers, enum cf_hold hold,
                                     struct cf_error *err)
{
    struct layer_tensors *v = cf_calloc((size_t)n_layers, sizeof(*v), err);
    enum cf_status st = CF_ENOMEM;

    memset(w, 0, sizeof(*w));
    w->n_layers = n_layers;
    w->layer = cf_calloc((size_t)n_layers, sizeof(*w->layer), err);
    if (v && w->layer)
        st = cf_ckpt_open(&w->ckpt, path, err);
    if (st == CF_OK)
        st = bind_and_open(w, dnn, c, v, hold, err);
    cf_free(v);
    if (st != CF_OK)
        cf_qwen2_weights_close(w);
    return st;
}

void cf_qwen2_weights_close(struct cf_qwen2_weights *w)
{
    for (int i = 0; i < w->n_layers && w->layer; i++) {
        struct cf_qwen2_layer *l = &w->layer[i];

        for (int j = 0; j < CF_QWEN2_NLIN; j++)
            cf_linear_close(l->lin[j]);
        cf_free(l->attn_norm);
        cf_free(l->mlp_norm);
        cf_free(l->q_norm);
        cf_free(l->k_norm);
    }
    cf_free(w->layer);
    cf_free(w->norm);
    cf_ckpt_close(w->ckpt);
    memset(w, 0, sizeof(*w));
}
