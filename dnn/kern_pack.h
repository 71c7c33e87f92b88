/* kern_pack.h - numbers of every type become floats in vectors of W; included once by
 * each instruction set after kern_vec.h, when it has defined:
 *
 *   veci, vi_load, vi_set1, vi_and, vi_or, vi_add   W integers of 32 bits
 *   vi_shl, vi_shr, vi_sar       shifts; the last keeps the sign
 *   vi_float(v)                  integers as floats
 *   v_bits, vi_cast              the same bits as integers, as floats
 *   vi_half(v)                   the lower halves as F16
 *   vi_words, vi_store_low       W 16-bit numbers, from and to any address
 *   v_nan_or(x, a, b)            a where x is NaN, else b
 *   vi_nibble(v, i)              four bits from bit 4 i on, less 8
 *   load_turned(v, row, stride)  v[i] is word i (4 bytes) of W rows; a row has W words
 *
 * Whatever the type, rows are turned into columns four bytes at a time and only then
 * taken apart: the narrower the type, the less there is to turn. */

enum { LINE = sizeof(veci), WORD = 4 };

/* As load_turned, where there are but n rows of bytes bytes: other words are not set, and
 * other rows and bytes 0. */
static void load_part(veci v[W], const char *src, size_t stride, size_t n, size_t bytes)
{
    for (size_t i = 0; i * WORD < bytes; i++) {
        size_t size = bytes - i * WORD < WORD ? bytes - i * WORD : WORD;
        uint32_t word[W] = {0};

        for (size_t j = 0; j < n && size == WORD; j++)
            memcpy(&word[j], src + j * stride + i * WORD, WORD);
        for (size_t j = 0; j < n && size < WORD; j++)
            memcpy(&word[j], src + j * stride + i * WORD, size);
        v[i] = vi_load(word);
    }
}

/* Number i of each of W words. */
INLINE vec get_f32(veci v, size_t i)
{
    (void)i;
    return vi_cast(v);
}

INLINE vec get_f16(veci v, size_t i)
{
    return vi_half(i ? vi_shr(v, 16) : v);
}

INLINE vec get_bf16(veci v, size_t i)
{
    return vi_cast(i ? vi_and(v, vi_set1((int)0xffff0000)) : vi_shl(v, 16));
}

INLINE vec get_i8(veci v, size_t i)
{
    static const unsigned up[] = {24, 16, 8, 0};

    return vi_float(vi_sar(vi_shl(v, up[i]), 24));
}

INLINE void prefetch_rows(const char *src, size_t stride)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < W; i++)
        _mm_prefetch(src + i * stride, _MM_HINT_T1);
}

/* size: bytes of a number. What is no whole line of W rows goes word by word. */
INLINE void pack(float *dst, const char *src, size_t stride, size_t n, size_t k,
                 size_t ahead, size_t size, vec (*get)(veci v, size_t i))
{
    const size_t per_line = LINE / size, per_word = WORD / size;

    for (size_t h = 0; h < PANEL; h += W, src += W * stride) {
        size_t rows = n < h ? 0 : n - h < W ? n - h : W, l = 0;
        veci v[W];

        for (; rows == W && l + per_line <= k; l += per_line) {
            prefetch_rows(src + l * size + ahead, stride);
            load_turned(v, src + l * size, stride);
#pragma GCC unroll 64
            for (size_t i = 0; i < per_line; i++)
                v_store(dst + (l + i) * PANEL + h, get(v[i / per_word], i % per_word));
        }
        for (; l < k; l += per_line) {
            size_t count = k - l < per_line ? k - l : per_line;

            load_part(v, src + l * size, stride, rows, count * size);
            for (size_t i = 0; i < count; i += per_word)
#pragma GCC unroll 4
                for (size_t c = 0; c < per_word; c++)
                    if (i + c < count)
                        v_store(dst + (l + i + c) * PANEL + h, get(v[i / per_word], c));
        }
    }
}

static void k_pack_f32(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 4, get_f32);
}

static void k_pack_f16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 2, get_f16);
}

static void k_pack_bf16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                        size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 2, get_bf16);
}

static void k_pack_i8(float *dst, const void *src, size_t stride, size_t n, size_t k,
                      size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 1, get_i8);
}

enum { Q4_BLOCK = 32, Q4_BYTES = 16, Q4_WORDS = 4, Q4_LINE = LINE / Q4_BYTES * Q4_BLOCK };

