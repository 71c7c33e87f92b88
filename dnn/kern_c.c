/* kern_c.c - what every kernel means, in plain C: the reference that the other
 * instruction sets are checked against, and what runs where there is none of them.
 *
 * Built with contraction off, so that it rounds the same on every machine. */
#include "dnn/kern.h"

#include <math.h>
#include <string.h>

#include "base/tensor.h"

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2. ln 2 is split in two so that
 * n * LN2_HI is exact; the polynomial is the Taylor series to r^7, whose remainder is
 * 5e-9. 2^n is applied in two factors because n reaches 128. */
#define LOG2E 0x1.715476p+0f
#define LN2_HI 0x1.62e4p-1f
#define LN2_LO 0x1.7f7d1cp-20f
#define EXP_LO (-0x1.5d58ap+6f) /* -87.3365: below, the result would be subnormal */
#define EXP_HI 89.0f

static float pow2(int n)
{
    uint32_t u = (uint32_t)(n + 127) << 23;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static float exp1(float x)
{
    float n, r, p;
    int i;

    if (x < EXP_LO)
        return 0.0f;
    if (isnan(x))
        return x;
    if (x > EXP_HI)
        x = EXP_HI;
    n = rintf(x * LOG2E);
    r = x - n * LN2_HI - n * LN2_LO;
    p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    i = (int)n;
    return p * pow2(i / 2) * pow2(i - i / 2);
}

static float silu1(float x)
{
    return x / (1.0f + exp1(-x));
}

static float gelu1(float x)
{
    float u = 0.79788456080286536f * (x + 0.044715f * (x * x * x));

    return x / (1.0f + exp1(-2.0f * u));
}

static void k_gelu(float *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = gelu1(src[i]);
}

static void k_silu(float *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = silu1(src[i]);
}

static void k_swiglu(float *dst, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = silu1(gate[i]) * up[i];
}

static void k_add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void k_add_gated(float *x, const float *y, const float *gain, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += gain[i] * y[i];
}

static void k_mix(float *dst, const float *x, float a, const float *y, float b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = a * x[i] + b * y[i];
}

static void k_affine(float *dst, const float *x, const float *mul, const float *add,
                     int silu, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float y = x[i] * mul[i] + add[i];

        dst[i] = silu ? silu1(y) : y;
    }
}

static int k_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

static void k_layernorm(float *dst, const float *src, size_t n, float eps,
                        const float *mul, const float *add, float one)
{
    double sum = 0, sq = 0, mean, scale;

    for (size_t i = 0; i < n; i++)
        sum += src[i];
    mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        sq += (src[i] - mean) * (src[i] - mean);
    scale = 1.0 / sqrt(sq / (double)n + eps);
    for (size_t i = 0; i < n; i++) {
        float y = (float)((src[i] - mean) * scale);

        dst[i] = mul ? y * (one + mul[i]) + add[i] : y;
    }
}

static double sum_of_squares(const float *x, size_t n)
{
    double sq = 0;

    for (size_t i = 0; i < n; i++)
        sq += (double)x[i] * x[i];
    return sq;
}

static void k_rmsnorm(float *dst, const float *src, size_t n, float eps, const float *w)
{
    float scale = (float)(1.0 / sqrt(sum_of_squares(src, n) / (double)n + eps));

    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] * scale * w[i];
}

static void k_l2norm(float *x, size_t n, float mul)
{
    double len = sqrt(sum_of_squares(x, n));
    float scale = (float)(mul / (len > 1e-12 || isnan(len) ? len : 1e-12));

    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
}

static void k_moments(double *sum, double *sq, const float *src, size_t rows,
                      size_t stride, size_t n)
{
    for (size_t r = 0; r < rows; r++, src += stride) {
        for (size_t i = 0; i < n; i++) {
            double x = src[i];

            sum[i] += x;
            sq[i] += x * x;
        }
    }
}

static void k_rope_pairs(float *x, const float *cs, const float *sn, size_t n)
{
    for (size_t j = 0; j < n / 2; j++) {
        float a = x[2 * j], b = x[2 * j + 1];

        x[2 * j] = a * cs[j] - b * sn[j];
        x[2 * j + 1] = a * sn[j] + b * cs[j];
    }
}

