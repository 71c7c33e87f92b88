#include "textenc/qwen2_keys.h"

#include <stdio.h>

/* A projection of attention: matrix, and the bias of Qwen2. */
static void add_projection(struct cf_key_walk *w, const struct cf_qwen2_config *c,
                           int64_t n, const char *layer, const char *name)
{
    const int64_t dim[2] = {n, c->hidden};

    cf_key_add(w, CF_KEY_MATRIX, 0, 2, dim, "%sself_attn.%s.weight", layer, name);
    if (c->qkv_bias)
        cf_key_add(w, CF_KEY_SMALL, 0, 1, dim, "%sself_attn.%s.bias", layer, name);
}

static void add_matrix(struct cf_key_walk *w, int64_t n, int64_t k, const char *layer,
                       const char *name)
{
    const int64_t dim[2] = {n, k};

    cf_key_add(w, CF_KEY_MATRIX, 0, 2, dim, "%s%s", layer, name);
}

static void add_layer(struct cf_key_walk *w, const struct cf_qwen2_config *c,
                      const char *layer)
{
    const int64_t h = c->hidden, hd = c->head_dim, in = c->intermediate;
    const int64_t q = c->heads * hd, kv = c->kv_heads * hd;

    cf_key_add_vector(w, CF_KEY_GAIN, h, layer, "input_layernorm.weight");
    add_projection(w, c, q, layer, "q_proj");
    add_projection(w, c, kv, layer, "k_proj");
    add_projection(w, c, kv, layer, "v_proj");
    if (c->qk_norm) {
        cf_key_add_vector(w, CF_KEY_GAIN, hd, layer, "self_attn.q_norm.weight");
        cf_key_add_vector(w, CF_KEY_GAIN, hd, layer, "self_attn.k_norm.weight");
    }
    add_matrix(w, h, q, layer, "self_attn.o_proj.weight");
    cf_key_add_vector(w, CF_KEY_GAIN, h, layer, "post_attention_layernorm.weight");
    add_matrix(w, in, h, layer, "mlp.gate_proj.weight");
    add_matrix(w, in, h, layer, "mlp.up_proj.weight");
    add_matrix(w, h, in, layer, "mlp.down_proj.weight");
}

enum cf_status cf_qwen2_keys(const struct cf_qwen2_config *c, const char *prefix,
                             cf_key_fn *fn, void *ctx, struct cf_error *err)
{
    struct cf_key_walk w = {fn, ctx, err, CF_OK};
    const int64_t embed[2] = {c->vocab, c->hidden};

    cf_key_add(&w, CF_KEY_TABLE, 0, 2, embed, "%sembed_tokens.weight", prefix);
    for (int i = 0; i < c->layers && w.status == CF_OK; i++) {
        char layer[CF_KEY_NAME];

        snprintf(layer, sizeof layer, "%slayers.%d.", prefix, i);
        add_layer(&w, c, layer);
    }
    cf_key_add_vector(&w, CF_KEY_GAIN, c->hidden, prefix, "norm.weight");
    return w.status;
}
