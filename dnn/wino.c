/* wino.c - Winograd's convolution, band by band of tiles.
 *
 * For a band of tiles, with a team:
 *
 *     1. a few tiles at a time, inputs are normalised into a strip in the scratch of the
 *        thread, with zeros around the picture, and transformed to V [points, tiles, in]
 *     2. units of up to CHUNK tiles and WIDTH outputs: M [tiles, width] = V U for each
 *        point, and from M, which is still in the second cache, the pixels
 *
 * V of few channels is kept as small as what all second caches hold, and a thread
 * multiplies what it has transformed; V of many is bounded by the room there is. U lies
 * in panels of outputs, in a panel point by point, so that a unit reads it straight
 * through. None of these sizes changes a value. */
#include "dnn/wino.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/packs.h"

static int CHUNK=64, WIDTH=128;
#include <stdlib.h>
__attribute__((constructor)) static void ini(void){if(getenv("CH"))CHUNK=atoi(getenv("CH"));if(getenv("WD"))WIDTH=atoi(getenv("WD"));}
enum {
    GROUP = 8,        /* tiles of a strip */
    SLAB = 128,       /* channels of a strip */
    LEAST_CHUNK0 = 8,
    KC = 256,         /* channels at a time: a panel of weights in the first cache */
    LEAST_CHUNK = 8,  /* units are not cut smaller for more threads */
    V_ROOM = 5 << 20, /* floats of V, at most: 20 MiB */
    M_ROOM = 5 << 18, /* floats of M for all threads: 5 MiB */
    V_NEAR = 5 << 16, /* floats of a thread's V that stay in its second cache: 1.25 MiB */
    LINE = 16,        /* floats of a line of the caches */
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
_Static_assert(READ *TAPS *CF_PANEL_MAX * sizeof(float) <= CF_THREAD_SCRATCH,
               "the weights of a slab do, too");

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
static void fill_part(void *arg, int64_t first, int64_t last, int thread)
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
    float *taps = cf_thread_scratch(f->dnn, thread);

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
    cf_split(f->dnn, (f->view->dim[0] + panel - 1) / panel * f->slabs, 1, fill_part, f);
    return CF_OK;
}

size_t cf_wino_held(const struct cf_dnn *dnn, int tile, int in, int out)
{
    return points_of(tile) * (size_t)in * round_up((size_t)out, dnn->kern.panel);
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
    if (wino->bias &&
        !cf_mul_size(cf_wino_held(dnn, tile, wino->in, wino->out), sizeof(float), &bytes))
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
    size_t points, across; /* tiles of a row */
    size_t tiles, band;    /* of the call, and at a time */
    size_t ldv, v_plane;   /* of V: from tile to tile, from point to point */
    size_t chunk, width;   /* tiles and outputs of a unit */
    size_t m_plane, m;     /* of M, one unit's and all */
};

/* Tile rows that rows rows can touch, wherever they begin. */
static size_t tile_rows(int tile, int rows)
{
    return (size_t)(rows + tile - 2) / (size_t)tile + 1;
}

/* The most a call can take, whatever the number of threads. */
static struct cut cut_most(const struct cf_dnn *dnn, int tile, int in, int out, int w,
                           size_t rows)
{
    struct cut c = {.points = points_of(tile)};
    size_t outs = round_up((size_t)out, dnn->kern.panel), most;

    c.across = (size_t)(w + tile - 1) / (size_t)tile;
    c.tiles = c.across * rows;
    c.ldv = round_up((size_t)in, LINE) + LINE;
    most = V_ROOM / (c.points * c.ldv) / CHUNK * CHUNK;
    if (most < CHUNK)
        most = CHUNK;
    c.band = c.tiles < (size_t)most ? c.tiles : most;
    c.v_plane = plane_of(c.band * c.ldv);
    c.chunk = c.band < CHUNK ? c.band : CHUNK;
    c.width = outs < WIDTH ? outs : WIDTH;
    c.m_plane = plane_of(c.chunk * c.width);
    c.m = c.points * plane_of(c.band * outs);
    if (c.m > M_ROOM)
        c.m = M_ROOM;
    if (c.m < c.points * c.m_plane)
        c.m = c.points * c.m_plane;
    return c;
}