static void k_rope_halves(float *x, const float *cs, const float *sn, size_t n)
{
    for (size_t j = 0; j < n / 2; j++) {
        float a = x[j], b = x[j + n / 2];

        x[j] = a * cs[j] - b * sn[j];
        x[j + n / 2] = a * sn[j] + b * cs[j];
    }
}

enum { PANEL = 16 };

static void k_panel_mul(float *dst, size_t ldd, const float *a, size_t lda,
                        const float *b, size_t m, size_t k, int add)
{
    for (size_t i = 0; i < m; i++, dst += ldd, a += lda) {
        float acc[PANEL] = {0};

        if (add)
            memcpy(acc, dst, sizeof acc);
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < PANEL; j++)
                acc[j] += a[l] * b[l * PANEL + j];
        memcpy(dst, acc, sizeof acc);
    }
}

/* Fetching changes no value. */
static void k_panel_mul_fetch(float *dst, size_t ldd, const float *a, size_t lda,
                              const float *b, size_t m, size_t k, int add,
                              const struct cf_fetch *next)
{
    (void)next;
    k_panel_mul(dst, ldd, a, lda, b, m, k, add);
}

/* Reads row by row with the definition of each type, a piece at a time. */
static void pack(float *dst, const void *src, size_t stride, size_t n, size_t k,
                 enum cf_dtype type)
{
    enum { PIECE = 64 };

    memset(dst, 0, k * PANEL * sizeof *dst);
    for (size_t j = 0; j < n; j++) {
        const struct cf_view row = {
            (const char *)src + j * stride, type, 1, {(int64_t)k}};
        float x[PIECE];

        for (size_t at = 0; at < k; at += PIECE) {
            size_t count = k - at < PIECE ? k - at : PIECE;

            (void)cf_view_floats(x, &row, (int64_t)at, (int64_t)count,
                                 NULL); /* numbers */
            for (size_t l = 0; l < count; l++)
                dst[(at + l) * PANEL + j] = x[l];
        }
    }
}

static void k_pack_f32(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    (void)ahead;
    pack(dst, src, stride, n, k, CF_F32);
}

static void k_pack_f16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    (void)ahead;
    pack(dst, src, stride, n, k, CF_F16);
}

static void k_pack_bf16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                        size_t ahead)
{
    (void)ahead;
    pack(dst, src, stride, n, k, CF_BF16);
}

static void k_pack_i8(float *dst, const void *src, size_t stride, size_t n, size_t k,
                      size_t ahead)
{
    (void)ahead;
    pack(dst, src, stride, n, k, CF_I8);
}

static void k_pack_q4(float *dst, const void *src, size_t stride, size_t n, size_t k,
                      size_t ahead, const float *scale, size_t group)
{
    (void)ahead;
    for (size_t l = 0; l < k; l++) {
        size_t byte = l / 32 * 16 + l % 16, shift = l % 32 < 16 ? 0 : 4;

        for (size_t j = 0; j < PANEL; j++) {
            const unsigned char *row = (const unsigned char *)src + j * stride;

            dst[l * PANEL + j] = j < n ? (float)((row[byte] >> shift & 15) - 8) *
                                             scale[l / group * PANEL + j]
                                       : 0.0f;
        }
    }
}

/* By the definition, a piece at a time. */
static void few(float *dst, size_t ldd, const float *a, size_t lda, size_t m,
                const char *src, size_t stride, size_t n, size_t k, int add,
                cf_pack_fn *pack_piece, size_t size)
{
    enum { PIECE = 64 };
    float b[PIECE * PANEL];

    for (size_t at = 0; at < k || (at == 0 && !add); at += PIECE) {
        size_t count = k - at < PIECE ? k - at : PIECE;

        pack_piece(b, src + at * size, stride, n, count, 0);
        k_panel_mul(dst, ldd, a + at, lda, b, m, count, add || at > 0);
    }
}

