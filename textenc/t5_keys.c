#include "textenc/t5_keys.h"

static void add_matrix(struct cf_key_walk *w, int64_t n, int64_t k, int block,
                       const char *name)
{
    const int64_t dim[2] = {n, k};

    cf_key_add(w, CF_KEY_MATRIX, 0, 2, dim, "encoder.block.%d.layer.%s.weight", block,
               name);
}

static void add_norm(struct cf_key_walk *w, int64_t d, int block, int layer)
{
    cf_key_add(w, CF_KEY_GAIN, 0, 1, &d, "encoder.block.%d.layer.%d.layer_norm.weight",
               block, layer);
}

enum cf_status cf_t5_keys(const struct cf_t5_config *c, cf_key_fn *fn, void *ctx,
                          struct cf_error *err)
{
    struct cf_key_walk w = {fn, ctx, err, CF_OK};
    const int64_t d = c->hidden, q = (int64_t)c->heads * c->head_dim;
    const int64_t in = c->intermediate;
    const int64_t embed[2] = {c->vocab, d}, table[2] = {c->buckets, c->heads};

    cf_key_add(&w, CF_KEY_TABLE, 0, 2, embed, "shared.weight");
    cf_key_add(&w, CF_KEY_TABLE, 0, 2, table,
               "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    for (int i = 0; i < c->layers && w.status == CF_OK; i++) {
        add_matrix(&w, q, d, i, "0.SelfAttention.q");
        add_matrix(&w, q, d, i, "0.SelfAttention.k");
        add_matrix(&w, q, d, i, "0.SelfAttention.v");
        add_matrix(&w, d, q, i, "0.SelfAttention.o");
        add_norm(&w, d, i, 0);
        add_matrix(&w, in, d, i, "1.DenseReluDense.wi_0");
        add_matrix(&w, in, d, i, "1.DenseReluDense.wi_1");
        add_matrix(&w, d, in, i, "1.DenseReluDense.wo");
        add_norm(&w, d, i, 1);
    }
    cf_key_add(&w, CF_KEY_GAIN, 0, 1, &d, "encoder.final_layer_norm.weight");
    return w.status;
}
