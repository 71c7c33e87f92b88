/* kern_wino_check.h - checks of the transforms of Winograd's convolution, for checkkern
 * alone. Inputs are finite: what infinity less infinity makes of the other points is not
 * said. */
#ifndef CF_TESTS_KERN_WINO_CHECK_H
#define CF_TESTS_KERN_WINO_CHECK_H

#include "tests/kern_guard.h"

/* Point by point, planes floats apart; between them nothing was written. */
static void compare_points(struct check *t, const float *want, const float *got,
                           size_t points, size_t plane, size_t n, float tol)
{
    for (size_t p = 0; p < points; p++) {
        compare(t, want + p * plane, got + p * plane, n, 0, tol);
        if (p + 1 < points &&
            memcmp(want + p * plane + n, got + p * plane + n, (plane - n) * sizeof *got))
            fail(t, "point %zu: wrote behind its %zu channels", p, n);
    }
}

/* 1e-6 of the sum of magnitudes, of which sum is the most a unit input contributes. */
static float tolerance(const float *x, size_t n, float sum)
{
    return 1e-6f * sum * largest(x, n) + 1e-36f;
}

static void check_wino_in(struct check *t, size_t n, const struct cf_kern_wino *c,
                          const struct cf_kern_wino *k, size_t tile, float sum)
{
    size_t side = tile + 2, points = side * side, plane = n + draw(t) % 5;
    size_t px = n + draw(t) % 3, row = side * px + draw(t) % 4, cut = n ? draw(t) % n : 0;
    float *src, *want, *got, *parts;

    if (t->kind == SPECIAL)
        return;
    src = input(t, side * row);
    want = array(t, (points - 1) * plane + n);
    got = array(t, (points - 1) * plane + n);
    parts = array(t, (points - 1) * plane + n);
    c->in(want, plane, src, row, px, n);
    k->in(got, plane, src, row, px, n);
    compare_points(t, want, got, points, plane, n, tolerance(src, side * row, sum * sum));
    k->in(parts, plane, src, row, px, cut);
    k->in(parts + cut, plane, src + cut, row, px, n - cut);
    for (size_t p = 0; p < points; p++)
        same_bits(t, got + p * plane, parts + p * plane, n);
}

static void check_wino_out(struct check *t, size_t n, const struct cf_kern_wino *c,
                           const struct cf_kern_wino *k, size_t tile, float sum)
{
    size_t side = tile + 2, plane = n + draw(t) % 5, size = (side * side - 1) * plane + n;
    size_t px = n + draw(t) % 3, row = tile * px + draw(t) % 4, cut = n ? draw(t) % n : 0;
    size_t all = (tile - 1) * row + (tile - 1) * px + n;
    float *src, *bias, *plus, *want, *got, *parts, tol;

    if (t->kind == SPECIAL)
        return;
    src = input(t, size);
    bias = input(t, n);
    plus = draw(t) % 2 ? input(t, all) : NULL;
    tol = tolerance(src, size, sum * sum) + tolerance(bias, n, 1) +
          (plus ? tolerance(plus, all, 1) : 0);
    want = array(t, all);
    got = plus && draw(t) % 2 ? copy(t, plus, all) : array(t, all);
    parts = array(t, all);
    for (size_t i = 0; i < all; i++)
        want[i] = parts[i] = got[i];
    c->out(want, row, px, src, plane, bias, plus, n);
    k->out(parts, row, px, src, plane, bias, plus, cut);
    k->out(parts + cut, row, px, src + cut, plane, bias + cut, plus ? plus + cut : NULL,
           n - cut);
    k->out(got, row, px, src, plane, bias, plus ? (got[0] == plus[0] ? got : plus) : NULL,
           n);
    for (size_t y = 0, at = 0; y < tile; y++, at = y * row)
        for (size_t x = 0; x < tile; x++)
            compare(t, want + at + x * px, got + at + x * px, n, 0, tol);
    same_bits(t, got, parts, all);
}

static void check_wino_weights(struct check *t, size_t n, const struct cf_kern_wino *c,
                               const struct cf_kern_wino *k, size_t tile, float sum)
{
    size_t points = (tile + 2) * (tile + 2), plane = n + draw(t) % 5;
    size_t tap = n + draw(t) % 3;
    float *src, *want, *got;

    if (t->kind == SPECIAL)
        return;
    src = input(t, 9 * tap);
    want = array(t, (points - 1) * plane + n);
    got = array(t, (points - 1) * plane + n);
    c->weights(want, plane, src, tap, n);
    k->weights(got, plane, src, tap, n);
    compare_points(t, want, got, points, plane, n, tolerance(src, 9 * tap, sum * sum));
}

static void check_wino4_in(struct check *t, size_t n)
{
    check_wino_in(t, n, &t->c->wino4, &t->k->wino4, 4, 5.3f);
}

static void check_wino4_out(struct check *t, size_t n)
{
    check_wino_out(t, n, &t->c->wino4, &t->k->wino4, 4, 8.3f);
}

static void check_wino4_weights(struct check *t, size_t n)
{
    check_wino_weights(t, n, &t->c->wino4, &t->k->wino4, 4, 1.4f);
}

static void check_wino2_in(struct check *t, size_t n)
{
    check_wino_in(t, n, &t->c->wino2, &t->k->wino2, 2, 2);
}

static void check_wino2_out(struct check *t, size_t n)
{
    check_wino_out(t, n, &t->c->wino2, &t->k->wino2, 2, 3);
}

static void check_wino2_weights(struct check *t, size_t n)
{
    check_wino_weights(t, n, &t->c->wino2, &t->k->wino2, 2, 1.5f);
}

#endif
