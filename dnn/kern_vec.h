/* kern_vec.h - the kernels in terms of one vector of W floats; included once by each
 * instruction set, after it has defined:
 *
 * - vec and W, a vector and its number of floats; vecd, half as many doubles
 * - vmask and v_mask(n), the first n lanes, 0 < n <= W
 * - v_load, v_loadm, v_store, v_storem, unaligned; under a mask nothing else is touched
 *   and lanes outside are zero
 * - v_set1, v_add, v_sub, v_mul, v_div, v_fma (a b + c), v_min and v_max (b where one is
 *   NaN), v_pow2(p, n) (p 2^n, n whole, -150 .. 150)
 * - v_finite(v), 1 if all lanes are
 * - vd_lo and vd_hi, the lower and the upper half of a vec; vd_load, vd_store, vd_zero,
 *   vd_set1, vd_add, vd_sub, vd_fma, and vd_sum across lanes in a fixed order
 * - v_dup, v_dupm (W/2 floats, each twice), v_swap (neighbours change places),
 *   v_rotate(x, c, y) (x c - y in even lanes, x c + y in odd ones)
 *
 * Ends of arrays go through the same code as the rest, under a mask, so that the value of
 * an element does not depend on its place. */
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* exp for x <= 89, reduced as in kern_c.c, the rounding to whole numbers by a number so
 * large that it keeps no fraction, and with the polynomial of degree 6 that has the least
 * relative error, 3e-9. Below -104 all is as at -104, where even a subnormal result is 0;
 * NaN passes, being the second operand. */
INLINE vec exp_low(vec x)
{
    vec in = v_max(v_set1(-104.0f), x), big = v_set1(0x1.8p+23f);
    vec n = v_sub(v_fma(in, v_set1(0x1.715476p+0f), big), big);
    vec r = v_fma(n, v_set1(-0x1.62e4p-1f), in);
    vec p;

    r = v_fma(n, v_set1(-0x1.7f7d1cp-20f), r);
    p = v_set1(0x1.6a2352p-10f);
    p = v_fma(p, r, v_set1(0x1.123a6cp-7f));
    p = v_fma(p, r, v_set1(0x1.5558f4p-5f));
    p = v_fma(p, r, v_set1(0x1.555490p-3f));
    p = v_fma(p, r, v_set1(0x1.fffffcp-2f));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_fma(p, r, v_set1(1.0f));
    return v_pow2(p, n);
}

INLINE vec exp_v(vec x)
{
    return exp_low(v_min(v_set1(89.0f), x));
}

INLINE vec silu_v(vec x)
{
    vec e = exp_v(v_sub(v_set1(0.0f), x));

    return v_div(x, v_add(v_set1(1.0f), e));
}

INLINE vec gelu_v(vec x)
{
    vec cube = v_mul(v_mul(x, x), x);
    vec u = v_mul(v_set1(0.79788456080286536f), v_fma(v_set1(0.044715f), cube, x));

    return v_div(x, v_add(v_set1(1.0f), exp_v(v_mul(v_set1(-2.0f), u))));
}

INLINE void map1(float *dst, const float *src, size_t n, vec (*f)(vec))
{
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, f(v_load(src + i)));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(dst + i, m, f(v_loadm(src + i, m)));
    }
}

INLINE void map2(float *dst, const float *a, const float *b, size_t n, vec (*f)(vec, vec))
{
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, f(v_load(a + i), v_load(b + i)));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(dst + i, m, f(v_loadm(a + i, m), v_loadm(b + i, m)));
    }
}

INLINE void map3(float *dst, const float *a, const float *b, const float *c, size_t n,
                 vec (*f)(vec, vec, vec))
{
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, f(v_load(a + i), v_load(b + i), v_load(c + i)));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(dst + i, m, f(v_loadm(a + i, m), v_loadm(b + i, m), v_loadm(c + i, m)));
    }
}

static void k_gelu(float *dst, const float *src, size_t n)
{
    map1(dst, src, n, gelu_v);
}

static void k_silu(float *dst, const float *src, size_t n)
{
    map1(dst, src, n, silu_v);
}

INLINE vec swiglu_v(vec gate, vec up)
{
    return v_mul(silu_v(gate), up);
}

