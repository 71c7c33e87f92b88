/* kern_wino.h - the transforms of Winograd's convolution in vectors of W; included once
 * by each instruction set after kern_vec.h.
 *
 * Each is a transform of a line, applied to the lines of a square one way and then the
 * other. The lines are those of kern_wino_c.c with what they have in common taken out. */

enum { SIDE4 = 6, SIDE2 = 4 };

/* A line of the square: element i is at line[i * step]. */
typedef void wino_line(vec *dst, size_t to, const vec *src, size_t from);

/* F(4, 3) on 0, +-a, +-b, infinity. */
#define WA (5.0f / 8)
#define WB (3.0f / 2)

INLINE void in_line4(vec *o, size_t to, const vec *d, size_t from)
{
    const vec a = v_set1(WA), na = v_set1(-WA), b = v_set1(WB), nb = v_set1(-WB);
    const vec aa = v_set1(-WA * WA), bb = v_set1(-WB * WB);
    const vec sum = v_set1(-(WA * WA + WB * WB)), mul = v_set1(WA * WA * WB * WB);
    vec d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from];
    vec even = v_fma(bb, d2, d4), odd = v_fma(bb, d1, d3);

    o[0] = v_fma(mul, d[0], v_fma(sum, d2, d4));
    o[to] = v_fma(a, odd, even);
    o[2 * to] = v_fma(na, odd, even);
    even = v_fma(aa, d2, d4);
    odd = v_fma(aa, d1, d3);
    o[3 * to] = v_fma(b, odd, even);
    o[4 * to] = v_fma(nb, odd, even);
    o[5 * to] = v_fma(mul, d1, v_fma(sum, d3, d[5 * from]));
}

INLINE void out_line4(vec *o, size_t to, const vec *m, size_t from)
{
    vec sa = v_add(m[from], m[2 * from]), da = v_sub(m[from], m[2 * from]);
    vec sb = v_add(m[3 * from], m[4 * from]), db = v_sub(m[3 * from], m[4 * from]);

    o[0] = v_add(m[0], v_add(sa, sb));
    o[to] = v_fma(v_set1(WA), da, v_mul(v_set1(WB), db));
    o[2 * to] = v_fma(v_set1(WA * WA), sa, v_mul(v_set1(WB * WB), sb));
    o[3 * to] =
        v_fma(v_set1(WA * WA * WA), da, v_fma(v_set1(WB * WB * WB), db, m[5 * from]));
}

INLINE void weight_line4(vec *o, size_t to, const vec *g, size_t from)
{
    const vec n0 = v_set1(1 / (WA * WA * WB * WB));
    const vec na = v_set1(1 / (2 * WA * WA * (WA * WA - WB * WB)));
    const vec nb = v_set1(1 / (2 * WB * WB * (WB * WB - WA * WA)));
    vec even = v_fma(v_set1(WA * WA), g[2 * from], g[0]);
    vec odd = v_mul(v_set1(WA), g[from]);

    o[0] = v_mul(n0, g[0]);
    o[to] = v_mul(na, v_add(even, odd));
    o[2 * to] = v_mul(na, v_sub(even, odd));
    even = v_fma(v_set1(WB * WB), g[2 * from], g[0]);
    odd = v_mul(v_set1(WB), g[from]);
    o[3 * to] = v_mul(nb, v_add(even, odd));
    o[4 * to] = v_mul(nb, v_sub(even, odd));
    o[5 * to] = g[2 * from];
}

/* F(2, 3) on 0, +-1, infinity. */
INLINE void in_line2(vec *o, size_t to, const vec *d, size_t from)
{
    o[0] = v_sub(d[0], d[2 * from]);
    o[to] = v_add(d[2 * from], d[from]);
    o[2 * to] = v_sub(d[2 * from], d[from]);
    o[3 * to] = v_sub(d[3 * from], d[from]);
}

INLINE void out_line2(vec *o, size_t to, const vec *m, size_t from)
{
    o[0] = v_add(m[0], v_add(m[from], m[2 * from]));
    o[to] = v_add(v_sub(m[from], m[2 * from]), m[3 * from]);
}

