/* wino.c - Winograd's convolution, band by band of tiles.
 *
 * For a band of tiles:
 *
 *     1. a few tiles at a time, inputs are normalised into a strip in the scratch of the
 *        thread, with zeros around the picture, and transformed to V [points, tiles, in]
 *     2. units of up to CHUNK tiles and WIDTH outputs: M [tiles, width] = V U for each
 *        point, and from M, which is still in the second cache, the pixels
 *
 * Where U is small next to the picture, every thread has bands of its own, of one chunk,
 * whose V lies near it. Where U is large it is what must not be read twice: the bands are
 * as large as there is room for V, and threads share the units of each. U lies in panels
 * of outputs, in a panel point by point, so that a unit reads it straight through. None
 * of these sizes changes a value. */
#include "dnn/wino.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/packs.h"

enum {
    GROUP = 8,        /* tiles of a strip */
    SLAB = 128,       /* channels of a strip */
    CHUNK = 64,       /* tiles of a unit, at most */
    WIDTH = 128,      /* outputs of a unit, at most */
    KC = 256,         /* channels at a time: a panel of weights in the first cache */
    LEAST_CHUNK = 8,  /* units are not cut smaller for more threads */
    V_ROOM = 5 << 20, /* floats of V, at most: 20 MiB */
    M_ROOM = 5 << 18, /* floats of M for all threads: 5 MiB */
    U_NEAR =
        3 << 20, /* floats of weights that every thread may read for itself: 12 MiB */
    LINE = 16,   /* floats of a line of the caches */
    TAPS = 9,
    READ = 64, /* input channels whose weights are read at a time */
};

struct cf_wino {
    struct cf_dnn *dnn;
    int tile, in, out;
    struct cf_pack u; /* [panels, points, in, panel] */
    float *bias;      /* owned; zeros up to whole panels */
};

_Static_assert(6 * (GROUP * 4 + 2) * SLAB * sizeof(float) <= CF_THREAD_SCRATCH,
               "a strip fits a thread's scratch");

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t points_of(int tile)
{
    return (size_t)((tile + 2) * (tile + 2));
}

/* Planes one behind the other, n floats each, begin in different sets of the caches. */
static size_t plane_of(size_t n)
{
    return round_up(n, 64 * LINE) + 5 * LINE;
}

/* ---- opening ---- */

struct fill {
    struct cf_dnn *dnn;
    const struct cf_view *view;
    int tile;
    int64_t slabs; /* of input channels, for each panel */
    float *u;
};

/* Slab by slab: the taps of READ inputs, outputs side by side, and their transforms. */
static void fill_part(void *arg, int64_t first, int64_t last)
{
    const struct fill *f = arg;
    const struct cf_kern *kern = &f->dnn->kern;
    const struct cf_kern_wino *wino = f->tile == 4 ? &kern->wino4 : &kern->wino2;
    const struct cf_view *v = f->view;
    cf_pack_fn *pack = v->dtype == CF_F32   ? kern->pack_f32
                       : v->dtype == CF_F16 ? kern->pack_f16
                                            : kern->pack_bf16;
    size_t o = (size_t)v->dim[0], in = (size_t)v->dim[1], panel = kern->panel;
    size_t size = cf_dtype_size(v->dtype), plane = in * panel;
    float taps[READ * TAPS * CF_PANEL_MAX];

    for (int64_t s = first; s < last; s++) {
        size_t p = (size_t)(s / f->slabs), i = (size_t)(s % f->slabs) * READ;
        size_t count = in - i < READ ? in - i : READ, at = p * panel;
        size_t n = o - at < panel ? o - at : panel;
        float *u = f->u + p * points_of(f->tile) * plane + i * panel;

        pack(taps, (const char *)v->data + (at * in + i) * TAPS * size, in * TAPS * size,
             n, count * TAPS, 0);
        for (size_t k = 0; k < count; k++)
            wino->weights(u + k * panel, plane, taps + k * TAPS * panel, panel, panel);
    }
}

static enum cf_status fill_weights(void *data, void *arg, struct cf_error *err)
{
    struct fill *f = arg;
    int64_t panel = (int64_t)f->dnn->kern.panel;

