/* kern_avx512.c - AVX-512 (F, BW, DQ, VL): sixteen floats at a time. */
#include "dnn/kern.h"

#include <immintrin.h>

enum { W = 16 };

typedef __m512 vec;
typedef __m512d vecd;
typedef __mmask16 vmask;

#define v_set1 _mm512_set1_ps
#define v_pow2 _mm512_scalef_ps
#define vd_zero _mm512_setzero_pd
#define vd_set1 _mm512_set1_pd
#define vd_load _mm512_loadu_pd
#define vd_store _mm512_storeu_pd
#define vd_add _mm512_add_pd
#define vd_sub _mm512_sub_pd
#define vd_fma _mm512_fmadd_pd
#define v_load _mm512_loadu_ps
#define v_store _mm512_storeu_ps
#define v_storem _mm512_mask_storeu_ps
#define v_sub _mm512_sub_ps
#define v_mul _mm512_mul_ps
#define v_div _mm512_div_ps
#define v_min _mm512_min_ps
#define v_max _mm512_max_ps
#define v_rotate _mm512_fmaddsub_ps

/* Functions, not macros, because they are handed to map2 and map3. */
static inline vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vmask v_mask(size_t n)
{
    return (vmask)((1u << n) - 1);
}

static inline vec v_loadm(const float *p, vmask m)
{
    return _mm512_maskz_loadu_ps(m, p);
}

static inline int v_finite(vec v)
{
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), v_set1(0x1.fffffep+127f), _CMP_LE_OQ) ==
           0xffff;
}

static inline vecd vd_lo(vec v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

static inline vecd vd_hi(vec v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

static inline double vd_sum(vecd v)
{
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));

    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

static inline vec twice(__m256 v)
{
    const __m512i at = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);

    return _mm512_permutexvar_ps(at, _mm512_castps256_ps512(v));
}

static inline vec v_dup(const float *p)
{
    return twice(_mm256_loadu_ps(p));
}

static inline vec v_dupm(const float *p, size_t n)
{
    return twice(_mm256_maskz_loadu_ps((__mmask8)v_mask(n), p));
}

static inline vec v_swap(vec v)
{
    return _mm512_permute_ps(v, 0xb1);
}

#include "dnn/kern_vec.h"

#define ROWS 12
#include "dnn/kern_panel.h"

/* -- numbers of other types */

typedef __m512i veci;

#define vi_load _mm512_loadu_si512
#define vi_set1 _mm512_set1_epi32
#define vi_and _mm512_and_si512
#define vi_or _mm512_or_si512
#define vi_add _mm512_add_epi32
#define vi_shl _mm512_slli_epi32
#define vi_shr _mm512_srli_epi32
#define vi_sar _mm512_srai_epi32
#define vi_float _mm512_cvtepi32_ps
#define v_bits _mm512_castps_si512
#define vi_cast _mm512_castsi512_ps

static inline vec vi_half(veci v)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

static inline veci vi_words(const void *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
}

static inline void vi_store_low(void *p, veci v)
{
    _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(v));
}

static inline veci v_nan_or(vec x, veci nan, veci other)
{
    return _mm512_mask_mov_epi32(other, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), nan);
}

/* The permutation looks at four bits of a lane. */
static inline vec vi_nibble(veci v, int i)
{
    const vec value =
        _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);

    return _mm512_permutexvar_ps(vi_shr(v, (unsigned)(4 * i)), value);
}

/* Lanes and rows change places: by pairs, by fours, and then the fours go to where they
 * belong. Each row is loaded at once, because rows a power of two apart push each other
 * out of the first cache. */
static inline void load_turned(veci v[W], const char *row, size_t stride)
{
    veci a[W], b[W];

#pragma GCC unroll 8
    for (size_t i = 0; i < W; i += 2) {
        veci x = vi_load(row + i * stride), y = vi_load(row + (i + 1) * stride);

        a[i] = _mm512_unpacklo_epi32(x, y);
        a[i + 1] = _mm512_unpackhi_epi32(x, y);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < W; i += 4) { /* b[i + j]: words j, 4 + j, .. of four rows */
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        veci even0 = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88); /* words j and 8 + j */
        veci even8 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
        veci odd0 = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd); /* 4 + j and 12 + j */
        veci odd8 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);

        v[j] = _mm512_shuffle_i32x4(even0, even8, 0x88);
        v[8 + j] = _mm512_shuffle_i32x4(even0, even8, 0xdd);
        v[4 + j] = _mm512_shuffle_i32x4(odd0, odd8, 0x88);
        v[12 + j] = _mm512_shuffle_i32x4(odd0, odd8, 0xdd);
    }
}

#include "dnn/kern_attn.h"
#include "dnn/kern_pack.h"
#include "dnn/kern_peak.h"
#include "dnn/kern_wino.h"

void cf_kern_init_avx512(struct cf_kern *k)
{
    fill_table(k);
    fill_panel(k);
    fill_packing(k);
    fill_attn(k);
    fill_peak(k);
    fill_wino(k);
}
