/* linear.c - linear layers: sizes are checked here; panels.c does the products, or oneDNN
 * where that is faster. */
#include <limits.h>

#include "base/alloc.h"
#include "dnn/layer.h"
#include "dnn/ops.h"
#include "dnn/panels.h"
#include "dnn/product.h"

enum {
    TYPICAL_ROWS = 256,          /* by which the layout is chosen */
    PAD_ROWS = 256,              /* rows that pass through a padded copy at a time */
    CHANNELS_MAX = INT_MAX - 16, /* room to round up */
};

/* Panels, or packed by oneDNN in p. */
struct cf_linear {
    struct cf_dnn *dnn; /* borrowed */
    int k, n;
    struct cf_panels *pan; /* owned; NULL: oneDNN */
    struct cf_product p;
};

static enum cf_status pack_linear(struct cf_linear *lin, const struct cf_weight *w,
                                  const float *bias, struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {
        [CF_W_F32] = CF_F32, [CF_W_F16] = CF_F16, [CF_W_BF16] = CF_BF16};
    struct cf_view view = {w->w, dtype[w->type], 2, {w->n, w->k}};
    struct cf_one_geom geom = {.kh = 1, .kw = 1, .stride = 1, .oc = lin->n, .ic = lin->k};

    return cf_product_open(&lin->p, lin->dnn, &geom, &view, bias, 1, TYPICAL_ROWS, 1,
                           err);
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
        st = cf_panels_open(&lin->pan, dnn, w, bias, false, err);
    else if (hold == CF_HOLD_PACK && dnn->level > CF_CPU_C)
        st = cf_panels_open(&lin->pan, dnn, w, bias, true, err);
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
    cf_panels_close(lin->pan);
    cf_product_close(&lin->p);
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

static enum cf_status run_packed(struct cf_product *p, float *dst, const float *src,
                                 int m, struct cf_error *err)
{
    int padded = p->ip != p->i || p->op != p->o;
    int step = padded && m > PAD_ROWS ? PAD_ROWS : m;

    for (int64_t at = 0; at < m; at += step) {
        int64_t rows = m - at < step ? m - at : step;
        struct cf_one_size size = {.h = 1, .w = rows};

        CF_TRY(cf_product_run(p, dst + at * p->o, src + at * p->i, size, rows, err));
    }
    return CF_OK;
}

static enum cf_status run(struct cf_linear *lin, float *dst, const float *src, int m,
                          bool gelu, struct cf_error *err)
{
    enum cf_status st = CF_OK;
    struct cf_call call;

    if (m < 0)
        return cf_fail(err, CF_ERANGE, "linear: %d rows", m);
    if (m == 0)
        return CF_OK;
    cf_call_begin(&call, lin->dnn, &lin->dnn->times.linear);
    if (lin->pan) {
        cf_panels_run(lin->pan, lin->dnn, dst, src, m, gelu);
    } else {
        cf_team_begin(lin->dnn);
        st = run_packed(&lin->p, dst, src, m, err);
        cf_team_end(lin->dnn);
    }
    cf_call_end(&call, lin->dnn);
    if (!lin->pan && gelu && st == CF_OK)
        cf_gelu_tanh(lin->dnn, dst, dst, (int64_t)m * lin->n);
    return st;
}

enum cf_status cf_linear_run(struct cf_linear *lin, float *dst, const float *src, int m,
                             struct cf_error *err)
{
    return run(lin, dst, src, m, false, err);
}

enum cf_status cf_linear_run_gelu(struct cf_linear *lin, float *dst, const float *src,
                                  int m, struct cf_error *err)
{
    return run(lin, dst, src, m, true, err);
}
