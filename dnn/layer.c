/* layer.c - linear and convolution: sizes are checked here, oneDNN does the products, or
 * mapped.c for weights that are not packed.
 *
 * oneDNN's generated kernels want channels in whole vectors (always at SSE4.1, for 1x1 at
 * every level). Where the counts are odd, weights are packed with zero channels around
 * them and arrays pass through padded copies. */
#include "dnn/layer.h"

#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/mapped.h"

enum {
    BLOCK = 16,         /* channels are rounded up to this */
    TYPICAL_ROWS = 256, /* by which the layout of a linear layer is chosen */
    TYPICAL_SIDE = 64,  /* likewise, of a convolution */
    PAD_ROWS = 256,     /* rows of a linear layer that pass through a copy at a time */
    CHANNELS_MAX = INT_MAX - BLOCK,
    SIDE_MAX = 1 << 20, /* pixels */
};

/* A convolution whose channels may be padded. */
struct product {
    struct cf_one_conv *conv;
    int i, o;         /* channels as the caller sees them */
    int ip, op;       /* and as the kernel does */
    float *src, *dst; /* owned; padded copies, grown on demand */
    size_t src_cap, dst_cap;
};

/* Packed in p, or mapped. */
struct cf_linear {
    struct cf_dnn *dnn; /* borrowed */
    int k, n;
    struct cf_mapped *map; /* owned; NULL: packed */
    struct product p;
};

struct cf_conv {
    struct cf_dnn *dnn; /* borrowed */
    struct product p;
    struct cf_one_geom geom; /* with the caller's channels */
};

