#include "textenc/t5_weights.h"

#include <string.h>

#include "base/alloc.h"
#include "textenc/enc.h"
#include "weights/bind.h"

static const char *const lin_name[CF_T5_NLIN] = {
    "layer.0.SelfAttention.q",     "layer.0.SelfAttention.k",
    "layer.0.SelfAttention.v",     "layer.0.SelfAttention.o",
    "layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1",
    "layer.1.DenseReluDense.wo"};

struct layer_tensors {
    struct cf_weight lin[CF_T5_NLIN];
    struct cf_view attn_norm, mlp_norm;
};

static void want_layer(struct cf_bind *b, const struct cf_t5_config *c,
                       struct layer_tensors *v, int i)
{
    const int64_t d = c->hidden, q = (int64_t)c->heads * c->head_dim;
    const int64_t in = c->intermediate;
    const int64_t shape[CF_T5_NLIN][2] = {{q, d},  {q, d},  {q, d}, {d, q},
                                          {in, d}, {in, d}, {d, in}};

    for (int l = 0; l < CF_T5_NLIN; l++)
        cf_bind_weight(b, &v->lin[l], shape[l][0], shape[l][1],
                       "encoder.block.%d.%s.weight", i, lin_name[l]);
    cf_bind_want(b, &v->attn_norm, CF_BIND_REQUIRED, 1, &d,
                 "encoder.block.%d.layer.0.layer_norm.weight", i);
    cf_bind_want(b, &v->mlp_norm, CF_BIND_REQUIRED, 1, &d,
                 "encoder.block.%d.layer.1.layer_norm.weight", i);
}

/* Row r of src goes to row r / hd * wide + r % hd of dst [heads * wide, k], whose other
 * rows are zeros. */
static void spread_rows(float *dst, const struct cf_weight *src, int hd, int wide)
{
    for (int64_t r = 0; r < src->n; r++)
        cf_weight_row(dst + (r / hd * wide + r % hd) * src->k, src, r);
}

/* Each row's heads of hd values go to heads of wide values in dst [n, heads * wide], the
 * rest of which are zeros. row: room for [k] floats */
static void spread_columns(float *dst, const struct cf_weight *src, int heads, int hd,
                           int wide, float *row)
{
    for (int64_t r = 0; r < src->n; r++) {
        cf_weight_row(row, src, r);
        for (int h = 0; h < heads; h++)
            memcpy(dst + (r * heads + h) * wide, row + h * hd, (size_t)hd * sizeof(*dst));
    }
}

struct opener {
    struct cf_held *held;
    struct cf_dnn *dnn;
    enum cf_hold hold;
    struct cf_error *err;
};

static enum cf_status open_weight(struct opener *o, struct cf_linear **lin,
                                  const struct cf_weight *w, enum cf_hold hold)
{
    cf_held_add(o->held, w, cf_linear_maps(w, hold));
    return cf_linear_open(lin, o->dnn, w, NULL, hold, o->err);
}

/* A packed copy with the heads of Q, K, V (rows) or O (columns) as far apart as attention
 * wants them. */
static enum cf_status open_spread(struct opener *o, struct cf_linear **lin,
                                  const struct cf_t5_config *c, int wide, bool columns,
                                  const struct cf_weight *w)
{
    struct cf_weight out = {.type = CF_W_F32, .n = w->n, .k = w->k};
    enum cf_status st = CF_ENOMEM;
    float *copy, *row;

    *(columns ? &out.k : &out.n) = (int64_t)c->heads * wide;
    copy = cf_enc_matrix(out.n, out.k, o->err);
    row = cf_enc_matrix(1, w->k, o->err);
    if (copy && row) {
        memset(copy, 0, (size_t)(out.n * out.k) * sizeof(*copy));
        if (columns)
            spread_columns(copy, w, c->heads, c->head_dim, wide, row);
        else
            spread_rows(copy, w, c->head_dim, wide);
        out.w = copy;
        st = open_weight(o, lin, &out, CF_HOLD_PACK);
    }
    cf_free(copy);
    cf_free(row);
    return st;
}

static enum cf_status open_linear(struct opener *o, struct cf_linear **lin,
                                  const struct cf_t5_config *c, int wide, int l,
                                  const struct cf_weight *w)
{
    if (l > CF_T5_O || wide == c->head_dim)
        return open_weight(o, lin, w, o->hold);
    return open_spread(o, lin, c, wide, l == CF_T5_O, w);
}

