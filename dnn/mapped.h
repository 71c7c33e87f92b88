/* mapped.h - y = x W^T + b with the weights left where they lie, in the type of the file.
 *
 *     y[i, j] = (sum_l x[i, l] w[j, l]) * s[j] + b[j]
 *
 * The sum runs over l = 0, 1, ... k - 1 in order, each product added by one fused
 * multiply-add where the instruction set has one; so an element depends on its row of x
 * and its row of W alone. For int8 w holds the whole numbers and s the row's scale, which
 * is applied to the finished sum; else s is 1 and w has its value, 4 bits times the scale
 * of the group included (that product is exact).
 *
 * For the layers of layer.h alone. */
#ifndef CF_DNN_MAPPED_H
#define CF_DNN_MAPPED_H

#include "base/weight.h"
#include "dnn/machine.h"

struct cf_mapped;

/* w is borrowed and outlives the layer; the caller checked that n and k are sizes. bias
 * [n] (NULL for none) and the scales of int8 are copied. CF_ESHAPE where group and scale
 * make no sense, CF_ENOMEM. */
enum cf_status cf_mapped_open(struct cf_mapped **map, const struct cf_weight *w,
                              const float *bias, struct cf_error *err);
void cf_mapped_close(struct cf_mapped *map); /* NULL is fine */

/* dst [m, n], src [m, k], m >= 1; within a cf_call. Allocates nothing. */
void cf_mapped_run(const struct cf_mapped *map, const struct cf_dnn *dnn, float *dst,
                   const float *src, int m);

#endif
