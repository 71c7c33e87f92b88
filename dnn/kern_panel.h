/* kern_panel.h - the product of some rows and a panel; included once by each instruction
 * set after kern_vec.h. Of what that asks for it uses vec, v_load, v_store, v_set1 and
 * v_fma, and the macro ROWS, 6 or 12: so many rows that their sums, two vectors each, and
 * two vectors of the panel and a number of a fit the registers.
 *
 * Rows are shared out evenly over the blocks they need: a block of two or three rows that
 * were left over would wait for its own sums. */

enum {
    PANEL = 2 * W,
    PIECE = 8, /* numbers of a row between two fetches */
    CACHE_LINE = 64,
};

/* What is still to be fetched, row by row, and how much of it at a time. */
struct fetching {
    struct cf_fetch todo;
    size_t row, lines;
};

/* The first lines of all rows, then the second, and so on. */
INLINE void fetch_lines(struct fetching *f)
{
    for (size_t i = f->lines; i > 0 && f->todo.lines > 0; i--) {
        _mm_prefetch((const char *)f->todo.at + f->row * f->todo.stride, _MM_HINT_T1);
        if (++f->row < f->todo.rows)
            continue;
        f->row = 0;
        f->todo.at = (const char *)f->todo.at + CACHE_LINE;
        f->todo.lines--;
    }
}

/* rows is a constant after inlining: all sums live in registers. */
INLINE void panel_block(float *dst, size_t ldd, const float *a, size_t lda,
                        const float *b, size_t k, int add, struct fetching f[2], int rows)
{
    vec acc[ROWS][2];

#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = add ? v_load(dst + (size_t)i * ldd) : v_set1(0.0f);
        acc[i][1] = add ? v_load(dst + (size_t)i * ldd + W) : v_set1(0.0f);
    }
    for (size_t l = 0; l < k;) {
        size_t end = k - l > PIECE ? l + PIECE : k;

        fetch_lines(&f[0]);
        fetch_lines(&f[1]);
        for (; l < end; l++, b += PANEL) {
            vec b0 = v_load(b), b1 = v_load(b + W);

#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                vec x = v_set1(a[(size_t)i * lda + l]);

                acc[i][0] = v_fma(x, b0, acc[i][0]);
                acc[i][1] = v_fma(x, b1, acc[i][1]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        v_store(dst + (size_t)i * ldd, acc[i][0]);
        v_store(dst + (size_t)i * ldd + W, acc[i][1]);
    }
}

typedef void block_fn(float *dst, size_t ldd, const float *a, size_t lda, const float *b,
                      size_t k, int add, struct fetching f[2]);

#define BLOCK(rows)                                                                      \
    static void block_##rows(float *dst, size_t ldd, const float *a, size_t lda,         \
                             const float *b, size_t k, int add, struct fetching f[2])    \
    {                                                                                    \
        panel_block(dst, ldd, a, lda, b, k, add, f, rows);                               \
    }

BLOCK(1)
BLOCK(2)
BLOCK(3)
BLOCK(4)
BLOCK(5)
BLOCK(6)
#if ROWS > 6
BLOCK(7)
BLOCK(8)
BLOCK(9)
BLOCK(10)
BLOCK(11)
BLOCK(12)
#endif

static void panel_blocks(float *dst, size_t ldd, const float *a, size_t lda,
                         const float *b, size_t m, size_t k, int add, size_t blocks,
                         struct fetching f[2])
{
    static block_fn *const block[ROWS + 1] = {
        NULL,
        block_1,
        block_2,
        block_3,
        block_4,
        block_5,
        block_6,
#if ROWS > 6
        block_7,
        block_8,
        block_9,
        block_10,
        block_11,
        block_12,
#endif
    };

    for (; blocks > 0; blocks--) {
        size_t rows = (m + blocks - 1) / blocks;

        block[rows](dst, ldd, a, lda, b, k, add, f);
        dst += rows * ldd;
        a += rows * lda;
        m -= rows;
    }
}

static void k_panel_mul(float *dst, size_t ldd, const float *a, size_t lda,
                        const float *b, size_t m, size_t k, int add)
{
    struct fetching none[2] = {0};

    panel_blocks(dst, ldd, a, lda, b, m, k, add, (m + ROWS - 1) / ROWS, none);
}

static void k_panel_mul_fetch(float *dst, size_t ldd, const float *a, size_t lda,
                              const float *b, size_t m, size_t k, int add,
                              const struct cf_fetch next[2])
{
    size_t blocks = (m + ROWS - 1) / ROWS, pieces = (k + PIECE - 1) / PIECE * blocks;
    struct fetching f[2];

    for (int i = 0; i < 2; i++) {
        size_t lines = next[i].rows * next[i].lines;

        f[i] = (struct fetching){next[i], 0, pieces ? (lines + pieces - 1) / pieces : 0};
    }
    panel_blocks(dst, ldd, a, lda, b, m, k, add, blocks, f);
}

static void fill_panel(struct cf_kern *k)
{
    k->panel = PANEL;
    k->panel_mul = k_panel_mul;
    k->panel_mul_fetch = k_panel_mul_fetch;
}
