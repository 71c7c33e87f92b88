/* taps.c - block by block of pixels: T of a block and of the pixels around it, in the
 * scratch of a thread, then the sums. */
#include "dnn/taps.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/machine.h"
#include "dnn/packs.h"
#include "dnn/pass.h"

enum {
    TAPS = 9,
    COLUMNS = 32, /* of T: whole panels of every instruction set */
    HIGH = 16,    /* rows of a block */
    WIDE = 62,    /* and columns */
    SLAB = 128,   /* channels at a time */
};

/* 144 KiB of T, 32 KiB of pixels. */
struct scratch {
    float t[HIGH + 2][WIDE + 2][COLUMNS];
    float u[(WIDE + 2) * SLAB];
};

_Static_assert(sizeof(struct scratch) <= CF_THREAD_SCRATCH, "a block fits the scratch");
_Static_assert(COLUMNS % CF_PANEL_MAX == 0 && TAPS * CF_TAPS_OUT <= COLUMNS,
               "all taps fit whole panels");

struct cf_taps {
    struct cf_dnn *dnn;
    int in, out;
    struct cf_pack w;        /* [panels, in, panel]: column tap * out + o */
    float bias[CF_TAPS_OUT]; /* zeros without */
};

struct fill {
    const struct cf_view *view;
    size_t panel;
};

static enum cf_status fill_weights(void *data, void *arg, struct cf_error *err)
{
    const struct fill *f = arg;
    size_t o = (size_t)f->view->dim[0], in = (size_t)f->view->dim[1];
    float *w = data, g[TAPS];

    memset(w, 0, cf_taps_held((int)in) * sizeof *w);
    for (size_t i = 0; i < o * in; i++) {
        CF_TRY(cf_view_floats(g, f->view, (int64_t)(i * TAPS), TAPS, err));
        for (size_t t = 0; t < TAPS; t++) {
            size_t column = t * o + i / in;

            w[(column / f->panel * in + i % in) * f->panel + column % f->panel] = g[t];
        }
    }
    return CF_OK;
}

size_t cf_taps_held(int in)
{
    return (size_t)in * COLUMNS;
}

enum cf_status cf_taps_open(struct cf_taps **out, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            struct cf_error *err)
{
    struct fill fill = {w, dnn->kern.panel};
    struct cf_taps *taps;
    char format[64];
    enum cf_status st;

    *out = NULL;
    if (w->dim[0] > CF_TAPS_OUT)
        return cf_fail(err, CF_ERANGE, "conv: %lld outputs by taps, expected up to %d",
                       (long long)w->dim[0], CF_TAPS_OUT);
    taps = cf_calloc(1, sizeof *taps, err);
    if (!taps)
        return CF_ENOMEM;
    taps->dnn = dnn;
    taps->out = (int)w->dim[0];
    taps->in = (int)w->dim[1];
    if (bias)
        memcpy(taps->bias, bias, (size_t)taps->out * sizeof *bias);
    snprintf(format, sizeof format, "taps panel%d f32 %dx%d", (int)dnn->kern.panel,
             taps->in, taps->out);
    st = cf_pack_get(&taps->w, dnn, format, cf_taps_held(taps->in) * sizeof(float),
                     fill_weights, &fill, err);
    if (st != CF_OK) {
        cf_taps_close(taps);
        return st;
    }
    *out = taps;
    return CF_OK;
}

void cf_taps_close(struct cf_taps *taps)
{
    if (!taps)
        return;
    cf_pack_put(&taps->w);
    cf_free(taps);
}

struct run {
    const struct cf_taps *taps;
    const struct cf_conv_pass *pass;
    float *dst;
    const float *plus;
    int w;       /* pixels of a row */
    int y, rows; /* that are asked for */
    int across;  /* blocks of a row of blocks */
};

/* T of count pixels of row y from x on. */
static void multiply(const struct run *r, struct scratch *s, float *t, int y, int x,
                     int count)
{
    const struct cf_kern *kern = &r->taps->dnn->kern;
    size_t in = (size_t)r->taps->in, panel = kern->panel;
    const float *w = r->taps->w.data;

    for (size_t c = 0; c < in; c += SLAB) {
        size_t n = in - c < SLAB ? in - c : SLAB;

        cf_pass_row(kern, r->pass, r->taps->in, s->u, y, x, count, c, n);
        for (size_t q = 0; q < COLUMNS; q += panel)
            kern->panel_mul(t + q, COLUMNS, s->u, n, w + q * in + c * panel,
                            (size_t)count, n, c > 0);
    }
}

/* Output o of the pixel whose neighbour above and to the left has T at t. */
static float sum_of(const struct cf_taps *taps, float (*t)[WIDE + 2][COLUMNS], int x,
                    int o)
{
    float sum = taps->bias[o];

    for (int i = 0; i < TAPS; i++)
        sum += t[i / 3][x + i % 3][i * taps->out + o];
    return sum;
}

static void block_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct run *r = arg;
    struct scratch *s = cf_thread_scratch(r->taps->dnn, thread);
    int out = r->taps->out;

    for (int64_t b = first; b < last; b++) {
        int top = (int)(b / r->across) * HIGH, x = (int)(b % r->across) * WIDE;
        int rows = r->rows - top < HIGH ? r->rows - top : HIGH;
        int wide = r->w - x < WIDE ? r->w - x : WIDE;

        for (int i = 0; i < rows + 2; i++)
            multiply(r, s, s->t[i][0], r->y + top + i - 1, x - 1, wide + 2);
        for (int i = 0; i < rows; i++) {
            size_t at = ((size_t)(top + i) * (size_t)r->w + (size_t)x) * (size_t)out;

            for (int j = 0; j < wide * out; j++)
                r->dst[at + (size_t)j] = sum_of(r->taps, s->t + i, j / out, j % out) +
                                         (r->plus ? r->plus[at + (size_t)j] : 0.0f);
        }
    }
}

void cf_taps_run(const struct cf_taps *taps, float *dst, const float *plus,
                 const struct cf_conv_pass *pass, int y, int rows)
{
    struct run r = {.taps = taps,
                    .pass = pass,
                    .dst = dst,
                    .plus = plus,
                    .w = pass->w << pass->twice,
                    .y = y,
                    .rows = rows};

    r.across = (r.w + WIDE - 1) / WIDE;
    cf_split(taps->dnn, (int64_t)((rows + HIGH - 1) / HIGH) * r.across, 1, block_part,
             &r);
}
