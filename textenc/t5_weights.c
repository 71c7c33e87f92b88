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

struct layer_views {
    struct cf_view lin[CF_T5_NLIN], attn_norm, mlp_norm;
};

static void want_layer(struct cf_bind *b, const struct cf_t5_config *c,
                       struct layer_views *v, int i)
{
    const int64_t d = c->hidden, q = (int64_t)c->heads * c->head_dim;
    const int64_t in = c->intermediate;
    const int64_t shape[CF_T5_NLIN][2] = {{q, d},  {q, d},  {q, d}, {d, q},
                                          {in, d}, {in, d}, {d, in}};

    for (int l = 0; l < CF_T5_NLIN; l++)
        cf_bind_want(b, &v->lin[l], CF_BIND_REQUIRED, 2, shape[l],
                     "encoder.block.%d.%s.weight", i, lin_name[l]);
    cf_bind_want(b, &v->attn_norm, CF_BIND_REQUIRED, 1, &d,
                 "encoder.block.%d.layer.0.layer_norm.weight", i);
    cf_bind_want(b, &v->mlp_norm, CF_BIND_REQUIRED, 1, &d,
                 "encoder.block.%d.layer.1.layer_norm.weight", i);
}

/* Rows of heads * hd floats with zeros between the heads: where src has a row for each
 * channel of a head (across 0), rows of zeros; where a column, columns of zeros. */
static float *spread(const struct cf_view *v, int heads, int hd, int wide, bool across,
                     struct cf_error *err)
{
    const int64_t n = v->dim[0], k = v->dim[1];
    const int64_t rows = across ? n : (int64_t)heads * wide;
    const int64_t cols = across ? (int64_t)heads * wide : k;
    const int64_t run = across ? hd : k; /* floats that stay together */
    float *dst = cf_enc_matrix(rows, cols, err);

    if (!dst)
        return NULL;
    memset(dst, 0, (size_t)(rows * cols) * sizeof(*dst));
    for (int64_t r = 0; r < n * k / run; r++) {
        int64_t at = across ? r * wide : (r / hd * wide + r % hd) * k;

        if (cf_view_floats(dst + at, v, r * run, run, err) != CF_OK) {
            cf_free(dst);
            return NULL;
        }
    }
    return dst;
}

static enum cf_status open_view(struct cf_linear **lin, struct cf_dnn *dnn,
                                const struct cf_view *v, enum cf_hold hold,
                                struct cf_error *err)
{
    struct cf_weight w;

    CF_TRY(cf_weight_of(&w, v, err));
    return cf_linear_open(lin, dnn, &w, NULL, hold, err);
}

/* Layer l, its heads as far apart as attention wants them. */
static enum cf_status open_linear(struct cf_linear **lin, struct cf_dnn *dnn,
                                  const struct cf_t5_config *c, int wide, int l,
                                  const struct cf_view *v, enum cf_hold hold,
                                  struct cf_error *err)
{
    int64_t dim[2] = {v->dim[0], v->dim[1]};
    struct cf_view view;
    enum cf_status st;
    float *copy;

    if (l > CF_T5_O || wide == c->head_dim)
        return open_view(lin, dnn, v, hold, err);
    copy = spread(v, c->heads, c->head_dim, wide, l == CF_T5_O, err);
    if (!copy)
        return CF_ENOMEM;
    dim[l == CF_T5_O] = (int64_t)c->heads * wide;
    view = cf_view_f32(copy, 2, dim);
    st = open_view(lin, dnn, &view, CF_HOLD_PACK, err);
    cf_free(copy);
    return st;
}

static enum cf_status open_layer(struct cf_t5_layer *layer, struct cf_dnn *dnn,
                                 const struct cf_t5_config *c, int wide,
                                 const struct layer_views *v, enum cf_hold hold,
                                 struct cf_error *err)
{
    for (int l = 0; l < CF_T5_NLIN; l++)
        if (open_linear(&layer->lin[l], dnn, c, wide, l, &v->lin[l], hold, err) != CF_OK)
            return cf_wrap(err, "%s", lin_name[l]);
    layer->attn_norm = cf_enc_floats(&v->attn_norm, err);
    layer->mlp_norm = cf_enc_floats(&v->mlp_norm, err);
    return layer->attn_norm && layer->mlp_norm
               ? CF_OK
               : cf_fail(err, CF_ENOMEM, "norms of a layer");
}

static enum cf_status bind_and_pack(struct cf_t5_weights *w, struct cf_dnn *dnn,
                                    const struct cf_t5_config *c, struct layer_views *v,
                                    enum cf_hold hold, struct cf_error *err)
{
    const int64_t d = c->hidden, embed[2] = {c->vocab, d};
    const int64_t table[2] = {c->buckets, c->heads};
    static const char own[] = "encoder.embed_tokens.weight", shared[] = "shared.weight";
    bool is_own = !cf_ckpt_find(w->ckpt, shared) && cf_ckpt_find(w->ckpt, own);
    struct cf_view norm, distance;
    struct cf_bind *b = cf_bind_begin(w->ckpt, err);

    if (!b)
        return CF_ENOMEM;
    cf_bind_want(b, &w->embed, CF_BIND_REQUIRED, 2, embed, "%s", is_own ? own : shared);
    cf_bind_want(b, &distance, CF_BIND_REQUIRED, 2, table,
                 "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    cf_bind_want(b, &norm, CF_BIND_REQUIRED, 1, &d, "encoder.final_layer_norm.weight");
    for (int i = 0; i < w->n_layers; i++)
        want_layer(b, c, &v[i], i);
    CF_TRY(cf_bind_end(b, false, err));
    for (int i = 0; i < w->n_layers; i++)
        if (open_layer(&w->layer[i], dnn, c, w->wide, &v[i], hold, err) != CF_OK)
            return cf_wrap(err, "%s: block %d", cf_ckpt_path(w->ckpt), i);
    w->distance = cf_enc_floats(&distance, err);
    w->norm = cf_enc_floats(&norm, err);
    return w->distance && w->norm ? CF_OK : cf_fail(err, CF_ENOMEM, "final norm");
}

enum cf_status cf_t5_weights_open(struct cf_t5_weights *w, struct cf_dnn *dnn,
                                  const struct cf_t5_config *c, const char *path,
                                  int n_layers, enum cf_hold hold, struct cf_error *err)
{
    struct layer_views *v = cf_calloc((size_t)n_layers, sizeof(*v), err);
    enum cf_status st = CF_ENOMEM;

    memset(w, 0, sizeof(*w));
    w->n_layers = n_layers;
    w->wide = (c->head_dim + 3) / 4 * 4;
    w->layer = cf_calloc((size_t)n_layers, sizeof(*w->layer), err);
    if (v && w->layer)
        st = cf_ckpt_open(&w->ckpt, path, err);
    if (st == CF_OK)
        st = bind_and_pack(w, dnn, c, v, hold, err);
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