#define FEW(type, size)                                                                  \
    static void k_few_##type(float *dst, size_t ldd, const float *a, size_t lda,         \
                             size_t m, const void *src, size_t stride, size_t n,         \
                             size_t k, size_t next, int add)                             \
    {                                                                                    \
        (void)next;                                                                      \
        few(dst, ldd, a, lda, m, src, stride, n, k, add, k_pack_##type, size);           \
    }

FEW(f32, 4)
FEW(f16, 2)
FEW(bf16, 2)
FEW(i8, 1)

static void k_few_q4(float *dst, size_t ldd, const float *a, size_t lda, size_t m,
                     const void *src, size_t stride, size_t n, size_t k, size_t next,
                     int add, const float *scale, size_t group)
{
    float b[64 * PANEL];

    (void)next;
    for (size_t at = 0; at < k || (at == 0 && !add); at += group) {
        size_t count = k - at < group ? k - at : group;

        k_pack_q4(b, (const char *)src + at / 2, stride, n, count, 0,
                  scale + at / group * PANEL, group);
        k_panel_mul(dst, ldd, a + at, lda, b, m, count, add || at > 0);
    }
}

static void k_widen_bf16(float *dst, const void *src, size_t n)
{
    const struct cf_view v = {src, CF_BF16, 1, {(int64_t)n}};

    (void)cf_view_floats(dst, &v, 0, (int64_t)n, NULL); /* numbers, all in range */
}

static void k_narrow_bf16(void *dst, const float *src, size_t n)
{
    (void)cf_floats_store(dst, CF_BF16, src, (int64_t)n, NULL); /* a type it knows */
}

static void k_attn_scores(float *s, const float *k, size_t ldk, const void *next,
                          const float *q, size_t m, size_t n, size_t hd)
{
    (void)next;
    (void)n;
    k_panel_mul(s, PANEL, k, ldk, q, m, hd, 0);
}

static void k_attn_softmax(float *s, size_t m, size_t n, float scale, float *max,
                           float *sum, float *f)
{
    for (size_t i = 0; i < n; i++) {
        float top = max[i], base;

        for (size_t j = 0; j < m; j++) {
            float *x = &s[j * PANEL + i];

            *x *= scale;
            if (*x > top || isnan(*x))
                top = *x;
        }
        base = top == -INFINITY ? 0.0f : top;
        f[i] = exp1(max[i] - base);
        sum[i] *= f[i];
        max[i] = top;
        for (size_t j = 0; j < m; j++) {
            float *x = &s[j * PANEL + i];

            *x = exp1(*x - base);
            sum[i] += *x;
        }
    }
}

static void k_attn_values(float *o, size_t ldo, const float *s, const float *v,
                          size_t jump, size_t m, size_t hd, size_t n, int add)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t d = 0; d < hd && !add; d++)
            o[i * ldo + d] = 0.0f;
        for (size_t j = 0; j < n; j++) {
            const float *row = v + j / CF_KV_BLOCK * jump + j % CF_KV_BLOCK * hd;

            for (size_t d = 0; d < hd; d++)
                o[i * ldo + d] += s[j * PANEL + i] * row[d];
        }
    }
}

static void k_scale(float *x, float f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= f;
}

enum { CHAINS = 16 };

static void k_fma(float *x, size_t n)
{
    for (; n > 0; n--)
        for (size_t i = 0; i < CHAINS; i++)
            x[i] = x[i] * 0.75f + 0.25f;
}

static float k_sum(const float *x, size_t n)
{
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

void cf_kern_init_c(struct cf_kern *k)
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
        .panel = PANEL,
        .panel_mul = k_panel_mul,
        .panel_mul_fetch = k_panel_mul_fetch,
        .pack_f32 = k_pack_f32,
        .pack_f16 = k_pack_f16,
        .pack_bf16 = k_pack_bf16,
        .pack_i8 = k_pack_i8,
        .pack_q4 = k_pack_q4,
        .few_f32 = k_few_f32,
        .few_f16 = k_few_f16,
        .few_bf16 = k_few_bf16,
        .few_i8 = k_few_i8,
        .few_q4 = k_few_q4,
        .widen_bf16 = k_widen_bf16,
        .narrow_bf16 = k_narrow_bf16,
        .attn_scores = k_attn_scores,
        .attn_softmax = k_attn_softmax,
        .attn_values = k_attn_values,
        .scale = k_scale,
        .chains = CHAINS,
        .fma = k_fma,
        .sum = k_sum,
    };
    cf_kern_init_wino_c(k);
}
