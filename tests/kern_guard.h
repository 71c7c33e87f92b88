/* kern_guard.h - what checkkern gives to kernels and how it looks at what they made:
 * random and special numbers in arrays at odd offsets, between guard values that must
 * survive. */
#ifndef CF_TESTS_KERN_GUARD_H
#define CF_TESTS_KERN_GUARD_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/kern.h"

enum { GUARD = 32, BLOCKS = 12, BLOCK_MAX = 1 << 17 };

enum kind { PLAIN, WIDE, TINY, SPECIAL, KINDS };

struct block {
    float *base;
    size_t at, n; /* the array starts at base + at */
};

struct check {
    const struct cf_kern *c, *k;
    uint64_t seed;
    enum kind kind;
    struct block block[BLOCKS];
    int used;
    char why[256]; /* first failure; empty: none */
};

static void fail(struct check *t, const char *fmt, ...)
{
    va_list ap;

    if (t->why[0])
        return;
    va_start(ap, fmt);
    vsnprintf(t->why, sizeof t->why, fmt, ap);
    va_end(ap);
}

static uint32_t draw(struct check *t)
{
    t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->seed >> 32);
}

static float uniform(struct check *t)
{
    return (float)(draw(t) >> 8) * 0x1p-23f - 1.0f;
}

static float value(struct check *t)
{
    static const float special[] = {
        0.0f,  -0.0f,  INFINITY, -INFINITY, NAN,  1e38f, -1e38f, 1e-38f,   -1e-40f,
        88.7f, -87.3f, 88.8f,    -87.4f,    1.0f, -1.0f, 104.0f, -1000.0f, 1000.0f};

    switch (t->kind) {
    case WIDE:
        return uniform(t) * powf(10.0f, 18.0f * uniform(t));
    case TINY:
        return uniform(t) * 1e-38f;
    case SPECIAL:
        return draw(t) % 3 ? 4 * uniform(t) : special[draw(t) % (sizeof special / 4)];
    default:
        return 8 * uniform(t);
    }
}

/* A fresh guarded array of n floats. */
static float *array(struct check *t, size_t n)
{
    struct block *b = &t->block[t->used++];
    size_t all = n + 2 * GUARD + 16;

    b->at = GUARD + draw(t) % 16;
    b->n = n;
    memset(b->base, 0xa5, all * sizeof *b->base);
    return b->base + b->at;
}

static float *input(struct check *t, size_t n)
{
    float *p = array(t, n);

    for (size_t i = 0; i < n; i++)
        p[i] = value(t);
    return p;
}

static float *copy(struct check *t, const float *from, size_t n)
{
    float *p = array(t, n);

    memcpy(p, from, n * sizeof *p);
    return p;
}

/* Were the guards left alone? Gives all arrays back. */
static void release(struct check *t)
{
    float want;

    memset(&want, 0xa5, sizeof want);
    for (int i = 0; i < t->used; i++) {
        const struct block *b = &t->block[i];

        for (size_t j = 0; j < b->n + 2 * GUARD + 16; j++)
            if ((j < b->at || j >= b->at + b->n) && memcmp(&b->base[j], &want, 4))
                fail(t, "array %d of %zu: wrote at %td", i, b->n,
                     (ptrdiff_t)j - (ptrdiff_t)b->at);
    }
    t->used = 0;
}

/* Equal, or within tol; NaN equals NaN, and anything subnormal equals 0. */
static int near(float a, float b, float tol)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (a == b || (fabsf(a) < 1.2e-38f && fabsf(b) < 1.2e-38f))
        return 1;
    return fabsf(a - b) <= tol;
}

static void compare(struct check *t, const float *want, const float *got, size_t n,
                    float rel, float abs)
{
    for (size_t i = 0; i < n; i++)
        if (!near(want[i], got[i], rel * fabsf(want[i]) + abs))
            fail(t, "kind %d, %zu of %zu: %.9g, expected %.9g", (int)t->kind, i, n,
                 got[i], want[i]);
}

static void same_bits(struct check *t, const float *a, const float *b, size_t n)
{
    if (n && memcmp(a, b, n * sizeof *a) != 0)
        fail(t, "cut in two, an array of %zu has other bits", n);
}

/* The same bits, or NaN both: which NaN, the instruction sets may disagree on. */
static void same_value(struct check *t, float want, float got)
{
    if (memcmp(&want, &got, sizeof want) != 0 && !(isnan(want) && isnan(got)))
        fail(t, "%.9g, expected %.9g", got, want);
}

/* Largest finite magnitude, for tolerances that are stated of a row. */
static float largest(const float *x, size_t n)
{
    float top = 0;

    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && fabsf(x[i]) > top)
            top = fabsf(x[i]);
    return top;
}

#endif
