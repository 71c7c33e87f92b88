/* panels.h - y = x W^T + b, a panel of outputs (16 or 32, kern.h) at a time, with the
 * weights left where they lie, in the type of the file, or packed into panels of floats.
 *
 *     y[i, j] = (sum_l x[i, l] w[j, l]) * s[j] + b[j]
 *
 * The sum runs over l = 0, 1, ... k - 1 in order, each product added by one fused
 * multiply-add where the instruction set has one; so an element depends on its row of x
 * and its row of W alone. For int8 w holds the whole numbers and s the row's scale, which
 * is applied to the finished sum; else s is 1 and w has its value, 4 bits times the scale
 * of the group included (that product is exact). Packing changes no bit.
 *
 * For the layers of layer.h alone. */
#ifndef CF_DNN_PANELS_H
#define CF_DNN_PANELS_H

#include "base/weight.h"
#include "dnn/machine.h"

struct cf_panels;

/* packed: w (F32, F16 or BF16) is read now and not kept. Else w is borrowed and outlives
 * the layer. The caller checked that n and k are sizes. bias [n] (NULL for none) and the
 * scales of int8 are copied. CF_ESHAPE where group and scale make no sense, CF_ENOMEM. */
enum cf_status cf_panels_open(struct cf_panels **pan, struct cf_dnn *dnn,
                              const struct cf_weight *w, const float *bias, bool packed,
                              struct cf_error *err);
void cf_panels_close(struct cf_panels *pan); /* NULL is fine */

/* dst [m, n], src [m, k], m >= 1; within a cf_call. gelu: of y, as soon as a piece of a
 * row is done. Allocates nothing. */
void cf_panels_run(const struct cf_panels *pan, const struct cf_dnn *dnn, float *dst,
                   const float *src, int m, bool gelu);

#endif
