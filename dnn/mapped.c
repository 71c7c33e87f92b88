/* mapped.c - a linear layer over weights of any type, panel by panel.
 *
 * The result is cut into tiles of up to ROWS rows and OUTPUTS outputs, which are a few
 * panels (16 or 32 outputs, kern.h). For one tile, KC columns at a time:
 *
 *     x [rows, KC]  is copied to the thread's scratch: rows that lie a power of two apart
 *                   would push each other out of the first cache
 *     W [panel, KC] is widened and turned to [KC, panel], 16 KiB that stay in the first
 *                   cache for all rows of the tile
 *     sum [rows, panel] += x W^T
 *
 * then the finished sums are scaled, get their bias and go to y. A few rows take one
 * panel at a time, so that the rows of W are read straight through; more rows take
 * several, so that x is copied less often. None of it changes an element: its additions
 * run over the columns in order. */
#include "dnn/mapped.h"

#include <string.h>

#include "base/alloc.h"

enum {
    ROWS = 144,    /* of a tile: by how much the cost of widening is divided */
    OUTPUTS = 256, /* of a tile: by how much the cost of copying x is divided */
    KC = 128,      /* columns at a time: whole groups of scales */
    FEW = 16,      /* rows up to which a tile is one panel */
    UNIT = 24,     /* rows of a tile are a multiple: whole blocks of every panel_mul */
};

/* 144 KiB of sums, 72 of x, 16 of weights. */
struct scratch {
    float sum[ROWS * OUTPUTS];
    float x[ROWS * KC];
    float w[KC * CF_PANEL_MAX];
    float scale[KC / 32 * CF_PANEL_MAX]; /* of groups */
};

_Static_assert(sizeof(struct scratch) <= CF_THREAD_SCRATCH,
               "a tile fits a thread's scratch");
_Static_assert(OUTPUTS % CF_PANEL_MAX == 0, "whole panels");

struct cf_mapped {
    struct cf_weight w;
    float *mul, *add; /* owned; [n] and zeros up to a whole panel */
};

/* One call. Panels come in bundles; a unit is one panel of one block of rows, and units
 * are numbered bundle by bundle, in it block by block, in it panel by panel. */
