/* layer.c - linear and convolution: sizes are checked here, oneDNN does the products. */
#include "dnn/layer.h"

#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"

enum {
    BLOCK = 16,          /* channels are rounded up to this for oneDNN's kernels */
    TYPICAL_ROWS = 256,  /* by which the layout of a linear layer is chosen */
    TYPICAL_SIDE = 64,   /* likewise, of a convolution */
};

struct cf_linear {
    struct cf_dnn *dnn; /* borrowed */
    struct cf_one_conv *conv;
    int k, n;   /* as the caller sees them */
    int kp, np; /* rounded up */
    float *src, *dst; /* owned; padded rows, NULL where nothing is padded */
};

struct cf_conv {
    struct cf_dnn *dnn; /* borrowed */
    struct cf_one_conv *conv;
    struct cf_one_geom geom;
};

enum { PAD_ROWS = 256 }; /* rows that pass through src and dst at a time */

static int round_up(int n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Weights of v as [np, kp] floats, zeros around [n, k]. */
static float *read_weights(const struct cf_view *v, int64_t n, int64_t k, int64_t np,
                           int64_t kp, struct cf_error *err)
{
    size_t count;
    float *w;

    if (!cf_mul_size((size_t)np, (size_t)kp, &count)) {
        cf_fail(err, CF_ENOMEM, "weights: %lld x %lld floats", (long long)np, (long long)kp);
        return NULL;
    }
    w = np == n && kp == k ? cf_alloc(count, sizeof *w, err)
                           : cf_calloc(count, sizeof *w, err);
    if (!w)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (cf_view_floats(w + i * kp, v, i * k, k, err) != CF_OK) {
            cf_free(w);
            return NULL;
        }
    }
    return w;
}

static enum cf_status check_type(const struct cf_view *w, struct cf_error *err)
{
    if (w->dtype != CF_F32 && w->dtype != CF_F16 && w->dtype != CF_BF16)
        return cf_fail(err, CF_EUNSUP, "weights: type %s, expected F32, F16 or BF16",
                       cf_dtype_name(w->dtype));
    return CF_OK;
}

static enum cf_status linear_build(struct cf_linear *lin, const struct cf_view *v,
                                   const float *bias, struct cf_error *err)
{
    struct cf_one_geom geom = {
        .ic = lin->kp, .oc = lin->np, .kh = 1, .kw = 1, .stride = 1};
    float *w, *b = NULL;
    struct cf_call call;
    enum cf_status st = CF_ENOMEM;

    w = read_weights(v, lin->n, lin->k, lin->np, lin->kp, err);
    if (!w)
        return err ? err->status : CF_ENOMEM;
    if (bias && !(b = cf_calloc((size_t)lin->np, sizeof *b, err)))
        goto out;
    if (b)
        memcpy(b, bias, (size_t)lin->n * sizeof *b);
    if (lin->kp != lin->k && !(lin->src = cf_calloc((size_t)lin->kp * PAD_ROWS, 4, err)))
        goto out;
    if (lin->np != lin->n && !(lin->dst = cf_calloc((size_t)lin->np * PAD_ROWS, 4, err)))
        goto out;
    cf_call_begin(&call, lin->dnn, &lin->dnn->times.other);
    st = cf_one_conv_open(&lin->conv, lin->dnn->one, &geom, w, b, 1, TYPICAL_ROWS, err);
    cf_call_end(&call, lin->dnn);
out:
    cf_free(b);
    cf_free(w);
    return st;
}

enum cf_status cf_linear_open(struct cf_linear **out, struct cf_dnn *dnn,
                              const struct cf_view *w, const float *bias,
                              struct cf_error *err)
{
    struct cf_linear *lin;
    enum cf_status st;

    *out = NULL;
    CF_TRY(check_type(w, err));
    if (w->ndim != 2 || w->dim[0] < 1 || w->dim[1] < 1 || w->dim[0] > INT_MAX - BLOCK ||
        w->dim[1] > INT_MAX - BLOCK) {
        char shape[96];

        return cf_fail(err, CF_ESHAPE, "linear: weights %s, expected [n, k]",
                       cf_shape_str(shape, sizeof shape, w->ndim, w->dim));
    }
    lin = cf_calloc(1, sizeof *lin, err);
    if (!lin)
        return CF_ENOMEM;
    lin->dnn = dnn;
    lin->n = (int)w->dim[0];
    lin->k = (int)w->dim[1];
    lin->np = round_up(lin->n);
    lin->kp = round_up(lin->k);
    st = linear_build(lin, w, bias, err);
    if (st != CF_OK) {
        cf_linear_close(lin);
        return st;
    }
    *out = lin;
    return CF_OK;
}

void cf_linear_close(struct cf_linear *lin)
{
    if (!lin)
        return;
    cf_one_conv_close(lin->conv);
    cf_free(lin->src);
    cf_free(lin->dst);
    cf_free(lin);
}

int cf_linear_in(const struct cf_linear *lin)
{
    return lin->k;
}

