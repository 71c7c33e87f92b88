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

/* As load_turned, where there are but n rows of bytes bytes: the rest is 0. */
static void load_part(veci v[W], const char *src, size_t stride, size_t n, size_t bytes)
{
    char line[W][LINE] = {{0}};

    for (size_t j = 0; j < n; j++)
        memcpy(line[j], src + j * stride, bytes);
    load_turned(v, line[0], LINE);
}

/* One word of W rows becomes its columns of W floats, at dst and each ld further. */
INLINE void put_f32(float *dst, size_t ld, veci v)
{
    (void)ld;
    v_store(dst, vi_cast(v));
}

INLINE void put_f16(float *dst, size_t ld, veci v)
{
    v_store(dst, vi_half(v));
    v_store(dst + ld, vi_half(vi_shr(v, 16)));
}

INLINE void put_bf16(float *dst, size_t ld, veci v)
{
    v_store(dst, vi_cast(vi_shl(v, 16)));
    v_store(dst + ld, vi_cast(vi_and(v, vi_set1((int)0xffff0000))));
}

INLINE void put_i8(float *dst, size_t ld, veci v)
{
    v_store(dst, vi_float(vi_sar(vi_shl(v, 24), 24)));
    v_store(dst + ld, vi_float(vi_sar(vi_shl(v, 16), 24)));
    v_store(dst + 2 * ld, vi_float(vi_sar(vi_shl(v, 8), 24)));
    v_store(dst + 3 * ld, vi_float(vi_sar(v, 24)));
}

/* A word of 4 bits: the lower halves of its bytes, and 16 columns on the upper ones. */
INLINE void put_q4(float *dst, size_t ld, veci v, vec scale)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v_store(dst + (size_t)i * ld, v_mul(vi_nibble(v, 2 * i), scale));
        v_store(dst + (size_t)(16 + i) * ld, v_mul(vi_nibble(v, 2 * i + 1), scale));
    }
}

INLINE void prefetch_rows(const char *src, size_t stride)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < W; i++)
        _mm_prefetch(src + i * stride, _MM_HINT_T1);
}

/* size: bytes of a number. What is no whole line of W rows goes through copies. */
INLINE void pack(float *dst, const char *src, size_t stride, size_t n, size_t k,
                 size_t ahead, size_t size, void (*put)(float *dst, size_t ld, veci v))
{
    const size_t per_line = LINE / size, per_word = WORD / size;

    for (size_t h = 0; h < PANEL; h += W, src += W * stride) {
        size_t rows = n < h ? 0 : n - h < W ? n - h : W, l = 0;
        veci v[W];

        for (; rows == W && l + per_line <= k; l += per_line) {
            prefetch_rows(src + l * size + ahead, stride);
            load_turned(v, src + l * size, stride);
#pragma GCC unroll 16
            for (size_t i = 0; i < W; i++)
                put(dst + (l + i * per_word) * PANEL + h, PANEL, v[i]);
        }
        for (; l < k; l += per_line) {
            size_t count = k - l < per_line ? k - l : per_line;
            float part[W * WORD * W];

            load_part(v, src + l * size, stride, rows, count * size);
            for (size_t i = 0; i < W; i++)
                put(part + i * per_word * W, W, v[i]);
            for (size_t i = 0; i < count; i++)
                memcpy(dst + (l + i) * PANEL + h, part + i * W, W * sizeof *dst);
        }
    }
}

static void k_pack_f32(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 4, put_f32);
}

static void k_pack_f16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                       size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 2, put_f16);
}

static void k_pack_bf16(float *dst, const void *src, size_t stride, size_t n, size_t k,
                        size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 2, put_bf16);
}

static void k_pack_i8(float *dst, const void *src, size_t stride, size_t n, size_t k,
                      size_t ahead)
{
    pack(dst, src, stride, n, k, ahead, 1, put_i8);
}

/* Blocks of 32 columns are four words; a line holds one or more of them. */
static void k_pack_q4(float *dst, const void *from, size_t stride, size_t n, size_t k,
                      size_t ahead, const float *scale, size_t group)
{
    enum { BLOCK = 32, BLOCK_BYTES = 16, PER_LINE = LINE / BLOCK_BYTES * BLOCK };
    const char *src = from;

    for (size_t h = 0; h < PANEL; h += W, src += W * stride) {
        size_t rows = n < h ? 0 : n - h < W ? n - h : W;

        for (size_t l = 0; l < k; l += PER_LINE) {
            size_t end = k - l < PER_LINE ? k - l : PER_LINE;
            veci v[W];

            prefetch_rows(src + l / 2 + ahead, stride);
            if (rows == W && end == PER_LINE)
                load_turned(v, src + l / 2, stride);
            else
                load_part(v, src + l / 2, stride, rows, end / 2);
            for (size_t b = 0; b < end; b += BLOCK) {
                vec s = v_load(scale + (l + b) / group * PANEL + h);

#pragma GCC unroll 4
                for (size_t i = 0; i < 4; i++)
                    put_q4(dst + (l + b + 4 * i) * PANEL + h, PANEL, v[b / 8 + i], s);
            }
        }
    }
}

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
    k->widen_bf16 = k_widen_bf16;
    k->narrow_bf16 = k_narrow_bf16;
}
