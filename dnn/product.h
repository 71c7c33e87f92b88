/* product.h - a convolution of oneDNN whose channels may be padded: what packed linear
 * layers and convolutions are made of.
 *
 * oneDNN's generated kernels want channels in whole vectors (always at SSE4.1, for 1x1 at
 * every level). Where the counts are odd, weights are packed with zero channels around
 * them and arrays pass through padded copies. */
#ifndef CF_DNN_PRODUCT_H
#define CF_DNN_PRODUCT_H

#include "base/tensor.h"
#include "dnn/machine.h"

/* A convolution whose channels may be padded. */
struct cf_product {
    struct cf_one_conv *conv;
    int i, o;         /* channels as the caller sees them */
    int ip, op;       /* and as the kernel does */
    float *src, *dst; /* owned; padded copies, grown on demand */
    size_t src_cap, dst_cap;
};

/* geom says the channels as the caller has them; v [o, i, kh, kw]; bias [o] or NULL.
 * Layout and kernel are those that suit h x w pixels. Tried in turn: channels as they are
 * (unless round), rounded up, any kernel. After a failure p is still to be closed. */
enum cf_status cf_product_open(struct cf_product *p, struct cf_dnn *dnn,
                               const struct cf_one_geom *geom, const struct cf_view *v,
                               const float *bias, int h, int w, int round,
                               struct cf_error *err);
void cf_product_close(struct cf_product *p); /* a zeroed one is fine */

/* src [size.h * size.w, i] to dst [out, o]. */
enum cf_status cf_product_run(struct cf_product *p, float *dst, const float *src,
                              struct cf_one_size size, int64_t out, struct cf_error *err);

#endif
