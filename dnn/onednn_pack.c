/* onednn_pack.c - the place of an element in a blocked layout is a sum of one part for
 * each of its indices, so there is a table of parts for inputs and one for taps, and a
 * row of weights is scattered by them. */
#include "dnn/onednn_pack.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/packs.h"

enum {
    ROWS = 16,   /* side by side: they share the lines that are written ... */
    PIECE = 256, /* ... of so many columns at a time: 16 KiB, which stay in the first cache */
};

struct work {
    const struct cf_one_source *s;
    float *dst;
    int64_t o, i, taps;     /* of the view */
    const size_t *in, *tap; /* parts of the place, by index */
};

/* The part of index i of dimension d. */
static size_t place(const struct cf_md_blocks *b, int d, int64_t i)
{
    int64_t block = 1, inner = 1, at;

    for (int j = 0; j < b->n; j++)
        if (b->dim[j] == d)
            block *= b->size[j];
    at = i / block * b->stride[d];
    i %= block;
    for (int j = b->n; j-- > 0;) {
        if (b->dim[j] == d) {
            at += i % b->size[j] * inner;
            i /= b->size[j];
        }
        inner *= b->size[j];
    }
    return (size_t)at;
}

/* Columns at .. at+n-1 of row o, where column c is input c / taps, tap c % taps. */
static void scatter(const struct work *w, int64_t o, int64_t at, int64_t n)
{
    int64_t i = at / w->taps, t = at % w->taps;
    float *dst = w->dst + place(&w->s->blocks, 0, o);
    float x[PIECE];

    (void)cf_view_floats(x, w->s->v, o * w->i * w->taps + at, n, NULL); /* type checked */
    for (int64_t c = 0; c < n; c++) {
        dst[w->in[i] + w->tap[t]] = x[c];
        if (++t == w->taps) {
            t = 0;
            i++;
        }
    }
}

static void fill_rows(void *arg, int64_t first, int64_t last)
{
    const struct work *w = arg;
    int64_t k = w->i * w->taps;

    for (int64_t o = first; o < last; o += ROWS)
        for (int64_t at = 0; at < k; at += PIECE)
            for (int64_t r = o; r < o + ROWS && r < last; r++)
                scatter(w, r, at, k - at < PIECE ? k - at : PIECE);
}

static bool is_padded(const struct cf_one_source *s)
{
    return s->v->dim[0] != s->blocks.padded[0] || s->v->dim[1] != s->blocks.padded[1];
}

enum cf_status cf_one_fill(void *data, void *arg, struct cf_error *err)
{
    const struct cf_one_source *s = arg;
    const struct cf_md_blocks *b = &s->blocks;
    int64_t kh = s->v->ndim > 2 ? s->v->dim[2] : 1,
            kw = s->v->ndim > 3 ? s->v->dim[3] : 1;
    struct work w = {
        .s = s, .dst = data, .o = s->v->dim[0], .i = s->v->dim[1], .taps = kh * kw};
    size_t *part;

    CF_TRY(cf_view_floats(data, s->v, 0, 1, err)); /* the type */
    part = cf_alloc((size_t)(w.i + w.taps), sizeof *part, err);
    if (!part)
        return CF_ENOMEM;
    for (int64_t i = 0; i < w.i; i++)
        part[i] = place(b, 1, i);
    for (int64_t t = 0; t < w.taps; t++)
        part[w.i + t] = place(b, 2, t / kw) + place(b, 3, t % kw);
    w.in = part;
    w.tap = part + w.i;
    if (is_padded(s))
        memset(data, 0, s->bytes);
    cf_pack_split(s->dnn, w.o, ROWS, fill_rows, &w);
    cf_free(part);
    return CF_OK;
}
