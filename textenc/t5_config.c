#include "textenc/t5_config.h"

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
    MAX_VOCAB = 1 << 24,
    MAX_BUCKETS = 1 << 12,
    MAX_DISTANCE = 1 << 20
};

static enum cf_status check_word(const json_t *obj, const char *key, const char *want,
                                 const char *where, struct cf_error *err)
{
    const char *found;

    CF_TRY(cf_json_str(obj, key, &found, where, err));
    if (strcmp(found, want) != 0)
        return cf_fail(err, CF_EUNSUP, "%s: %s \"%.64s\", expected %s", where, key, found,
                       want);
    return CF_OK;
}

/* feed_forward_proj says it all; newer files repeat it in two more fields. */
static enum cf_status check_activation(const json_t *obj, const char *where,
                                       struct cf_error *err)
{
    bool gated = true;

    CF_TRY(check_word(obj, "feed_forward_proj", "gated-gelu", where, err));
    if (json_object_get(obj, "dense_act_fn"))
        CF_TRY(check_word(obj, "dense_act_fn", "gelu_new", where, err));
    CF_TRY(cf_config_opt_bool(obj, "is_gated_act", &gated, where, err));
    if (!gated)
        return cf_fail(err, CF_EUNSUP, "%s: is_gated_act is false", where);
    return CF_OK;
}

/* Half of the buckets are for keys behind the query; half of those hold one distance
 * each, and the logarithm of the rest must have something to divide. */
static enum cf_status read_buckets(struct cf_t5_config *c, const json_t *obj,
                                   const char *where, struct cf_error *err)
{
    c->buckets = 32;
    c->max_distance = 128;
    CF_TRY(cf_config_opt_int(obj, "relative_attention_num_buckets", 4, MAX_BUCKETS,
                             &c->buckets, where, err));
    CF_TRY(cf_config_opt_int(obj, "relative_attention_max_distance", 2, MAX_DISTANCE,
                             &c->max_distance, where, err));
    if (c->max_distance <= c->buckets / 4)
        return cf_fail(err, CF_EFORMAT,
                       "%s: relative_attention_max_distance %d, expected more than %d "
                       "for %d buckets",
                       where, c->max_distance, c->buckets / 4, c->buckets);
    return CF_OK;
}

enum cf_status cf_t5_config_read(struct cf_t5_config *c, const json_t *root,
                                 const char *where, struct cf_error *err)
{
    memset(c, 0, sizeof(*c));
    if (!json_is_object(root))
        return cf_fail(err, CF_EFORMAT, "%s: not an object", where);
    CF_TRY(check_word(root, "model_type", "t5", where, err));
    if (json_object_get(root, "quantization_config") &&
        !json_is_null(json_object_get(root, "quantization_config")))
        return cf_fail(err, CF_EUNSUP, "%s: quantized weights (quantization_config)",
                       where);
    CF_TRY(cf_config_int(root, "d_model", 1, MAX_HIDDEN, &c->hidden, where, err));
    CF_TRY(cf_config_int(root, "num_layers", 1, MAX_LAYERS, &c->layers, where, err));
    CF_TRY(cf_config_int(root, "num_heads", 1, MAX_HEADS, &c->heads, where, err));
    CF_TRY(cf_config_int(root, "d_kv", 1, MAX_HEAD_DIM, &c->head_dim, where, err));
    CF_TRY(
        cf_config_int(root, "d_ff", 1, MAX_INTERMEDIATE, &c->intermediate, where, err));
    CF_TRY(cf_config_int(root, "vocab_size", 1, MAX_VOCAB, &c->vocab, where, err));
    CF_TRY(cf_json_num(root, "layer_norm_epsilon", 1e-12, 1, &c->eps, where, err));
    CF_TRY(read_buckets(c, root, where, err));
    return check_activation(root, where, err);
}

enum cf_status cf_t5_config_load(struct cf_t5_config *c, const char *path,
                                 struct cf_error *err)
{
    json_t *root = cf_json_load(path, MAX_BYTES, MAX_VALUES, err);
    enum cf_status st;

    if (!root)
        return cf_fail(err, CF_EFORMAT, "%s", path);
    st = cf_t5_config_read(c, root, path, err);
    json_decref(root);
    return st;
}
