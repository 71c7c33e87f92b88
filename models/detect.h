/* detect.h - what a file of weights is, from names and shapes alone, and what goes with
 * what.
 *
 * The commonest complaint about the published code is a pair of files that do not belong
 * together. Everything that can be known before a number is computed is known here: the
 * geometry of a transformer and of a tokenizer (each tensor of it compared), and whether
 * the bits of the one and the width of a text encoder fit the other.
 *
 * What shapes do not tell: the head size that the tokenizer's bits are packed in (a
 * transformer of 56 bits a token may read 56 or 4 x 14: cf_pair_vae decides), where the
 * level embedding is added and the epsilon of the norms (the released ones' are taken),
 * which sizes it was trained for. */
#ifndef CF_MODELS_DETECT_H
#define CF_MODELS_DETECT_H

#include <stddef.h>

#include "models/geometry.h"
#include "weights/shapes.h"

/* What a file of these names seems to be, for messages: "a FAR model"; "nothing that this
 * program knows". */
const char *cf_detect_seems(const struct cf_shapes *in);

/* The transformer whose names are in's. bits == dv and no patchify, until cf_pair_vae.
 * CF_EFORMAT with what the file seems to be where it is none; CF_EUNSUP for a variant
 * that the generator does not run; CF_EMISMATCH for missing, misshaped and unknown
 * tensors, the first few by name. */
enum cf_status cf_inf_detect(struct cf_inf_shape *shape, const struct cf_shapes *in,
                             struct cf_error *err);

/* The tokenizer, its names in either spelling (vae_keys.h); *encoder tells whether the
 * file has one. ch_mult[0] is taken to be 1. */
enum cf_status cf_vae_detect(struct cf_vae_shape *shape, bool *encoder,
                             const struct cf_shapes *in, struct cf_error *err);

/* Of a tokenizer in plain spelling the name of a key; else the name itself. */
const char *cf_vae_spelt(char buf[CF_KEY_NAME], const struct cf_shapes *in,
                         const char *name);

/* Sets bits and patchify of shape from dv and the tokenizer: dv == bits, or dv == 4 bits
 * on a grid twice as fine. CF_EMISMATCH names both numbers and the tokenizer that would
 * fit. */
enum cf_status cf_pair_vae(struct cf_inf_shape *shape, const struct cf_vae_shape *vae,
                           struct cf_error *err);

/* width: of the encoder's features, all taps together; fits: encoders that have the width
 * wanted (cf_known_encoder_of_width), may be "". CF_EMISMATCH. */
enum cf_status cf_pair_text(const struct cf_inf_shape *shape, int width, const char *fits,
                            struct cf_error *err);

#endif
