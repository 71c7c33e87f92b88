/* params.h - the small vectors of a model (biases, gains, modulations) as floats of our
 * own.
 *
 * Matrices are packed by the layers that use them; what is left are vectors, which are
 * read as they are. A pool owns them all and frees them together. */
#ifndef CF_MODELS_PARAMS_H
#define CF_MODELS_PARAMS_H

#include "base/error.h"
#include "base/tensor.h"

struct cf_params {
    void **block; /* owned */
    size_t n, cap;
    size_t count; /* floats in all blocks */
};

/* *out: all of v as floats, in the pool; NULL where v->data is NULL (an absent optional
 * tensor). */
enum cf_status cf_params_floats(struct cf_params *pool, const float **out,
                                const struct cf_view *v, struct cf_error *err);

/* *out: count zeroed floats in the pool. */
enum cf_status cf_params_new(struct cf_params *pool, float **out, int64_t count,
                             struct cf_error *err);

void cf_params_close(struct cf_params *pool); /* a zeroed pool is fine */

#endif