size_t cf_wino_work(const struct cf_dnn *dnn, int tile, int in, int out, int w, int rows)
{
    struct cut c = cut_most(dnn, tile, in, out, w, tile_rows(tile, rows));

    return c.points * c.v_plane + c.m;
}

/* Suits the team: a unit for every thread. */
static void cut_for(struct cut *c, const struct cf_dnn *dnn, int out)
{
    size_t threads = (size_t)dnn->threads, panel = dnn->kern.panel;
    size_t outs = round_up((size_t)out, panel);

    if (c->points * c->ldv * CHUNK <= V_NEAR && c->band > CHUNK * threads)
        c->band = CHUNK * threads;
    c->v_plane = plane_of(c->band * c->ldv);
    for (;;) {
        size_t units =
            ((c->band + c->chunk - 1) / c->chunk) * ((outs + c->width - 1) / c->width);

        c->m_plane = plane_of(c->chunk * c->width);
        if (units >= threads && c->points * c->m_plane * threads <= c->m)
            break;
        if (c->width > panel)
            c->width = round_up(c->width / 2, panel);
        else if (c->chunk > LEAST_CHUNK)
            c->chunk = round_up(c->chunk / 2, LEAST_CHUNK);
        else
            break;
    }
}

/* ---- a call ---- */

struct run {
    const struct cf_wino *wino;
    const struct cf_kern *kern;
    const struct cf_kern_wino *transform;
    const struct cf_conv_pass *pass;
    struct cut cut;
    float *dst;
    const float *plus;
    int h, w;        /* of what is convolved */
    int y, rows;     /* that are asked for */
    int top;         /* row of the first tile */
    size_t first, n; /* tiles of the band */
    size_t slots;    /* units at work at a time */
    float *v, *m;
};

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

/* Tiles t .. t+count-1 of the band, in one row of tiles, to V. */
static void transform_group(const struct run *r, float *strip, size_t t, size_t count)
{
    const struct cut *cut = &r->cut;
    int tile = r->wino->tile, columns = (int)count * tile + 2;
    int y = r->top + (int)((r->first + t) / cut->across) * tile - 1;
    int x = (int)((r->first + t) % cut->across) * tile - 1;
    size_t in = (size_t)r->wino->in;

    for (size_t c = 0; c < in; c += SLAB) {
        size_t n = in - c < SLAB ? in - c : SLAB, row = (size_t)columns * n;

        for (int i = 0; i < tile + 2; i++)
            load_row(r, strip + (size_t)i * row, y + i, x, columns, c, n);
        for (size_t i = 0; i < count; i++)
            r->transform->in(r->v + (t + i) * cut->ldv + c, cut->v_plane,
                             strip + i * (size_t)tile * n, row, n, n);
    }
}

static void in_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct run *r = arg;
    size_t end = (size_t)last, count;

    for (size_t t = (size_t)first; t < end; t += count) {
        size_t left = r->cut.across - (r->first + t) % r->cut.across;

        count = left < GROUP ? left : GROUP;
        count = end - t < count ? end - t : count;
        transform_group(r, cf_thread_scratch(r->wino->dnn, thread), t, count);
    }
}

