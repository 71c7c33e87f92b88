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
#include "dnn/pass.h"

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

struct form {
    int side, step;   /* inputs a side of a tile, and from one tile to the next */
    int tile;         /* outputs a side of a phase of a tile */
    int phases, span; /* phases a side; outputs a side from one tile to the next */
    const char *name;
};

static const struct form forms[CF_WINO_NFORMS] = {
    [CF_WINO_F2] = {4, 2, 2, 1, 2, "f2"},
    [CF_WINO_F4] = {6, 4, 4, 1, 4, "f4"},
    [CF_WINO_PHASES] = {4, 3, 3, 2, 6, "phases"},
};

struct cf_wino {
    struct cf_dnn *dnn;
    const struct form *form;
    int in, out;
    struct cf_pack u; /* [phases, panels, points, in, panel] */
    float *bias;      /* owned; zeros up to whole panels */
};

_Static_assert(6 * (GROUP * 4 + 2) * SLAB * sizeof(float) <= CF_THREAD_SCRATCH,
               "a strip fits a thread's scratch");

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t points_of(const struct form *f)
{
    return (size_t)(f->side * f->side);
}

static size_t phases_of(const struct form *f)
{
    return (size_t)(f->phases * f->phases);
}

static const struct cf_kern_wino *kernels_of(const struct cf_dnn *dnn,
                                             const struct form *f)
{
    return f == &forms[CF_WINO_F2]   ? &dnn->kern.wino2
           : f == &forms[CF_WINO_F4] ? &dnn->kern.wino4
                                     : &dnn->kern.wino3;
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
    const struct form *form;
    int64_t slabs; /* of input channels, for each panel */
    float *u;
};

/* Taps of phase (py, px), [2, 2, n], of g [3, 3, n]: an even row meets the pixel above
 * through the first tap and its own through two, an odd row its own through two and the
 * pixel below through the last. */
static void phase_taps(float *dst, const float *g, size_t n, int py, int px)
{
    for (int i = 0; i < 4; i++, dst += n) {
        int y0 = i / 2 == 0 ? 0 : 1 + py, y1 = i / 2 == 0 ? py : 2;
        int x0 = i % 2 == 0 ? 0 : 1 + px, x1 = i % 2 == 0 ? px : 2;

        memset(dst, 0, n * sizeof *dst);
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++)
                for (size_t j = 0; j < n; j++)
                    dst[j] += g[(size_t)(y * 3 + x) * n + j];
    }
}

