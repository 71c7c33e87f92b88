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
 * Tiles are counted from the first row of the picture, and each is computed whole: no
 * value depends on which rows are asked for, nor on the number of threads. */
#ifndef CF_DNN_WINO_H
#define CF_DNN_WINO_H

#include "dnn/kern.h"
#include "dnn/layer.h"

struct cf_wino;

/* w [o, i, 3, 3] of F32, F16 or BF16, read and transformed now; bias [o] or NULL; tile 2
 * or 4. CF_ENOMEM. */
enum cf_status cf_wino_open(struct cf_wino **wino, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias, int tile,
                            struct cf_error *err);
void cf_wino_close(struct cf_wino *wino); /* NULL is fine */

/* Floats of transformed weights. */
size_t cf_wino_held(const struct cf_kern *kern, int tile, int in, int out);

/* Floats of work for rows rows of a picture w pixels wide, wherever they begin. */
size_t cf_wino_work(const struct cf_dnn *dnn, int tile, int in, int out, int w, int rows);

/* As cf_conv_rows. */
void cf_wino_run(const struct cf_wino *wino, float *dst, const float *plus,
                 const struct cf_conv_pass *pass, int y, int rows, float *work);

#endif
