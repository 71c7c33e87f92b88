/* panels.c - a linear layer, panel by panel.
 *
 * The result is cut into tiles of some rows and some panels of outputs. The sums of a
 * tile stay in the thread's scratch, which the second cache holds, while its columns are
 * worked through KC at a time:
 *
 *     x [rows, KC]  is read in place, or from a copy where rows lie so far apart that
 *                   they would push each other out of the first cache
 *     W [KC, panel] is a piece of the packed panel; or it is widened and turned from
 *                   where it lies, once for all rows of the tile
 *     sum [rows, panel] += x W^T, and the next piece of W is fetched meanwhile: at a few
 *                   dozen rows reading W takes as long as computing
 *
 * then the finished sums are scaled, get their bias and go to y. A few rows of packed
 * weights take each panel whole, so that W is one straight read; one or two rows of
 * mapped weights multiply them as they are decoded. None of it changes an element: its
 * additions run over the columns in order.
 *
 * 2048 -> 8192, two threads of a Sapphire Rapids, weights from memory, percent of the FMA
 * peak (1 row: GB/s of 31):
 *
 *     rows              1     8    32   128   512
 *     packed           32  31 %  80 %  88 %  86 %
 *     bfloat16 mapped  20        63 %  81 %  83 %
 *     int8 mapped      13        70 %  83 %  87 %
 *     oneDNN 2.6, 1x1  28  27 %  35 %  52 %  62 % */
#include "dnn/panels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/packs.h"

enum {
    LINE = 64,
    ROWS = 192,                           /* of a tile, at most */
    KC = 256,                             /* columns at a time: whole groups of scales */
    X_STRIDE = KC + LINE / sizeof(float), /* a line more: all sets of the first cache */
    SUMS = 256 * 256,
    FEW_PACKED = 4,  /* rows that take a packed panel whole */
    AHEAD = 64,      /* lines that it is fetched ahead */
    FEW_MAPPED = 2,  /* rows that multiply mapped weights as they are decoded */
    FEW_KC = 4096,   /* columns at a time of those */
    ALIKE = 512,     /* floats: rows so far apart share few sets of the first cache */
    NARROW = 3,      /* panels for which copying x costs more than it saves */
    PACKED_COST = 2, /* of another block of rows, in rows: its sums go to and fro */
    WIDE_COST = 24,  /* and its weights are widened */
};

/* 256 KiB of sums, 204 of x, 32 of weights, 16 of scales. */
struct scratch {
    float sum[SUMS];
    float x[ROWS * X_STRIDE];
    float w[KC * CF_PANEL_MAX];
    float scale[FEW_KC / 32 * CF_PANEL_MAX]; /* of groups */
};

_Static_assert(sizeof(struct scratch) <= CF_THREAD_SCRATCH,
               "a tile fits a thread's scratch");

struct cf_panels {
    struct cf_weight w;  /* not to be read where there is a pack */
    struct cf_pack pack; /* [panels][k][panel], zeros behind output n */
    float *mul, *add;    /* owned; [n] and zeros up to a whole panel */
};

/* One call. Panels come in bundles; a unit is one panel of one block of rows, and units
 * are numbered bundle by bundle, in it block by block, in it panel by panel. */
struct work {
    const struct cf_dnn *dnn;
    const struct cf_panels *pan;
    float *dst;
    const float *src;
    int64_t m, block; /* rows, and those of a tile */
    int64_t blocks, panels, bundle;
    bool copy; /* rows of x, before use */
    bool gelu; /* of the result */
};

static enum cf_status check(const struct cf_weight *w, struct cf_error *err)
{
    if (w->type == CF_W_Q4 && ((w->group != 32 && w->group != 64) || w->k % w->group))
        return cf_fail(err, CF_ESHAPE,
                       "linear: %lld columns of 4 bits in groups of %d, expected whole "
                       "groups of 32 or 64",
                       (long long)w->k, w->group);
    if (w->type >= CF_W_I8 && !w->scale)
        return cf_fail(err, CF_ESHAPE, "linear: %s weights without a scale",
                       cf_wtype_name(w->type));
    return CF_OK;
}

static int64_t panels_of(const struct cf_dnn *dnn, int64_t n)
{
    int64_t panel = (int64_t)dnn->kern.panel;

    return (n + panel - 1) / panel;
}

/* Outputs of panel p. */
static size_t width_of(const struct cf_dnn *dnn, const struct cf_weight *w, int64_t p)
{
    int64_t panel = (int64_t)dnn->kern.panel, left = w->n - p * panel;

    return (size_t)(left < panel ? left : panel);
}

