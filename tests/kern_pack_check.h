/* kern_pack_check.h - checks of what turns weights of other types into panels of floats
 * and multiplies them while they are turned, for checkkern alone. */
#ifndef CF_TESTS_KERN_PACK_CHECK_H
#define CF_TESTS_KERN_PACK_CHECK_H

#include <math.h>

#include "dnn/dnn.h"
#include "tests/kern_guard.h"

/* Random bytes at any address, with every special value of every type among them. */
static void *bytes(struct check *t, size_t n)
{
    unsigned char *p = (unsigned char *)array(t, n / 4 + 2) + draw(t) % 4;

    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(draw(t) % 8 ? draw(t) : draw(t) % 2 ? 0x7f : 0x80);
    return p;
}

/* Panels of the two tables differ in width: column j of one against column j mod 16 of
 * a narrow one. size of a number in bytes times two; 4 bits are 1. */
static void check_pack(struct check *t, size_t n, size_t size, cf_pack_fn *c,
                       cf_pack_fn *k)
{
    size_t w = t->k->panel, cw = t->c->panel, rows = n % (w + 1), cols = (7 * n) % 141;
    size_t stride = cols * size + draw(t) % 5;
    const char *src = bytes(t, rows * stride);
    float *got = array(t, cols * w), *want = array(t, cols * cw);

    k(got, src, stride, rows, cols, draw(t) % 4096);
    for (size_t h = 0; h < w; h += cw) {
        size_t in = rows < h ? 0 : rows - h < cw ? rows - h : cw;

        c(want, src + h * stride, stride, in, cols, 0);
        for (size_t i = 0; i < cols * cw; i++)
            same_value(t, want[i], got[i / cw * w + h + i % cw]);
    }
}

static void check_pack_f32(struct check *t, size_t n)
{
    check_pack(t, n, 4, t->c->pack_f32, t->k->pack_f32);
}

static void check_pack_f16(struct check *t, size_t n)
{
    check_pack(t, n, 2, t->c->pack_f16, t->k->pack_f16);
}

static void check_pack_bf16(struct check *t, size_t n)
{
    check_pack(t, n, 2, t->c->pack_bf16, t->k->pack_bf16);
}

static void check_pack_i8(struct check *t, size_t n)
{
    check_pack(t, n, 1, t->c->pack_i8, t->k->pack_i8);
}

static void check_pack_q4(struct check *t, size_t n)
{
    size_t w = t->k->panel, cw = t->c->panel, group = n % 2 ? 32 : 64;
    size_t rows = n % (w + 1), cols = n % 5 * group, groups = cols / group;
    size_t stride = cols / 2 + draw(t) % 5;
    const char *src = bytes(t, rows * stride);
    float *got = array(t, cols * w), *want = array(t, cols * cw);
    float *scale = input(t, groups * w), *part = array(t, groups * cw);

    t->k->pack_q4(got, src, stride, rows, cols, draw(t) % 4096, scale, group);
    for (size_t h = 0; h < w; h += cw) {
        size_t in = rows < h ? 0 : rows - h < cw ? rows - h : cw;

        for (size_t i = 0; i < groups * cw; i++)
            part[i] = scale[i / cw * w + h + i % cw];
        t->c->pack_q4(want, src + h * stride, stride, in, cols, 0, part, group);
        for (size_t i = 0; i < cols * cw; i++) {
            size_t j = i % cw;

            if (j < in) /* nothing is said of a row that is not there times its scale */
                same_value(t, want[i], got[i / cw * w + h + j]);
        }
    }
}

/* What the panel would give that is not made; columns that are not there but in 4 bits.
 */
static void check_few(struct check *t, size_t n, size_t size, cf_pack_fn *pack,
                      cf_few_fn *few)
{
    size_t w = t->k->panel, rows = n % (w + 1), k = (7 * n) % 141, m = 1 + n % 2;
    size_t stride = k * size + draw(t) % 5, lda = k + n % 3, ldd = w + n % 5;
    const char *src = bytes(t, rows * stride);
    float *a = input(t, m * lda), *b = array(t, k * w), *was = input(t, m * ldd);
    float *got = copy(t, was, m * ldd), *want = copy(t, was, m * ldd);
    int add = (int)(draw(t) % 2);

    pack(b, src, stride, rows, k, 0);
    t->k->panel_mul(want, ldd, a, lda, b, m, k, add);
    few(got, ldd, a, lda, m, src, stride, rows, k, draw(t) % 4096, add);
    for (size_t i = 0; i < m * ldd; i++)
        same_value(t, want[i], got[i]);
}

static void check_few_f32(struct check *t, size_t n)
{
    check_few(t, n, 4, t->k->pack_f32, t->k->few_f32);
}

static void check_few_f16(struct check *t, size_t n)
{
    check_few(t, n, 2, t->k->pack_f16, t->k->few_f16);
}

static void check_few_bf16(struct check *t, size_t n)
{
    check_few(t, n, 2, t->k->pack_bf16, t->k->few_bf16);
}

static void check_few_i8(struct check *t, size_t n)
{
    check_few(t, n, 1, t->k->pack_i8, t->k->few_i8);
}

static void check_few_q4(struct check *t, size_t n)
{
    size_t w = t->k->panel, group = n % 4 < 2 ? 32 : 64, m = 1 + n % 2;
    size_t rows = n % (w + 1), k = n % 7 * group, ldd = w + n % 5;
    size_t stride = k / 2 + draw(t) % 5, lda = k + n % 3;
    const char *src = bytes(t, rows * stride);
    float *a = input(t, m * lda), *b = array(t, k * w), *was = input(t, m * ldd);
    float *got = copy(t, was, m * ldd), *want = copy(t, was, m * ldd);
    float *scale = input(t, k / group * w);
    int add = (int)(draw(t) % 2);

    t->k->pack_q4(b, src, stride, rows, k, 0, scale, group);
    t->k->panel_mul(want, ldd, a, lda, b, m, k, add);
    t->k->few_q4(got, ldd, a, lda, m, src, stride, rows, k, draw(t) % 4096, add, scale,
                 group);
    for (size_t i = 0; i < m * ldd; i++)
        if (i % ldd < rows || i % ldd >= w)
            same_value(t, want[i], got[i]);
}

static void check_widen_bf16(struct check *t, size_t n)
{
    const void *src = bytes(t, 2 * n);
    float *want = array(t, n), *got = array(t, n);

    t->c->widen_bf16(want, src, n);
    t->k->widen_bf16(got, src, n);
    for (size_t i = 0; i < n; i++)
        same_value(t, want[i], got[i]);
}

static void check_narrow_bf16(struct check *t, size_t n)
{
    float *x = n % 2 ? input(t, n) : NULL;
    char *want = bytes(t, 2 * n + 2), *got = bytes(t, 2 * n + 2);

    if (!x) { /* any bits, ties above all */
        x = array(t, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t u = draw(t) & (draw(t) % 2 ? 0xffffffffu : 0xffff8000u);

            memcpy(&x[i], &u, sizeof u);
        }
    }
    memcpy(got, want, 2 * n + 2);
    t->c->narrow_bf16(want, x, n);
    t->k->narrow_bf16(got, x, n);
    if (memcmp(want, got, 2 * n + 2))
        fail(t, "kind %d: %zu numbers have other bits", (int)t->kind, n);
}

#endif