static int64_t round_up(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Weights of v, n rows of k, as [np, kp] floats with zeros around them. */
static float *read_weights(const struct cf_view *v, int64_t n, int64_t k, int64_t np,
                           int64_t kp, struct cf_error *err)
{
    size_t count;
    float *w;

    if (!cf_mul_size((size_t)np, (size_t)kp, &count)) {
        cf_fail(err, CF_ENOMEM, "weights: %lld x %lld floats", (long long)np,
                (long long)kp);
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

/* Open with p->ip and p->op channels. */
static enum cf_status product_pack(struct product *p, struct cf_dnn *dnn,
                                   struct cf_one_geom geom, const struct cf_view *v,
                                   const float *bias, int h, int w, int any,
                                   struct cf_error *err)
{
    int64_t taps = (int64_t)geom.kh * geom.kw;
    float *plain = read_weights(v, p->o, p->i * taps, p->op, p->ip * taps, err),
          *b = NULL;
    enum cf_status st = CF_ENOMEM;
    struct cf_call call;

    geom.ic = p->ip;
    geom.oc = p->op;
    if (!plain || (bias && !(b = cf_calloc((size_t)p->op, sizeof *b, err))))
        goto out;
    if (b)
        memcpy(b, bias, (size_t)p->o * sizeof *b);
    cf_call_begin(&call, dnn, &dnn->times.other);
    st = cf_one_conv_open(&p->conv, dnn->one, &geom, plain, b, h, w, any, err);
    cf_call_end(&call, dnn);
out:
    cf_free(b);
    cf_free(plain);
    return st;
}

/* First as the caller's channels are (unless round), then rounded up, then with any
 * kernel. */
static enum cf_status product_open(struct product *p, struct cf_dnn *dnn,
                                   const struct cf_one_geom *geom,
                                   const struct cf_view *v, const float *bias, int h,
                                   int w, int round, struct cf_error *err)
{
    struct cf_error why = {.status = CF_EUNSUP};

    p->i = geom->ic;
    p->o = geom->oc;
    for (int attempt = round ? 1 : 0; attempt < 3 && why.status == CF_EUNSUP; attempt++) {
        p->ip = attempt == 1 ? (int)round_up(p->i) : p->i;
        p->op = attempt == 1 ? (int)round_up(p->o) : p->o;
        why = (struct cf_error){0};
        product_pack(p, dnn, *geom, v, bias, h, w, attempt == 2, &why);
    }
    return why.status == CF_OK ? CF_OK : cf_fail(err, why.status, "%s", why.msg);
}

static void product_close(struct product *p)
{
    cf_one_conv_close(p->conv);
    cf_free(p->src);
    cf_free(p->dst);
}

/* Room for n rows of c floats, all zero when it is new: what is padded stays zero. */
static enum cf_status need_rows(float **buf, size_t *cap, int64_t n, int c,
                                struct cf_error *err)
{
    size_t want;

    if (!cf_mul_size((size_t)n, (size_t)c, &want))
        return cf_fail(err, CF_ENOMEM, "layer: %lld x %d floats", (long long)n, c);
    if (want <= *cap)
        return CF_OK;
    cf_free(*buf);
    *cap = 0;
    *buf = cf_calloc(want, sizeof **buf, err);
    if (!*buf)
        return CF_ENOMEM;
    *cap = want;
    return CF_OK;
}

static void copy_rows(float *dst, int64_t ldd, const float *src, int64_t lds,
                      int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(dst + i * ldd, src + i * lds, (size_t)n * sizeof *dst);
}

/* src [size.h * size.w, i] to dst [out, o]. */
static enum cf_status product_run(struct product *p, float *dst, const float *src,
                                  struct cf_one_size size, int64_t out,
                                  struct cf_error *err)
{
    int64_t n = size.h * size.w;
    const float *from = src;
    float *to = dst;

    if (p->ip != p->i) {
        CF_TRY(need_rows(&p->src, &p->src_cap, n, p->ip, err));
        copy_rows(p->src, p->ip, src, p->i, n, p->i);
        from = p->src;
    }
    if (p->op != p->o) {
        CF_TRY(need_rows(&p->dst, &p->dst_cap, out, p->op, err));
        to = p->dst;
    }
    CF_TRY(cf_one_conv_run(p->conv, to, from, size, err));
    if (to != dst)
        copy_rows(dst, p->o, to, p->op, out, p->o);
    return CF_OK;
}

static enum cf_status pack_linear(struct cf_linear *lin, const struct cf_weight *w,
                                  const float *bias, struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {
        [CF_W_F32] = CF_F32, [CF_W_F16] = CF_F16, [CF_W_BF16] = CF_BF16};
    struct cf_view view = {w->w, dtype[w->type], 2, {w->n, w->k}};
    struct cf_one_geom geom = {.kh = 1, .kw = 1, .stride = 1, .oc = lin->n, .ic = lin->k};

    return product_open(&lin->p, lin->dnn, &geom, &view, bias, 1, TYPICAL_ROWS, 1, err);
}

enum cf_status cf_linear_open(struct cf_linear **out, struct cf_dnn *dnn,
                              const struct cf_weight *w, const float *bias,
                              enum cf_hold hold, struct cf_error *err)
{
    struct cf_linear *lin;
    enum cf_status st;

    *out = NULL;
    if (w->n < 1 || w->k < 1 || w->n > CHANNELS_MAX || w->k > CHANNELS_MAX)
        return cf_fail(err, CF_ESHAPE, "linear: weights [%lld, %lld], expected [n, k]",
                       (long long)w->n, (long long)w->k);
    lin = cf_calloc(1, sizeof *lin, err);
    if (!lin)
        return CF_ENOMEM;
    lin->dnn = dnn;
    lin->n = (int)w->n;
    lin->k = (int)w->k;
    if (cf_linear_maps(w, hold))
        st = cf_mapped_open(&lin->map, w, bias, err);
    else
        st = pack_linear(lin, w, bias, err);
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
    cf_mapped_close(lin->map);
    product_close(&lin->p);
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

static enum cf_status run_packed(struct product *p, float *dst, const float *src, int m,
                                 struct cf_error *err)
{
    int padded = p->ip != p->i || p->op != p->o;
    int step = padded && m > PAD_ROWS ? PAD_ROWS : m;

    for (int64_t at = 0; at < m; at += step) {
        int64_t rows = m - at < step ? m - at : step;
        struct cf_one_size size = {.h = 1, .w = rows};

        CF_TRY(product_run(p, dst + at * p->o, src + at * p->i, size, rows, err));
    }
    return CF_OK;
}

enum cf_status cf_linear_run(struct cf_linear *lin, float *dst, const float *src, int m,
                             struct cf_error *err)
{
    enum cf_status st = CF_OK;
    struct cf_call call;

    if (m < 0)
        return cf_fail(err, CF_ERANGE, "linear: %d rows", m);
    if (m == 0)
        return CF_OK;
    cf_call_begin(&call, lin->dnn, &lin->dnn->times.linear);
    if (lin->map) {
        cf_mapped_run(lin->map, lin->dnn, dst, src, m);
    } else {
        cf_team_flush(lin->dnn);
        st = run_packed(&lin->p, dst, src, m, err);
    }
    cf_call_end(&call, lin->dnn);
    return st;
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
    struct cf_conv *conv;
    enum cf_status st;

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
    st = product_open(&conv->p, dnn, &conv->geom, w, bias, TYPICAL_SIDE, TYPICAL_SIDE, 0,
                      err);
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
    product_close(&conv->p);
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

enum cf_status cf_conv_run(struct cf_conv *conv, float *dst, const float *src, int h,
                           int w, struct cf_error *err)
{
    return cf_conv_run_rows(conv, dst, src, h, w, 0, 0, err);
}

enum cf_status cf_conv_run_rows(struct cf_conv *conv, float *dst, const float *src, int h,
                                int w, int above, int below, struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_one_size size = {h, w, g->top - above, g->bottom - below};
    int64_t oh, ow;
    struct cf_call call;
    enum cf_status st;

    if (above < 0 || below < 0 || above > g->top || below > g->bottom)
        return cf_fail(err, CF_ERANGE, "conv: %d rows above and %d below, padding %d, %d",
                       above, below, g->top, g->bottom);
    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX ||
        h + size.top + size.bottom < g->kh || w + g->left + g->right < g->kw)
        return cf_fail(err, CF_ERANGE, "conv: input of %d x %d pixels", h, w);
    oh = (h + size.top + size.bottom - g->kh) / g->stride + 1;
    ow = (w + g->left + g->right - g->kw) / g->stride + 1;
    cf_call_begin(&call, conv->dnn, &conv->dnn->times.conv);
    cf_team_flush(conv->dnn);
    st = product_run(&conv->p, dst, src, size, oh * ow, err);
    cf_call_end(&call, conv->dnn);
    return st;
}
