/* bsq.h - binary spherical quantizer: d-bit tokens <-> latent features.
 *
 * A latent is rebuilt coarse to fine. Scale k is a grid of h_k x w_k positions, each of d
 * bits. A bit chooses a sign, d signs scaled by 1/sqrt(d) make a unit vector, and the
 * grid, stretched to the full H x W, is added to what the coarser scales said:
 *
 *     F_k = F_{k-1} + up(z_k),   z_k[c] = (bit_c ? +1 : -1) / sqrt(d)
 *
 * The quantizer has no codebook and no lookup: d = 32 is a vocabulary of 2^32 for the
 * price of 32 signs. One position fits a uint64_t, bit c is channel c.
 *
 * Two filters, and they are not the same: stretching and the input of the next scale are
 * bilinear, also when that shrinks; only the residual of an image being encoded is
 * brought to a scale by area. (The tokenizer's own forward pass uses area in both places;
 * following it when sampling gives plausible, slightly wrong images.)
 *
 * With spatial patchify a transformer token stands for 2 x 2 positions: its 4d bits are
 * packed c*4 + dy*2 + dx, and the tokenizer's grids have twice the token grids' sides.
 *
 * Infinity, arXiv 2412.04431, "Visual Tokenizer" and "Bitwise Self-Correction"; the
 * quantizer alone is BSQ, arXiv 2406.07548. Row-major, channels last. Nothing here
 * allocates or depends on the number of threads. */
#ifndef CF_MODELS_BSQ_H
#define CF_MODELS_BSQ_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dnn/dnn.h"
#include "models/schedule.h"

enum { CF_BSQ_MAX_BITS = 64 };

/* Token of each feature vector: bit c is set where f[c] > 0, so zero maps to -1 as in the
 * reference. The vectors need not be normalised: only signs are read.
 *   f     float    [n, d]
 *   code  uint64_t [n]     out; bits d..63 are 0
 * CF_ERANGE unless 1 <= d <= CF_BSQ_MAX_BITS; CF_ENUMERIC on a NaN, naming its place. */
enum cf_status cf_bsq_encode(uint64_t *code, const float *f, int64_t n, int d,
                             struct cf_error *err);

/* The unit vector of each token; the inverse of cf_bsq_encode up to length.
 *   code  uint64_t [n]
 *   z     float    [n, d]  out; every entry is exactly +s or -s, s = 1/sqrt(d) */
void cf_bsq_decode(float *z, const uint64_t *code, int64_t n, int d);

/* Flips bit c of token t with probability p where u(seed, step, t, c) < p, u from stream
 * CF_RNG_FLIP: the same bits whatever ran before. p <= 0 flips none, p >= 1 all. */
void cf_bsq_flip(uint64_t *code, int64_t n, int d, float p, uint64_t seed, uint32_t step);

/* Bytes as they are stored and probed, one bit each, [n, d], and back. Any non-zero byte
 * is a 1. */
void cf_bsq_to_bytes(uint8_t *bits, const uint64_t *code, int64_t n, int d);
void cf_bsq_from_bytes(uint64_t *code, const uint8_t *bits, int64_t n, int d);

/* Bits of transformer tokens to codes of tokenizer positions, and back.
 *   bits  uint8_t  [s.h, s.w, d]  or with patchify [s.h, s.w, 4d]
 *   code  uint64_t [s.h, s.w]     or with patchify [2 s.h, 2 s.w] */
void cf_bsq_pack(uint64_t *code, const uint8_t *bits, struct cf_scale s, int d,
                 int patchify);
void cf_bsq_unpack(uint8_t *bits, const uint64_t *code, struct cf_scale s, int d,
                   int patchify);

/* Floats of scratch that the functions below need for a full grid; no scale may exceed it
 * in either direction. */
size_t cf_bsq_work(struct cf_scale full, int d);

/* F += up(z_k): bilinear, half-pixel centres, edges clamped; no resampling when the scale
 * already is the full grid.
 *   sum   float    [full.h, full.w, d]   in/out
 *   code  uint64_t [s.h, s.w]            positions of the tokenizer, as full
 *   work  float    [cf_bsq_work]         contents lost */
void cf_bsq_add_scale(struct cf_dnn *dnn, float *sum, struct cf_scale full,
                      const uint64_t *code, struct cf_scale s, int d, float *work);

/* What the transformer reads before scale s: the running sum brought to its grid by the
 * bilinear filter.
 *   tok  float [s.h, s.w, d]  or with patchify [s.h, s.w, 4d], s being the token grid */
void cf_bsq_input(struct cf_dnn *dnn, float *tok, const float *sum, struct cf_scale full,
                  struct cf_scale s, int d, int patchify, float *work);

/* The code of a scale while encoding an image: signs of the area average of what is still
 * missing, latent - sum.
 *   latent, sum  float    [full.h, full.w, d]
 *   code         uint64_t [s.h, s.w]  out
 * Errors of cf_bsq_encode. */
enum cf_status cf_bsq_residual(struct cf_dnn *dnn, uint64_t *code, const float *latent,
                               const float *sum, struct cf_scale full, struct cf_scale s,
                               int d, float *work, struct cf_error *err);

#endif
