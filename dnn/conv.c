/* conv.c - convolutions: sizes are checked here; oneDNN or Winograd does the products. */
#include <assert.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/layer.h"
#include "dnn/ops.h"
#include "dnn/product.h"
#include "dnn/resample.h"
#include "dnn/taps.h"
#include "dnn/wino.h"

enum {
    TYPICAL_SIDE = 64,  /* by which the layout is chosen */
    SIDE_MAX = 1 << 20, /* pixels */
    LEAST = 16,         /* channels from which on Winograd is faster */
};

struct cf_conv {
    struct cf_dnn *dnn; /* borrowed */
    enum cf_conv_how how;
    int same;                /* 3x3, and the output is as large as the input */
    struct cf_product p;     /* CF_CONV_DIRECT */
    struct cf_taps *taps;    /* CF_CONV_TAPS */
    struct cf_wino *wino;    /* else */
    struct cf_one_geom geom; /* with the caller's channels */
    float *work;             /* owned; of cf_conv_run by Winograd, grown on demand */
    size_t work_size;
};

/* 3x3, and the output is as large as the input. */
static int is_same(const struct cf_view *w, struct cf_conv_shape s)
{
    return w->dim[2] == 3 && w->dim[3] == 3 && s.stride == 1 && s.top == 1 &&
           s.left == 1 && s.bottom == 1 && s.right == 1;
}

/* Milliseconds of the shapes of a decoder at 256 x 256 pixels, AVX-512, 2 threads, best
 * of five; direct, F(2x2), F(4x4), and phases or taps:
 *
 *     512 -> 512, 16 x 16           3.5    2.2    1.8
 *     512 -> 512, 32 x 32            16    8.2    5.6
 *     512 -> 512, 64 x 64            60     35     22
 *     256 -> 256, 128 x 128          63     36     22
 *     128 -> 128, 256 x 256          67     39     26
 *     24 -> 24, 128 x 128          0.94   0.99   0.61
 *     512 -> 512, 32 x 32 doubled    16    8.5    5.5    6.1
 *     512 -> 512, 64 x 64 doubled    60     34     20     17
 *     512 -> 512, 128 x 128 doubled 248    130     77     65
 *     256 -> 256, 256 x 256 doubled 247    135     81     64
 *     128 -> 3, 256 x 256            12     15    9.6    5.9
 *
 * Small pictures were measured with weights in the cache, which those of a whole decoder
 * are not: there F(2x2) wins (24 against 37 ms for all ten of the first shape), whose
 * weights take 1.8 times the room of the plain ones; F(4x4)'s take 4 times as much, those
 * of phases 7.1. In C nothing but the plain sum is fast. */
enum cf_conv_how cf_conv_best(enum cf_cpu level, struct cf_conv_use use)
{
    if (level == CF_CPU_AUTO)
        level = cf_cpu_best();
    if (level == CF_CPU_C || use.in < LEAST)
        return CF_CONV_DIRECT;
    if (use.out <= CF_TAPS_OUT)
        return CF_CONV_TAPS;
    if (use.out < LEAST)
        return CF_CONV_DIRECT;
    if (use.twice)
        return use.small ? CF_CONV_WINO4 : CF_CONV_PHASES;
    return use.small ? CF_CONV_WINO2 : CF_CONV_WINO4;
}

static enum cf_wino_form form_of(enum cf_conv_how how)
{
    return how == CF_CONV_WINO2   ? CF_WINO_F2
           : how == CF_CONV_WINO4 ? CF_WINO_F4
                                  : CF_WINO_PHASES;
}

static enum cf_status check_type(const struct cf_view *w, struct cf_error *err)
{
    if (w->dtype != CF_F32 && w->dtype != CF_F16 && w->dtype != CF_BF16)
        return cf_fail(err, CF_EUNSUP, "weights: type %s, expected F32, F16 or BF16",
                       cf_dtype_name(w->dtype));
    return CF_OK;
}

static enum cf_status conv_check(const struct cf_view *w, struct cf_conv_shape s,
                                 struct cf_error *err)
{
    int ok = w->ndim == 4;

    CF_TRY(check_type(w, err));
    for (int i = 0; ok && i < 4; i++)
        ok = w->dim[i] >= 1 && w->dim[i] <= (i < 2 ? 1 << 20 : 64);
    if (!ok) {
        char shape[96];

        return cf_fail(err, CF_ESHAPE, "conv: weights %s, expected [o, i, kh, kw]",
                       cf_shape_str(shape, sizeof shape, w->ndim, w->dim));
    }
    if (s.stride < 1 || s.stride > 2 || s.top < 0 || s.left < 0 || s.bottom < 0 ||
        s.right < 0 || s.top > 64 || s.left > 64 || s.bottom > 64 || s.right > 64)
        return cf_fail(err, CF_ERANGE, "conv: stride %d, padding %d %d %d %d", s.stride,
                       s.top, s.left, s.bottom, s.right);
    return CF_OK;
}

