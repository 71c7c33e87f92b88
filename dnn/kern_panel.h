/* kern_panel.h - the product of some rows and a panel; included once by each instruction
 * set after kern_vec.h. Of what that asks for it uses vec, v_load, v_store, v_set1 and
 * v_fma, and the macro ROWS, 6 or 12: so many rows that their sums, two vectors each, and
 * two vectors of the panel and a number of a fit the registers.
 *
 * Rows are shared out evenly over the blocks they need: a block of two or three rows that
 * were left over would wait for its own sums. */

enum { PANEL = 2 * W, FETCH_LINE = 64, QUAD = 4 };

/* What is fetched: with each number of a row a line at at (and one at at + second, where
 * a step of the panel is more than a line), then at moves on by step, and after left and
 * then every turn times by jump to another row. 0: nothing. */
struct fetching {
    uintptr_t at; /* a number, for it need not point at anything */
    size_t step, second, left, turn, jump;
};

/* rows and fetch are constants after inlining: all sums live in registers. Four rows
 * share a pointer, so that those fit the registers as well. */
INLINE void panel_block(float *dst, size_t ldd, const float *a, size_t lda,
                        const float *b, size_t k, int add, struct fetching *f, int fetch,
                        int rows)
{
    const size_t row = lda * sizeof *a, row3 = 3 * row;
    const char *quad[(ROWS + QUAD - 1) / QUAD];
    uintptr_t at = f->at;
    size_t left = f->left;
    vec acc[ROWS][2];

#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = add ? v_load(dst + (size_t)i * ldd) : v_set1(0.0f);
        acc[i][1] = add ? v_load(dst + (size_t)i * ldd + W) : v_set1(0.0f);
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i += QUAD)
        quad[i / QUAD] = (const char *)(a + (size_t)i * lda);
    for (const float *end = b + k * PANEL; b != end; b += PANEL) {
        vec b0 = v_load(b), b1 = v_load(b + W);

        if (fetch) {
            _mm_prefetch((const char *)at, _MM_HINT_T1);
            if (PANEL * sizeof *b > FETCH_LINE)
                _mm_prefetch((const char *)(at + f->second), _MM_HINT_T1);
            at += f->step;
            if (--left == 0) {
                left = f->turn;
                at += f->jump;
            }
        }
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const char *p = quad[i / QUAD];
            size_t in = i % QUAD == 3 ? row3 : (size_t)(i % QUAD) * row;
            vec x = v_set1(*(const float *)(const void *)(p + in));

            acc[i][0] = v_fma(x, b0, acc[i][0]);
            acc[i][1] = v_fma(x, b1, acc[i][1]);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i += QUAD)
            quad[i / QUAD] += sizeof *a;
    }
    f->at = at;
    f->left = left;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        v_store(dst + (size_t)i * ldd, acc[i][0]);
        v_store(dst + (size_t)i * ldd + W, acc[i][1]);
    }
}

typedef void block_fn(float *dst, size_t ldd, const float *a, size_t lda, const float *b,
                      size_t k, int add, struct fetching *f);

#define BLOCK(rows)                                                                      \
    static void block_##rows(float *dst, size_t ldd, const float *a, size_t lda,         \
                             const float *b, size_t k, int add, struct fetching *f)      \
    {                                                                                    \
        if (f->at)                                                                       \
            panel_block(dst, ldd, a, lda, b, k, add, f, 1, rows);                        \
        else                                                                             \
            panel_block(dst, ldd, a, lda, b, k, add, f, 0, rows);                        \
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
                         const float *b, size_t m, size_t k, int add, struct fetching *f)
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

    for (size_t blocks = (m + ROWS - 1) / ROWS; blocks > 0; blocks--) {
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
    panel_blocks(dst, ldd, a, lda, b, m, k, add, &(struct fetching){0});
}

/* Lines that come more than once cost next to nothing. */
static void k_panel_mul_fetch(float *dst, size_t ldd, const float *a, size_t lda,
                              const float *b, size_t m, size_t k, int add,
                              const struct cf_fetch *next)
{
    size_t steps = k * ((m + ROWS - 1) / ROWS), bytes = next->bytes;
    struct fetching f = {0};

    if (steps > 0 && next->rows > 0 && bytes > 0) {
        f.at = (uintptr_t)next->at;
        bytes += f.at % FETCH_LINE;
        f.turn = f.left = steps < next->rows ? 1 : steps / next->rows;
        f.step = (bytes + f.turn - 1) / f.turn;
        f.second = f.step > FETCH_LINE ? FETCH_LINE : 0;
        f.jump = next->stride - f.turn * f.step;
    }
    panel_blocks(dst, ldd, a, lda, b, m, k, add, &f);
}

static void fill_panel(struct cf_kern *k)
{
    k->panel = PANEL;
    k->panel_mul = k_panel_mul;
    k->panel_mul_fetch = k_panel_mul_fetch;
}