INLINE void weight_line2(vec *o, size_t to, const vec *g, size_t from)
{
    const vec half = v_set1(0.5f);
    vec even = v_add(g[0], g[2 * from]);

    o[0] = g[0];
    o[to] = v_mul(half, v_add(even, g[from]));
    o[2 * to] = v_mul(half, v_sub(even, g[from]));
    o[3 * to] = g[2 * from];
}

/* F(3, 2) on the same points: the inputs are transformed as those of F(2, 3). */
#define in_line3 in_line2

INLINE void out_line3(vec *o, size_t to, const vec *m, size_t from)
{
    vec sum = v_add(m[from], m[2 * from]);

    o[0] = v_add(m[0], sum);
    o[to] = v_sub(m[from], m[2 * from]);
    o[2 * to] = v_add(sum, m[3 * from]);
}

INLINE void weight_line3(vec *o, size_t to, const vec *g, size_t from)
{
    const vec half = v_set1(0.5f);

    o[0] = g[0];
    o[to] = v_mul(half, v_add(g[0], g[from]));
    o[2 * to] = v_mul(half, v_sub(g[0], g[from]));
    o[3 * to] = g[from];
}

/* square [to, to] = L src L^T, src [from, from]. */
INLINE void both_ways(vec *square, const vec *src, size_t to, size_t from,
                      wino_line *line)
{
    vec half[SIDE4 * SIDE4];

#pragma GCC unroll 6
    for (size_t x = 0; x < from; x++)
        line(half + x, from, src + x, from);
#pragma GCC unroll 6
    for (size_t y = 0; y < to; y++)
        line(square + y * to, 1, half + y * from, 1);
}

/* The first n lanes; all of them where n >= W is known. */
INLINE vec lanes_load(const float *p, size_t n)
{
    return n >= W ? v_load(p) : v_loadm(p, v_mask(n));
}

INLINE void lanes_store(float *p, size_t n, vec v)
{
    if (n >= W)
        v_store(p, v);
    else
        v_storem(p, v_mask(n), v);
}

INLINE void in_lanes(float *dst, size_t plane, const float *src, size_t row, size_t px,
                     size_t n, size_t side, wino_line *line)
{
    vec d[SIDE4 * SIDE4], v[SIDE4 * SIDE4];

#pragma GCC unroll 6
    for (size_t y = 0; y < side; y++, src += row)
#pragma GCC unroll 6
        for (size_t x = 0; x < side; x++)
            d[y * side + x] = lanes_load(src + x * px, n);
    both_ways(v, d, side, side, line);
#pragma GCC unroll 36
    for (size_t i = 0; i < side * side; i++, dst += plane) {
        __builtin_prefetch(dst + W, 1); /* of the next vector */
        lanes_store(dst, n, v[i]);
    }
}

INLINE void out_lanes(float *dst, size_t row, size_t px, const float *src, size_t plane,
                      const float *bias, const float *plus, size_t n, size_t side,
                      size_t tile, wino_line *line)
{
    vec m[SIDE4 * SIDE4], y[SIDE4 * SIDE4], b = lanes_load(bias, n);

#pragma GCC unroll 36
    for (size_t i = 0; i < side * side; i++, src += plane)
        m[i] = lanes_load(src, n);
    both_ways(y, m, tile, side, line);
#pragma GCC unroll 4
    for (size_t i = 0; i < tile; i++, dst += row) {
#pragma GCC unroll 4
        for (size_t j = 0; j < tile; j++) {
            vec sum = v_add(y[i * tile + j], b);

            if (plus)
                sum = v_add(sum, lanes_load(plus + j * px, n));
            lanes_store(dst + j * px, n, sum);
        }
        if (plus)
            plus += row;
    }
}

