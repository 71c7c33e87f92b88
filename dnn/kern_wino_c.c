/* kern_wino_c.c - what the transforms of Winograd's convolution mean: the matrices of
 * F(2x2, 3x3), F(4x4, 3x3) and F(3x3, 2x2), applied from both sides.
 *
 * Toom and Cook: s inputs are a polynomial, taken at s - 1 numbers and at infinity. With
 * L_i the product of (x - p_j) over all other numbers p_j: row i of B^T holds the
 * coefficients of L_i, row i of G the powers of p_i over L_i(p_i), column i of A^T the
 * powers of p_i. */
#include "dnn/kern.h"

enum { SIDE_MAX = 6 };

struct matrices {
    int tile, side, taps;
    float bt[SIDE_MAX][SIDE_MAX], g[SIDE_MAX][3], at[4][SIDE_MAX];
};

static const struct matrices f2 = {
    2,
    4,
    3,
    {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
    {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}},
    {{1, 1, 1, 0}, {0, 1, -1, 1}},
};

static const struct matrices f3 = {
    3,
    4,
    2,
    {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
    {{1, 0}, {0.5f, 0.5f}, {0.5f, -0.5f}, {0, 1}},
    {{1, 1, 1, 0}, {0, 1, -1, 0}, {0, 1, 1, 1}},
};

#define A (5.0f / 8)
#define B (3.0f / 2)
#define AA (A * A)
#define BB (B * B)
#define N0 (AA * BB)
#define NA (2 * AA * (AA - BB))
#define NB (2 * BB * (BB - AA))

static const struct matrices f4 = {
    4,
    6,
    3,
    {{N0, 0, -(AA + BB), 0, 1, 0},
     {0, -A *BB, -BB, A, 1, 0},
     {0, A *BB, -BB, -A, 1, 0},
     {0, -B *AA, -AA, B, 1, 0},
     {0, B *AA, -AA, -B, 1, 0},
     {0, N0, 0, -(AA + BB), 0, 1}},
    {{1 / N0, 0, 0},
     {1 / NA, A / NA, AA / NA},
     {1 / NA, -A / NA, AA / NA},
     {1 / NB, B / NB, BB / NB},
     {1 / NB, -B / NB, BB / NB},
     {0, 0, 1}},
    {{1, 1, 1, 1, 1, 0},
     {0, A, -A, B, -B, 0},
     {0, AA, AA, BB, BB, 0},
     {0, A *AA, -A *AA, B *BB, -B *BB, 1}},
};

/* dst[i][j] = row i of m times s times row j of m transposed; s [n, n], m [rows, ld]. */
static void both_ways(float dst[SIDE_MAX][SIDE_MAX], float s[SIDE_MAX][SIDE_MAX],
                      const float *m, int rows, int n, int ld)
{
    float half[SIDE_MAX][SIDE_MAX];

    for (int i = 0; i < rows; i++)
        for (int x = 0; x < n; x++) {
            half[i][x] = 0;
            for (int k = 0; k < n; k++)
                half[i][x] += m[i * ld + k] * s[k][x];
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            dst[i][j] = 0;
            for (int k = 0; k < n; k++)
                dst[i][j] += half[i][k] * m[j * ld + k];
        }
}

static void wino_in(float *dst, size_t plane, const float *src, size_t row, size_t px,
                    size_t n, const struct matrices *f)
{
    for (size_t c = 0; c < n; c++) {
        float d[SIDE_MAX][SIDE_MAX], v[SIDE_MAX][SIDE_MAX];

        for (int y = 0; y < f->side; y++)
            for (int x = 0; x < f->side; x++)
                d[y][x] = src[(size_t)y * row + (size_t)x * px + c];
        both_ways(v, d, f->bt[0], f->side, f->side, SIDE_MAX);
        for (int i = 0; i < f->side * f->side; i++)
            dst[(size_t)i * plane + c] = v[i / f->side][i % f->side];
    }
}

static void wino_out(float *dst, size_t row, size_t px, const float *src, size_t plane,
                     const float *bias, const float *plus, size_t n,
                     const struct matrices *f)
{
    for (size_t c = 0; c < n; c++) {
        float m[SIDE_MAX][SIDE_MAX], y[SIDE_MAX][SIDE_MAX];

        for (int i = 0; i < f->side * f->side; i++)
            m[i / f->side][i % f->side] = src[(size_t)i * plane + c];
        both_ways(y, m, f->at[0], f->tile, f->side, SIDE_MAX);
        for (int i = 0; i < f->tile * f->tile; i++) {
            size_t at = (size_t)(i / f->tile) * row + (size_t)(i % f->tile) * px + c;
            float sum = y[i / f->tile][i % f->tile] + bias[c];

            dst[at] = plus ? sum + plus[at] : sum;
        }
    }
}

static void wino_weights(float *dst, size_t plane, const float *src, size_t tap, size_t n,
                         const struct matrices *f)
{
    for (size_t c = 0; c < n; c++) {
        float g[SIDE_MAX][SIDE_MAX], u[SIDE_MAX][SIDE_MAX];

        for (int i = 0; i < f->taps * f->taps; i++)
            g[i / f->taps][i % f->taps] = src[(size_t)i * tap + c];
        both_ways(u, g, f->g[0], f->side, f->taps, 3);
        for (int i = 0; i < f->side * f->side; i++)
            dst[(size_t)i * plane + c] = u[i / f->side][i % f->side];
    }
}

static void k_wino4_in(float *dst, size_t plane, const float *src, size_t row, size_t px,
                       size_t n)
{
    wino_in(dst, plane, src, row, px, n, &f4);
}

static void k_wino4_out(float *dst, size_t row, size_t px, const float *src, size_t plane,
                        const float *bias, const float *plus, size_t n)
{
    wino_out(dst, row, px, src, plane, bias, plus, n, &f4);
}

static void k_wino4_weights(float *dst, size_t plane, const float *src, size_t tap,
                            size_t n)
{
    wino_weights(dst, plane, src, tap, n, &f4);
}

static void k_wino2_in(float *dst, size_t plane, const float *src, size_t row, size_t px,
                       size_t n)
{
    wino_in(dst, plane, src, row, px, n, &f2);
}

static void k_wino2_out(float *dst, size_t row, size_t px, const float *src, size_t plane,
                        const float *bias, const float *plus, size_t n)
{
    wino_out(dst, row, px, src, plane, bias, plus, n, &f2);
}

static void k_wino2_weights(float *dst, size_t plane, const float *src, size_t tap,
                            size_t n)
{
    wino_weights(dst, plane, src, tap, n, &f2);
}

static void k_wino3_in(float *dst, size_t plane, const float *src, size_t row, size_t px,
                       size_t n)
{
    wino_in(dst, plane, src, row, px, n, &f3);
}

static void k_wino3_out(float *dst, size_t row, size_t px, const float *src, size_t plane,
                        const float *bias, const float *plus, size_t n)
{
    wino_out(dst, row, px, src, plane, bias, plus, n, &f3);
}

static void k_wino3_weights(float *dst, size_t plane, const float *src, size_t tap,
                            size_t n)
{
    wino_weights(dst, plane, src, tap, n, &f3);
}

void cf_kern_init_wino_c(struct cf_kern *k)
{
    k->wino4 = (struct cf_kern_wino){k_wino4_in, k_wino4_out, k_wino4_weights};
    k->wino2 = (struct cf_kern_wino){k_wino2_in, k_wino2_out, k_wino2_weights};
    k->wino3 = (struct cf_kern_wino){k_wino3_in, k_wino3_out, k_wino3_weights};
}
