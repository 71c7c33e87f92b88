/* vae.h - the convolutional tokenizer: latent grid to pixels, and back.
 *
 * Decoder of VQGAN/Flux kind without attention: conv, two residual blocks, then per level
 * num_res_blocks + 1 residual blocks and a doubling, until a latent position has become
 * patch x patch pixels. The encoder is its mirror with num_res_blocks per level. Each
 * residual block is
 *
 *     x + conv(swish(GN(conv(swish(GN(x))))))
 *
 * with GroupNorm over the whole image: a picture cannot simply be decoded in tiles. It is
 * walked in bands of rows instead, with the statistics of the whole, so that two pictures
 * and one band are all the memory there is; the height of a band changes no value.
 *
 * Details that bite: groups are 32, or 24 where the channels are a multiple of 24 and not
 * of 32; the encoder pads right and bottom only before its stride-2 convolutions; pixels
 * are truncated to 8 bits, not rounded; latents are neither scaled nor shifted. Key names
 * come with or without an inner ".conv" / ".norm" (Infinity, Flux); both are read.
 *
 * Infinity, arXiv 2412.04431, "Visual Tokenizer"; infinity/models/bsq_vae/flux_vqgan.py.
 */
#ifndef CF_MODELS_VAE_H
#define CF_MODELS_VAE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/image.h"
#include "base/json.h"
#include "base/weight.h"
#include "dnn/dnn.h"

enum { CF_VAE_MAX_LEVELS = 8 };

struct cf_vae_shape {
    int base;                       /* channels of level 0 */
    int ch_mult[CF_VAE_MAX_LEVELS]; /* channels of level l: base * ch_mult[l] */
    int levels;
    int num_res; /* residual blocks per encoder level */
    int bits;    /* channels of the latent */
    int patch;   /* pixels per latent position and side, 1, 2, 4 .. 64 */
};

/* The "vae" object of model.json: base_channels, ch_mult, num_res_blocks, bits, patch.
 * CF_EFORMAT, also where the levels are too few for the patch; CF_EUNSUP for channels
 * that are a multiple of neither 32 nor 24. */
enum cf_status cf_vae_parse(struct cf_vae_shape *shape, const json_t *json,
                            struct cf_error *err);

struct cf_vae;

/* Binds decoder and, where the file has one, encoder; every tensor that is missing or
 * does not fit is told at once. The decoder is packed now, the encoder only while it
 * runs; the file stays mapped. path NULL: nothing is read, and decode and encode may be
 * asked for sizes alone, on a measuring arena. Errors of cf_ckpt_open and cf_bind_end;
 * CF_EMISMATCH when the file's decoder reads another number of bits. */
enum cf_status cf_vae_open(struct cf_vae **vae, const struct cf_vae_shape *shape,
                           const char *path, struct cf_dnn *dnn, struct cf_error *err);
void cf_vae_close(struct cf_vae *vae); /* NULL is fine */

const struct cf_vae_shape *cf_vae_shape(const struct cf_vae *vae);
int cf_vae_has_encoder(const struct cf_vae *vae);

/* Memory of the decoder's weights; the encoder has some only while it runs. */
struct cf_held cf_vae_held(const struct cf_vae *vae);

/* Bytes of packed weights before there is a file, at a level (CF_CPU_AUTO: the best
 * here): of the decoder, and the most that the encoder has at a time. */
struct cf_vae_needs {
    size_t decoder, encoder;
};
struct cf_vae_needs cf_vae_needs(const struct cf_vae_shape *shape, enum cf_cpu level);

/* Latent to pixels. Scratch comes from the arena and is given back; on a measuring arena
 * nothing is computed, latent and image may be NULL and vae's layers are not touched.
 *   latent  float [h, w, bits]
 *   *pixels float [h * patch, w * patch, 3], in [-1, 1], RGB; lies in the arena beyond
 * its mark: read it before the next cut CF_ENOMEM, CF_ECANCEL (polled between layers),
 * CF_ENUMERIC where a pixel is no number. */
enum cf_status cf_vae_decode(const struct cf_vae *vae, const float **pixels,
                             const float *latent, int h, int w, struct cf_arena *arena,
                             struct cf_cancel *cancel, struct cf_error *err);

/* Pixels to latent, under the same rules.
 *   pixels  float [h, w, 3] in [-1, 1]; sides are multiples of patch (CF_ERANGE)
 *   *latent float [h / patch, w / patch, bits]
 * CF_EUNSUP when the file has no encoder. */
enum cf_status cf_vae_encode(const struct cf_vae *vae, const float **latent,
                             const float *pixels, int h, int w, struct cf_arena *arena,
                             struct cf_cancel *cancel, struct cf_error *err);

/* trunc((clamp(x, -1, 1) + 1) / 2 * 255), rows of image->w * 3. */
void cf_vae_to_rgb(struct cf_image *image, const float *pixels);
/* u8 / 255 * 2 - 1; pixels [h, w, 3]. */
void cf_vae_from_rgb(float *pixels, const struct cf_image *image);

#endif
