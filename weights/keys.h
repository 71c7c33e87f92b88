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
    int any_rows; /* 1: a file may have another dim[0]; this is the usual one */
};

/* A status other than CF_OK ends the walk, which returns it. */
typedef enum cf_status cf_key_fn(void *ctx, const struct cf_key *key,
                                 struct cf_error *err);

/* A walk in progress: who makes a list adds key by key and returns status at the end.
 * After a failure nothing is told any more. */
struct cf_key_walk {
    cf_key_fn *fn;
    void *ctx;
    struct cf_error *err;
    enum cf_status status;
};

enum { CF_KEY_OPTIONAL = 1, CF_KEY_ANY_ROWS = 2 };

/* name is a printf format. CF_EBUG for one that is too long. */
void cf_key_add(struct cf_key_walk *walk, enum cf_key_kind kind, unsigned flags, int ndim,
                const int64_t *dim, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* A linear layer: prefix + name + ".weight" [n, k] of that kind, ".bias" [n]. */
void cf_key_add_linear(struct cf_key_walk *walk, enum cf_key_kind kind, int64_t n,
                       int64_t k, const char *prefix, const char *name);

/* prefix + name, of one dimension. */
void cf_key_add_vector(struct cf_key_walk *walk, enum cf_key_kind kind, int64_t n,
                       const char *prefix, const char *name);

#endif
