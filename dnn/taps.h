/* taps.h - 3x3 convolutions with stride 1 and padding 1 to very few outputs.
 *
 * A kernel that takes outputs side by side has nothing to put there. But the nine taps of
 * all outputs can be: with T [pixels, 9 o] = u W, one product of matrices,
 *
 *     y[p] = bias + sum over taps of T[p moved by the tap, tap]
 *
 * which for 3 outputs fills 27 columns of 32. */
#ifndef CF_DNN_TAPS_H
#define CF_DNN_TAPS_H

#include "dnn/layer.h"

enum { CF_TAPS_OUT = 3 }; /* outputs, at most */

struct cf_taps;

/* w [o, i, 3, 3] of F32, F16 or BF16, read now; bias [o] or NULL. CF_ENOMEM; CF_ERANGE
 * for more outputs than CF_TAPS_OUT. */
enum cf_status cf_taps_open(struct cf_taps **taps, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            struct cf_error *err);
void cf_taps_close(struct cf_taps *taps); /* NULL is fine */

/* Floats of packed weights of in channels. */
size_t cf_taps_held(int in);

/* As cf_conv_rows, without work. */
void cf_taps_run(const struct cf_taps *taps, float *dst, const float *plus,
                 const struct cf_conv_pass *pass, int y, int rows);

#endif