/* Columns at .. of panel p, where w lies. */
static const char *row_at(const struct cf_dnn *dnn, const struct cf_weight *w, int64_t p,
                          int64_t at)
{
    return (const char *)w->w +
           (size_t)p * dnn->kern.panel * cf_weight_row_bytes(w->type, w->k) +
           cf_weight_row_bytes(w->type, at);
}

/* Scales of columns at .. at+k-1 of panel p, whole groups of 4 bits: [k / group, panel].
 */
static void widen_scales(const struct cf_dnn *dnn, float *dst, const struct cf_weight *w,
                         int64_t p, int64_t at, size_t k)
{
    size_t group = (size_t)w->group, line = (size_t)(w->k / w->group) * 2;
    const char *src = (const char *)w->scale + (size_t)p * dnn->kern.panel * line +
                      (size_t)at / group * 2;

    dnn->kern.pack_f16(dst, src, line, width_of(dnn, w, p), k / group, 0);
}

/* Columns at .. at+k-1 of panel p of w, as floats [k, panel]; room for the scales of the
 * groups. */
static void widen(const struct cf_dnn *dnn, float *dst, float *scale,
                  const struct cf_weight *w, int64_t p, int64_t at, size_t k)
{
    const struct cf_kern *kern = &dnn->kern;
    size_t stride = cf_weight_row_bytes(w->type, w->k), n = width_of(dnn, w, p);
    const char *src = row_at(dnn, w, p, at);
    cf_pack_fn *const pack[] = {[CF_W_F32] = kern->pack_f32,
                                [CF_W_F16] = kern->pack_f16,
                                [CF_W_BF16] = kern->pack_bf16,
                                [CF_W_I8] = kern->pack_i8};

    if (w->type == CF_W_Q4) {
        widen_scales(dnn, scale, w, p, at, k);
        kern->pack_q4(dst, src, stride, n, k, 0, scale, (size_t)w->group);
    } else {
        pack[w->type](dst, src, stride, n, k, 0);
    }
}

struct fill {
    struct cf_dnn *dnn;
    const struct cf_weight *w;
    float *dst;
};

static void fill_part(void *arg, int64_t first, int64_t last)
{
    const struct fill *f = arg;
    size_t size = (size_t)f->w->k * f->dnn->kern.panel;

    for (int64_t p = first; p < last; p++)
        widen(f->dnn, f->dst + (size_t)p * size, NULL, f->w, p, 0, (size_t)f->w->k);
}

static enum cf_status fill(void *data, void *arg, struct cf_error *err)
{
    struct fill *f = arg;

    (void)err;
    f->dst = data;
    cf_pack_split(f->dnn, panels_of(f->dnn, f->w->n), 1, fill_part, f);
    return CF_OK;
}

static enum cf_status pack_panels(struct cf_panels *pan, struct cf_dnn *dnn,
                                  const struct cf_weight *w, struct cf_error *err)
{
    struct fill f = {.dnn = dnn, .w = w};
    struct cf_call call;
    char format[96];
    size_t floats;
    enum cf_status st;

    if (!cf_mul_size((size_t)panels_of(dnn, w->n) * dnn->kern.panel, (size_t)w->k,
                     &floats) ||
        floats > SIZE_MAX / sizeof(float))
        return cf_fail(err, CF_ENOMEM, "linear: %lld x %lld floats", (long long)w->n,
                       (long long)w->k);
    snprintf(format, sizeof format, "panels of %zu, floats %" PRId64 " x %" PRId64,
             dnn->kern.panel, w->n, w->k);
    cf_call_begin(&call, dnn, &dnn->times.other);
    st = cf_pack_get(&pan->pack, dnn, format, floats * sizeof(float), fill, &f, err);
    cf_call_end(&call, dnn);
    return st;
}

enum cf_status cf_panels_open(struct cf_panels **out, struct cf_dnn *dnn,
                              const struct cf_weight *w, const float *bias, bool packed,
                              struct cf_error *err)
{
    size_t n = (size_t)w->n, room = (n + CF_PANEL_MAX - 1) / CF_PANEL_MAX * CF_PANEL_MAX;
    struct cf_panels *pan;

