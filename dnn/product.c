#include "dnn/product.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

enum { BLOCK = 16 }; /* channels are rounded up to this */

static int64_t round_up(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Open with p->ip and p->op channels. */
static enum cf_status product_pack(struct cf_product *p, struct cf_dnn *dnn,
                                   struct cf_one_geom geom, const struct cf_view *v,
                                   const float *bias, int h, int w, int any,
                                   struct cf_error *err)
{
    float *b = NULL;
    enum cf_status st;
    struct cf_call call;

    geom.ic = p->ip;
    geom.oc = p->op;
    if (bias && !(b = cf_calloc((size_t)p->op, sizeof *b, err)))
        return CF_ENOMEM;
    if (b)
        memcpy(b, bias, (size_t)p->o * sizeof *b);
    cf_call_begin(&call, dnn, &dnn->times.other);
    st = cf_one_conv_open(&p->conv, dnn, &geom, v, b, h, w, any, err);
    cf_call_end(&call, dnn);
    cf_free(b);
    return st;
}

enum cf_status cf_product_open(struct cf_product *p, struct cf_dnn *dnn,
                               const struct cf_one_geom *geom, const struct cf_view *v,
                               const float *bias, int h, int w, int round,
                               struct cf_error *err)
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

void cf_product_close(struct cf_product *p)
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

enum cf_status cf_product_run(struct cf_product *p, float *dst, const float *src,
                              struct cf_one_size size, int64_t out, struct cf_error *err)
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
