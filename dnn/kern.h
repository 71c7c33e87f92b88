/* kern.h - the kernel table: one function per inner loop, filled in per instruction set.
 *
 * cf_kern_init_c fills every entry and defines the meaning; an instruction set replaces
 * what it improves. Common to all entries:
 * - arrays are float, may be unaligned, n may be 0; nothing outside them is read or
 * written;
 * - dst may equal src (same start), any other overlap is not allowed;
 * - the value of an element depends on its inputs alone, not on its place in the array: a
 *   long array cut in two gives the same bits;
 * - NaN in gives NaN out; subnormals may count as zero (the callers run with FTZ and
 * DAZ). Tolerances against C are stated as relative error, next to each group. */
#ifndef CF_DNN_KERN_H
#define CF_DNN_KERN_H

#include <stddef.h>
#include <stdint.h>

enum {
    CF_PANEL_MAX = 32,   /* widest panel of any instruction set */
    CF_KV_BLOCK = 32,    /* keys of a block of the cache (dnn/kv.h) */
    CF_CHAINS_MAX = 256, /* most floats in chains */
};

typedef void cf_pack_fn(float *dst, const void *src, size_t stride, size_t n, size_t k,
                        size_t ahead);

/* The transforms of Winograd's convolution F(t x t, 3x3), t = 4 or 2, for n channels of
 * one tile: s = t + 2 inputs a side, s * s points. 1e-6 of the sum of magnitudes.
 *
 * in        dst[p plane] = point p of B^T d B, d [s, s] pixels at src + y row + x px
 * out       t x t pixels at dst + y row + x px = A^T m A + bias (+ plus), m[p] at
 *           src + p plane; plus lies as dst does, may be dst, NULL: none
 * weights   dst[p plane] = point p of G g G^T, g [3, 3] taps at src + i tap */
struct cf_kern_wino {
    void (*in)(float *dst, size_t plane, const float *src, size_t row, size_t px,
               size_t n);
    void (*out)(float *dst, size_t row, size_t px, const float *src, size_t plane,
                const float *bias, const float *plus, size_t n);
    void (*weights)(float *dst, size_t plane, const float *src, size_t tap, size_t n);
};

typedef void cf_few_fn(float *dst, size_t ldd, const float *a, size_t lda, size_t m,
                       const void *src, size_t stride, size_t n, size_t k, size_t next,
                       int add);

/* Memory that will be wanted soon: bytes of each of rows rows, stride bytes apart. It
 * need not exist; none where rows or bytes is 0. */
struct cf_fetch {
    const void *at;
    size_t stride, rows, bytes;
};

struct cf_kern {
    /* -- elementwise; 1e-6 */

    /* x / (1 + exp(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3): GELU with tanh. Absolute
     * error 3e-7 max(|x|, 1). */
    void (*gelu)(float *dst, const float *src, size_t n);
    /* x / (1 + exp(-x)) */
    void (*silu)(float *dst, const float *src, size_t n);
    /* dst = silu(gate) * up */
    void (*swiglu)(float *dst, const float *gate, const float *up, size_t n);
    /* x += y */
    void (*add)(float *x, const float *y, size_t n);
    /* x += gain * y, gain [n] */
    void (*add_gated)(float *x, const float *y, const float *gain, size_t n);
    /* dst = a x + b y, both products rounded to nearest before or within the sum */
    void (*mix)(float *dst, const float *x, float a, const float *y, float b, size_t n);
    /* dst = x * mul + add with mul, add [n]; then SiLU if silu */
    void (*affine)(float *dst, const float *x, const float *mul, const float *add,
                   int silu, size_t n);
    /* 1 if no value is NaN or infinite */
    int (*finite)(const float *x, size_t n);

    /* -- rows; statistics in double, 2e-6 of the row's largest value */

    /* (x - mean) / sqrt(var + eps) * (one + mul) + add; mul and add may both be NULL,
     * which leaves the normalised row. */
    void (*layernorm)(float *dst, const float *src, size_t n, float eps, const float *mul,
                      const float *add, float one);
    /* x / sqrt(mean(x^2) + eps) * w */
    void (*rmsnorm)(float *dst, const float *src, size_t n, float eps, const float *w);
    /* x = x / max(|x|_2, 1e-12) * mul, in place */
    void (*l2norm)(float *x, size_t n, float mul);
    /* sum[c] += sum of x, sq[c] += sum of x^2 over rows of n, starts stride floats apart;
     * rows are added in order. 1e-13. */
    void (*moments)(double *sum, double *sq, const float *src, size_t rows, size_t stride,
                    size_t n);

    /* -- rotary, in place on one head; cs, sn [n/2]; n even; 1e-6 */

    /* pairs (2j, 2j+1) */
    void (*rope_pairs)(float *x, const float *cs, const float *sn, size_t n);
    /* pairs (j, j + n/2) */
    void (*rope_halves)(float *x, const float *cs, const float *sn, size_t n);

    /* -- products */

