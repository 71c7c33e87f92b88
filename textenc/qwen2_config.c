#include "textenc/qwen2_config.h"

#include <string.h>

#include "weights/config.h"

enum {
    MAX_BYTES = 1 << 20,
    MAX_VALUES = 1 << 16,
    MAX_HIDDEN = 1 << 16,
    MAX_LAYERS = 1 << 10,
    MAX_HEADS = 1 << 10,
    MAX_HEAD_DIM = 256,
    MAX_INTERMEDIATE = 1 << 20,
    MAX_VOCAB = 1 << 24
};

static bool absent(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return !v || json_is_null(v);
}

static enum cf_status read_type(struct cf_qwen2_config *c, const json_t *obj,
                                const char *where, struct cf_error *err)
{
    static const char *const known[] = {"qwen2",      "qwen2_vl",        "qwen2_vl_text",
                                        "qwen2_5_vl", "qwen2_5_vl_text", "qwen3"};
    const char *type;

    CF_TRY(cf_json_str(obj, "model_type", &type, where, err));
    for (int i = 0; i < 6; i++)
        if (strcmp(type, known[i]) == 0) {
            c->qwen3 = strcmp(type, "qwen3") == 0;
            c->qk_norm = c->qwen3;
            c->qkv_bias = !c->qwen3;
            return CF_OK;
        }
    return cf_fail(err, CF_EUNSUP, "%s: model_type \"%.64s\", expected qwen2 or qwen3",
                   where, type);
}

static enum cf_status read_sizes(struct cf_qwen2_config *c, const json_t *obj,
                                 const char *where, struct cf_error *err)
{
    CF_TRY(cf_config_int(obj, "hidden_size", 1, MAX_HIDDEN, &c->hidden, where, err));
    CF_TRY(
        cf_config_int(obj, "num_hidden_layers", 1, MAX_LAYERS, &c->layers, where, err));
    CF_TRY(
        cf_config_int(obj, "num_attention_heads", 1, MAX_HEADS, &c->heads, where, err));
    CF_TRY(cf_config_int(obj, "num_key_value_heads", 1, MAX_HEADS, &c->kv_heads, where,
                         err));
    CF_TRY(cf_config_int(obj, "intermediate_size", 1, MAX_INTERMEDIATE, &c->intermediate,
                         where, err));
    CF_TRY(cf_config_int(obj, "vocab_size", 1, MAX_VOCAB, &c->vocab, where, err));
    CF_TRY(cf_json_num(obj, "rms_norm_eps", 1e-12, 1, &c->eps, where, err));
    if (c->heads % c->kv_heads)
        return cf_fail(err, CF_EFORMAT,
                       "%s: %d query heads do not share %d key/value heads", where,
                       c->heads, c->kv_heads);
    if (!absent(obj, "head_dim") || c->qwen3)
        CF_TRY(cf_config_int(obj, "head_dim", 1, MAX_HEAD_DIM, &c->head_dim, where, err));
    else if (c->hidden % c->heads)
        return cf_fail(err, CF_EFORMAT, "%s: hidden_size %d is no multiple of %d heads",
                       where, c->hidden, c->heads);
    else
        c->head_dim = c->hidden / c->heads;
    if (c->head_dim % 2 || c->head_dim > MAX_HEAD_DIM)
        return cf_fail(err, CF_EUNSUP,
                       "%s: head_dim %d, expected an even number up to %d", where,
                       c->head_dim, MAX_HEAD_DIM);
    return CF_OK;
}

/* rope_scaling (older) or rope_parameters (newer): a type of "default" or "mrope". */
static enum cf_status check_rope(const json_t *obj, const char *key, const char *where,
                                 struct cf_error *err)
{
    static const char *const type_key[] = {"type", "rope_type"};
    const json_t *rope = json_object_get(obj, key);
    const char *type = NULL;
    double part = 1;

    if (absent(obj, key))
        return CF_OK;
    if (!json_is_object(rope))
        return cf_fail(err, CF_EFORMAT, "%s: %s is not an object", where, key);
    for (int i = 0; i < 2; i++) {
        if (absent(rope, type_key[i]))
            continue;
        CF_TRY(cf_json_str(rope, type_key[i], &type, where, err));
        if (strcmp(type, "default") != 0 && strcmp(type, "mrope") != 0)
            return cf_fail(err, CF_EUNSUP, "%s: %s of type \"%.64s\"", where, key, type);
    }
    if (!type && strcmp(key, "rope_scaling") == 0)
        return cf_fail(err, CF_EUNSUP, "%s: %s without a type", where, key);
    if (!absent(rope, "partial_rotary_factor"))
        CF_TRY(cf_json_num(rope, "partial_rotary_factor", 0, 1, &part, where, err));
    if (part < 1)
        return cf_fail(err, CF_EUNSUP, "%s: %s: partial_rotary_factor %g", where, key,
                       part);
    return CF_OK;
}

