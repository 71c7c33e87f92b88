#include "base/lanczos.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

enum { LOBES = 3, BITS = 22 /* of a weight's fraction */ };

/* One direction: outputs first .. first+n-1 of a line of `in` samples that is resized to
 * `out`. Output i is the sum of count[i] samples from lo[i] on. */
struct taps {
    int n, width; /* outputs; the most samples of one */
    int *lo, *count;
    int32_t *weight; /* [n, width] */
};

static double filter(double x)
{
    const double pi = 3.14159265358979323846;

    if (x == 0.0)
        return 1.0;
    if (x <= -LOBES || x >= LOBES)
        return 0.0;
    x *= pi;
    return sin(x) / x * (sin(x / LOBES) / (x / LOBES));
}

static void taps_free(struct taps *t)
{
    cf_free(t->lo);
    cf_free(t->count);
    cf_free(t->weight);
}

/* The samples of one output and their weights, which add up to one before rounding. */
static void fill(struct taps *t, int i, double centre, double support, double stretch,
                 int in, double *w)
{
    int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
    double sum = 0.0;

    lo = lo < 0 ? 0 : lo;
    hi = hi > in ? in : hi;
    for (int j = lo; j < hi; j++)
        sum += w[j - lo] = filter((j - centre + 0.5) / stretch);
    for (int j = 0; j < hi - lo; j++)
        t->weight[(size_t)i * (size_t)t->width + (size_t)j] =
            (int32_t)lround(w[j] / sum * (1 << BITS));
    t->lo[i] = lo;
    t->count[i] = hi - lo;
}

static enum cf_status taps_make(struct taps *t, int in, int64_t out, int64_t first, int n,
                                struct cf_error *err)
{
    double scale = (double)in / (double)out, stretch = scale > 1.0 ? scale : 1.0;
    double support = LOBES * stretch;
    double *w;
    size_t all;

    memset(t, 0, sizeof *t);
    t->n = n;
    t->width = 2 * (int)ceil(support) + 1;
    t->width = t->width > in ? in : t->width;
    if (!cf_mul_size((size_t)n, (size_t)t->width, &all))
        return cf_fail(err, CF_ENOMEM, "memory: a filter of %d x %d weights", n,
                       t->width);
    t->lo = cf_alloc((size_t)n, sizeof *t->lo, err);
    t->count = cf_alloc((size_t)n, sizeof *t->count, err);
    t->weight = cf_alloc(all, sizeof *t->weight, err);
    w = cf_alloc((size_t)t->width + 1, sizeof *w, err);
    if (t->lo && t->count && t->weight && w) {
        for (int i = 0; i < n; i++)
            fill(t, i, ((double)(first + i) + 0.5) * scale, support, stretch, in, w);
        cf_free(w);
        return CF_OK;
    }
    cf_free(w);
    taps_free(t);
    return CF_ENOMEM;
}

static uint8_t rounded(int64_t sum)
{
    sum = (sum + (1 << (BITS - 1))) >> BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

/* One output pixel: samples `step` bytes apart. */
static void blend(uint8_t *dst, const uint8_t *src, size_t step, const struct taps *t,
                  int i)
{
    const int32_t *w = t->weight + (size_t)i * (size_t)t->width;
    int64_t r = 0, g = 0, b = 0;

    for (int j = 0; j < t->count[i]; j++, src += step) {
        r += (int64_t)w[j] * src[0];
        g += (int64_t)w[j] * src[1];
        b += (int64_t)w[j] * src[2];
    }
    dst[0] = rounded(r);
    dst[1] = rounded(g);
    dst[2] = rounded(b);
}

/* Columns of the rows that are read afterwards, then rows. */
static enum cf_status resize(struct cf_image *dst, const struct cf_image *src,
                             const struct taps *x, const struct taps *y,
                             struct cf_error *err)
{
    int top = y->lo[0], last = y->n - 1, rows = y->lo[last] + y->count[last] - top;
    size_t line = 3 * (size_t)dst->w;
    uint8_t *mid = cf_alloc((size_t)rows, line, err);

    if (!mid)
        return CF_ENOMEM;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < x->n; i++)
            blend(mid + (size_t)r * line + 3 * (size_t)i,
                  src->rgb + (size_t)(top + r) * src->stride + 3 * (size_t)x->lo[i], 3, x,
                  i);
    for (int r = 0; r < y->n; r++)
        for (int i = 0; i < dst->w; i++)
            blend(dst->rgb + (size_t)r * dst->stride + 3 * (size_t)i,
                  mid + (size_t)(y->lo[r] - top) * line + 3 * (size_t)i, line, y, r);
    cf_free(mid);
    return CF_OK;
}

/* The size that covers w x h with the source's shape, as the reference rounds it. */
static void cover(const struct cf_image *src, int w, int h, int64_t *cw, int64_t *ch)
{
    double shape = (double)src->w / src->h;

    *cw = w;
    *ch = h;
    if (shape <= (double)w / h)
        *ch = (int64_t)(w / shape);
    else
        *cw = (int64_t)(shape * h);
    *cw = *cw < w ? w : *cw;
    *ch = *ch < h ? h : *ch;
}

static enum cf_status make(struct cf_image *dst, const struct cf_image *src,
                           struct cf_error *err)
{
    struct taps x = {0}, y = {0};
    int64_t cw, ch;
    enum cf_status st;

    if (src->w == dst->w && src->h == dst->h) {
        for (int r = 0; r < dst->h; r++)
            memcpy(dst->rgb + (size_t)r * dst->stride, src->rgb + (size_t)r * src->stride,
                   dst->stride);
        return CF_OK;
    }
    cover(src, dst->w, dst->h, &cw, &ch);
    st = taps_make(&x, src->w, cw, (cw - dst->w) / 2, dst->w, err);
    if (st == CF_OK)
        st = taps_make(&y, src->h, ch, (ch - dst->h) / 2, dst->h, err);
    if (st == CF_OK)
        st = resize(dst, src, &x, &y, err);
    taps_free(&x);
    taps_free(&y);
    return st;
}

enum cf_status cf_lanczos_cover(struct cf_image *dst, const struct cf_image *src, int w,
                                int h, struct cf_error *err)
{
    enum cf_status st;

    memset(dst, 0, sizeof *dst);
    if (w < 1 || h < 1 || src->w < 1 || src->h < 1)
        return cf_fail(err, CF_ERANGE, "image of %d x %d to %d x %d: no side below 1",
                       src->w, src->h, w, h);
    dst->w = w;
    dst->h = h;
    dst->stride = 3 * (size_t)w;
    dst->rgb = cf_alloc((size_t)h, dst->stride, err);
    st = dst->rgb ? make(dst, src, err) : CF_ENOMEM;
    if (st != CF_OK) {
        cf_free(dst->rgb);
        memset(dst, 0, sizeof *dst);
    }
    return st;
}