    /* Width of a panel: 16 or 32 columns. */
    size_t panel;
    /* dst[i, 0..panel) = (add ? dst : 0) + sum_l a[i, l] * b[l, 0..panel), l in order,
     * for m rows; ld* are row strides of dst and a; b is dense [k, panel]. 1e-6 of the
     * sum of |a b|. A row's value does not depend on m. */
    void (*panel_mul)(float *dst, size_t ldd, const float *a, size_t lda, const float *b,
                      size_t m, size_t k, int add);
    /* panel_mul, bit for bit, and next is brought into the second cache meanwhile, at an
     * even rate over all of the work. */
    void (*panel_mul_fetch)(float *dst, size_t ldd, const float *a, size_t lda,
                            const float *b, size_t m, size_t k, int add,
                            const struct cf_fetch *next);
    /* A panel of n <= panel rows of k numbers, each stride bytes behind the one before:
     * dst [k, panel], dst[l, j] = number l of row j for j < n, 0 for n <= j < panel.
     * Exact. src may lie at any address. What lies ahead bytes after these numbers will
     * be wanted next and is fetched if there is something; 0: no telling. */
    cf_pack_fn *pack_f32, *pack_f16, *pack_bf16, *pack_i8;
    /* Likewise of 4 bits as in base/weight.h: (q - 8) * scale[l / group, j], scale
     * [k / group, panel]; k a multiple of 32. Rounded once. What columns j >= n hold is
     * not said. */
    void (*pack_q4)(float *dst, const void *src, size_t stride, size_t n, size_t k,
                    size_t ahead, const float *scale, size_t group);

    struct cf_kern_wino wino4, wino2;

    /* panel_mul, bit for bit, of m = 1 or 2 rows and the panel that pack_* would make of
     * n rows of k numbers, which is not made: each number is used but once or twice. In
     * dst nothing is said of columns n .. of 4 bits. What lies next bytes behind src is
     * read after these numbers and fetched towards their end; 0: no telling. */
    cf_few_fn *few_f32, *few_f16, *few_bf16, *few_i8;
    void (*few_q4)(float *dst, size_t ldd, const float *a, size_t lda, size_t m,
                   const void *src, size_t stride, size_t n, size_t k, size_t next,
                   int add, const float *scale, size_t group);

    /* -- bfloat16, at any address; exact, and to nearest with ties to even (a NaN stays
     * one: its upper half with the quiet bit) */

    void (*widen_bf16)(float *dst, const void *src, size_t n);
    void (*narrow_bf16)(void *dst, const float *src, size_t n);

    /* -- attention: a tile of keys down, up to panel queries across; s [m, panel] is
     * dense, and its columns from n on hold nothing that counts, then as before */

    /* s[j, i] = sum_l k[j, l] * q[l, i], l in order, for m keys whose rows are ldk floats
     * apart and n <= panel queries; q is dense [hd, panel], hd a multiple of 4. As many
     * bytes from `next` on as keys have here will be wanted next and are fetched, if
     * there is something. 1e-6 of the sum of |k q|. */
    void (*attn_scores)(float *s, const float *k, size_t ldk, const void *next,
                        const float *q, size_t m, size_t n, size_t hd);
    /* Each column of s [m, n] becomes exp(scale s - max), scale > 0; its running maximum
     * and sum [panel] are brought up to date: m' = max(m, max(scale s)), f = exp(m - m'),
     * sum' = f sum + sum exp(scale s - m'), keys in order. -inf marks a masked key
     * (weight exactly 0); with all keys masked so far m' stays -inf and weights are 0.
     * exp has a relative error of 3e-7 and is 0 below -87.3. By f [panel] earlier results
     * are to be scaled. 2e-6. */
    void (*attn_softmax)(float *s, size_t m, size_t n, float scale, float *max,
                         float *sum, float *f);
    /* o[i, d] = (add ? o : 0) + sum_j s[j, i] * v[j, d], j in order, for m <= panel
     * queries, hd channels and n keys. Rows of v are hd floats apart, CF_KV_BLOCK of them
     * to a block; blocks begin `jump` floats apart, and the next one is fetched. 1e-6 of
     * the sum of |s v|. */
    void (*attn_values)(float *o, size_t ldo, const float *s, const float *v, size_t jump,
                        size_t m, size_t hd, size_t n, int add);
    /* x *= f */
    void (*scale)(float *x, float f, size_t n);

    /* -- the machine at its best, for benches */

    /* Floats that a processor's registers hold in chains of dependent multiply-adds, as
     * many as keep its units busy: 16 .. CF_CHAINS_MAX. */
    size_t chains;
    /* x[i] = 0.75 x[i] + 0.25, n times over, i < chains: 2 n chains operations and no
     * memory. 1e-6, and as much of the largest value on the way. */
    void (*fma)(float *x, size_t n);
    /* Sum of n values, 1e-6 of the sum of |x|: one read of each and nothing else. */
    float (*sum)(const float *x, size_t n);
};

void cf_kern_init_c(struct cf_kern *k);
void cf_kern_init_wino_c(struct cf_kern *k); /* the wino entries alone */
/* Only where cf_cpu_best allows the level. */
void cf_kern_init_avx2(struct cf_kern *k);
void cf_kern_init_avx512(struct cf_kern *k);

#endif