static enum cf_status open_layer(struct opener *o, struct cf_t5_layer *layer,
                                 const struct cf_t5_config *c, int wide,
                                 const struct layer_tensors *v)
{
    for (int l = 0; l < CF_T5_NLIN; l++)
        if (open_linear(o, &layer->lin[l], c, wide, l, &v->lin[l]) != CF_OK)
            return cf_wrap(o->err, "%s", lin_name[l]);
    layer->attn_norm = cf_enc_vector(&v->attn_norm, o->held, o->err);
    layer->mlp_norm = cf_enc_vector(&v->mlp_norm, o->held, o->err);
    return layer->attn_norm && layer->mlp_norm
               ? CF_OK
               : cf_fail(o->err, CF_ENOMEM, "norms of a layer");
}

static enum cf_status bind_and_open(struct cf_t5_weights *w, struct cf_dnn *dnn,
                                    const struct cf_t5_config *c, struct layer_tensors *v,
                                    enum cf_hold hold, struct cf_error *err)
{
    const int64_t d = c->hidden;
    struct opener o = {&w->held, dnn, hold, err};
    const int64_t table[2] = {c->buckets, c->heads};
    static const char own[] = "encoder.embed_tokens.weight", shared[] = "shared.weight";
    bool is_own = !cf_ckpt_find(w->ckpt, shared) && cf_ckpt_find(w->ckpt, own);
    struct cf_view norm, distance;
    struct cf_bind *b = cf_bind_begin(w->ckpt, err);

    if (!b)
        return CF_ENOMEM;
    cf_bind_weight(b, &w->embed, c->vocab, d, "%s", is_own ? own : shared);
    cf_bind_want(b, &distance, CF_BIND_REQUIRED, 2, table,
                 "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    cf_bind_want(b, &norm, CF_BIND_REQUIRED, 1, &d, "encoder.final_layer_norm.weight");
    for (int i = 0; i < w->n_layers; i++)
        want_layer(b, c, &v[i], i);
    CF_TRY(cf_bind_end(b, false, err));
    for (int i = 0; i < w->n_layers; i++)
        if (open_layer(&o, &w->layer[i], c, w->wide, &v[i]) != CF_OK)
            return cf_wrap(err, "%s: block %d", cf_ckpt_path(w->ckpt), i);
    w->distance = cf_enc_vector(&distance, &w->held, err);
    w->norm = cf_enc_vector(&norm, &w->held, err);
    if (!w->distance || !w->norm)
        return cf_fail(err, CF_ENOMEM, "final norm");
    cf_ckpt_rest(w->ckpt); /* what was packed is not read again */
    return CF_OK;
}

enum cf_status cf_t5_weights_open(struct cf_t5_weights *w, struct cf_dnn *dnn,
                                  const struct cf_t5_config *c, const char *path,
                                  int n_layers, enum cf_hold hold, struct cf_error *err)
{
    struct layer_tensors *v = cf_calloc((size_t)n_layers, sizeof(*v), err);
    enum cf_status st = CF_ENOMEM;

    memset(w, 0, sizeof(*w));
    w->n_layers = n_layers;
    w->wide = (c->head_dim + 3) / 4 * 4;
    w->layer = cf_calloc((size_t)n_layers, sizeof(*w->layer), err);
    if (v && w->layer)
        st = cf_ckpt_open(&w->ckpt, path, err);
    if (st == CF_OK)
        st = bind_and_open(w, dnn, c, v, hold, err);
    cf_free(v);
    if (st != CF_OK)
        cf_t5_weights_close(w);
    return st;
}

void cf_t5_weights_close(struct cf_t5_weights *w)
{
    for (int i = 0; i < w->n_layers && w->layer; i++) {
        for (int l = 0; l < CF_T5_NLIN; l++)
            cf_linear_close(w->layer[i].lin[l]);
        cf_free(w->layer[i].attn_norm);
        cf_free(w->layer[i].mlp_norm);
    }
    cf_free(w->layer);
    cf_free(w->distance);
    cf_free(w->norm);
    cf_ckpt_close(w->ckpt);
    memset(w, 0, sizeof(*w));
}
