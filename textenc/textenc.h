/* textenc.h - prompt to features: tokenizer and encoder of one model behind one door.
 *
 * An encoder belongs to the thread of its struct cf_dnn. Encoding is deterministic: the
 * features of a prompt do not depend on the prompts encoded beside it. */
#ifndef CF_TEXTENC_TEXTENC_H
#define CF_TEXTENC_TEXTENC_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "dnn/layer.h"

struct cf_textenc;

/* One encoded prompt; cf_text_free frees what it owns. */
struct cf_text {
    int32_t *ids;    /* [n] owned */
    float *features; /* [n, dim] owned */
    int n, dim;      /* n >= 1 */
    int truncated;   /* tokens of the prompt that did not fit, 0 = none */
};

void cf_text_free(struct cf_text *text); /* a zeroed struct is fine; zeroes it */

/* spec: the "text" object of model.json (see textenc.c for every key); encoder_path: the
 * file or directory of the encoder; vocab_path: the tokenizer file or directory; hold:
 * how the encoder keeps its matrices. */
enum cf_status cf_textenc_open(struct cf_textenc **te, struct cf_dnn *dnn,
                               const json_t *spec, const char *encoder_path,
                               const char *vocab_path, enum cf_hold hold,
                               struct cf_error *err);
void cf_textenc_close(struct cf_textenc *te);

int cf_textenc_dim(const struct cf_textenc *te);

/* As cf_encoder_held. */
struct cf_held cf_textenc_held(const struct cf_textenc *te);

/* From now on encoding gives up with CF_ECANCEL, looking between layers, once the flag is
 * set. Borrowed; NULL: never. */
void cf_textenc_cancel(struct cf_textenc *te, struct cf_cancel *cancel);

/* One prompt to encode. The text must be well-formed UTF-8 (CF_EFORMAT otherwise; see
 * base/utf8.h) and may hold NUL. */
struct cf_prompt {
    const char *text;
    size_t len;
};

/* Encode n prompts as one packed batch. out[i] is filled in order; on failure none is. */
enum cf_status cf_textenc_encode(struct cf_textenc *te, const struct cf_prompt *prompt,
                                 int n, struct cf_text *out, struct cf_error *err);

#endif