    *out = NULL;
    CF_TRY(check(w, err));
    pan = cf_calloc(1, sizeof *pan, err);
    if (!pan)
        return CF_ENOMEM;
    pan->w = *w;
    pan->mul = cf_calloc(room, sizeof *pan->mul, err);
    pan->add = cf_calloc(room, sizeof *pan->add, err);
    if (!pan->mul || !pan->add || (packed && pack_panels(pan, dnn, w, err))) {
        cf_panels_close(pan);
        return err ? err->status : CF_ENOMEM;
    }
    for (size_t j = 0; j < n; j++)
        pan->mul[j] = 1.0f;
    if (w->type == CF_W_I8)
        memcpy(pan->mul, w->scale, n * sizeof *pan->mul);
    if (bias)
        memcpy(pan->add, bias, n * sizeof *pan->add);
    *out = pan;
    return CF_OK;
}

void cf_panels_close(struct cf_panels *pan)
{
    if (!pan)
        return;
    cf_pack_put(&pan->pack);
    cf_free(pan->mul);
    cf_free(pan->add);
    cf_free(pan);
}

static const float *packed_at(const struct work *w, int64_t p, int64_t at)
{
    return (const float *)w->pan->pack.data +
           (size_t)(p * w->pan->w.k + at) * w->dnn->kern.panel;
}

/* Columns at .. of panel p, to be fetched. */
static struct cf_fetch weights_at(const struct work *w, int64_t p, int64_t at)
{
    const struct cf_weight *own = &w->pan->w;
    int64_t k = own->k - at < KC ? own->k - at : KC;

    if (p >= w->panels)
        return (struct cf_fetch){0};
    if (w->pan->pack.data)
        return (struct cf_fetch){packed_at(w, p, at), 0, 1,
                                 (size_t)k * w->dnn->kern.panel * sizeof(float)};
    return (struct cf_fetch){row_at(w->dnn, own, p, at),
                             cf_weight_row_bytes(own->type, own->k),
                             width_of(w->dnn, own, p), cf_weight_row_bytes(own->type, k)};
}

/* Sums of rows i .. i+m-1 of count panels, scaled and with bias, to their place, which
 * the first cache still holds when GELU is taken. */
static void finish(const struct work *w, const float *sum, int64_t i, int64_t m,
                   int64_t p, int64_t count)
{
    const struct cf_panels *pan = w->pan;
    const struct cf_kern *kern = &w->dnn->kern;
    int64_t panel = (int64_t)kern->panel;

    for (int64_t r = 0; r < m; r++) {
        float *dst = w->dst + (i + r) * pan->w.n + p * panel;
        size_t n = 0;

        for (int64_t q = 0; q < count; q++) {
            size_t width = width_of(w->dnn, &pan->w, p + q);

            kern->affine(dst + n, sum + (q * m + r) * panel, pan->mul + (p + q) * panel,
                         pan->add + (p + q) * panel, 0, width);
            n += width;
        }
        if (w->gelu)
            kern->gelu(dst, dst, n);
    }
}

/* Rows i .. i+m-1 of panels p .. p+count-1; panel then is the next thereafter. */
static void run_tile(const struct work *w, struct scratch *t, int64_t i, int64_t m,
                     int64_t p, int64_t count, int64_t then)
{
    const struct cf_kern *kern = &w->dnn->kern;
    const struct cf_panels *pan = w->pan;
    size_t panel = kern->panel;
    int64_t k = pan->w.k, ld = w->copy ? X_STRIDE : k;

    for (int64_t at = 0; at < k; at += KC) {
        size_t kc = (size_t)(k - at < KC ? k - at : KC);
        const float *x = w->copy ? t->x : w->src + i * k + at;

        for (int64_t r = 0; r < m && w->copy; r++)
            memcpy(t->x + r * ld, w->src + (i + r) * k + at, kc * sizeof *x);
        for (int64_t q = 0; q < count; q++) {
            const float *wq = t->w;
            struct cf_fetch next = q + 1 < count ? weights_at(w, p + q + 1, at)
                                   : at + KC < k ? weights_at(w, p, at + KC)
                                                 : weights_at(w, then, 0);

            if (pan->pack.data)
                wq = packed_at(w, p + q, at);
            else
                widen(w->dnn, t->w, t->scale, &pan->w, p + q, at, kc);
            kern->panel_mul_fetch(t->sum + q * m * (int64_t)panel, panel, x, (size_t)ld,
                                  wq, (size_t)m, kc, at > 0, &next);
        }
    }
    finish(w, t->sum, i, m, p, count);
}

