/* qwen2_keys.h - every tensor that an encoder reads of Qwen2, Qwen2.5 and Qwen3
 * (weights/keys.h). lm_head is nobody's. */
#ifndef CF_TEXTENC_QWEN2_KEYS_H
#define CF_TEXTENC_QWEN2_KEYS_H

#include "textenc/qwen2_config.h"
#include "weights/keys.h"
#include "weights/shapes.h"

/* prefix stands before every name: "model." in most files, "" or
 * "model.language_model." in others. */
enum cf_status cf_qwen2_keys(const struct cf_qwen2_config *config, const char *prefix,
                             cf_key_fn *fn, void *ctx, struct cf_error *err);

/* That prefix, of a file: what stands before "embed_tokens.weight" in the one name that
 * ends so. CF_ENOENT where there is none, CF_EFORMAT where there are two. */
enum cf_status cf_qwen2_prefix(char prefix[CF_KEY_NAME], const struct cf_shapes *in,
                               struct cf_error *err);

#endif
