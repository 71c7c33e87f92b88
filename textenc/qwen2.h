/* qwen2.h - the decoder of Qwen2, Qwen2.5 and Qwen3, read for its hidden states.
 *
 *     x = embed(ids)
 *     per layer:  x += o(attn(rope(q(h)), rope(k(h)), v(h))),  h = rms(x)
 *                 x += down(silu(gate(h)) * up(h)),            h = rms(x)
 *     last:       rms(x)
 *
 * Attention is causal with shared key/value heads; rotary pairs are (j, j + hd/2). Qwen3
 * adds an RMS norm of every head of q and k before the rotation. Activations are float32
 * whatever the weights are.
 * Qwen2, arXiv 2407.10671; Qwen3, arXiv 2505.09388.
 *
 * Prompts run packed: the linear layers see the rows of all of them, attention sees one
 * prompt at a time, and no row's rounding depends on the rows beside it. A prompt's
 * features therefore do not depend on its batch or on the number of threads. A prefix
 * shared by all prompts (a system prompt) costs its keys and values once: causal
 * attention never looks ahead, and the result is that of the whole sequence, bit for bit.
 *
 * Order of calls: open; prefix_open if there is one; forward, any number of times; close.
 * All of it on the thread of the struct cf_dnn. */
#ifndef CF_TEXTENC_QWEN2_H
#define CF_TEXTENC_QWEN2_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "dnn/layer.h"
#include "textenc/enc.h"
#include "textenc/qwen2_config.h"

struct cf_qwen2;
struct cf_qwen2_prefix;

/* path: a directory with config.json and weights (weights/checkpoint.h), or a weights
 * file or index beside its config.json. Only the first n_layers layers are read and run;
 * 0 is all of them. Every tensor wanted must be there in its shape; names that we do not
 * know are skipped, and lm_head is never read. hold: of the matrices, which may be of any
 * type of base/weight.h. dnn must outlive the model; the weights stay mapped, since
 * embeddings are gathered from the file. Errors name file and tensor.
 */
enum cf_status cf_qwen2_open(struct cf_qwen2 **model, struct cf_dnn *dnn,
                             const char *path, int n_layers, enum cf_hold hold,
                             struct cf_error *err);
/* The same from a file pair. */
enum cf_status cf_qwen2_open_pair(struct cf_qwen2 **model, struct cf_dnn *dnn,
                                  const char *config_path, const char *weights_path,
                                  int n_layers, enum cf_hold hold, struct cf_error *err);
void cf_qwen2_close(struct cf_qwen2 *model); /* NULL is fine */

const struct cf_qwen2_config *cf_qwen2_config(const struct cf_qwen2 *model);
/* Without the embedding, of which only the rows asked for are read. */
struct cf_held cf_qwen2_held(const struct cf_qwen2 *model);

/* A forward looks at the flag between layers: CF_ECANCEL once it is set. Borrowed; NULL:
 * never. */
void cf_qwen2_cancel(struct cf_qwen2 *model, struct cf_cancel *cancel);

/* Keys and values of n >= 1 ids that stand before every prompt, at positions 0 .. n-1. */
enum cf_status cf_qwen2_prefix_open(struct cf_qwen2_prefix **prefix,
                                    struct cf_qwen2 *model, const int32_t *ids, int n,
                                    struct cf_error *err);
void cf_qwen2_prefix_close(struct cf_qwen2_prefix *prefix); /* NULL is fine */

/* Hidden states of n_seq prompts, packed in their order.
 *   taps  [n_taps]  0 .. L in any order, or CF_ENC_PRE_NORM (textenc/enc.h); at most the
 *                   layers opened
 *   dst   float [sum of n, n_taps * H]  out: the taps side by side
 * Positions count from the prefix on, masked tokens included. Rows of masked tokens are
 * computed too, as the reference does; a query with no key to look at adds nothing.
 * prefix NULL: none. Work stops after the highest tap. CF_ERANGE for a bad id, tap or
 * length, CF_ENUMERIC where a value is not finite, CF_ENOMEM. */
enum cf_status cf_qwen2_forward(struct cf_qwen2 *model,
                                const struct cf_qwen2_prefix *prefix,
                                const struct cf_enc_seq *seq, int n_seq, const int *taps,
                                int n_taps, float *dst, struct cf_error *err);

#endif