static void k_swiglu(float *dst, const float *gate, const float *up, size_t n)
{
    map2(dst, gate, up, n, swiglu_v);
}

static void k_add(float *x, const float *y, size_t n)
{
    map2(x, x, y, n, v_add);
}

static void k_add_gated(float *x, const float *y, const float *gain, size_t n)
{
    map3(x, gain, y, x, n, v_fma);
}

static void k_mix(float *dst, const float *x, float a, const float *y, float b, size_t n)
{
    vec va = v_set1(a), vb = v_set1(b);
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, v_fma(va, v_load(x + i), v_mul(vb, v_load(y + i))));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(dst + i, m, v_fma(va, v_loadm(x + i, m), v_mul(vb, v_loadm(y + i, m))));
    }
}

INLINE vec affine_silu_v(vec x, vec mul, vec add)
{
    return silu_v(v_fma(x, mul, add));
}

static void k_affine(float *dst, const float *x, const float *mul, const float *add,
                     int silu, size_t n)
{
    if (silu)
        map3(dst, x, mul, add, n, affine_silu_v);
    else
        map3(dst, x, mul, add, n, v_fma);
}

static void k_scale(float *x, float f, size_t n)
{
    vec vf = v_set1(f);
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(x + i, v_mul(v_load(x + i), vf));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(x + i, m, v_mul(v_loadm(x + i, m), vf));
    }
}

static int k_finite(const float *x, size_t n)
{
    size_t i = 0;

    for (; i + W <= n; i += W)
        if (!v_finite(v_load(x + i)))
            return 0;
    return i == n || v_finite(v_loadm(x + i, v_mask(n - i)));
}

INLINE double row_sum(const float *x, size_t n)
{
    vecd lo = vd_zero(), hi = vd_zero();
    size_t i = 0;

    for (; i + W <= n; i += W) {
        vec v = v_load(x + i);

        lo = vd_add(lo, vd_lo(v));
        hi = vd_add(hi, vd_hi(v));
    }
    if (i < n) {
        vec v = v_loadm(x + i, v_mask(n - i));

        lo = vd_add(lo, vd_lo(v));
        hi = vd_add(hi, vd_hi(v));
    }
    return vd_sum(vd_add(lo, hi));
}

INLINE double row_squares(const float *x, size_t n, double mean)
{
    vecd lo = vd_zero(), hi = vd_zero(), vm = vd_set1(mean);
    double sum;
    size_t i = 0;

    for (; i + W <= n; i += W) {
        vec v = v_load(x + i);
        vecd a = vd_sub(vd_lo(v), vm), b = vd_sub(vd_hi(v), vm);

        lo = vd_fma(a, a, lo);
        hi = vd_fma(b, b, hi);
    }
    sum = vd_sum(vd_add(lo, hi));
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

/* The mean is subtracted in two parts, so that its rounding does not show where it is
 * much larger than the deviation. */
INLINE vec center(vec x, vec mean, vec rest, vec scale)
{
    return v_mul(v_sub(v_sub(x, mean), rest), scale);
}

static void k_layernorm(float *dst, const float *src, size_t n, float eps,
                        const float *mul, const float *add, float one)
{
    double mean = row_sum(src, n) / (double)n;
    double scale = 1.0 / sqrt(row_squares(src, n, mean) / (double)n + eps);
    vec vm = v_set1((float)mean), vr = v_set1((float)(mean - (float)mean));
    vec vs = v_set1((float)scale), v1 = v_set1(one);
    size_t i = 0;

    for (; i + W <= n; i += W) {
        vec y = center(v_load(src + i), vm, vr, vs);

        if (mul)
            y = v_fma(y, v_add(v1, v_load(mul + i)), v_load(add + i));
        v_store(dst + i, y);
    }
    if (i < n) {
        vmask m = v_mask(n - i);
        vec y = center(v_loadm(src + i, m), vm, vr, vs);

        if (mul)
            y = v_fma(y, v_add(v1, v_loadm(mul + i, m)), v_loadm(add + i, m));
        v_storem(dst + i, m, y);
    }
}

static void k_rmsnorm(float *dst, const float *src, size_t n, float eps, const float *w)
{
    vec scale = v_set1((float)(1.0 / sqrt(row_squares(src, n, 0.0) / (double)n + eps)));
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, v_mul(v_mul(v_load(src + i), scale), v_load(w + i)));
    if (i < n) {
        vmask m = v_mask(n - i);

        v_storem(dst + i, m, v_mul(v_mul(v_loadm(src + i, m), scale), v_loadm(w + i, m)));
    }
}