/* Column i of a block: the lower halves of 16 bytes, then the upper ones. */
INLINE vec get_q4(const veci v[Q4_WORDS], size_t i, vec scale)
{
    return v_mul(vi_nibble(v[i % 16 / 4], (int)(i % 4 * 2 + i / 16)), scale);
}

/* Words of columns l .. l+count-1 of W rows, or those that there are. */
INLINE void load_q4(veci v[W], const char *src, size_t stride, size_t rows, size_t l,
                    size_t count)
{
    if (rows == W && count == Q4_LINE)
        load_turned(v, src + l / 2, stride);
    else
        load_part(v, src + l / 2, stride, rows, count / 2);
}

/* A line holds one or more blocks of 32 columns. */
static void k_pack_q4(float *dst, const void *from, size_t stride, size_t n, size_t k,
                      size_t ahead, const float *scale, size_t group)
{
    const char *src = from;

    for (size_t h = 0; h < PANEL; h += W, src += W * stride) {
        size_t rows = n < h ? 0 : n - h < W ? n - h : W;

        for (size_t l = 0; l < k; l += Q4_LINE) {
            size_t count = k - l < Q4_LINE ? k - l : Q4_LINE;
            veci v[W];

            prefetch_rows(src + l / 2 + ahead, stride);
            load_q4(v, src, stride, rows, l, count);
            for (size_t b = 0; b < count; b += Q4_BLOCK) {
                vec s = v_load(scale + (l + b) / group * PANEL + h);

#pragma GCC unroll 32
                for (size_t i = 0; i < Q4_BLOCK; i++)
                    v_store(dst + (l + b + i) * PANEL + h, get_q4(v + b / 8, i, s));
            }
        }
    }
}

/* -- a few rows by numbers as they lie */

/* Where what lies AHEAD bytes behind byte at will be read: beyond the end of these
 * numbers that is next bytes behind their start. */
INLINE size_t wanted(size_t at, size_t end, size_t next)
{
    enum { AHEAD = 512 };

    return at + AHEAD < end ? at + AHEAD : at + AHEAD - end + next;
}

INLINE void few_begin(vec *acc, const float *dst, size_t ldd, int add, size_t m)
{
#pragma GCC unroll 2
    for (size_t r = 0; r < m; r++) {
        acc[r] = add ? v_load(dst + r * ldd) : v_set1(0.0f);
        acc[m + r] = add ? v_load(dst + r * ldd + W) : v_set1(0.0f);
    }
}

INLINE void few_end(float *dst, size_t ldd, const vec *acc, size_t m)
{
#pragma GCC unroll 2
    for (size_t r = 0; r < m; r++) {
        v_store(dst + r * ldd, acc[r]);
        v_store(dst + r * ldd + W, acc[m + r]);
    }
}

/* acc[r] += a[r, 0] b */
INLINE void few_add(vec *acc, const float *a, size_t lda, vec b, size_t m)
{
#pragma GCC unroll 2
    for (size_t r = 0; r < m; r++)
        acc[r] = v_fma(v_set1(a[r * lda]), b, acc[r]);
}

/* m is a constant after inlining. Both halves of the panel take turns, line by line. */
INLINE void few(float *dst, size_t ldd, const float *a, size_t lda, const char *src,
                size_t stride, size_t n, size_t k, size_t next, int add, size_t m,
                size_t size, vec (*get)(veci v, size_t i))
{
    const size_t per_line = LINE / size, per_word = WORD / size;
    vec acc[2 * 2];

    few_begin(acc, dst, ldd, add, m);
    for (size_t l = 0; l < k; l += per_line) {
        size_t count = k - l < per_line ? k - l : per_line;
        size_t far = wanted(l * size, k * size, next);

#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            const char *row = src + h * W * stride;
            size_t rows = n < h * W ? 0 : n - h * W < W ? n - h * W : W;
            veci v[W];

            if (rows == W && count == per_line) {
                prefetch_rows(row + far, stride);
                load_turned(v, row + l * size, stride);
#pragma GCC unroll 64
                for (size_t i = 0; i < per_line; i++)
                    few_add(acc + h * m, a + l + i, lda,
                            get(v[i / per_word], i % per_word), m);
                continue;
            }
            load_part(v, row + l * size, stride, rows, count * size);
            for (size_t i = 0; i < count; i += per_word)
#pragma GCC unroll 4
                for (size_t c = 0; c < per_word; c++)
                    if (i + c < count)
                        few_add(acc + h * m, a + l + i + c, lda, get(v[i / per_word], c),
                                m);
        }
    }
    few_end(dst, ldd, acc, m);
}