enum cf_status cf_conv_open(struct cf_conv **out, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            struct cf_conv_shape shape, struct cf_error *err)
{
    enum cf_conv_how how = CF_CONV_DIRECT;

    *out = NULL;
    CF_TRY(conv_check(w, shape, err));
    if (is_same(w, shape))
        how = cf_conv_best(dnn->level, (struct cf_conv_use){.in = (int)w->dim[1],
                                                            .out = (int)w->dim[0]});
    return cf_conv_open_as(out, dnn, w, bias, shape, how, err);
}

enum cf_status cf_conv_open_as(struct cf_conv **out, struct cf_dnn *dnn,
                               const struct cf_view *w, const float *bias,
                               struct cf_conv_shape shape, enum cf_conv_how how,
                               struct cf_error *err)
{
    struct cf_conv *conv;
    struct cf_one_geom *g;
    enum cf_status st;

    *out = NULL;
    CF_TRY(conv_check(w, shape, err));
    conv = cf_calloc(1, sizeof *conv, err);
    if (!conv)
        return CF_ENOMEM;
    conv->dnn = dnn;
    g = &conv->geom;
    *g = (struct cf_one_geom){
        .oc = (int)w->dim[0],
        .ic = (int)w->dim[1],
        .kh = (int)w->dim[2],
        .kw = (int)w->dim[3],
        .stride = shape.stride,
        .top = shape.top,
        .left = shape.left,
        .bottom = shape.bottom,
        .right = shape.right,
    };
    conv->how = how;
    conv->same = is_same(w, shape);
    if (how == CF_CONV_DIRECT)
        st = cf_product_open(&conv->p, dnn, g, w, bias, TYPICAL_SIDE, TYPICAL_SIDE, 0,
                             err);
    else if (conv->same && how == CF_CONV_TAPS)
        st = cf_taps_open(&conv->taps, dnn, w, bias, err);
    else if (conv->same)
        st = cf_wino_open(&conv->wino, dnn, w, bias, form_of(how), err);
    else
        st = cf_fail(err, CF_ERANGE,
                     "conv: %d x %d with stride %d, expected 3 x 3 with stride 1 and "
                     "padding 1",
                     g->kh, g->kw, g->stride);
    if (st != CF_OK) {
        cf_conv_close(conv);
        return st;
    }
    *out = conv;
    return CF_OK;
}

void cf_conv_close(struct cf_conv *conv)
{
    if (!conv)
        return;
    cf_product_close(&conv->p);
    cf_taps_close(conv->taps);
    cf_wino_close(conv->wino);
    cf_free(conv->work);
    cf_free(conv);
}

int cf_conv_in(const struct cf_conv *conv)
{
    return conv->geom.ic;
}

int cf_conv_out(const struct cf_conv *conv)
{
    return conv->geom.oc;
}

size_t cf_conv_held(const struct cf_conv *conv)
{
    const struct cf_one_geom *g = &conv->geom;

    if (conv->taps)
        return cf_taps_held(g->ic);
    if (conv->wino)
        return cf_wino_held(&conv->dnn->kern, form_of(conv->how), g->ic, g->oc);
    return (size_t)conv->p.ip * (size_t)conv->p.op * (size_t)(g->kh * g->kw);
}

size_t cf_conv_needs(enum cf_cpu level, enum cf_conv_how how, int in, int out, int taps)
{
    struct cf_kern kern;

    if (how == CF_CONV_DIRECT)
        return (size_t)in * (size_t)out * (size_t)taps;
    if (how == CF_CONV_TAPS)
        return cf_taps_held(in);
    cf_kern_choose(&kern, level == CF_CPU_AUTO ? cf_cpu_best() : level);
    return cf_wino_held(&kern, form_of(how), in, out);
}

/* Of rows of src without those that lie in the padding: above and below say how many rows
 * of neighbours src has in their place. */
static enum cf_status run_direct(struct cf_conv *conv, float *dst, const float *src,
                                 int h, int w, int above, int below, struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_one_size size = {h, w, g->top - above, g->bottom - below};
    int64_t oh = (h + size.top + size.bottom - g->kh) / g->stride + 1;
    int64_t ow = (w + g->left + g->right - g->kw) / g->stride + 1;
    enum cf_status st;

    cf_team_begin(conv->dnn);
    st = cf_product_run(&conv->p, dst, src, size, oh * ow, err);
    cf_team_end(conv->dnn);
    return st;
}

static void own_rows(struct cf_conv *conv, float *dst, const float *plus,
                     const struct cf_conv_pass *pass, int y, int rows, float *work)
{
    if (conv->taps)
        cf_taps_run(conv->taps, dst, plus, pass, y, rows);
    else
        cf_wino_run(conv->wino, dst, plus, pass, y, rows, work);
}

