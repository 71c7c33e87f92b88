/* encoder.h - one face over the encoders: Qwen2 and Qwen3 (qwen2.h), T5 v1.1 (t5.h). The
 * family is what config.json calls model_type.
 *
 * Order of calls: open; prefix if there is one; forward, any number of times; close. All
 * of it on the thread of the struct cf_dnn. */
#ifndef CF_TEXTENC_ENCODER_H
#define CF_TEXTENC_ENCODER_H

#include "base/cancel.h"
#include "base/json.h"
#include "dnn/layer.h"
#include "textenc/enc.h"

struct cf_encoder;

enum cf_family { CF_FAMILY_QWEN2, CF_FAMILY_T5 }; /* Qwen3 is of the first */

/* Sizes of the whole model, whatever part of it is open. */
struct cf_encoder_shape {
    enum cf_family family;
    int hidden, layers, vocab;
};

/* Family of a config.json. where names it in messages. CF_EFORMAT, CF_EUNSUP for a model
 * that is neither. */
enum cf_status cf_encoder_family(enum cf_family *family, const json_t *config,
                                 const char *where, struct cf_error *err);

/* path: a directory with config.json and weights (weights/checkpoint.h), or a weights
 * file or index beside its config.json. Only the first n_layers layers are read; 0 is all
 * of them. hold: of its matrices. dnn must outlive the encoder. Errors as those of the
 * family's own open. */
enum cf_status cf_encoder_open(struct cf_encoder **enc, struct cf_dnn *dnn,
                               const char *path, int n_layers, enum cf_hold hold,
                               struct cf_error *err);
void cf_encoder_close(struct cf_encoder *enc); /* NULL is fine */

struct cf_encoder_shape cf_encoder_shape(const struct cf_encoder *enc);

/* Memory of the weights, without the embedding: only the rows asked for are read. */
struct cf_held cf_encoder_held(const struct cf_encoder *enc);

/* From now on n ids stand before every prompt; computed once, here. 0 is none. CF_EUNSUP
 * for T5, where a token sees what comes after it; CF_ERANGE as in a forward. */
enum cf_status cf_encoder_prefix(struct cf_encoder *enc, const int32_t *ids, int n,
                                 struct cf_error *err);

/* From now on a forward gives up with CF_ECANCEL, looking between layers, once the flag
 * is set. Borrowed; NULL: never. */
void cf_encoder_cancel(struct cf_encoder *enc, struct cf_cancel *cancel);

/* Hidden states of n_seq prompts, packed in their order, without the rows of the prefix:
 *   dst  float [sum of n, n_taps * hidden]  out: the taps side by side
 * As cf_qwen2_forward and cf_t5_forward. */
enum cf_status cf_encoder_forward(struct cf_encoder *enc, const struct cf_enc_seq *seq,
                                  int n_seq, const int *taps, int n_taps, float *dst,
                                  struct cf_error *err);

#endif