INLINE void weight_lanes(float *dst, size_t plane, const float *src, size_t tap, size_t n,
                         size_t side, size_t taps, wino_line *line)
{
    vec g[9], u[SIDE4 * SIDE4];

#pragma GCC unroll 9
    for (size_t i = 0; i < taps * taps; i++)
        g[i] = lanes_load(src + i * tap, n);
    both_ways(u, g, side, taps, line);
#pragma GCC unroll 36
    for (size_t i = 0; i < side * side; i++, dst += plane)
        lanes_store(dst, n, u[i]);
}

/* A vector of channels is a function of its own: were it the body of the loop over them,
 * the compiler would keep and count up a pointer to each point, in memory. */
#define NOINLINE static __attribute__((noinline))

#define WINO(T, SIDE)                                                                    \
    NOINLINE void in_some##T(float *dst, size_t plane, const float *src, size_t row,     \
                             size_t px, size_t n)                                        \
    {                                                                                    \
        in_lanes(dst, plane, src, row, px, n, SIDE, in_line##T);                         \
    }                                                                                    \
    NOINLINE void in_all##T(float *dst, size_t plane, const float *src, size_t row,      \
                            size_t px)                                                   \
    {                                                                                    \
        in_lanes(dst, plane, src, row, px, W, SIDE, in_line##T);                         \
    }                                                                                    \
    static void k_wino##T##_in(float *dst, size_t plane, const float *src, size_t row,   \
                               size_t px, size_t n)                                      \
    {                                                                                    \
        size_t c = 0;                                                                    \
                                                                                         \
        for (; c + W <= n; c += W)                                                       \
            in_all##T(dst + c, plane, src + c, row, px);                                 \
        if (c < n)                                                                       \
            in_some##T(dst + c, plane, src + c, row, px, n - c);                         \
    }                                                                                    \
    NOINLINE void out_some##T(float *dst, size_t row, size_t px, const float *src,       \
                              size_t plane, const float *bias, const float *plus,        \
                              size_t n)                                                  \
    {                                                                                    \
        out_lanes(dst, row, px, src, plane, bias, plus, n, SIDE, T, out_line##T);        \
    }                                                                                    \
    NOINLINE void out_all##T(float *dst, size_t row, size_t px, const float *src,        \
                             size_t plane, const float *bias, const float *plus)         \
    {                                                                                    \
        out_lanes(dst, row, px, src, plane, bias, plus, W, SIDE, T, out_line##T);        \
    }                                                                                    \
    static void k_wino##T##_out(float *dst, size_t row, size_t px, const float *src,     \
                                size_t plane, const float *bias, const float *plus,      \
                                size_t n)                                                \
    {                                                                                    \
        size_t c = 0;                                                                    \
                                                                                         \
        for (; c + W <= n; c += W)                                                       \
            out_all##T(dst + c, row, px, src + c, plane, bias + c,                       \
                       plus ? plus + c : NULL);                                          \
        if (c < n)                                                                       \
            out_some##T(dst + c, row, px, src + c, plane, bias + c,                      \
                        plus ? plus + c : NULL, n - c);                                  \
    }                                                                                    \
    NOINLINE void weights_some##T(float *dst, size_t plane, const float *src,            \
                                  size_t tap, size_t n)                                  \
    {                                                                                    \
        weight_lanes(dst, plane, src, tap, n, SIDE, SIDE + 1 - T, weight_line##T);       \
    }                                                                                    \
    static void k_wino##T##_weights(float *dst, size_t plane, const float *src,          \
                                    size_t tap, size_t n)                                \
    {                                                                                    \
        for (size_t c = 0; c < n; c += W)                                                \
            weights_some##T(dst + c, plane, src + c, tap, n - c);                        \
    }

WINO(4, SIDE4)
WINO(2, SIDE2)
WINO(3, SIDE2)

static void fill_wino(struct cf_kern *k)
{
    k->wino4 = (struct cf_kern_wino){k_wino4_in, k_wino4_out, k_wino4_weights};
    k->wino2 = (struct cf_kern_wino){k_wino2_in, k_wino2_out, k_wino2_weights};
    k->wino3 = (struct cf_kern_wino){k_wino3_in, k_wino3_out, k_wino3_weights};
}
