/* conv.c - convolutions: sizes are checked here, oneDNN does the products. */
#include "base/alloc.h"
#include "dnn/layer.h"
#include "dnn/product.h"

enum {
    TYPICAL_SIDE = 64,  /* by which the layout is chosen */
    SIDE_MAX = 1 << 20, /* pixels */
};

struct cf_conv {
    struct cf_dnn *dnn; /* borrowed */
    struct cf_product p;
    struct cf_one_geom geom; /* with the caller's channels */
};

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
    st = cf_product_open(&conv->p, dnn, &conv->geom, w, bias, TYPICAL_SIDE, TYPICAL_SIDE,
                         0, err);
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
    cf_team_begin(conv->dnn);
    st = cf_product_run(&conv->p, dst, src, size, oh * ow, err);
    cf_team_end(conv->dnn);
    cf_call_end(&call, conv->dnn);
    return st;
}
