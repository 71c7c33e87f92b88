#include "textenc/encoder.h"

#include <string.h>

#include "base/alloc.h"
#include "textenc/qwen2.h"
#include "textenc/t5.h"

enum { MAX_BYTES = 1 << 20, MAX_VALUES = 1 << 16 };

struct cf_encoder {
    struct cf_qwen2 *qwen2; /* one of the two */
    struct cf_t5 *t5;
    struct cf_qwen2_prefix *prefix; /* NULL: none */
};

enum cf_status cf_encoder_family(enum cf_family *family, const json_t *config,
                                 const char *where, struct cf_error *err)
{
    const json_t *text = json_object_get(config, "text_config"); /* multimodal */
    const char *type;

    CF_TRY(cf_json_str(json_is_object(text) ? text : config, "model_type", &type, where,
                       err));
    if (strcmp(type, "t5") == 0)
        *family = CF_FAMILY_T5;
    else if (strncmp(type, "qwen", 4) == 0) /* which of them we know, its reader says */
        *family = CF_FAMILY_QWEN2;
    else
        return cf_fail(err, CF_EUNSUP,
                       "%s: model_type \"%.64s\", expected qwen2, qwen3 or t5", where,
                       type);
    return CF_OK;
}

static enum cf_status open_family(struct cf_encoder *e, struct cf_dnn *dnn,
                                  const char *config, const char *path, int n_layers,
                                  enum cf_hold hold, struct cf_error *err)
{
    json_t *root = cf_json_load(config, MAX_BYTES, MAX_VALUES, err);
    enum cf_family family;
    enum cf_status st;

    if (!root)
        return cf_fail(err, CF_EFORMAT, "%s", config);
    st = cf_encoder_family(&family, root, config, err);
    json_decref(root);
    if (st != CF_OK)
        return st;
    if (family == CF_FAMILY_T5)
        return cf_t5_open_pair(&e->t5, dnn, config, path, n_layers, hold, err);
    return cf_qwen2_open_pair(&e->qwen2, dnn, config, path, n_layers, hold, err);
}

enum cf_status cf_encoder_open(struct cf_encoder **enc, struct cf_dnn *dnn,
                               const char *path, int n_layers, enum cf_hold hold,
                               struct cf_error *err)
{
    struct cf_encoder *e = cf_calloc(1, sizeof(*e), err);
    enum cf_status st = CF_ENOMEM;
    char *config = NULL;

    *enc = NULL;
    if (e)
        st = cf_enc_config_path(&config, path, err);
    if (st == CF_OK)
        st = open_family(e, dnn, config, path, n_layers, hold, err);
    cf_free(config);
    if (st == CF_OK)
        *enc = e;
    else
        cf_encoder_close(e);
    return st;
}

void cf_encoder_close(struct cf_encoder *e)
{
    if (!e)
        return;
    cf_qwen2_prefix_close(e->prefix);
    cf_qwen2_close(e->qwen2);
    cf_t5_close(e->t5);
    cf_free(e);
}

struct cf_encoder_shape cf_encoder_shape(const struct cf_encoder *e)
{
    if (e->t5) {
        const struct cf_t5_config *c = cf_t5_config(e->t5);

        return (struct cf_encoder_shape){CF_FAMILY_T5, c->hidden, c->layers, c->vocab};
    } else {
        const struct cf_qwen2_config *c = cf_qwen2_config(e->qwen2);

        return (struct cf_encoder_shape){CF_FAMILY_QWEN2, c->hidden, c->layers, c->vocab};
    }
}

struct cf_held cf_encoder_held(const struct cf_encoder *e)
{
    return e->t5 ? cf_t5_held(e->t5) : cf_qwen2_held(e->qwen2);
}

enum cf_status cf_encoder_prefix(struct cf_encoder *e, const int32_t *ids, int n,
                                 struct cf_error *err)
{
    cf_qwen2_prefix_close(e->prefix);
    e->prefix = NULL;
    if (n == 0)
        return CF_OK;
    if (e->t5)
        return cf_fail(err, CF_EUNSUP, "a prefix with a T5 encoder: it is not causal");
    return cf_qwen2_prefix_open(&e->prefix, e->qwen2, ids, n, err);
}

void cf_encoder_cancel(struct cf_encoder *e, struct cf_cancel *cancel)
{
    if (e->t5)
        cf_t5_cancel(e->t5, cancel);
    else
        cf_qwen2_cancel(e->qwen2, cancel);
}

enum cf_status cf_encoder_forward(struct cf_encoder *e, const struct cf_enc_seq *seq,
                                  int n_seq, const int *taps, int n_taps, float *dst,
                                  struct cf_error *err)
{
    if (e->t5)
        return cf_t5_forward(e->t5, seq, n_seq, taps, n_taps, dst, err);
    return cf_qwen2_forward(e->qwen2, e->prefix, seq, n_seq, taps, n_taps, dst, err);
}
