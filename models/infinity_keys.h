/* infinity_keys.h - every tensor of an Infinity transformer (weights/keys.h).
 *
 * Names of infinity/models/{infinity,basic}.py. The all-zero key biases of attention are
 * buffers of the original and optional. Buffers of training that a file may hold besides
 * (cf_inf_is_buffer) belong to nobody. */
#ifndef CF_MODELS_INFINITY_KEYS_H
#define CF_MODELS_INFINITY_KEYS_H

#include <stdbool.h>

#include "models/infinity.h"
#include "weights/keys.h"

enum { CF_INF_LEVELS = 15 }; /* rows of lvl_embed in all released files */

/* cfg_uncond and lvl_embed may have other numbers of rows in a file. */
enum cf_status cf_inf_keys(const struct cf_inf_shape *shape, cf_key_fn *fn, void *ctx,
                           struct cf_error *err);

/* Something that training leaves in a state dict and nobody reads. */
bool cf_inf_is_buffer(const char *name);

#endif