    (void)err;
    f->u = data;
    f->slabs = (f->view->dim[1] + READ - 1) / READ;
    cf_pack_split(f->dnn, (f->view->dim[0] + panel - 1) / panel * f->slabs, 1, fill_part,
                  f);
    return CF_OK;
}

size_t cf_wino_held(const struct cf_kern *kern, int tile, int in, int out)
{
    return points_of(tile) * (size_t)in * round_up((size_t)out, kern->panel);
}

enum cf_status cf_wino_open(struct cf_wino **out, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias, int tile,
                            struct cf_error *err)
{
    struct cf_wino *wino = cf_calloc(1, sizeof *wino, err);
    struct fill fill = {.dnn = dnn, .view = w, .tile = tile};
    char format[64];
    enum cf_status st = CF_ENOMEM;
    size_t outs, bytes;

    *out = NULL;
    if (!wino)
        return CF_ENOMEM;
    wino->dnn = dnn;
    wino->tile = tile;
    wino->out = (int)w->dim[0];
    wino->in = (int)w->dim[1];
    outs = round_up((size_t)wino->out, dnn->kern.panel);
    snprintf(format, sizeof format, "wino%d panel%d f32 %dx%d", tile,
             (int)dnn->kern.panel, wino->in, wino->out);
    wino->bias = cf_calloc(outs, sizeof *wino->bias, err);
    if (wino->bias && !cf_mul_size(cf_wino_held(&dnn->kern, tile, wino->in, wino->out),
                                   sizeof(float), &bytes))
        cf_fail(err, CF_ENOMEM, "convolution: weights %d x %d", wino->out, wino->in);
    else if (wino->bias)
        st = cf_pack_get(&wino->u, dnn, format, bytes, fill_weights, &fill, err);
    if (st != CF_OK) {
        cf_wino_close(wino);
        return st;
    }
    if (bias)
        memcpy(wino->bias, bias, (size_t)wino->out * sizeof *bias);
    *out = wino;
    return CF_OK;
}

void cf_wino_close(struct cf_wino *wino)
{
    if (!wino)
        return;
    cf_pack_put(&wino->u);
    cf_free(wino->bias);
    cf_free(wino);
}

/* ---- sizes ---- */

/* How a call is cut up; floats unless it says otherwise. */
struct cut {
    size_t points, across, tiles; /* tiles of a row, and of the call */
    size_t v, m;                  /* room for V and M */
    size_t band;                  /* tiles of V */
    size_t ldv, v_plane;          /* of V: from tile to tile, from point to point */
    size_t chunk, width, m_plane; /* tiles and outputs of a unit, and of its M */
    size_t slots;                 /* M at a time: one a thread */
    int near;                     /* each with a V of its own */
};

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What does not depend on the number of threads: room for a unit at least. */
static struct cut cut_call(const struct cf_dnn *dnn, int tile, int in, int out, int w,
                           size_t tile_rows)
{
    struct cut c = {.points = points_of(tile)};
    size_t outs = round_up((size_t)out, dnn->kern.panel);

    c.across = (size_t)(w + tile - 1) / (size_t)tile;
    c.tiles = c.across * tile_rows;
    c.ldv = round_up((size_t)in, LINE) + LINE;
    c.band = max_of(V_ROOM / (c.points * c.ldv) / CHUNK, 1) * CHUNK;
    c.band = min_of(c.band, c.tiles);
    c.v_plane = plane_of(c.band * c.ldv);
    c.chunk = min_of(c.band, CHUNK);
    c.width = min_of(outs, WIDTH);
    c.m_plane = plane_of(c.chunk * c.width);
    c.v = c.points * c.v_plane;
    c.m =
        max_of(min_of(c.points * plane_of(c.band * outs), M_ROOM), c.points * c.m_plane);
    return c;
}

size_t cf_wino_work(const struct cf_dnn *dnn, int tile, int in, int out, int w, int rows)
{
    size_t most = (size_t)(rows + tile - 2) / (size_t)tile + 1; /* that rows can touch */
    struct cut c = cut_call(dnn, tile, in, out, w, most);

    return c.v + c.m;
}