static enum cf_status read_rope(struct cf_qwen2_config *c, const json_t *obj,
                                const char *where, struct cf_error *err)
{
    const json_t *newer = json_object_get(obj, "rope_parameters");

    CF_TRY(check_rope(obj, "rope_scaling", where, err));
    CF_TRY(check_rope(obj, "rope_parameters", where, err));
    if (!absent(newer, "rope_theta"))
        obj = newer;
    return cf_json_num(obj, "rope_theta", 1, 1e12, &c->rope_theta, where, err);
}

static enum cf_status check_window(const struct cf_qwen2_config *c, const json_t *obj,
                                   const char *where, struct cf_error *err)
{
    const json_t *types = json_object_get(obj, "layer_types");
    int full = 0;
    bool window = false;
    size_t i;
    json_t *v;

    if (!absent(obj, "use_sliding_window"))
        CF_TRY(cf_json_bool(obj, "use_sliding_window", &window, where, err));
    if (window) { /* the first max_window_layers layers see everything */
        CF_TRY(cf_config_int(obj, "max_window_layers", 0, 1 << 20, &full, where, err));
        if (full < c->layers)
            return cf_fail(err, CF_EUNSUP, "%s: sliding window from layer %d on", where,
                           full);
    }
    if (absent(obj, "layer_types"))
        return CF_OK;
    if (!json_is_array(types))
        return cf_fail(err, CF_EFORMAT, "%s: layer_types is not a list", where);
    json_array_foreach((json_t *)types, i, v)
    {
        if (!json_is_string(v) || strcmp(json_string_value(v), "full_attention") != 0)
            return cf_fail(err, CF_EUNSUP,
                           "%s: layer_types: layer %zu is not full_attention", where, i);
    }
    return CF_OK;
}

static enum cf_status check_rest(const struct cf_qwen2_config *c, const json_t *obj,
                                 const char *where, struct cf_error *err)
{
    const char *act;
    bool bias = false;

    CF_TRY(cf_json_str(obj, "hidden_act", &act, where, err));
    if (strcmp(act, "silu") != 0)
        return cf_fail(err, CF_EUNSUP, "%s: hidden_act \"%.64s\", expected silu", where,
                       act);
    if (c->qwen3 && !absent(obj, "attention_bias"))
        CF_TRY(cf_json_bool(obj, "attention_bias", &bias, where, err));
    if (bias)
        return cf_fail(err, CF_EUNSUP, "%s: attention_bias on Qwen3", where);
    return CF_OK;
}

enum cf_status cf_qwen2_config_read(struct cf_qwen2_config *c, const json_t *root,
                                    const char *where, struct cf_error *err)
{
    const json_t *obj = root, *text = json_object_get(root, "text_config");

    memset(c, 0, sizeof(*c));
    c->pad_id = -1;
    if (!json_is_object(root))
        return cf_fail(err, CF_EFORMAT, "%s: not an object", where);
    if (!absent(root, "text_config")) {
        if (!json_is_object(text))
            return cf_fail(err, CF_EFORMAT, "%s: text_config is not an object", where);
        obj = text;
    }
    if (!absent(root, "quantization_config") || !absent(obj, "quantization_config"))
        return cf_fail(err, CF_EUNSUP, "%s: quantized weights (quantization_config)",
                       where);
    CF_TRY(read_type(c, obj, where, err));
    CF_TRY(read_sizes(c, obj, where, err));
    CF_TRY(read_rope(c, obj, where, err));
    CF_TRY(check_window(c, obj, where, err));
    CF_TRY(check_rest(c, obj, where, err));
    if (!absent(obj, "pad_token_id"))
        CF_TRY(
            cf_config_int(obj, "pad_token_id", 0, c->vocab - 1, &c->pad_id, where, err));
    if (absent(obj, "tie_word_embeddings"))
        obj = root;
    if (!absent(obj, "tie_word_embeddings"))
        CF_TRY(cf_json_bool(obj, "tie_word_embeddings", &c->tied, where, err));
    return CF_OK;
}

enum cf_status cf_qwen2_config_load(struct cf_qwen2_config *c, const char *path,
                                    struct cf_error *err)
{
    json_t *root = cf_json_load(path, MAX_BYTES, MAX_VALUES, err);
    enum cf_status st;

    if (!root)
        return cf_fail(err, CF_EFORMAT, "%s", path);
    st = cf_qwen2_config_read(c, root, path, err);
    json_decref(root);
    return st;
}