int cf_linear_out(const struct cf_linear *lin)
{
    return lin->n;
}

static void copy_rows(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t rows,
                      int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(dst + i * ldd, src + i * lds, (size_t)n * sizeof *dst);
}

/* Through padded rows, a block at a time. */
static enum cf_status run_padded(struct cf_linear *lin, float *dst, const float *src, int m,
                                 struct cf_error *err)
{
    for (int at = 0; at < m; at += PAD_ROWS) {
        int rows = m - at < PAD_ROWS ? m - at : PAD_ROWS;
        const float *from = src + (int64_t)at * lin->k;
        float *to = dst + (int64_t)at * lin->n;

        if (lin->src)
            copy_rows(lin->src, lin->kp, from, lin->k, rows, lin->k);
        CF_TRY(cf_one_conv_run(lin->conv, lin->dst ? lin->dst : to,
                               lin->src ? lin->src : from, 1, rows, err));
        if (lin->dst)
            copy_rows(to, lin->n, lin->dst, lin->np, rows, lin->n);
    }
    return CF_OK;
}

enum cf_status cf_linear_run(struct cf_linear *lin, float *dst, const float *src, int m,
                             struct cf_error *err)
{
    struct cf_dnn *dnn = lin->dnn;
    struct cf_call call;
    enum cf_status st;

    if (m < 0)
        return cf_fail(err, CF_ERANGE, "linear: %d rows", m);
    if (m == 0)
        return CF_OK;
    cf_call_begin(&call, dnn, &dnn->times.linear);
    cf_team_flush(dnn);
    if (lin->src || lin->dst)
        st = run_padded(lin, dst, src, m, err);
    else
        st = cf_one_conv_run(lin->conv, dst, src, 1, m, err);
    cf_call_end(&call, dnn);
    return st;
}

size_t cf_linear_bytes(int64_t n, int64_t k)
{
    return (size_t)((n + BLOCK - 1) / BLOCK * BLOCK) *
           (size_t)((k + BLOCK - 1) / BLOCK * BLOCK) * sizeof(float);
}

static enum cf_status conv_check(const struct cf_view *w, struct cf_conv_shape s,
                                 struct cf_error *err)
{
    char shape[96];
    int ok = w->ndim == 4;

    CF_TRY(check_type(w, err));
    for (int i = 0; ok && i < 4; i++)
        ok = w->dim[i] >= 1 && w->dim[i] <= (i < 2 ? 1 << 20 : 64);
    if (!ok)
        return cf_fail(err, CF_ESHAPE, "conv: weights %s, expected [o, i, kh, kw]",
                       cf_shape_str(shape, sizeof shape, w->ndim, w->dim));
    if (s.stride < 1 || s.stride > 2 || s.top < 0 || s.left < 0 || s.bottom < 0 ||
        s.right < 0 || s.top > 64 || s.left > 64 || s.bottom > 64 || s.right > 64)
        return cf_fail(err, CF_ERANGE, "conv: stride %d, padding %d %d %d %d", s.stride,
                       s.top, s.left, s.bottom, s.right);
    return CF_OK;
}

enum cf_status cf_conv_open(struct cf_conv **out, struct cf_dnn *dnn, const struct cf_view *w,
                            const float *bias, struct cf_conv_shape shape,
                            struct cf_error *err)
{
    struct cf_conv *conv;
    struct cf_call call;
    enum cf_status st;
    float *plain;

    *out = NULL;
    CF_TRY(conv_check(w, shape, err));
    conv = cf_calloc(1, sizeof *conv, err);
    if (!conv)
        return CF_ENOMEM;
    conv->dnn = dnn;
    conv->geom = (struct cf_one_geom){
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
    plain = read_weights(w, 1, cf_view_count(w), 1, cf_view_count(w), err);
    if (!plain) {
        cf_conv_close(conv);
        return err ? err->status : CF_ENOMEM;
    }
    cf_call_begin(&call, dnn, &dnn->times.other);
    st = cf_one_conv_open(&conv->conv, dnn->one, &conv->geom, plain, bias, TYPICAL_SIDE,
                          TYPICAL_SIDE, err);
    cf_call_end(&call, dnn);
    cf_free(plain);
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
    cf_one_conv_close(conv->conv);
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

enum cf_status cf_conv_run(struct cf_conv *conv, float *dst, const float *src, int h, int w,
                           struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_dnn *dnn = conv->dnn;
    struct cf_call call;
    enum cf_status st;

    if (h < 1 || w < 1 || h > 1 << 20 || w > 1 << 20 || h + g->top + g->bottom < g->kh ||
        w + g->left + g->right < g->kw)
        return cf_fail(err, CF_ERANGE, "conv: input of %d x %d pixels", h, w);
    cf_call_begin(&call, dnn, &dnn->times.conv);
    cf_team_flush(dnn);
    st = cf_one_conv_run(conv->conv, dst, src, h, w, err);
    cf_call_end(&call, dnn);
    return st;
}