/* A band for each thread, or one for all. Units become smaller until there is one, and
 * room for it, for every thread. */
static void cut_for_team(struct cut *c, size_t threads, size_t u, size_t outs,
                         size_t panel)
{
    size_t own = plane_of(c->chunk * c->ldv), units;

    c->near = u <= U_NEAR && c->tiles >= 2 * threads * c->chunk &&
              c->v / (c->points * own) >= threads;
    if (c->near)
        c->v_plane = own;
    for (;;) {
        c->m_plane = plane_of(c->chunk * c->width);
        c->slots = min_of(threads, c->m / (c->points * c->m_plane));
        units = (c->band + c->chunk - 1) / c->chunk * ((outs + c->width - 1) / c->width);
        if (c->slots == threads && (c->near || units >= threads))
            return;
        if (c->width > panel)
            c->width = round_up(c->width / 2, panel);
        else if (!c->near && c->chunk > LEAST_CHUNK)
            c->chunk = round_up(c->chunk / 2, LEAST_CHUNK);
        else
            return;
    }
}

/* ---- a call ---- */

/* Some tiles, and V of them. */
struct band {
    size_t first, n;
    float *v;
};

struct run {
    const struct cf_wino *wino;
    const struct cf_kern *kern;
    const struct cf_kern_wino *transform;
    const struct cf_conv_pass *pass;
    struct cut cut;
    float *dst;
    const float *plus;
    int h, w;    /* of what is convolved */
    int y, rows; /* that are asked for */
    int top;     /* row of the first tile */
    float *v, *m;
    struct band band;    /* of all threads */
    atomic_size_t taken; /* parts of the work that threads have taken */
};

/* The next of n parts of the work; n: there is none. */
static size_t take(struct run *r, size_t n)
{
    return min_of(atomic_fetch_add(&r->taken, 1), n);
}

/* Channels c .. c+n-1 of columns x .. x+count-1 of row y, 0 outside of the picture. */
static void load_row(const struct run *r, float *dst, int y, int x, int count, size_t c,
                     size_t n)
{
    const struct cf_conv_pass *p = r->pass;
    size_t in = (size_t)r->wino->in, bytes = n * sizeof *dst;
    const float *line;

    if (y < 0 || y >= r->h) {
        memset(dst, 0, (size_t)count * bytes);
        return;
    }
    line = p->src + (size_t)(y >> p->twice) * (size_t)p->w * in + c;
    for (int i = x; i < x + count; i++, dst += n) {
        const float *px = line + (size_t)(i >> p->twice) * in;

        if (i < 0 || i >= r->w)
            memset(dst, 0, bytes);
        else if (p->mul)
            r->kern->affine(dst, px, p->mul + c, p->add + c, 1, n);
        else
            memcpy(dst, px, bytes);
    }
}

/* Tiles t .. t+count-1 of a band, in one row of tiles, to V. */
static void transform_group(const struct run *r, const struct band *b, float *strip,
                            size_t t, size_t count)
{
    const struct cut *cut = &r->cut;
    int tile = r->wino->tile, columns = (int)count * tile + 2;
    int y = r->top + (int)((b->first + t) / cut->across) * tile - 1;
    int x = (int)((b->first + t) % cut->across) * tile - 1;
    size_t in = (size_t)r->wino->in;

    for (size_t c = 0; c < in; c += SLAB) {
        size_t n = min_of(in - c, SLAB), row = (size_t)columns * n;

        for (int i = 0; i < tile + 2; i++)
            load_row(r, strip + (size_t)i * row, y + i, x, columns, c, n);
        for (size_t i = 0; i < count; i++)
            r->transform->in(b->v + (t + i) * cut->ldv + c, cut->v_plane,
                             strip + i * (size_t)tile * n, row, n, n);
    }
}

static void transform(const struct run *r, const struct band *b, float *strip, size_t t,
                      size_t end)
{
    for (size_t count; t < end; t += count) {
        size_t left = r->cut.across - (b->first + t) % r->cut.across;

        count = min_of(min_of(left, GROUP), end - t);
        transform_group(r, b, strip, t, count);
    }
}