/* Slab by slab: the taps of READ inputs, outputs side by side, and their transforms. */
static void fill_part(void *arg, int64_t first, int64_t last)
{
    const struct fill *f = arg;
    const struct cf_kern *kern = &f->dnn->kern;
    const struct cf_kern_wino *wino = kernels_of(f->dnn, f->form);
    const struct cf_view *v = f->view;
    cf_pack_fn *pack = v->dtype == CF_F32   ? kern->pack_f32
                       : v->dtype == CF_F16 ? kern->pack_f16
                                            : kern->pack_bf16;
    size_t o = (size_t)v->dim[0], in = (size_t)v->dim[1], panel = kern->panel;
    size_t size = cf_dtype_size(v->dtype), plane = in * panel;
    size_t phase = points_of(f->form) * in * round_up(o, panel);
    float taps[READ * TAPS * CF_PANEL_MAX], four[4 * CF_PANEL_MAX];

    for (int64_t s = first; s < last; s++) {
        size_t p = (size_t)(s / f->slabs), i = (size_t)(s % f->slabs) * READ;
        size_t count = min_of(in - i, READ), at = p * panel, n = min_of(o - at, panel);
        float *u = f->u + p * points_of(f->form) * plane + i * panel;

        pack(taps, (const char *)v->data + (at * in + i) * TAPS * size, in * TAPS * size,
             n, count * TAPS, 0);
        for (size_t k = 0; k < count; k++, u += panel) {
            const float *g = taps + k * TAPS * panel;

            if (f->form->phases == 1)
                wino->weights(u, plane, g, panel, panel);
            for (int j = 0; f->form->phases == 2 && j < 4; j++) {
                phase_taps(four, g, panel, j / 2, j % 2);
                wino->weights(u + (size_t)j * phase, plane, four, panel, panel);
            }
        }
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

size_t cf_wino_held(const struct cf_kern *kern, enum cf_wino_form form, int in, int out)
{
    return phases_of(&forms[form]) * points_of(&forms[form]) * (size_t)in *
           round_up((size_t)out, kern->panel);
}

enum cf_status cf_wino_open(struct cf_wino **out, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            enum cf_wino_form form, struct cf_error *err)
{
    struct cf_wino *wino = cf_calloc(1, sizeof *wino, err);
    struct fill fill = {.dnn = dnn, .view = w, .form = &forms[form]};
    char format[64];
    enum cf_status st = CF_ENOMEM;
    size_t outs, bytes;

    *out = NULL;
    if (!wino)
        return CF_ENOMEM;
    wino->dnn = dnn;
    wino->form = &forms[form];
    wino->out = (int)w->dim[0];
    wino->in = (int)w->dim[1];
    outs = round_up((size_t)wino->out, dnn->kern.panel);
    snprintf(format, sizeof format, "winograd %s panel%d f32 %dx%d", wino->form->name,
             (int)dnn->kern.panel, wino->in, wino->out);
    wino->bias = cf_calloc(outs, sizeof *wino->bias, err);
    if (wino->bias && !cf_mul_size(cf_wino_held(&dnn->kern, form, wino->in, wino->out),
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
    size_t blocks;                /* of outputs, of each phase */
    size_t slots;                 /* M at a time: one a thread */
    int near;                     /* each with a V of its own */
};

/* The tile that row or column i of the result belongs to. Of a doubled picture, a tile's
 * odd phases begin before its even ones. */
static int tile_at(const struct form *f, int i)
{
    return (i + f->phases - 1) / f->span;
}

/* What does not depend on the number of threads: room for a unit at least. */
static struct cut cut_call(const struct cf_dnn *dnn, const struct form *f, int in,
                           int out, int w, size_t tile_rows)
{
    struct cut c = {.points = points_of(f)};
    size_t outs = round_up((size_t)out, dnn->kern.panel);

    c.across = (size_t)tile_at(f, w - 1) + 1;
    c.tiles = c.across * tile_rows;
    c.ldv = round_up((size_t)in, LINE) + LINE;
    c.band = max_of(V_ROOM / (c.points * c.ldv) / CHUNK, 1) * CHUNK;
    c.band = min_of(c.band, c.tiles);
    c.v_plane = plane_of(c.band * c.ldv);
    c.chunk = min_of(c.band, CHUNK);
    c.width = min_of(outs, WIDTH);
    c.m_plane = plane_of(c.chunk * c.width);
    c.v = c.points * c.v_plane;
    c.m = max_of(min_of(c.points * plane_of(c.band * outs * phases_of(f)), M_ROOM),
                 c.points * c.m_plane);
    return c;
}

size_t cf_wino_work(const struct cf_dnn *dnn, enum cf_wino_form form, int in, int out,
                    int w, int rows)
{
    const struct form *f = &forms[form];
    size_t most = (size_t)(rows + f->span - 2) / (size_t)f->span + 1; /* rows can touch */
    struct cut c = cut_call(dnn, f, in, out, w, most);

    return c.v + c.m;
}

/* A band for each thread, or one for all. Units become smaller until there is one, and
 * room for it, for every thread. */
static void cut_for_team(struct cut *c, size_t threads, size_t u, size_t outs,
                         size_t phases, size_t panel)
{
    size_t own = plane_of(c->chunk * c->ldv), units;

    c->near = u <= U_NEAR && c->tiles >= 2 * threads * c->chunk &&
              c->v / (c->points * own) >= threads;
    if (c->near)
        c->v_plane = own;
    for (;;) {
        c->m_plane = plane_of(c->chunk * c->width);
        c->slots = min_of(threads, c->m / (c->points * c->m_plane));
        c->blocks = (outs + c->width - 1) / c->width;
        units = (c->band + c->chunk - 1) / c->chunk * c->blocks * phases;
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
    const struct form *form;
    const struct cf_kern *kern;
    const struct cf_kern_wino *transform;
    struct cf_conv_pass pass; /* as the tiles see it: phases do without the doubling */
    struct cut cut;
    float *dst;
    const float *plus;
    int wide;    /* pixels of a row of the result */
    int y, rows; /* that are asked for */
    int top;     /* first row of tiles */
    float *v, *m;
    struct band band;    /* of all threads */
    atomic_size_t taken; /* parts of the work that threads have taken */
};

/* The next of n parts of the work; n: there is none. */
static size_t take(struct run *r, size_t n)
{
    return min_of(atomic_fetch_add(&r->taken, 1), n);
}

/* Tiles t .. t+count-1 of a band, in one row of tiles, to V. */
static void transform_group(const struct run *r, const struct band *b, float *strip,
                            size_t t, size_t count)
{
    const struct cut *cut = &r->cut;
    int step = r->form->step, columns = (int)(count - 1) * step + r->form->side;
    int y = (r->top + (int)((b->first + t) / cut->across)) * step - 1;
    int x = (int)((b->first + t) % cut->across) * step - 1;
    size_t in = (size_t)r->wino->in;

    for (size_t c = 0; c < in; c += SLAB) {
        size_t n = min_of(in - c, SLAB), row = (size_t)columns * n;

        for (int i = 0; i < r->form->side; i++)
            cf_pass_row(r->kern, &r->pass, r->wino->in, strip + (size_t)i * row, y + i, x,
                        columns, c, n);
        for (size_t i = 0; i < count; i++)
            r->transform->in(b->v + (t + i) * cut->ldv + c, cut->v_plane,
                             strip + i * (size_t)step * n, row, n, n);
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

/* Outputs o .. o+width-1 of a phase. */
struct outs {
    size_t phase, o, width;
};

/* M of tiles t .. t+count-1 and some outputs. What is read next, which is a
 * panel of U and a share of the rows of V, comes closer meanwhile. */
static void multiply(const struct run *r, const struct band *band, float *m, size_t t,
                     size_t count, struct outs outs)
{
    const struct cut *cut = &r->cut;
    size_t panel = r->kern->panel, in = (size_t)r->wino->in, size = in * panel;
    size_t all = round_up((size_t)r->wino->out, panel), width = outs.width;
    const float *u =
        (const float *)r->wino->u.data + (outs.phase * all + outs.o) * cut->points * in;

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

/* A square of outputs, of which pixels y0 .. y1-1 by x0 .. x1-1 are wanted. */
struct square {
    float *dst; /* of its first pixel, which need not be there */
    const float *plus;
    size_t row, px; /* floats from row to row, from pixel to pixel */
    int y0, y1, x0, x1;
};

/* dst = or edge = the wanted pixels of the other, n channels each. */
static void copy_square(const struct square *q, float *dst, const float *src, float *edge,
                        size_t tile, size_t n)
{
    for (int y = q->y0; y < q->y1; y++)
        for (int x = q->x0; x < q->x1; x++) {
            size_t at = (size_t)y * q->row + (size_t)x * q->px;
            float *e = edge + ((size_t)y * tile + (size_t)x) * n;

            if (dst)
                memcpy(dst + at, e, n * sizeof *e);
            else
                memcpy(e, src + at, n * sizeof *e);
        }
}

static void put_square(const struct run *r, float *edge, const struct square *q,
                       const float *m, size_t o, size_t n)
{
    size_t tile = (size_t)r->form->tile, plane = r->cut.m_plane;
    const float *bias = r->wino->bias + o;

    if (q->y0 == 0 && q->x0 == 0 && q->y1 == r->form->tile && q->x1 == r->form->tile) {
        r->transform->out(q->dst, q->row, q->px, m, plane, bias, q->plus, n);
        return;
    }
    memset(edge, 0, tile * tile * n * sizeof *edge);
    if (q->plus)
        copy_square(q, NULL, q->plus, edge, tile, n);
    r->transform->out(edge, tile * n, n, m, plane, bias, q->plus ? edge : NULL, n);
    copy_square(q, q->dst, NULL, edge, tile, n);
}

/* Which of pixels at, at + step, .. lie in 0 .. n-1. */
static void clip(int *first, int *last, int at, int step, int tile, int n)
{
    *first = at < 0 ? (-at + step - 1) / step : 0;
    *last = at >= n ? 0 : (n - at + step - 1) / step;
    *last = *last < tile ? *last : tile;
}

/* Some outputs of a tile of the call. */
static void put_tile(const struct run *r, float *edge, size_t t, const float *m,
                     struct outs outs)
{
    const struct form *f = r->form;
    int y = (r->top + (int)(t / r->cut.across)) * f->span - r->y;
    int x = (int)(t % r->cut.across) * f->span;
    ptrdiff_t out = r->wino->out, line = r->wide * out, at;
    struct square q = {.row = (size_t)(f->phases * line),
                       .px = (size_t)(f->phases * out)};

    y -= (int)outs.phase / f->phases;
    x -= (int)outs.phase % f->phases;
    clip(&q.y0, &q.y1, y, f->phases, f->tile, r->rows);
    clip(&q.x0, &q.x1, x, f->phases, f->tile, r->wide);
    if (q.y0 >= q.y1 || q.x0 >= q.x1)
        return;
    at = y * line + x * out + (ptrdiff_t)outs.o;
    q.dst = r->dst + at;
    q.plus = r->plus ? r->plus + at : NULL;
    put_square(r, edge, &q, m, outs.o, min_of((size_t)out - outs.o, outs.width));
}

/* The chunk of a band from tile t on, and block i of the outputs of all phases. */
static void run_unit(const struct run *r, const struct band *b, float *m, float *edge,
                     size_t t, size_t i)
{
    size_t out = (size_t)r->wino->out, count = min_of(b->n - t, r->cut.chunk);
    struct outs outs = {.phase = i / r->cut.blocks,
                        .o = i % r->cut.blocks * r->cut.width};

    outs.width = min_of(round_up(out - outs.o, r->kern->panel), r->cut.width);
    multiply(r, b, m, t, count, outs);
    for (size_t j = 0; j < count; j++)
        put_tile(r, edge, b->first + t + j, m + j * outs.width, outs);
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
        for (size_t i = 0; i < cut->blocks * phases_of(r->form); i++)
            run_unit(r, &b, m, scratch, 0, i);
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
    size_t units = cut->blocks * phases_of(r->form) * chunks;
    float *m = r->m + (size_t)slot * cut->points * cut->m_plane;

    (void)last;
    while ((u = take(r, units)) < units)
        run_unit(r, &r->band, m, cf_thread_scratch(r->wino->dnn, thread),
                 u % chunks * cut->chunk, u / chunks);
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
    const struct form *f = wino->form;
    size_t panel = dnn->kern.panel, outs = round_up((size_t)wino->out, panel);
    struct run r = {.wino = wino,
                    .form = f,
                    .kern = &dnn->kern,
                    .transform = kernels_of(dnn, f),
                    .pass = *pass,
                    .dst = dst,
                    .plus = plus,
                    .wide = pass->w << pass->twice,
                    .y = y,
                    .rows = rows,
                    .top = tile_at(f, y)};

    assert(f->phases == 1 || pass->twice);
    r.pass.twice = pass->twice && f->phases == 1;
    r.cut = cut_call(dnn, f, wino->in, wino->out, r.wide,
                     (size_t)(tile_at(f, y + rows - 1) - r.top + 1));
    r.v = work;
    r.m = work + r.cut.v;
    cut_for_team(&r.cut, (size_t)dnn->threads,
                 phases_of(f) * r.cut.points * (size_t)wino->in * outs, outs,
                 phases_of(f), panel);
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
