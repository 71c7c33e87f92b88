/* ops.h - everything between the products: norms, activations, rotary, residuals.
 *
 * Each op calls one entry of the kernel table (kern.h) per row or chunk, split over the
 * team; rows are independent, so threads never change a value. dst may equal src unless
 * said otherwise. None allocates; none fails. */
#ifndef CF_DNN_OPS_H
#define CF_DNN_OPS_H

#include <stdint.h>

#include "dnn/dnn.h"

/* Adaptive layer norm (Infinity, "shared AdaLN"): y = LN(x) * (1 + scale) + shift for
 * `groups` groups of `rows` rows; group g takes scale + g * gstride and shift + g *
 * gstride, each [c]. LN(x) = (x - mean) * rsqrt(var + eps) over c, biased variance. */
void cf_adaln(struct cf_dnn *dnn, float *dst, const float *src, int groups, int64_t rows,
              int c, float eps, const float *scale, const float *shift, int64_t gstride);

/* What a branch of a transformer gave, y, joins the stream x, which the next branch reads
 * normalised: x += gate * y, dst = LN(x) * (one + mul) + add, all rows of c. dst may be
 * y. */
struct cf_join {
    const float *gate;      /* [c] of group 0, NULL for 1 */
    const float *mul, *add; /* [c] of group 0 */
    float one, eps;         /* one: 1 for a modulation (cf_adaln), 0 for an affine part */
    int64_t gate_stride, norm_stride; /* from group to group, 0 where they share */
};
void cf_join_norm(struct cf_dnn *dnn, float *dst, float *x, const float *y, int groups,
                  int64_t rows, int c, const struct cf_join *join);

/* y = x * rsqrt(mean(x^2) + eps) * w over c. src row stride may differ from c (sstride,
 * dstride in floats), so that one head of a wider row can be normalised. */
void cf_rmsnorm(struct cf_dnn *dnn, float *dst, int64_t dstride, const float *src,
                int64_t sstride, int64_t rows, int c, float eps, const float *w);

/* GroupNorm over [pixels, c] in `groups` groups, in two parts, so that what is normalised
 * may be taken a piece at a time. First the statistics of the whole image and the affine
 * part as one factor and one term per channel, mul and add [c]; sums in double, in an
 * order that (pixels, c) alone decides. c is at most CF_GROUPNORM_MAX; no pixels leave
 * mul and add as they are. */
enum { CF_GROUPNORM_MAX = 16384 };
void cf_groupnorm_stats(struct cf_dnn *dnn, float *mul, float *add, const float *src,
                        int64_t pixels, int c, int groups, float eps, const float *gamma,
                        const float *beta);
/* Then y = x * mul + add for some pixels, then y * sigmoid(y) if silu. */
void cf_groupnorm_apply(struct cf_dnn *dnn, float *dst, const float *src, int64_t pixels,
                        int c, const float *mul, const float *add, int silu);

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
void cf_gelu_tanh(struct cf_dnn *dnn, float *dst, const float *src, int64_t n);
void cf_silu(struct cf_dnn *dnn, float *dst, const float *src, int64_t n);
/* dst = silu(gate) * up */
void cf_swiglu(struct cf_dnn *dnn, float *dst, const float *gate, const float *up,
               int64_t n);
/* dst = gelu_tanh(gate) * up; dst may be gate, not up */
void cf_geglu(struct cf_dnn *dnn, float *dst, const float *gate, const float *up,
              int64_t n);

/* x += y */
void cf_add(struct cf_dnn *dnn, float *x, const float *y, int64_t n);
/* x += gamma_g * y for groups of rows, gamma + g * gstride being [c]. */
void cf_add_gated(struct cf_dnn *dnn, float *x, const float *y, int groups, int64_t rows,
                  int c, const float *gamma, int64_t gstride);
/* x[r] += v for every row, v [c]. */
void cf_add_row(struct cf_dnn *dnn, float *x, const float *v, int64_t rows, int c);
/* dst = a * x + b * y (guidance mixing). */
void cf_mix(struct cf_dnn *dnn, float *dst, const float *x, float a, const float *y,
            float b, int64_t n);

/* x_h = x_h / max(|x_h|_2, 1e-12) * mul[h] for every head of rows of [heads, hd] whose
 * starts are stride floats apart; mul NULL for 1. In place. (Infinity cos attention.)
 * Then, unless cs is NULL, rotated in pairs as by cf_rope. */
void cf_l2norm_heads(struct cf_dnn *dnn, float *x, int64_t rows, int64_t stride,
                     int heads, int hd, const float *mul, const float *cs,
                     const float *sn, const int32_t *pos);

/* Rotary embedding in place on rows of [heads, hd], starts stride floats apart. cs [pos,
 * hd/2] holds cosines, sn sines; row r uses table row pos[r] (pos NULL: row r).
 * interleaved: pairs (2j, 2j+1) as in Infinity; otherwise halves (j, j + hd/2) as in
 * Qwen2. */
void cf_rope(struct cf_dnn *dnn, float *x, int64_t rows, int64_t stride, int heads,
             int hd, const float *cs, const float *sn, const int32_t *pos,
             int interleaved);

/* 1 if every value is finite. */
int cf_all_finite(struct cf_dnn *dnn, const float *x, int64_t n);

#endif
