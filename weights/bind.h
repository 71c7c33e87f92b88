/* bind.h - fill a struct of views from a checkpoint, and tell everything wrong at once.
 *
 * A caller collects what it needs (cf_bind_want, any number of times, with names built by
 * a printf format) and then calls cf_bind_end, which reports all missing, misshaped and
 * mistyped tensors in one error (the first few by name, the rest by count). */
#ifndef CF_WEIGHTS_BIND_H
#define CF_WEIGHTS_BIND_H

#include "base/weight.h"
#include "weights/checkpoint.h"

enum cf_bind_flags {
    CF_BIND_REQUIRED = 0,
    CF_BIND_OPTIONAL = 1, /* absent: *view gets data == NULL */
};

struct cf_bind; /* a running collection */

/* NULL when memory is out (CF_ENOMEM). The calls below accept that NULL, and cf_bind_end
 * then fails, so that a caller may leave the check to the end. */
struct cf_bind *cf_bind_begin(const struct cf_ckpt *ckpt, struct cf_error *err);

/* *view is filled now when the tensor is there and fits; otherwise it is zeroed and the
 * fault is remembered. dim[i] == -1 accepts any extent. Only float types (F32, F16, BF16)
 * are accepted. */
void cf_bind_want(struct cf_bind *b, struct cf_view *view, enum cf_bind_flags flags,
                  int ndim, const int64_t *dim, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* The matrix [n, k] of a linear layer in any type of base/weight.h, with the scales of a
 * quantized one (name + "_scale", which counts as wanted); w->w is NULL where it does not
 * fit. */
void cf_bind_weight(struct cf_bind *b, struct cf_weight *w, int64_t n, int64_t k,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* A tensor, or with a trailing '*' a prefix, that may be there and is not read. */
void cf_bind_ignore(struct cf_bind *b, const char *name_or_prefix);

/* Frees b. CF_ESHAPE, or CF_EMISMATCH for a missing one. With strict, tensors of the
 * checkpoint that were neither wanted nor ignored are faults too (CF_EMISMATCH). The
 * status is that of the first fault; the message is one line:
 *
 *   w.safetensors: 3 tensors do not fit: blocks.7.ffn.fc1.weight: shape [2048, 512],
 *   expected [2048, 768]; x: missing; y: I8, expected F32, F16 or BF16 */
enum cf_status cf_bind_end(struct cf_bind *b, bool strict, struct cf_error *err);

#endif
