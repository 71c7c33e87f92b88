#include "textenc/known.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "textenc/enc.h"

enum { MAX_BYTES = 1 << 20, MAX_VALUES = 1 << 16 };

#define QWEN(H, I, L, HEADS, KV, HD, V, TIED, THREE)                                     \
    .config = {.family = CF_FAMILY_QWEN2,                                                \
               .qwen2 = {.qwen3 = (THREE),                                               \
                         .hidden = (H),                                                  \
                         .layers = (L),                                                  \
                         .heads = (HEADS),                                               \
                         .kv_heads = (KV),                                               \
                         .head_dim = (HD),                                               \
                         .intermediate = (I),                                            \
                         .vocab = (V),                                                   \
                         .tied = (TIED),                                                 \
                         .qkv_bias = !(THREE),                                           \
                         .qk_norm = (THREE),                                             \
                         .rope_theta = 1e6,                                              \
                         .eps = 1e-6,                                                    \
                         .pad_id = -1}}

static const struct cf_known_encoder table[] = {
    {.name = "flan-t5-xl",
     .config = {.family = CF_FAMILY_T5,
                .t5 = {.hidden = 2048,
                       .layers = 24,
                       .heads = 32,
                       .head_dim = 64,
                       .intermediate = 5120,
                       .vocab = 32128,
                       .buckets = 32,
                       .max_distance = 128,
                       .eps = 1e-6}}},
    {.name = "qwen2-0.5b", QWEN(896, 4864, 24, 14, 2, 64, 151936, true, false)},
    {.name = "qwen2-1.5b", QWEN(1536, 8960, 28, 12, 2, 128, 151936, true, false)},
    {.name = "qwen2.5-3b", QWEN(2048, 11008, 36, 16, 2, 128, 151936, true, false)},
    {.name = "qwen2-7b", QWEN(3584, 18944, 28, 28, 4, 128, 152064, false, false)},
    {.name = "qwen3-0.6b", QWEN(1024, 3072, 28, 16, 8, 128, 151936, true, true)},
    {.name = "qwen3-4b", QWEN(2560, 9728, 36, 32, 8, 128, 151936, true, true)},
};
enum { COUNT = sizeof table / sizeof table[0] };

enum cf_status cf_encoder_config_load(struct cf_encoder_config *c, const char *path,
                                      struct cf_error *err)
{
    enum cf_status status;
    json_t *root = NULL;
    char *file;

    memset(c, 0, sizeof *c);
    CF_TRY(cf_enc_config_path(&file, path, err));
    root = cf_json_load(file, MAX_BYTES, MAX_VALUES, err);
    status = root ? cf_encoder_family(&c->family, root, file, err)
                  : cf_fail(err, CF_EFORMAT, "%s", file);
    if (status == CF_OK)
        status = c->family == CF_FAMILY_T5
                     ? cf_t5_config_read(&c->t5, root, file, err)
                     : cf_qwen2_config_read(&c->qwen2, root, file, err);
    json_decref(root);
    cf_free(file);
    return status;
}

int cf_encoder_config_hidden(const struct cf_encoder_config *c)
{
    return c->family == CF_FAMILY_T5 ? c->t5.hidden : c->qwen2.hidden;
}

const struct cf_known_encoder *cf_known_encoder_at(int i)
{
    return i >= 0 && i < COUNT ? &table[i] : NULL;
}

enum cf_status cf_known_encoder_find(const struct cf_known_encoder **known,
                                     const char *name, struct cf_error *err)
{
    const char *names[COUNT + 1] = {NULL};
    int found;

    for (int i = 0; i < COUNT; i++)
        names[i] = table[i].name;
    *known = NULL;
    CF_TRY(cf_parse_word(name, names, &found, "text encoder", err));
    *known = &table[found];
    return CF_OK;
}

static bool same_t5(const struct cf_t5_config *a, const struct cf_t5_config *b)
{
    return a->hidden == b->hidden && a->layers == b->layers && a->heads == b->heads &&
           a->head_dim == b->head_dim && a->intermediate == b->intermediate;
}

static bool same_qwen2(const struct cf_qwen2_config *a, const struct cf_qwen2_config *b)
{
    return a->qwen3 == b->qwen3 && a->hidden == b->hidden && a->layers == b->layers &&
           a->heads == b->heads && a->kv_heads == b->kv_heads &&
           a->head_dim == b->head_dim && a->intermediate == b->intermediate;
}

const struct cf_known_encoder *cf_known_encoder_match(const struct cf_encoder_config *c)
{
    for (int i = 0; i < COUNT; i++) {
        const struct cf_encoder_config *t = &table[i].config;

        if (t->family == c->family &&
            (c->family == CF_FAMILY_T5 ? same_t5(&t->t5, &c->t5)
                                       : same_qwen2(&t->qwen2, &c->qwen2)))
            return &table[i];
    }
    return NULL;
}

const char *cf_known_encoder_of_width(char *buf, size_t size, int hidden)
{
    size_t n = 0;

    buf[0] = '\0';
    for (int i = 0; i < COUNT && n < size; i++)
        if (cf_encoder_config_hidden(&table[i].config) == hidden)
            n +=
                (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", table[i].name);
    return buf;
}

static json_t *t5_json(const struct cf_t5_config *c)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:i, s:i}",
                     "model_type", "t5", "d_model", c->hidden, "num_layers", c->layers,
                     "num_heads", c->heads, "d_kv", c->head_dim, "d_ff", c->intermediate,
                     "vocab_size", c->vocab, "relative_attention_num_buckets", c->buckets,
                     "relative_attention_max_distance", c->max_distance,
                     "layer_norm_epsilon", c->eps, "feed_forward_proj", "gated-gelu",
                     "eos_token_id", 1, "pad_token_id", 0);
}

static json_t *qwen2_json(const struct cf_qwen2_config *c)
{
    json_t *obj = json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:b}", "model_type",
        c->qwen3 ? "qwen3" : "qwen2", "hidden_size", c->hidden, "intermediate_size",
        c->intermediate, "num_hidden_layers", c->layers, "num_attention_heads", c->heads,
        "num_key_value_heads", c->kv_heads, "head_dim", c->head_dim, "vocab_size",
        c->vocab, "hidden_act", "silu", "rms_norm_eps", c->eps, "rope_theta",
        c->rope_theta, "tie_word_embeddings", (int)c->tied);

    if (obj && c->pad_id >= 0)
        json_object_set_new(obj, "pad_token_id", json_integer(c->pad_id));
    return obj;
}

json_t *cf_encoder_config_json(const struct cf_encoder_config *c)
{
    return c->family == CF_FAMILY_T5 ? t5_json(&c->t5) : qwen2_json(&c->qwen2);
}

json_t *cf_text_section(enum cf_family family, int max_tokens)
{
    if (family == CF_FAMILY_T5)
        return json_pack("{s:{s:s, s:i, s:b}, s:{s:s, s:s}}", "tokenizer", "type",
                         "sentencepiece", "max_tokens", max_tokens - 1, "append_eos", 1,
                         "encoder", "features", "last", "rows", "valid");
    return json_pack("{s:{s:s, s:i}, s:{s:s, s:s}}", "tokenizer", "type", "bpe",
                     "max_tokens", max_tokens, "encoder", "features", "last", "rows",
                     "valid");
}
