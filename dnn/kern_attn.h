/* kern_attn.h - the three parts of an attention tile in vectors of W; included once by
 * each instruction set after kern_panel.h, whose ROWS rows of two vectors it accumulates
 * in registers at a time.
 *
 * Both products are the same outer-product loop: in the scores, keys are the rows and
 * queries the columns, so that softmax goes down columns and never across a vector; its
 * weights are then read as columns, one number for each query, next to one row of values.
 */

enum { LINE_FLOATS = 16 }; /* of a line of the caches */

/* cols vectors of `rows` rows of dst; all accumulators live in registers, because rows,
 * cols and the strides that are 1 are constants after inlining. a[i * a_row + l *
 * a_step], b[l * ldb + j] where every CF_KV_BLOCK rows of b begin `jump` after those
 * before. last: lanes of the last vector that count, where ragged. */
INLINE void attn_block(float *dst, size_t ldd, const float *a, size_t a_row,
                       size_t a_step, const float *b, size_t ldb, size_t jump,
                       const float *next, size_t k, int add, int rows, int cols,
                       int ragged, vmask last)
{
    vec acc[ROWS][2];

#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int c = 0; c < cols; c++) {
            const float *p = dst + (size_t)i * ldd + (size_t)c * W;

            acc[i][c] = !add                      ? v_set1(0.0f)
                        : ragged && c == cols - 1 ? v_loadm(p, last)
                                                  : v_load(p);
        }
    }
    for (size_t at = 0; at < k; at += CF_KV_BLOCK, b += jump) {
        size_t n = k - at < CF_KV_BLOCK ? k - at : CF_KV_BLOCK;
        const float *row = b;

        for (size_t l = 0; l < n; l++, row += ldb, a += a_step, next += rows) {
            const float *wanted = a_row == 1 ? row + jump : next;
            vec y[2];

            _mm_prefetch(wanted, _MM_HINT_T1);
            if (a_row == 1 && cols * W > LINE_FLOATS)
                _mm_prefetch(wanted + LINE_FLOATS, _MM_HINT_T1);
#pragma GCC unroll 2
            for (int c = 0; c < cols; c++)
                y[c] = ragged && c == cols - 1 ? v_loadm(row + (size_t)c * W, last)
                                               : v_load(row + (size_t)c * W);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                vec x = v_set1(a[(size_t)i * a_row]);

#pragma GCC unroll 2
                for (int c = 0; c < cols; c++)
                    acc[i][c] = v_fma(x, y[c], acc[i][c]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int c = 0; c < cols; c++) {
            float *p = dst + (size_t)i * ldd + (size_t)c * W;

            if (ragged && c == cols - 1)
                v_storem(p, last, acc[i][c]);
            else
                v_store(p, acc[i][c]);
        }
    }
}

/* All m rows of one column block. */
INLINE void attn_rows(float *dst, size_t ldd, const float *a, size_t a_row, size_t a_step,
                      const float *b, size_t ldb, size_t jump, const float *next,
                      size_t m, size_t k, int add, int cols, int ragged, vmask last)
{
#define ROWS_OF(n)                                                                       \
    attn_block(dst, ldd, a, a_row, a_step, b, ldb, jump, next, k, add, n, cols, ragged,  \
               last),                                                                    \
        dst += (n)*ldd, a += (n)*a_row
    for (; m >= ROWS; m -= ROWS)
        ROWS_OF(ROWS);
    if (ROWS > 8 && m & 8)
        ROWS_OF(ROWS > 8 ? 8 : 1);
    if (m & 4)
        ROWS_OF(4);
    if (m & 2)
        ROWS_OF(2);
    if (m & 1)
        ROWS_OF(1);
#undef ROWS_OF
}

static void k_attn_scores(float *s, const float *k, size_t ldk, const void *next,
                          const float *q, size_t m, size_t n, size_t hd)
{
    const size_t jump = CF_KV_BLOCK * PANEL; /* q is dense */

    if (n <= W)
        attn_rows(s, PANEL, k, ldk, 1, q, PANEL, jump, next, m, hd, 0, 1, 0, v_mask(1));
    else
        attn_rows(s, PANEL, k, ldk, 1, q, PANEL, jump, next, m, hd, 0, 2, 0, v_mask(1));
}

static void k_attn_values(float *o, size_t ldo, const float *p, const float *v,
                          size_t jump, size_t m, size_t hd, size_t n, int add)
{
    size_t d = 0;

    for (; d + 2 * W <= hd; d += 2 * W)
        attn_rows(o + d, ldo, p, 1, PANEL, v + d, hd, jump, v, m, n, add, 2, 0,
                  v_mask(1));
    if (hd - d > W)
        attn_rows(o + d, ldo, p, 1, PANEL, v + d, hd, jump, v, m, n, add, 2, 1,
                  v_mask(hd - d - W));
    else if (d < hd)
        attn_rows(o + d, ldo, p, 1, PANEL, v + d, hd, jump, v, m, n, add, 1, 1,
                  v_mask(hd - d));
}

/* `cols` vectors of queries. scale > 0, so the largest product is that of the largest
 * score; and it is subtracted from the exact product. */
INLINE void softmax_cols(float *s, size_t m, float scale, float *max, float *sum,
                         float *f, int cols)
{
    vec vs = v_set1(scale), lowest = v_set1(-INFINITY), top[2], base[2], total[2];

#pragma GCC unroll 2
    for (int c = 0; c < cols; c++)
        top[c] = lowest;
    for (size_t j = 0; j < m; j++)
#pragma GCC unroll 2
        for (int c = 0; c < cols; c++)
            top[c] = v_max(top[c], v_load(s + j * PANEL + (size_t)c * W));
#pragma GCC unroll 2
    for (int c = 0; c < cols; c++) {
        vec was = v_load(max + (size_t)c * W), now = v_max(was, v_mul(top[c], vs)), g;

        /* finite where all keys were masked so far, as -inf - -inf has no value */
        base[c] = v_sub(v_set1(0.0f), v_max(v_set1(-0x1.fffffep+127f), now));
        g = exp_low(v_add(was, base[c]));
        v_store(max + (size_t)c * W, now);
        v_store(f + (size_t)c * W, g);
        total[c] = v_mul(v_load(sum + (size_t)c * W), g);
    }
    for (size_t j = 0; j < m; j++)
#pragma GCC unroll 2
        for (int c = 0; c < cols; c++) {
            float *at = s + j * PANEL + (size_t)c * W;
            vec p = exp_low(v_fma(v_load(at), vs, base[c]));

            v_store(at, p);
            total[c] = v_add(total[c], p);
        }
#pragma GCC unroll 2
    for (int c = 0; c < cols; c++)
        v_store(sum + (size_t)c * W, total[c]);
}

static void k_attn_softmax(float *s, size_t m, size_t n, float scale, float *max,
                           float *sum, float *f)
{
    if (n <= W)
        softmax_cols(s, m, scale, max, sum, f, 1);
    else
        softmax_cols(s, m, scale, max, sum, f, 2);
}

static void fill_attn(struct cf_kern *k)
{
    k->attn_scores = k_attn_scores;
    k->attn_values = k_attn_values;
    k->attn_softmax = k_attn_softmax;
}
