/* wino.h - 3x3 convolutions with stride 1 and padding 1 by Winograd's minimal filtering.
 *
 * A tile of t x t outputs and the s x s inputs it depends on, s = t + 2, are taken as
 * polynomials and multiplied where they have been evaluated:
 *
 *     Y = A^T [ sum over channels (G g G^T) * (B^T d B) ] A
 *
 * s^2 products in place of 9 t^2: 2.25 times fewer for t = 2, 4 times for t = 4. For each
 * of the s^2 points the sum over channels is a product of matrices, [tiles, in] by
 * [in, out], done by panel_mul. Lavin and Gray, arXiv 1509.09308. How much rounding there
 * is depends on the points: 0, +-5/8, +-3/2 and infinity for t = 4 have half the error of
 * 0, +-1, +-2 (Barabasz et al., arXiv 1803.10986, on why), 1.5 times that of the plain
 * sum; t = 2 has less than the plain sum, being shorter.
 *
 * Of a picture whose pixels have been doubled, the four phases of the result (even and
 * odd rows and columns) are each a 2x2 convolution of the picture as it was, with sums of
 * the nine taps. They share the transform of the inputs, and t = 3 outputs of each make
 * do with s = 4: 64 products for 36 outputs, 5 times fewer.
 *
 * Tiles are counted from the first row of the picture, and each is computed whole: no
 * value depends on which rows are asked for, nor on the number of threads. */
#ifndef CF_DNN_WINO_H
#define CF_DNN_WINO_H

#include "dnn/kern.h"
#include "dnn/layer.h"

struct cf_wino;

enum cf_wino_form {
    CF_WINO_F2,     /* F(2x2, 3x3) */
    CF_WINO_F4,     /* F(4x4, 3x3) */
    CF_WINO_PHASES, /* F(3x3, 2x2) of four phases: passes that are twice, and no others */
    CF_WINO_NFORMS
};

/* w [o, i, 3, 3] of F32, F16 or BF16, read and transformed now; bias [o] or NULL.
 * CF_ENOMEM. */
enum cf_status cf_wino_open(struct cf_wino **wino, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            enum cf_wino_form form, struct cf_error *err);
void cf_wino_close(struct cf_wino *wino); /* NULL is fine */

/* Floats of transformed weights. */
size_t cf_wino_held(const struct cf_kern *kern, enum cf_wino_form form, int in, int out);

/* Floats of work for rows rows of a result w pixels wide, wherever they begin. */
size_t cf_wino_work(const struct cf_dnn *dnn, enum cf_wino_form form, int in, int out,
                    int w, int rows);

/* As cf_conv_rows. */
void cf_wino_run(const struct cf_wino *wino, float *dst, const float *plus,
                 const struct cf_conv_pass *pass, int y, int rows, float *work);

#endif
