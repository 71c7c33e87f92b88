/* kern_attn_check.h - checks of the kernels of attention, for checkkern alone. */
#ifndef CF_TESTS_KERN_ATTN_CHECK_H
#define CF_TESTS_KERN_ATTN_CHECK_H

#include <math.h>

#include "dnn/dnn.h"
#include "tests/kern_guard.h"

/* What attention's three kernels are asked for at length n. */
struct attn_case {
    size_t w, keys, queries, hd;
};

static struct attn_case attn_case(const struct check *t, size_t n)
{
    struct attn_case c = {t->k->panel, n % 131, 0, 4 + n % 37 * 4};

    c.queries = 1 + n * 5 % c.w;
    return c;
}

/* With sums in double, as the panels of the two tables differ in width. */
static void check_attn_scores(struct check *t, size_t n)
{
    struct attn_case c = attn_case(t, n);
    size_t ld = c.hd + n % 3;
    float *k = input(t, c.keys * ld + 1), *q = input(t, c.hd * c.w);
    float *s = array(t, c.keys * c.w), *one = array(t, c.keys * c.w);

    t->k->attn_scores(s, k, ld, q, q, c.keys, c.queries, c.hd);
    for (size_t j = 0; j < c.keys; j++) {
        t->k->attn_scores(one + j * c.w, k + j * ld, ld, k, q, 1, c.queries, c.hd);
        for (size_t i = 0; i < c.queries; i++) {
            double sum = 0, size = 0;

            for (size_t l = 0; l < c.hd; l++) {
                sum += (double)k[j * ld + l] * q[l * c.w + i];
                size += fabs((double)k[j * ld + l] * q[l * c.w + i]);
            }
            if (size < 1e38 && !near((float)sum, s[j * c.w + i], (float)(1e-6 * size)))
                fail(t, "kind %d, %zu keys of %zu, %zu %zu: %g, expected %g",
                     (int)t->kind, c.keys, c.hd, j, i, s[j * c.w + i], sum);
        }
        same_bits(t, s + j * c.w, one + j * c.w, c.queries);
    }
}

static void check_attn_values(struct check *t, size_t n)
{
    struct attn_case c = attn_case(t, n);
    size_t block = CF_KV_BLOCK * c.hd, jump = block + n % 4 * 100, ld = c.hd + n % 5;
    size_t blocks = (c.keys + CF_KV_BLOCK - 1) / CF_KV_BLOCK, m = c.queries;
    float *s = input(t, c.keys * c.w), *v = input(t, blocks * jump);
    float *was = input(t, m * ld), *got = copy(t, was, m * ld),
          *one = copy(t, was, m * ld);
    int add = (int)(n & 1);

    t->k->attn_values(got, ld, s, v, jump, m, c.hd, c.keys, add);
    for (size_t i = 0; i < m; i++) {
        for (size_t d = 0; d < ld; d++) {
            double sum = add || d >= c.hd ? was[i * ld + d] : 0, size = fabs(sum);

            for (size_t j = 0; j < c.keys && d < c.hd; j++) {
                float x = v[j / CF_KV_BLOCK * jump + j % CF_KV_BLOCK * c.hd + d];

                sum += (double)s[j * c.w + i] * x;
                size += fabs((double)s[j * c.w + i] * x);
            }
            if (size < 1e38 && !near((float)sum, got[i * ld + d], (float)(1e-6 * size)))
                fail(t, "kind %d, %zu keys of %zu, %zu %zu: %g, expected %g",
                     (int)t->kind, c.keys, c.hd, i, d, got[i * ld + d], sum);
        }
        t->k->attn_values(one + i * ld, ld, s + i, v, jump, 1, c.hd, c.keys, add);
    }
    if (memcmp(one, got, m * ld * sizeof *one))
        fail(t, "%zu keys of %zu: a query alone has other bits", c.keys, c.hd);
}

/* The same columns of both tables: those of the narrower one. */
static void check_attn_softmax(struct check *t, size_t n)
{
    struct attn_case z = attn_case(t, n);
    size_t cw = t->c->panel, m = z.keys, cols = z.queries < cw ? z.queries : cw;
    float *s = array(t, m * cw), *got = array(t, m * z.w), *was;
    float *row[2][3]; /* maximum, sum and factor of either */

    if (t->kind == SPECIAL || t->kind == WIDE)
        return; /* infinite scores have no meaning but -inf, which is put in below */
    was = input(t, m * cw);
    for (size_t i = 0; i < m * z.w; i++)
        got[i] = 0;
    for (size_t i = 0; i < m * cw; i++) {
        if (draw(t) % 5 == 0 || i % cw % 3 == 2)
            was[i] = -INFINITY;
        s[i] = got[i / cw * z.w + i % cw] = was[i];
    }
    for (int side = 0; side < 2; side++)
        for (int r = 0; r < 3; r++)
            row[side][r] = input(t, side ? z.w : cw);
    for (size_t i = 0; i < cw; i++) {
        row[0][0][i] = row[1][0][i] = draw(t) % 3 ? 4 * uniform(t) : -INFINITY;
        row[0][1][i] = row[1][1][i] = row[0][0][i] == -INFINITY ? 0.0f : 3.0f;
    }
    t->c->attn_softmax(s, m, cols, 12.5f, row[0][0], row[0][1], row[0][2]);
    t->k->attn_softmax(got, m, cols, 12.5f, row[1][0], row[1][1], row[1][2]);
    for (size_t i = 0; i < cols; i++) {
        float max = row[0][0][i], sum = row[0][1][i], f = row[0][2][i];

        for (size_t j = 0; j < m; j++) { /* C rounds the product, the others need not */
            float want = s[j * cw + i], is = got[j * z.w + i];

            if (!near(want, is,
                      (2e-6f + 1.2e-7f * (12.5f * fabsf(was[j * cw + i]) + fabsf(max))) *
                          want))
                fail(t, "kind %d, key %zu of %zu, query %zu: %.9g, expected %.9g",
                     (int)t->kind, j, m, i, is, want);
        }
        if (max != row[1][0][i] || !near(sum, row[1][1][i], 1.5e-5f * sum) ||
            !near(f, row[1][2][i], 2e-6f * f))
            fail(t, "%zu keys: max %g %g, sum %g %g, factor %g %g", m, max, row[1][0][i],
                 sum, row[1][1][i], f, row[1][2][i]);
    }
}

#endif
