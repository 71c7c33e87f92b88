/* enc.h - what the text encoders share: packed prompts, the hidden states wanted, and how
 * a stream of rows becomes them.
 *
 * An encoder runs several prompts packed, [sum of their lengths, width], without padding:
 * the linear layers see the rows of all, attention sees one prompt at a time. A tap names
 * a hidden state as transformers does: 0 is the embedding, i the stream after layer i,
 * and L, the last, is after the final norm. */
#ifndef CF_TEXTENC_ENC_H
#define CF_TEXTENC_ENC_H

#include <stdint.h>

#include "base/weight.h"
#include "dnn/dnn.h"

enum {
    CF_ENC_MAX_LEN = 1 << 15,  /* tokens of one sequence, prefix included */
    CF_ENC_MAX_ROWS = 1 << 18, /* of one forward */
    CF_ENC_MLP_ROWS = 1024,    /* rows whose wide middle is in memory at a time */
    CF_ENC_PRE_NORM = -1       /* a tap: the stream after the last layer, not normed */
};

/* One prompt. */
struct cf_enc_seq {
    const int32_t *ids;  /* [n] each in 0 .. vocab-1 */
    const uint8_t *mask; /* [n] 0: nobody may look at this token (padding); NULL: all 1 */
    int n;               /* >= 1 */
};

/* config.json of an encoder at path: inside where path is a directory, else beside it.
 * *config is fresh (cf_free). CF_ENOENT and its like where path cannot be looked at. */
enum cf_status cf_enc_config_path(char **config, const char *path, struct cf_error *err);

/* Lengths and ids in range, else CF_ERANGE naming prompt and place. prefix: tokens before
 * each prompt. *rows is the sum of lengths, *longest the greatest. */
enum cf_status cf_enc_check_seqs(const struct cf_enc_seq *seq, int n_seq, int prefix,
                                 int vocab, int *rows, int *longest,
                                 struct cf_error *err);

/* Taps 0 .. n_open of a model of n_layers layers of which n_open can run;
 * CF_ENC_PRE_NORM needs all. *highest: layers to run. CF_ERANGE. */
enum cf_status cf_enc_check_taps(const int *taps, int n_taps, int n_open, int n_layers,
                                 int *highest, struct cf_error *err);

/* x [rows, h] = rows of embed [vocab, h] for the ids of all prompts; the ids were
 * checked.
 */
void cf_enc_embed(float *x, const struct cf_weight *embed, const struct cf_enc_seq *seq,
                  int n_seq);

/* The stream of rows after `done` layers. */
struct cf_enc_stream {
    const float *x; /* [rows, h] */
    int rows, h;
    int n_layers;      /* of the model */
    const float *norm; /* [h] the final RMS norm */
    float eps;
};

/* Copies the stream, now after `done` layers, to the taps that want it there.
 *   dst  float [rows, n_taps * h]  out: only the columns of those taps are written */
void cf_enc_tap(struct cf_dnn *dnn, const struct cf_enc_stream *s, int done,
                const int *taps, int n_taps, float *dst);

/* Fresh floats (cf_free): [rows, width] of anything, a copy of a view; NULL and CF_ENOMEM
 * otherwise. A view without data gives NULL and no error. */
float *cf_enc_matrix(int64_t rows, int64_t width, struct cf_error *err);
float *cf_enc_floats(const struct cf_view *v, struct cf_error *err);

/* The same for a vector that a model keeps; its bytes are counted as its own. */
float *cf_enc_vector(const struct cf_view *v, struct cf_held *held, struct cf_error *err);

#endif
