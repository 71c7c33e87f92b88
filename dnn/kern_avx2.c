/* kern_avx2.c - AVX2 with FMA: eight floats at a time. */
#include "dnn/kern.h"

#include <immintrin.h>

enum { W = 8 };

typedef __m256 vec;
typedef __m256d vecd;
typedef __m256i vmask;

#define v_set1 _mm256_set1_ps
#define vd_zero _mm256_setzero_pd
#define vd_set1 _mm256_set1_pd
#define vd_load _mm256_loadu_pd
#define vd_store _mm256_storeu_pd
#define vd_add _mm256_add_pd
#define vd_sub _mm256_sub_pd
#define vd_fma _mm256_fmadd_pd
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_loadm _mm256_maskload_ps
#define v_storem _mm256_maskstore_ps
#define v_sub _mm256_sub_ps
#define v_mul _mm256_mul_ps
#define v_div _mm256_div_ps
#define v_min _mm256_min_ps
#define v_max _mm256_max_ps
#define v_rotate _mm256_fmaddsub_ps

/* Functions, not macros, because they are handed to map2 and map3. */
static inline vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vmask v_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec two_to(__m256i n)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* In two factors, because n reaches 128. */
static inline vec v_pow2(vec p, vec n)
{
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);

    return v_mul(v_mul(p, two_to(half)), two_to(_mm256_sub_epi32(i, half)));
}

static inline int v_finite(vec v)
{
    vec size = _mm256_andnot_ps(v_set1(-0.0f), v);

    return _mm256_movemask_ps(
               _mm256_cmp_ps(size, v_set1(0x1.fffffep+127f), _CMP_LE_OQ)) == 0xff;
}

static inline vecd vd_lo(vec v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static inline vecd vd_hi(vec v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

static inline double vd_sum(vecd v)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

static inline vec twice(__m128 v)
{
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(v),
                                    _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

static inline vec v_dup(const float *p)
{
    return twice(_mm_loadu_ps(p));
}

static inline vec v_dupm(const float *p, size_t n)
{
    return twice(_mm_maskload_ps(p, _mm256_castsi256_si128(v_mask(n))));
}

static inline vec v_swap(vec v)
{
    return _mm256_permute_ps(v, 0xb1);
}

#include "dnn/kern_vec.h"

#define ROWS 6
#include "dnn/kern_panel.h"

/* -- numbers of other types */

typedef __m256i veci;

#define vi_load(p) _mm256_loadu_si256((const void *)(p))
#define vi_set1 _mm256_set1_epi32
#define vi_and _mm256_and_si256
#define vi_or _mm256_or_si256
#define vi_add _mm256_add_epi32
#define vi_shl _mm256_slli_epi32
#define vi_shr _mm256_srli_epi32
#define vi_sar _mm256_srai_epi32
#define vi_float _mm256_cvtepi32_ps
#define v_bits _mm256_castps_si256
#define vi_cast _mm256_castsi256_ps

/* The lower halves of all lanes, in order. */
static inline __m128i low_halves(veci v)
{
    v = vi_and(v, vi_set1(0xffff));
    return _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

static inline vec vi_half(veci v)
{
    return _mm256_cvtph_ps(low_halves(v));
}

static inline veci vi_words(const void *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(p));
}

static inline void vi_store_low(void *p, veci v)
{
    _mm_storeu_si128(p, low_halves(v));
}

static inline veci v_nan_or(vec x, veci nan, veci other)
{
    return _mm256_blendv_epi8(other, nan,
                              _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

static inline vec vi_nibble(veci v, int i)
{
    veci q = vi_and(vi_shr(v, 4 * i), vi_set1(15));

    return vi_float(_mm256_sub_epi32(q, vi_set1(8)));
}

/* Lanes and rows change places: by pairs, by fours, and the fours are loaded to where
 * they belong. */
static inline void load_turned(veci v[W], const char *row, size_t stride)
{
    __m256 a[W], b[W];

#pragma GCC unroll 8
    for (size_t n = 0; n < W; n++) { /* a[i]: columns 4 (i / 4) .. of rows i % 4, + 4 */
        size_t i = n % 2 * 4 + n / 2;
        const char *p = row + i % 4 * stride + i / 4 * 16;

        a[i] = _mm256_castsi256_ps(_mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const void *)p)),
            _mm_loadu_si128((const void *)(p + 4 * stride)), 1));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < W; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < W; i += 4) {
        v[i] = v_bits(_mm256_shuffle_ps(b[i], b[i + 2], 0x44));
        v[i + 1] = v_bits(_mm256_shuffle_ps(b[i], b[i + 2], 0xee));
        v[i + 2] = v_bits(_mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44));
        v[i + 3] = v_bits(_mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee));
    }
}

#include "dnn/kern_attn.h"
#include "dnn/kern_pack.h"
#include "dnn/kern_peak.h"
#include "dnn/kern_wino.h"

void cf_kern_init_avx2(struct cf_kern *k)
{
    fill_table(k);
    fill_panel(k);
    fill_packing(k);
    fill_attn(k);
    fill_peak(k);
    fill_wino(k);
}
