/* t5.h - the encoder of T5 v1.1 (flan-t5), read for its hidden states.
 *
 *     x = embed(ids)
 *     per block:  x += o(softmax(q(h) k(h)^T + bias) v(h)),   h = rms(x)
 *                 x += wo(gelu(wi_0(h)) * wi_1(h)),           h = rms(x)
 *     last:       rms(x)
 *
 * There are no positions but bias[head][bucket(key - query)], one table for all blocks,
 * and no 1/sqrt(d) in the scores: the reference's initialisation takes care of it. Every
 * token sees every token. GELU is the tanh form; nothing has a bias vector. Activations
 * are float32 whatever the weights are: residuals of real ones overflow half precision.
 * T5, arXiv 1910.10683, "Model"; GLU variants, arXiv 2002.05202.
 *
 * Prompts run packed, and each attends to itself alone: its features do not depend on its
 * batch, on padding that its mask leaves out, or on the number of threads.
 *
 * Order of calls: open; forward, any number of times; close. All of it on the thread of
 * the struct cf_dnn. */
#ifndef CF_TEXTENC_T5_H
#define CF_TEXTENC_T5_H

#include "base/cancel.h"
#include "dnn/layer.h"
#include "textenc/enc.h"
#include "textenc/t5_config.h"

struct cf_t5;

/* config_path: config.json; weights_path: as weights/checkpoint.h says. Only the first
 * n_layers blocks are read and run; 0 is all of them. Every tensor wanted must be there
 * in its shape; names that we do not know are skipped, the decoder's among them. hold: of
 * the matrices, which may be of any type of base/weight.h. dnn must outlive the model;
 * the weights stay mapped, since embeddings are gathered from the file. Errors name file
 * and tensor. */
enum cf_status cf_t5_open_pair(struct cf_t5 **model, struct cf_dnn *dnn,
                               const char *config_path, const char *weights_path,
                               int n_layers, enum cf_hold hold, struct cf_error *err);
void cf_t5_close(struct cf_t5 *model); /* NULL is fine */

const struct cf_t5_config *cf_t5_config(const struct cf_t5 *model);
/* Without the embedding, of which only the rows asked for are read. */
struct cf_held cf_t5_held(const struct cf_t5 *model);

/* A forward looks at the flag between layers: CF_ECANCEL once it is set. Borrowed; NULL:
 * never. */
void cf_t5_cancel(struct cf_t5 *model, struct cf_cancel *cancel);

/* Hidden states of n_seq prompts, packed in their order.
 *   taps  [n_taps]  0 .. L in any order, or CF_ENC_PRE_NORM (textenc/enc.h); at most the
 *                   blocks opened
 *   dst   float [sum of n, n_taps * d_model]  out: the taps side by side
 * Rows of masked tokens are computed too, as the reference does; a query with no key to
 * look at adds nothing. Work stops after the highest tap. CF_ERANGE for a bad id, tap or
 * length, CF_ENUMERIC where a value is not finite, CF_ENOMEM. */
enum cf_status cf_t5_forward(struct cf_t5 *model, const struct cf_enc_seq *seq, int n_seq,
                             const int *taps, int n_taps, float *dst,
                             struct cf_error *err);

/* Bucket of a distance (key - query), 0 .. buckets - 1. Keys behind the query and the
 * query itself have the lower half, keys ahead the upper; in a half of n, the first n/2
 * buckets hold a distance each, the rest grow by a constant factor up to max_distance,
 * and the last holds all beyond. Float32 logarithms, as in the reference. buckets >= 4,
 * max_distance > buckets / 4 */
int cf_t5_bucket(int64_t distance, int buckets, int max_distance);

#endif
