/* keys.h - what a geometry consists of: every tensor by name, shape and purpose.
 *
 * Each model lists its keys through a callback (cf_inf_keys, cf_vae_keys, cf_t5_keys,
 * cf_qwen2_keys). Whoever makes, counts or converts weights walks such a list instead of
 * knowing names of its own. */
#ifndef CF_WEIGHTS_KEYS_H
#define CF_WEIGHTS_KEYS_H

#include "base/error.h"
#include "base/tensor.h"

enum { CF_KEY_NAME = 160 };

enum cf_key_kind {
    CF_KEY_MATRIX, /* [n, k] of a linear layer in the bulk of the model: any weight type
                    */
    CF_KEY_EDGE,   /* [n, k] of a linear layer that is small or delicate (embeddings of
                      bits, heads, modulation): float types alone */
    CF_KEY_TABLE,  /* rows that are gathered or added: float types alone */
    CF_KEY_CONV,   /* [o, i, kh, kw] */
    CF_KEY_GAIN,   /* of a norm: near 1 */
    CF_KEY_SMALL,  /* biases, shifts, modulation offsets: near 0 */
    CF_KEY_LOG     /* logarithm of a positive factor (cos attention's scale) */
};

struct cf_key {
    char name[CF_KEY_NAME];
    enum cf_key_kind kind;
    int ndim;
    int64_t dim[CF_MAX_DIM];
    int optional; /* 1: may be missing (buffers that are all zero) */
};

/* A status other than CF_OK ends the walk, which returns it. */
typedef enum cf_status cf_key_fn(void *ctx, const struct cf_key *key,
                                 struct cf_error *err);

#endif