static void run_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    struct scratch *t = cf_thread_scratch(w->dnn, thread);

    for (int64_t u = first; u < last;) {
        int64_t p = u / (w->bundle * w->blocks) * w->bundle, in = u - p * w->blocks;
        int64_t size = w->panels - p < w->bundle ? w->panels - p : w->bundle;
        int64_t i = in / size * w->block, q = in % size;
        int64_t count = size - q < last - u ? size - q : last - u;

        run_tile(w, t, i, w->m - i < w->block ? w->m - i : w->block, p + q, count,
                 i + w->block < w->m ? p : p + size);
        u += count;
    }
}

/* Panels first .. last-1 of packed weights for a few rows. */
static void stream_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    size_t panel = w->dnn->kern.panel, k = (size_t)w->pan->w.k;
    float sum[FEW_PACKED * CF_PANEL_MAX];

    (void)thread;
    for (int64_t p = first; p < last; p++) {
        const float *b = packed_at(w, p, 0);
        struct cf_fetch next = {(const char *)b + AHEAD * LINE, 0, 1,
                                k * panel * sizeof *b};

        w->dnn->kern.panel_mul_fetch(sum, panel, w->src, k, b, (size_t)w->m, k, 0, &next);
        finish(w, sum, 0, w->m, p, 1);
    }
}

/* Panels first .. last-1 of weights as they lie, for one or two rows. */
static void few_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    const struct cf_kern *kern = &w->dnn->kern;
    const struct cf_weight *own = &w->pan->w;
    cf_few_fn *const few[] = {[CF_W_F32] = kern->few_f32,
                              [CF_W_F16] = kern->few_f16,
                              [CF_W_BF16] = kern->few_bf16,
                              [CF_W_I8] = kern->few_i8};
    int64_t k = own->k, pieces = (k + FEW_KC - 1) / FEW_KC;
    size_t stride = cf_weight_row_bytes(own->type, k), m = (size_t)w->m;
    struct scratch *t = cf_thread_scratch(w->dnn, thread);

    for (int64_t u = first * pieces; u < last * pieces; u++) {
        int64_t p = u / pieces, at = u % pieces * FEW_KC;
        bool end = at + FEW_KC >= k;
        size_t n = width_of(w->dnn, own, p), kc = (size_t)(end ? k - at : FEW_KC);
        size_t next = end ? kern->panel * stride - cf_weight_row_bytes(own->type, at)
                          : cf_weight_row_bytes(own->type, FEW_KC);
        const char *src = row_at(w->dnn, own, p, at);

        if (own->type == CF_W_Q4) {
            widen_scales(w->dnn, t->scale, own, p, at, kc);
            kern->few_q4(t->sum, kern->panel, w->src + at, (size_t)k, m, src, stride, n,
                         kc, next, at > 0, t->scale, (size_t)own->group);
        } else {
            few[own->type](t->sum, kern->panel, w->src + at, (size_t)k, m, src, stride, n,
                           kc, next, at > 0);
        }
        if (end)
            finish(w, t->sum, 0, w->m, p, 1);
    }
}

/* Into as few blocks of rows as fit the scratch, or some more where the threads then
 * finish sooner: narrow layers have fewer panels than threads. */
static void cut_rows(struct work *w)
{
    int64_t cost = w->pan->pack.data ? PACKED_COST : WIDE_COST, best = INT64_MAX;
    int64_t threads = w->dnn->threads, least = (w->m + ROWS - 1) / ROWS;

    for (int64_t n = least; n <= least + 2 * threads / w->panels && n <= w->m; n++) {
        int64_t rows = (w->m + n - 1) / n;
        int64_t time = (w->panels * n + threads - 1) / threads * (rows + cost);

        if (time < best) {
            best = time;
            w->block = rows;
        }
    }
    w->blocks = (w->m + w->block - 1) / w->block;
}

void cf_panels_run(const struct cf_panels *pan, const struct cf_dnn *dnn, float *dst,
                   const float *src, int m, bool gelu)
{
    struct work w = {
        .dnn = dnn, .pan = pan, .dst = dst, .src = src, .m = m, .gelu = gelu};
    const bool packed = pan->pack.data != NULL;

    w.panels = panels_of(dnn, pan->w.n);
    if (packed && m <= FEW_PACKED) {
        cf_split(dnn, w.panels, 1, stream_part, &w);
    } else if (!packed && m <= FEW_MAPPED) {
        cf_split(dnn, w.panels, 1, few_part, &w);
    } else {
        cut_rows(&w);
        w.copy = pan->w.k % ALIKE == 0 && w.panels > NARROW;
        w.bundle = SUMS / (w.block * (int64_t)dnn->kern.panel);
        cf_split(dnn, w.panels * w.blocks, 1, run_part, &w);
    }
}
