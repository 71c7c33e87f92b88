/* vae_keys.h - every tensor of the convolutional tokenizer (weights/keys.h).
 *
 * Names as in the released files, with an inner ".conv" or ".norm"; cf_vae_plain gives
 * the Flux-style spelling without it, which files may have instead. */
#ifndef CF_MODELS_VAE_KEYS_H
#define CF_MODELS_VAE_KEYS_H

#include <stdbool.h>

#include "models/vae.h"
#include "weights/keys.h"

/* The decoder, and with_encoder the encoder. */
enum cf_status cf_vae_keys(const struct cf_vae_shape *shape, bool with_encoder,
                           cf_key_fn *fn, void *ctx, struct cf_error *err);

/* "decoder.conv_in.conv.weight" -> "decoder.conv_in.weight", into buf, which is
 * returned. */
const char *cf_vae_plain(char buf[CF_KEY_NAME], const char *name);

/* Something of the quantizer that nobody reads. */
bool cf_vae_is_buffer(const char *name);

#endif
