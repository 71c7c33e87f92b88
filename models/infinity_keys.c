#include "models/infinity_keys.h"

#include <stdio.h>
#include <string.h>

static void add_matrix(struct cf_key_walk *w, int64_t n, int64_t k, const char *prefix,
                       const char *name)
{
    const int64_t dim[2] = {n, k};

    cf_key_add(w, CF_KEY_MATRIX, 0, 2, dim, "%s%s", prefix, name);
}

static void add_zero(struct cf_key_walk *w, int64_t n, const char *prefix,
                     const char *name)
{
    cf_key_add(w, CF_KEY_SMALL, CF_KEY_OPTIONAL, 1, &n, "%s%s", prefix, name);
}

static void add_block(struct cf_key_walk *w, const char *p, const struct cf_inf_shape *s)
{
    const int64_t ada[4] = {1, 1, 6, s->c}, scale[4] = {1, s->heads, 1, 1};
    const int64_t c = s->c;

    cf_key_add(w, CF_KEY_SMALL, 0, 4, ada, "%sada_gss", p);
    cf_key_add(w, CF_KEY_LOG, 0, 4, scale, "%ssa.scale_mul_1H11", p);
    cf_key_add_vector(w, CF_KEY_SMALL, c, p, "sa.q_bias");
    cf_key_add_vector(w, CF_KEY_SMALL, c, p, "sa.v_bias");
    add_zero(w, c, p, "sa.zero_k_bias");
    add_matrix(w, 3 * c, c, p, "sa.mat_qkv.weight");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, c, p, "sa.proj");
    cf_key_add_vector(w, CF_KEY_SMALL, c, p, "ca.v_bias");
    add_zero(w, c, p, "ca.zero_k_bias");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, c, p, "ca.mat_q");
    add_matrix(w, 2 * c, c, p, "ca.mat_kv.weight");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, c, p, "ca.proj");
    cf_key_add_linear(w, CF_KEY_MATRIX, s->mlp, c, p, "ffn.fc1");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, s->mlp, p, "ffn.fc2");
    cf_key_add_vector(w, CF_KEY_GAIN, c, p, "ca_norm.weight");
    cf_key_add_vector(w, CF_KEY_SMALL, c, p, "ca_norm.bias");
}

static void add_text(struct cf_key_walk *w, const struct cf_inf_shape *s)
{
    const int64_t uncond[2] = {s->text_max, s->text};
    const int64_t pool[3] = {1, s->pool_heads, s->c / s->pool_heads};
    const int64_t c = s->c;

    cf_key_add(w, CF_KEY_TABLE, CF_KEY_ANY_ROWS, 2, uncond, "cfg_uncond");
    cf_key_add_vector(w, CF_KEY_GAIN, s->text, "", "text_norm.weight");
    cf_key_add(w, CF_KEY_SMALL, 0, 3, pool, "text_proj_for_sos.ca.mat_q");
    cf_key_add_vector(w, CF_KEY_SMALL, c, "", "text_proj_for_sos.ca.v_bias");
    add_zero(w, c, "", "text_proj_for_sos.ca.zero_k_bias");
    add_matrix(w, 2 * c, s->text, "", "text_proj_for_sos.ca.mat_kv.weight");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, c, "", "text_proj_for_sos.ca.proj");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, s->text, "", "text_proj_for_ca.0");
    cf_key_add_linear(w, CF_KEY_MATRIX, c, c, "", "text_proj_for_ca.2");
}

enum cf_status cf_inf_keys(const struct cf_inf_shape *s, cf_key_fn *fn, void *ctx,
                           struct cf_error *err)
{
    struct cf_key_walk w = {fn, ctx, err, CF_OK};
    const int64_t start[3] = {1, 1, s->c}, level[2] = {CF_INF_LEVELS, s->c};
    const int per = s->depth / s->chunks;

    add_text(&w, s);
    cf_key_add(&w, CF_KEY_SMALL, 0, 3, start, "pos_start");
    cf_key_add(&w, CF_KEY_TABLE, CF_KEY_ANY_ROWS, 2, level, "lvl_embed.weight");
    cf_key_add_linear(&w, CF_KEY_EDGE, s->c, s->dv, "", "word_embed");
    cf_key_add_linear(&w, CF_KEY_MATRIX, 6 * (int64_t)s->c, s->c, "", "shared_ada_lin.1");
    cf_key_add_linear(&w, CF_KEY_EDGE, 2 * (int64_t)s->c, s->c, "", "head_nm.ada_lin.1");
    cf_key_add_linear(&w, CF_KEY_EDGE, 2 * (int64_t)s->dv, s->c, "", "head");
    for (int i = 0; i < s->depth && w.status == CF_OK; i++) {
        char prefix[64];

        if (s->chunks > 1)
            snprintf(prefix, sizeof prefix, "block_chunks.%d.module.%d.", i / per,
                     i % per);
        else
            snprintf(prefix, sizeof prefix, "blocks.%d.", i);
        add_block(&w, prefix, s);
    }
    return w.status;
}

bool cf_inf_is_buffer(const char *name)
{
    static const char *const buffer[] = {"lvl_1L", "attn_bias_for_masking",
                                         "Infinity_visible_kvlen",
                                         "Infinity_invisible_qlen"};

    for (size_t i = 0; i < sizeof buffer / sizeof buffer[0]; i++)
        if (strcmp(name, buffer[i]) == 0)
            return true;
    return false;
}