INLINE void few_q4(float *dst, size_t ldd, const float *a, size_t lda, const char *src,
                   size_t stride, size_t n, size_t k, size_t next, int add,
                   const float *scale, size_t group, size_t m)
{
    vec acc[2 * 2];

    few_begin(acc, dst, ldd, add, m);
    for (size_t l = 0; l < k; l += Q4_LINE) {
        size_t count = k - l < Q4_LINE ? k - l : Q4_LINE;
        size_t far = wanted(l / 2, k / 2, next);

#pragma GCC unroll 2
        for (size_t h = 0; h < 2; h++) {
            const char *row = src + h * W * stride;
            size_t rows = n < h * W ? 0 : n - h * W < W ? n - h * W : W;
            veci v[W];

            prefetch_rows(row + far, stride);
            load_q4(v, row, stride, rows, l, count);
            for (size_t b = 0; b < count; b += Q4_BLOCK) {
                vec s = v_load(scale + (l + b) / group * PANEL + h * W);

#pragma GCC unroll 32
                for (size_t i = 0; i < Q4_BLOCK; i++)
                    few_add(acc + h * m, a + l + b + i, lda, get_q4(v + b / 8, i, s), m);
            }
        }
    }
    few_end(dst, ldd, acc, m);
}

#define FEW(type, size)                                                                  \
    static void k_few_##type(float *dst, size_t ldd, const float *a, size_t lda,         \
                             size_t m, const void *src, size_t stride, size_t n,         \
                             size_t k, size_t next, int add)                             \
    {                                                                                    \
        if (m == 1)                                                                      \
            few(dst, ldd, a, lda, src, stride, n, k, next, add, 1, size, get_##type);    \
        else                                                                             \
            few(dst, ldd, a, lda, src, stride, n, k, next, add, 2, size, get_##type);    \
    }

FEW(f32, 4)
FEW(f16, 2)
FEW(bf16, 2)
FEW(i8, 1)

static void k_few_q4(float *dst, size_t ldd, const float *a, size_t lda, size_t m,
                     const void *src, size_t stride, size_t n, size_t k, size_t next,
                     int add, const float *scale, size_t group)
{
    if (m == 1)
        few_q4(dst, ldd, a, lda, src, stride, n, k, next, add, scale, group, 1);
    else
        few_q4(dst, ldd, a, lda, src, stride, n, k, next, add, scale, group, 2);
}

/* -- bfloat16 */

static void k_widen_bf16(float *dst, const void *src, size_t n)
{
    const char *p = src;
    uint16_t rest[W] = {0};
    size_t i = 0;

    for (; i + W <= n; i += W)
        v_store(dst + i, vi_cast(vi_shl(vi_words(p + 2 * i), 16)));
    if (i < n) {
        memcpy(rest, p + 2 * i, 2 * (n - i));
        v_storem(dst + i, v_mask(n - i), vi_cast(vi_shl(vi_words(rest), 16)));
    }
}

/* Half of the last place is added, less one where that place is even. */
INLINE veci bf16_v(vec x)
{
    veci u = v_bits(x), high = vi_shr(u, 16);
    veci odd = vi_and(high, vi_set1(1));
    veci near = vi_shr(vi_add(u, vi_add(odd, vi_set1(0x7fff))), 16);

    return v_nan_or(x, vi_or(high, vi_set1(0x40)), near);
}

static void k_narrow_bf16(void *dst, const float *src, size_t n)
{
    char *p = dst;
    uint16_t rest[W];
    size_t i = 0;

    for (; i + W <= n; i += W)
        vi_store_low(p + 2 * i, bf16_v(v_load(src + i)));
    if (i < n) {
        vi_store_low(rest, bf16_v(v_loadm(src + i, v_mask(n - i))));
        memcpy(p + 2 * i, rest, 2 * (n - i));
    }
}

static void fill_packing(struct cf_kern *k)
{
    k->pack_f32 = k_pack_f32;
    k->pack_f16 = k_pack_f16;
    k->pack_bf16 = k_pack_bf16;
    k->pack_i8 = k_pack_i8;
    k->pack_q4 = k_pack_q4;
    k->few_f32 = k_few_f32;
    k->few_f16 = k_few_f16;
    k->few_bf16 = k_few_bf16;
    k->few_i8 = k_few_i8;
    k->few_q4 = k_few_q4;
    k->widen_bf16 = k_widen_bf16;
    k->narrow_bf16 = k_narrow_bf16;
}