struct work {
    const struct cf_dnn *dnn;
    const struct cf_mapped *map;
    float *dst;
    const float *src;
    int64_t m, block; /* rows, and those of a tile */
    int64_t blocks, panels, bundle;
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

enum cf_status cf_mapped_open(struct cf_mapped **out, const struct cf_weight *w,
                              const float *bias, struct cf_error *err)
{
    size_t n = (size_t)w->n, room = (n + CF_PANEL_MAX - 1) / CF_PANEL_MAX * CF_PANEL_MAX;
    struct cf_mapped *map;

    *out = NULL;
    CF_TRY(check(w, err));
    map = cf_calloc(1, sizeof *map, err);
    if (!map)
        return CF_ENOMEM;
    map->w = *w;
    map->mul = cf_calloc(room, sizeof *map->mul, err);
    map->add = cf_calloc(room, sizeof *map->add, err);
    if (!map->mul || !map->add) {
        cf_mapped_close(map);
        return CF_ENOMEM;
    }
    for (size_t j = 0; j < n; j++)
        map->mul[j] = 1.0f;
    if (w->type == CF_W_I8)
        memcpy(map->mul, w->scale, n * sizeof *map->mul);
    if (bias)
        memcpy(map->add, bias, n * sizeof *map->add);
    *out = map;
    return CF_OK;
}

void cf_mapped_close(struct cf_mapped *map)
{
    if (!map)
        return;
    cf_free(map->mul);
    cf_free(map->add);
    cf_free(map);
}

/* How far behind columns at .. at+k-1 the memory lies that is read after them: in the
 * same rows, or at the start of the next panel's. */
static size_t wanted_next(const struct cf_weight *w, int64_t at, int64_t k, size_t panel)
{
    if (at + k < w->k)
        return cf_weight_row_bytes(w->type, k);
    return panel * cf_weight_row_bytes(w->type, w->k) - cf_weight_row_bytes(w->type, at);
}

/* Columns at .. at+k-1 of the n rows from row j on, as a panel of floats. */
static void widen(const struct work *w, struct scratch *t, int64_t j, size_t n,
                  int64_t at, size_t k)
{
    const struct cf_kern *kern = &w->dnn->kern;
    const struct cf_weight *own = &w->map->w;
    size_t stride = cf_weight_row_bytes(own->type, own->k);
    const char *src =
        (const char *)own->w + (size_t)j * stride + cf_weight_row_bytes(own->type, at);
    size_t ahead = wanted_next(own, at, (int64_t)k, kern->panel);
    cf_pack_fn *const pack[] = {[CF_W_F32] = kern->pack_f32,
                                [CF_W_F16] = kern->pack_f16,
                                [CF_W_BF16] = kern->pack_bf16,
                                [CF_W_I8] = kern->pack_i8};

    if (own->type == CF_W_Q4) {
        size_t group = (size_t)own->group, line = (size_t)(own->k / own->group) * 2;
        const char *scale =
            (const char *)own->scale + (size_t)j * line + (size_t)at / group * 2;

        kern->pack_f16(t->scale, scale, line, n, k / group, 0);
        kern->pack_q4(t->w, src, stride, n, k, ahead, t->scale, group);
    } else {
        pack[own->type](t->w, src, stride, n, k, ahead);
    }
}

/* Sums of rows i .. i+m-1, scaled and with bias, to their place. */
static void finish(const struct work *w, const float *sum, int64_t i, int64_t m,
                   int64_t j)
{
    size_t panel = w->dnn->kern.panel;
    int64_t n = w->map->w.n;
    size_t width = n - j < (int64_t)panel ? (size_t)(n - j) : panel;

    for (int64_t r = 0; r < m; r++)
        w->dnn->kern.affine(w->dst + (i + r) * n + j, sum + (size_t)r * panel,
                            w->map->mul + j, w->map->add + j, 0, width);
}

/* Rows i .. i+m-1 of panels p .. p+count-1. */
static void run_tile(const struct work *w, struct scratch *t, int64_t i, int64_t m,
                     int64_t p, int64_t count)
{
    const struct cf_kern *kern = &w->dnn->kern;
    size_t panel = kern->panel, rows = (size_t)m;
    int64_t n = w->map->w.n, k = w->map->w.k, width = (int64_t)panel;

    for (int64_t at = 0; at < k; at += KC) {
        size_t kc = k - at < KC ? (size_t)(k - at) : KC;

        for (int64_t r = 0; r < m; r++)
            memcpy(t->x + r * KC, w->src + (i + r) * k + at, kc * sizeof *t->x);
        for (int64_t q = 0; q < count; q++) {
            int64_t j = (p + q) * width;

            widen(w, t, j, n - j < width ? (size_t)(n - j) : panel, at, kc);
            kern->panel_mul(t->sum + (size_t)q * rows * panel, panel, t->x, KC, t->w,
                            rows, kc, at > 0);
        }
    }
    for (int64_t q = 0; q < count; q++)
        finish(w, t->sum + (size_t)q * rows * panel, i, m, (p + q) * width);
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

        run_tile(w, t, i, w->m - i < w->block ? w->m - i : w->block, p + q, count);
        u += count;
    }
}

void cf_mapped_run(const struct cf_mapped *map, const struct cf_dnn *dnn, float *dst,
                   const float *src, int m)
{
    int64_t panel = (int64_t)dnn->kern.panel, even;
    struct work w = {.dnn = dnn, .map = map, .dst = dst, .src = src, .m = m};

    w.panels = (map->w.n + panel - 1) / panel;
    w.bundle = m <= FEW ? 1 : OUTPUTS / panel;
    w.blocks = ((int64_t)m + ROWS - 1) / ROWS;
    even = (m + w.blocks - 1) / w.blocks;
    w.block = (even + UNIT - 1) / UNIT * UNIT;
    w.blocks = (m + w.block - 1) / w.block;
    cf_split(dnn, w.panels * w.blocks, 1, run_part, &w);
}