static enum cf_status run_own(struct cf_conv *conv, float *dst, const float *src, int h,
                              int w, struct cf_error *err)
{
    struct cf_conv_pass pass = {.src = src, .h = h, .w = w};
    size_t want =
        cf_conv_work(conv->dnn, conv->how, conv->geom.ic, conv->geom.oc, &pass, h, 0);

    if (want > conv->work_size) {
        cf_free(conv->work);
        conv->work_size = 0;
        conv->work = cf_alloc(want, sizeof *conv->work, err);
        if (!conv->work)
            return CF_ENOMEM;
        conv->work_size = want;
    }
    own_rows(conv, dst, NULL, &pass, 0, h, conv->work);
    return CF_OK;
}

enum cf_status cf_conv_run(struct cf_conv *conv, float *dst, const float *src, int h,
                           int w, struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_call call;
    enum cf_status st;

    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX ||
        h + g->top + g->bottom < g->kh || w + g->left + g->right < g->kw)
        return cf_fail(err, CF_ERANGE, "conv: input of %d x %d pixels", h, w);
    if (conv->how == CF_CONV_PHASES)
        return cf_fail(err, CF_ERANGE,
                       "conv: a picture as it is, expected a doubled one");
    cf_call_begin(&call, conv->dnn, &conv->dnn->times.conv);
    st = conv->how == CF_CONV_DIRECT ? run_direct(conv, dst, src, h, w, 0, 0, err)
                                     : run_own(conv, dst, src, h, w, err);
    cf_call_end(&call, conv->dnn);
    return st;
}

/* ---- rows of a pass ---- */

/* Rows of u that rows rows of the result are made of, at most: whole rows of src. */
static size_t band_floats(const struct cf_conv_pass *p, int in, int rows)
{
    int step = 1 << p->twice, h = p->h * step;
    int most = rows + 2 * step < h ? rows + 2 * step : h;

    return (size_t)most * (size_t)(p->w * step) * (size_t)in;
}

size_t cf_conv_work(const struct cf_dnn *dnn, enum cf_conv_how how, int in, int out,
                    const struct cf_conv_pass *pass, int rows, int onto)
{
    int w = pass->w << pass->twice;

    if (how == CF_CONV_TAPS)
        return 0;
    if (how != CF_CONV_DIRECT)
        return cf_wino_work(dnn, form_of(how), in, out, w, rows);
    return band_floats(pass, in, rows) +
           (onto ? (size_t)rows * (size_t)w * (size_t)out : 0);
}

int cf_conv_bands_itself(enum cf_conv_how how)
{
    return how != CF_CONV_DIRECT;
}

/* The band of u is made first, if u is not src; then it is convolved. */
static enum cf_status direct_rows(struct cf_conv *conv, float *dst, const float *plus,
                                  const struct cf_conv_pass *p, int y, int rows,
                                  float *work, struct cf_error *err)
{
    struct cf_dnn *dnn = conv->dnn;
    int step = 1 << p->twice, h = p->h * step, w = p->w * step, in = conv->geom.ic;
    int above = y > 0, below = y + rows < h;
    int from = (y - above) / step, to = (y + rows + below - 1) / step; /* rows of src */
    int64_t n = (int64_t)(to - from + 1) * p->w, made = (int64_t)rows * w * conv->geom.oc;
    const float *src = p->src + (int64_t)from * p->w * in;
    float *sum = plus == dst && plus ? work + band_floats(p, in, rows) : dst;
    struct cf_call call;
    enum cf_status st;

    assert(!(p->mul && p->twice));
    if (p->mul)
        cf_groupnorm_apply(dnn, work, src, n, in, p->mul, p->add, 1);
    else if (p->twice)
        cf_upsample_nearest2(dnn, work, src, to - from + 1, p->w, in);
    if (p->mul || p->twice)
        src = work + (int64_t)(y - above - step * from) * w * in;
    cf_call_begin(&call, dnn, &dnn->times.conv);
    st = run_direct(conv, sum, src, above + rows + below, w, above, below, err);
    cf_call_end(&call, dnn);
    if (st == CF_OK && plus)
        cf_add(dnn, dst, sum == dst ? plus : sum, made);
    return st;
}

enum cf_status cf_conv_rows(struct cf_conv *conv, float *dst, const float *plus,
                            const struct cf_conv_pass *pass, int y, int rows, float *work,
                            struct cf_error *err)
{
    struct cf_call call;

    if (!conv->same || (conv->how == CF_CONV_PHASES && !pass->twice) || pass->h < 1 ||
        pass->w < 1 || pass->h > SIDE_MAX / 2 || pass->w > SIDE_MAX / 2 || y < 0 ||
        rows < 1 || rows > (pass->h << pass->twice) - y)
        return cf_fail(err, CF_ERANGE,
                       "conv: rows %d to %d of %d x %d pixels by a kernel of %d x %d", y,
                       y + rows - 1, pass->h << pass->twice, pass->w << pass->twice,
                       conv->geom.kh, conv->geom.kw);
    if (conv->how == CF_CONV_DIRECT)
        return direct_rows(conv, dst, plus, pass, y, rows, work, err);
    cf_call_begin(&call, conv->dnn, &conv->dnn->times.conv);
    own_rows(conv, dst, plus, pass, y, rows, work);
    cf_call_end(&call, conv->dnn);
    return CF_OK;
}
