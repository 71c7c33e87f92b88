#include "textenc/qwen2_keys.h"

#include <stdio.h>
#include <string.h>

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

enum cf_status cf_qwen2_prefix(char prefix[CF_KEY_NAME], const struct cf_shapes *in,
                               struct cf_error *err)
{
    static const char tail[] = "embed_tokens.weight";
    const size_t m = sizeof tail - 1;
    const char *found = NULL;

    for (int i = 0; i < cf_shapes_count(in); i++) {
        const char *name = cf_shapes_name(in, i);
        size_t n = name ? strlen(name) : 0;

        if (n < m || n - m >= CF_KEY_NAME / 2 || strcmp(name + n - m, tail) != 0 ||
            (n > m && name[n - m - 1] != '.'))
            continue;
        if (found)
            return cf_fail(err, CF_EFORMAT, "%.200s: both %.100s and %.100s", in->where,
                           found, name);
        found = name;
        snprintf(prefix, CF_KEY_NAME, "%.*s", (int)(n - m), name);
    }
    return found ? CF_OK
                 : cf_fail(err, CF_ENOENT, "%.200s: no tensor %s", in->where, tail);
}
