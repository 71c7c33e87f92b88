/* pass.h - what a convolution of our own reads: rows of the picture that a pass stands
 * for, normalised or doubled on the way (layer.h). */
#ifndef CF_DNN_PASS_H
#define CF_DNN_PASS_H

#include "dnn/kern.h"
#include "dnn/layer.h"

/* dst [count, n] = channels c .. c+n-1 of columns x .. x+count-1 of row y, zeros outside
 * of the picture; in channels in all. */
void cf_pass_row(const struct cf_kern *kern, const struct cf_conv_pass *pass, int in,
                 float *dst, int y, int x, int count, size_t c, size_t n);

#endif
