/* onednn.h - the only door to oneDNN: a convolution with packed weights.
 *
 * The layout of the weights and the implementation are chosen once, when the convolution
 * is opened, and pinned: for every later size the same implementation is asked for.
 * oneDNN on its own changes both with the size, and with them the order of additions.
 *
 * Primitives are cached per size. Scratchpads are user-managed, because those of the
 * library tie a primitive to the thread that made it. Arrays are [h, w, c]. */
#ifndef CF_DNN_ONEDNN_H
#define CF_DNN_ONEDNN_H

#include "base/tensor.h"
#include "dnn/dnn.h"

struct cf_one;      /* engine, stream, scratchpad */
struct cf_one_conv; /* weights, bias, primitives */

struct cf_one_geom {
    int ic, oc, kh, kw, stride;
    int top, left, bottom, right;
};

/* Of one input: rows and columns; top and bottom take the place of the geometry's. */
struct cf_one_size {
    int64_t h, w;
    int top, bottom;
};

enum cf_status cf_one_open(struct cf_one **one, enum cf_cpu level, struct cf_error *err);
void cf_one_close(struct cf_one *one);
const char *cf_one_version(void);

/* v [o, i, kh, kw] with o <= oc, i <= ic (the rest is zeros), of F32, F16 or BF16, and
 * bias [oc] (or NULL) are read now and not kept. h and width are a typical size of the
 * input, by which layout and implementation are chosen. Accepted are kernels generated
 * for x86 (jit), or with any set whatever oneDNN offers: those are correct, but slow or
 * free to add in another order for another size. CF_EUNSUP if there is none. */
enum cf_status cf_one_conv_open(struct cf_one_conv **conv, struct cf_dnn *dnn,
                                const struct cf_one_geom *geom, const struct cf_view *v,
                                const float *bias, int64_t h, int64_t width, int any,
                                struct cf_error *err);
void cf_one_conv_close(struct cf_one_conv *conv);
enum cf_status cf_one_conv_run(struct cf_one_conv *conv, float *dst, const float *src,
                               struct cf_one_size size, struct cf_error *err);

#endif