/* M of tiles t .. t+count-1 and width outputs from o on. What is read next, which is a
 * panel of U and a share of the rows of V, comes closer meanwhile. */
static void multiply(const struct run *r, const struct band *band, float *m, size_t t,
                     size_t count, size_t o, size_t width)
{
    const struct cut *cut = &r->cut;
    size_t panel = r->kern->panel, in = (size_t)r->wino->in, size = in * panel;
    const float *u = (const float *)r->wino->u.data + o * cut->points * in;

    for (size_t i = 0, p, c, k; i < cut->points * in; i += k) {
        const float *v, *next_v;

        p = i / in;
        c = i % in;
        k = min_of(in - c, KC);
        v = band->v + p * cut->v_plane + t * cut->ldv + c;
        next_v = c + k < in ? v + k : v - c + cut->v_plane;
        for (size_t q = 0; q < width; q += panel) {
            const float *b = u + q * cut->points * in + p * size + c * panel;
            size_t from = count * q / width, to = count * (q + panel) / width;
            const struct cf_fetch next[2] = {
                {q + panel < width ? b + cut->points * size : u + (i + k) * panel,
                 LINE * sizeof *b, 1, k * panel / LINE},
                {next_v + from * cut->ldv, cut->ldv * sizeof *v, to - from,
                 to > from ? (k + LINE - 1) / LINE : 0}};

            r->kern->panel_mul_fetch(m + p * cut->m_plane + q, width, v, cut->ldv, b,
                                     count, k, c > 0, next);
        }
    }
}

/* A tile of which the picture, or what is asked of it, has only a part: rows lo .. hi-1,
 * the first columns columns. */
static void put_part(const struct run *r, float *edge, size_t at, const float *m,
                     size_t o, size_t n, int lo, int hi, int columns)
{
    size_t tile = (size_t)r->wino->tile, out = (size_t)r->wino->out;
    size_t line = (size_t)r->w * out, bytes = n * sizeof *edge;

    memset(edge, 0, tile * tile * bytes);
    for (size_t i = (size_t)lo; r->plus && i < (size_t)hi; i++)
        for (size_t j = 0; j < (size_t)columns; j++)
            memcpy(edge + (i * tile + j) * n,
                   r->plus + at + (i - (size_t)lo) * line + j * out, bytes);
    r->transform->out(edge, tile * n, n, m, r->cut.m_plane, r->wino->bias + o,
                      r->plus ? edge : NULL, n);
    for (size_t i = (size_t)lo; i < (size_t)hi; i++)
        for (size_t j = 0; j < (size_t)columns; j++)
            memcpy(r->dst + at + (i - (size_t)lo) * line + j * out,
                   edge + (i * tile + j) * n, bytes);
}

/* n outputs from o on of a tile of the call. */
static void put_tile(const struct run *r, float *edge, size_t t, const float *m, size_t o,
                     size_t n)
{
    int tile = r->wino->tile, x = (int)(t % r->cut.across) * tile;
    int y = r->top + (int)(t / r->cut.across) * tile - r->y;
    int lo = y < 0 ? -y : 0, hi = r->rows - y < tile ? r->rows - y : tile;
    int columns = r->w - x < tile ? r->w - x : tile;
    size_t out = (size_t)r->wino->out, line = (size_t)r->w * out;
    size_t at = (size_t)(y + lo) * line + (size_t)x * out + o;

    if (hi - lo < tile || columns < tile)
        put_part(r, edge, at, m, o, n, lo, hi, columns);
    else
        r->transform->out(r->dst + at, line, out, m, r->cut.m_plane, r->wino->bias + o,
                          r->plus ? r->plus + at : NULL, n);
}

/* The chunk of a band from tile t on, width outputs from o on. */
static void run_unit(const struct run *r, const struct band *b, float *m, float *edge,
                     size_t t, size_t o)
{
    size_t out = (size_t)r->wino->out, count = min_of(b->n - t, r->cut.chunk);
    size_t width = min_of(round_up(out - o, r->kern->panel), r->cut.width);

    multiply(r, b, m, t, count, o, width);
    for (size_t i = 0; i < count; i++)
        put_tile(r, edge, b->first + t + i, m + i * width, o, min_of(out - o, width));
}