static void k_l2norm(float *x, size_t n, float mul)
{
    double len = sqrt(row_squares(x, n, 0.0));

    k_scale(x, (float)(mul / (len > 1e-12 || isnan(len) ? len : 1e-12)), n);
}

/* A strip of W channels down a block of rows. */
INLINE void moments_strip(double *sum, double *sq, const float *src, size_t rows,
                          size_t stride)
{
    vecd s0 = vd_load(sum), s1 = vd_load(sum + W / 2);
    vecd q0 = vd_load(sq), q1 = vd_load(sq + W / 2);

    for (size_t r = 0; r < rows; r++) {
        vec v = v_load(src + r * stride);
        vecd a = vd_lo(v), b = vd_hi(v);

        s0 = vd_add(s0, a);
        s1 = vd_add(s1, b);
        q0 = vd_fma(a, a, q0);
        q1 = vd_fma(b, b, q1);
    }
    vd_store(sum, s0);
    vd_store(sum + W / 2, s1);
    vd_store(sq, q0);
    vd_store(sq + W / 2, q1);
}

static void k_moments(double *sum, double *sq, const float *src, size_t rows,
                      size_t stride, size_t n)
{
    enum { BLOCK = 32 }; /* rows whose lines stay in the first cache */

    for (size_t r = 0; r < rows; r += BLOCK) {
        size_t m = rows - r < BLOCK ? rows - r : BLOCK, i = 0;
        const float *at = src + r * stride;

        for (; i + W <= n; i += W)
            moments_strip(sum + i, sq + i, at + i, m, stride);
        for (; i < n; i++) {
            for (size_t k = 0; k < m; k++) {
                double x = at[k * stride + i];

                sum[i] += x;
                sq[i] += x * x;
            }
        }
    }
}

static void k_rope_pairs(float *x, const float *cs, const float *sn, size_t n)
{
    size_t i = 0;

    for (; i + W <= n; i += W) {
        vec v = v_load(x + i);

        v_store(x + i,
                v_rotate(v, v_dup(cs + i / 2), v_mul(v_swap(v), v_dup(sn + i / 2))));
    }
    if (i < n) {
        vmask m = v_mask(n - i);
        size_t half = (n - i) / 2;
        vec v = v_loadm(x + i, m);

        v_storem(x + i, m,
                 v_rotate(v, v_dupm(cs + i / 2, half),
                          v_mul(v_swap(v), v_dupm(sn + i / 2, half))));
    }
}

static void k_rope_halves(float *x, const float *cs, const float *sn, size_t n)
{
    size_t half = n / 2, j = 0;
    vec zero = v_set1(0.0f);

    for (; j + W <= half; j += W) {
        vec a = v_load(x + j), b = v_load(x + half + j);
        vec c = v_load(cs + j), s = v_load(sn + j);

        v_store(x + j, v_fma(a, c, v_sub(zero, v_mul(b, s))));
        v_store(x + half + j, v_fma(b, c, v_mul(a, s)));
    }
    if (j < half) {
        vmask m = v_mask(half - j);
        vec a = v_loadm(x + j, m), b = v_loadm(x + half + j, m);
        vec c = v_loadm(cs + j, m), s = v_loadm(sn + j, m);

        v_storem(x + j, m, v_fma(a, c, v_sub(zero, v_mul(b, s))));
        v_storem(x + half + j, m, v_fma(b, c, v_mul(a, s)));
    }
}

static void fill_table(struct cf_kern *k)
{
    *k = (struct cf_kern){
        .gelu = k_gelu,
        .silu = k_silu,
        .swiglu = k_swiglu,
        .add = k_add,
        .add_gated = k_add_gated,
        .mix = k_mix,
        .affine = k_affine,
        .finite = k_finite,
        .layernorm = k_layernorm,
        .rmsnorm = k_rmsnorm,
        .l2norm = k_l2norm,
        .moments = k_moments,
        .rope_pairs = k_rope_pairs,
        .rope_halves = k_rope_halves,
        .scale = k_scale,
    };
}
