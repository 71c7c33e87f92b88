/* resample.c - separable resampling: rows first into work [dh, sw, c], then columns.
 *
 * A line of output is a weighted sum of at most a few lines of input; positions and
 * weights are computed in double and rounded once. */
#include "dnn/resample.h"

#include <string.h>

#include "dnn/machine.h"

/* Output i of `out` reads inputs lo .. hi of `in`. */
struct taps {
    int lo, hi;
    float w_lo, w_hi; /* bilinear; area weighs all alike */
};

static struct taps bilinear_taps(int i, int in, int out)
{
    double at = (i + 0.5) * ((double)in / out) - 0.5;
    struct taps t;

    if (at < 0)
        at = 0;
    t.lo = (int)at < in - 1 ? (int)at : in - 1;
    t.hi = t.lo < in - 1 ? t.lo + 1 : t.lo;
    t.w_hi = (float)(at - t.lo);
    t.w_lo = 1.0f - t.w_hi;
    return t;
}

static struct taps area_taps(int i, int in, int out)
{
    struct taps t;

    t.lo = (int)((int64_t)i * in / out);
    t.hi = (int)(((int64_t)(i + 1) * in + out - 1) / out) - 1;
    t.w_lo = t.w_hi = (float)(1.0 / (t.hi - t.lo + 1));
    return t;
}

struct resize {
    const struct cf_kern *kern;
    float *dst;
    const float *src;
    int sh, sw, dh, dw, c;
    struct taps (*taps)(int i, int in, int out);
    float *work;
};

/* dst [n] = weighted sum of the lines lo .. hi of src, step floats apart. */
static void blend(const struct resize *r, float *dst, const float *src, size_t step,
                  struct taps t, size_t n)
{
    const float *first = src + (size_t)t.lo * step;

    if (r->taps == bilinear_taps) {
        r->kern->mix(dst, first, t.w_lo, src + (size_t)t.hi * step, t.w_hi, n);
        return;
    }
    memcpy(dst, first, n * sizeof *dst);
    for (int i = t.lo + 1; i <= t.hi; i++)
        r->kern->add(dst, src + (size_t)i * step, n);
    r->kern->scale(dst, t.w_lo, n);
}

static void rows_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct resize *r = arg;
    size_t line = (size_t)r->sw * (size_t)r->c;

    (void)thread;
    for (int64_t y = first; y < last; y++)
        blend(r, r->work + (size_t)y * line, r->src, line, r->taps((int)y, r->sh, r->dh),
              line);
}

static void columns_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct resize *r = arg;
    size_t c = (size_t)r->c, sw = (size_t)r->sw, dw = (size_t)r->dw;

    (void)thread;
    for (int64_t y = first; y < last; y++)
        for (size_t x = 0; x < dw; x++)
            blend(r, r->dst + ((size_t)y * dw + x) * c, r->work + (size_t)y * sw * c, c,
                  r->taps((int)x, r->sw, r->dw), c);
}

static void resize(struct cf_dnn *dnn, struct resize *r)
{
    struct cf_call call;

    cf_call_begin(&call, dnn, &dnn->times.other);
    r->kern = &dnn->kern;
    if (r->sh == r->dh && r->sw == r->dw) {
        memcpy(r->dst, r->src,
               (size_t)r->sh * (size_t)r->sw * (size_t)r->c * sizeof *r->dst);
    } else {
        cf_split(dnn, r->dh, 4, rows_part, r);
        cf_split(dnn, r->dh, 4, columns_part, r);
    }
    cf_call_end(&call, dnn);
}

void cf_resize_bilinear(struct cf_dnn *dnn, float *dst, int dh, int dw, const float *src,
                        int sh, int sw, int c, float *work)
{
    struct resize r = {.dst = dst,
                       .src = src,
                       .sh = sh,
                       .sw = sw,
                       .dh = dh,
                       .dw = dw,
                       .c = c,
                       .taps = bilinear_taps,
                       .work = work};

    resize(dnn, &r);
}

void cf_resize_area(struct cf_dnn *dnn, float *dst, int dh, int dw, const float *src,
                    int sh, int sw, int c, float *work)
{
    struct resize r = {.dst = dst,
                       .src = src,
                       .sh = sh,
                       .sw = sw,
                       .dh = dh,
                       .dw = dw,
                       .c = c,
                       .taps = area_taps,
                       .work = work};

    resize(dnn, &r);
}

static void double_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct resize *r = arg;
    size_t c = (size_t)r->c, w = (size_t)r->sw, line = 2 * w * c;

    (void)thread;
    for (int64_t y = first; y < last; y++) {
        float *dst = r->dst + (size_t)y * 2 * line;

        for (size_t x = 0; x < 2 * w; x++)
            memcpy(dst + x * c, r->src + ((size_t)y * w + x / 2) * c, c * sizeof *dst);
        memcpy(dst + line, dst, line * sizeof *dst);
    }
}

void cf_upsample_nearest2(struct cf_dnn *dnn, float *dst, const float *src, int h, int w,
                          int c)
{
    struct resize r = {.dst = dst, .src = src, .sh = h, .sw = w, .c = c};
    struct cf_call call;

    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, h, 4, double_part, &r);
    cf_call_end(&call, dnn);
}

/* Index of packed channel (k, dy, dx) of pixel (y, x) in [h, w, c*f*f]. */
static size_t packed(size_t y, size_t x, size_t k, size_t dy, size_t dx, size_t w,
                     size_t c, size_t f)
{
    return (y * w + x) * c * f * f + k * f * f + dy * f + dx;
}

void cf_pixel_shuffle(float *dst, const float *src, int h, int w, int c, int f)
{
    size_t W = (size_t)w, C = (size_t)c, F = (size_t)f;

    for (size_t y = 0; y < (size_t)h * F; y++)
        for (size_t x = 0; x < W * F; x++)
            for (size_t k = 0; k < C; k++)
                dst[(y * W * F + x) * C + k] =
                    src[packed(y / F, x / F, k, y % F, x % F, W, C, F)];
}

void cf_pixel_unshuffle(float *dst, const float *src, int h, int w, int c, int f)
{
    size_t W = (size_t)w, C = (size_t)c, F = (size_t)f;

    for (size_t y = 0; y < (size_t)h * F; y++)
        for (size_t x = 0; x < W * F; x++)
            for (size_t k = 0; k < C; k++)
                dst[packed(y / F, x / F, k, y % F, x % F, W, C, F)] =
                    src[(y * W * F + x) * C + k];
}