/* Chunks from end to end. */
static void near_part(void *arg, int64_t slot, int64_t last, int thread)
{
    struct run *r = arg;
    const struct cut *cut = &r->cut;
    size_t s = (size_t)slot, u, units = (cut->tiles + cut->chunk - 1) / cut->chunk;
    float *m = r->m + s * cut->points * cut->m_plane;
    float *scratch = cf_thread_scratch(r->wino->dnn, thread);

    (void)last;
    while ((u = take(r, units)) < units) {
        struct band b = {.first = u * cut->chunk, .v = r->v};

        b.n = min_of(cut->tiles - b.first, cut->chunk);
        b.v += s * cut->points * cut->v_plane;
        transform(r, &b, scratch, 0, b.n);
        for (size_t o = 0; o < (size_t)r->wino->out; o += cut->width)
            run_unit(r, &b, m, scratch, 0, o);
    }
}

static void in_part(void *arg, int64_t slot, int64_t last, int thread)
{
    struct run *r = arg;
    size_t u, units = (r->band.n + GROUP - 1) / GROUP;

    (void)slot;
    (void)last;
    while ((u = take(r, units)) < units)
        transform(r, &r->band, cf_thread_scratch(r->wino->dnn, thread), u * GROUP,
                  min_of(u * GROUP + GROUP, r->band.n));
}

/* Chunk by chunk, so that what all chunks read of U is fetched from memory once. */
static void unit_part(void *arg, int64_t slot, int64_t last, int thread)
{
    struct run *r = arg;
    const struct cut *cut = &r->cut;
    size_t chunks = (r->band.n + cut->chunk - 1) / cut->chunk, u;
    size_t units = ((size_t)r->wino->out + cut->width - 1) / cut->width * chunks;
    float *m = r->m + (size_t)slot * cut->points * cut->m_plane;

    (void)last;
    while ((u = take(r, units)) < units)
        run_unit(r, &r->band, m, cf_thread_scratch(r->wino->dnn, thread),
                 u % chunks * cut->chunk, u / chunks * cut->width);
}

/* Every thread works until nothing is left to take. */
static void run_parts(struct run *r, void (*part)(void *, int64_t, int64_t, int))
{
    atomic_store(&r->taken, 0);
    cf_split(r->wino->dnn, (int64_t)r->cut.slots, 1, part, r);
}

void cf_wino_run(const struct cf_wino *wino, float *dst, const float *plus,
                 const struct cf_conv_pass *pass, int y, int rows, float *work)
{
    const struct cf_dnn *dnn = wino->dnn;
    int tile = wino->tile, top = y / tile;
    struct run r = {
        .wino = wino,
        .kern = &dnn->kern,
        .transform = tile == 4 ? &dnn->kern.wino4 : &dnn->kern.wino2,
        .pass = pass,
        .dst = dst,
        .plus = plus,
        .h = pass->h << pass->twice,
        .w = pass->w << pass->twice,
        .y = y,
        .rows = rows,
        .top = top * tile,
    };

    r.cut = cut_call(dnn, tile, wino->in, wino->out, r.w,
                     (size_t)((y + rows - 1) / tile - top + 1));
    r.v = work;
    r.m = work + r.cut.v;
    cut_for_team(&r.cut, (size_t)dnn->threads,
                 cf_wino_held(&dnn->kern, tile, wino->in, wino->out),
                 round_up((size_t)wino->out, dnn->kern.panel), dnn->kern.panel);
    assert(r.cut.slots >= 1);
    if (r.cut.near) {
        run_parts(&r, near_part);
        return;
    }
    r.band.v = r.v;
    for (; r.band.first < r.cut.tiles; r.band.first += r.band.n) {
        r.band.n = min_of(r.cut.tiles - r.band.first, r.cut.band);
        run_parts(&r, in_part);
        run_parts(&r, unit_part);
    }
}
