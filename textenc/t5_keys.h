/* t5_keys.h - every tensor that a T5 encoder reads (weights/keys.h).
 *
 * The embedding is listed as shared.weight; a file may call it
 * encoder.embed_tokens.weight instead (textenc/t5_weights.h). Decoder and head are
 * nobody's. */
#ifndef CF_TEXTENC_T5_KEYS_H
#define CF_TEXTENC_T5_KEYS_H

#include "textenc/t5_config.h"
#include "weights/keys.h"

enum cf_status cf_t5_keys(const struct cf_t5_config *config, cf_key_fn *fn, void *ctx,
                          struct cf_error *err);

#endif