/* M of tiles t .. t+count-1 and width outputs from o on. */
static void multiply(const struct run *r, float *m, size_t t, size_t count, size_t o,
                     size_t width)
{
    const struct cut *cut = &r->cut;
    size_t panel = r->kern->panel, in = (size_t)r->wino->in, size = in * panel;
    const float *u = (const float *)r->wino->u.data + o * cut->points * in;

    for (size_t p = 0; p < cut->points; p++)
        for (size_t c = 0; c < in; c += KC) {
            size_t k = in - c < KC ? in - c : KC, ahead = c + k < in ? c + k : 0;
            const float *v = r->v + (p + (ahead == 0)) * cut->v_plane + t * cut->ldv;

            for (size_t q = 0; q < width; q += panel) {
                const float *b = u + q * cut->points * in + p * size + c * panel;
                const float *next_b = q + panel < width
                                          ? b + cut->points * size
                                          : u + (p + (ahead == 0)) * size + ahead * panel;
                size_t lines = k * panel / LINE;
                /* the rows of the next piece, shared out over the panels of this one */
                size_t from = count * q / width, to = count * (q + panel) / width;
                const struct cf_fetch next[2] = {
                    {next_b, LINE * sizeof(float), 1, lines},
                    {v + ahead + from * cut->ldv, cut->ldv * sizeof(float), to - from,
                     to > from ? (k + LINE - 1) / LINE : 0}};

                r->kern->panel_mul_fetch(
                    m + p * cut->m_plane + q, width,
                    r->v + p * cut->v_plane + t * cut->ldv + c, cut->ldv, b, count, k,
                    c > 0, next);
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

/* n outputs from o on of tile t of the band. */
static void put_tile(const struct run *r, float *edge, size_t t, const float *m, size_t o,
                     size_t n)
{
    int tile = r->wino->tile, x = (int)((r->first + t) % r->cut.across) * tile;
    int y = r->top + (int)((r->first + t) / r->cut.across) * tile - r->y;
    int lo = y < 0 ? -y : 0, hi = r->rows - y < tile ? r->rows - y : tile;
    int columns = r->w - x < tile ? r->w - x : tile;
    size_t out = (size_t)r->wino->out, line = (size_t)r->w * out;
    size_t at;

    if (lo >= hi)
        return;
    at = (size_t)(y + lo) * line + (size_t)x * out + o;
    if (hi - lo < tile || columns < tile)
        put_part(r, edge, at, m, o, n, lo, hi, columns);
    else
        r->transform->out(r->dst + at, line, out, m, r->cut.m_plane, r->wino->bias + o,
                          r->plus ? r->plus + at : NULL, n);
}

static void unit_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct run *r = arg;
    const struct cut *cut = &r->cut;
    size_t out = (size_t)r->wino->out, outs = round_up(out, r->kern->panel);
    size_t blocks = (outs + cut->width - 1) / cut->width;
    size_t units = (r->n + cut->chunk - 1) / cut->chunk * blocks;
    float *edge = cf_thread_scratch(r->wino->dnn, thread);

    for (size_t s = (size_t)first; s < (size_t)last; s++) {
        float *m = r->m + s * cut->points * cut->m_plane;

        for (size_t u = units * s / r->slots; u < units * (s + 1) / r->slots; u++) {
            size_t t = u / blocks * cut->chunk, o = u % blocks * cut->width;
            size_t count = r->n - t < cut->chunk ? r->n - t : cut->chunk;
            size_t width = outs - o < cut->width ? outs - o : cut->width;

            multiply(r, m, t, count, o, width);
            for (size_t i = 0; i < count; i++)
                put_tile(r, edge, t + i, m + i * width, o,
                         out - o < width ? out - o : width);
        }
    }
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
        .v = work,
    };
    size_t slot;

    r.cut = cut_most(dnn, tile, wino->in, wino->out, r.w,
                     (size_t)((y + rows - 1) / tile - top + 1));
    r.m = work + r.cut.points * r.cut.v_plane;
    cut_for(&r.cut, dnn, wino->out);
    slot = r.cut.points * r.cut.m_plane;
    r.slots =
        r.cut.m / slot < (size_t)dnn->threads ? r.cut.m / slot : (size_t)dnn->threads;
    assert(r.slots >= 1);
    for (; r.first < r.cut.tiles; r.first += r.n) {
        size_t left = r.cut.tiles - r.first;

        r.n = left < r.cut.band ? left : r.cut.band;
        cf_split(dnn, (int64_t)r.n, (int64_t)r.cut.chunk, in_part, &r);
        cf_split(dnn, (int64_t)r.slots, 1, unit_part, &r);
    }
}
