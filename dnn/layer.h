/* layer.h - layers with weights: linear and convolution.
 *
 * Convolutions go through oneDNN or, where it is faster, by Winograd's filtering
 * (wino.h). A linear layer is our own, panel by panel through the
 * kernels of kern.h (panels.c), over weights that were packed or over those in the file,
 * in whatever type; its additions over k run in order, whatever the number of rows or
 * threads. At level c, where those kernels are plain C, a packed linear layer is a 1x1
 * convolution of oneDNN with a pinned layout of the weights, whose rounding does not
 * depend on rows and threads either (plain matmul changes kernels with M). */
#ifndef CF_DNN_LAYER_H
#define CF_DNN_LAYER_H

#include "base/weight.h"
#include "dnn/dnn.h"

struct cf_linear;

/* How a linear layer holds its weights. All give the same value up to rounding (with our
 * own kernels the first two the same bits), so which one it is belongs to what an image
 * records. */
enum cf_hold {
    CF_HOLD_PACK,   /* widened to floats and packed, a private copy: fastest for little */
    CF_HOLD_MAP,    /* read where they lie: shared by all processes, no copy */
    CF_HOLD_ONEDNN, /* packed by oneDNN at any level, to be compared with */
};

/* Whether a layer of w reads it in place, so that w outlives the layer. */
static inline bool cf_linear_maps(const struct cf_weight *w, enum cf_hold hold)
{
    return hold == CF_HOLD_MAP || w->type > CF_W_BF16;
}

/* y = x W^T + b.
 *   w     of any type. CF_HOLD_PACK: F32, F16 or BF16 are read and packed now, not kept;
 *         int8 and 4 bits are held as with CF_HOLD_MAP: borrowed, they outlive the layer
 *   bias  [n] floats, copied; NULL for none
 * CF_ENOMEM, CF_ESHAPE. */
enum cf_status cf_linear_open(struct cf_linear **lin, struct cf_dnn *dnn,
                              const struct cf_weight *w, const float *bias,
                              enum cf_hold hold, struct cf_error *err);
void cf_linear_close(struct cf_linear *lin); /* NULL is fine */
int cf_linear_in(const struct cf_linear *lin);
int cf_linear_out(const struct cf_linear *lin);

/* dst [m, n], src [m, k], dense rows, 64-byte aligned starts preferred; must not overlap.
 * m == 0 does nothing. */
enum cf_status cf_linear_run(struct cf_linear *lin, float *dst, const float *src, int m,
                             struct cf_error *err);

struct cf_conv;

struct cf_conv_shape {
    int stride;                   /* 1 or 2 */
    int top, left, bottom, right; /* zero padding */
};

/* How a convolution is computed. Values differ by rounding alone. */
enum cf_conv_how {
    CF_CONV_AUTO,   /* by instruction set and shape: the fastest, as measured (conv.c) */
    CF_CONV_DIRECT, /* oneDNN */
    CF_CONV_WINO2,  /* Winograd, 2x2 or 4x4 outputs at a time: 3x3 with stride 1 and */
    CF_CONV_WINO4,  /* padding 1 alone */
};

/* w [o, i, kh, kw] as PyTorch stores it; bias [o], NULL for none. */
enum cf_status cf_conv_open(struct cf_conv **conv, struct cf_dnn *dnn,
                            const struct cf_view *w, const float *bias,
                            struct cf_conv_shape shape, struct cf_error *err);
enum cf_status cf_conv_open_as(struct cf_conv **conv, struct cf_dnn *dnn,
                               const struct cf_view *w, const float *bias,
                               struct cf_conv_shape shape, enum cf_conv_how how,
                               struct cf_error *err);
void cf_conv_close(struct cf_conv *conv);
int cf_conv_in(const struct cf_conv *conv);
int cf_conv_out(const struct cf_conv *conv);
/* Floats of packed weights. */
size_t cf_conv_held(const struct cf_conv *conv);
/* The same before there is one: weights [out, in, kh, kw], stride 1 and padding that
 * keeps the size, at a level (CF_CPU_AUTO: the best here). */
size_t cf_conv_needs(enum cf_cpu level, int64_t out, int64_t in, int64_t kh, int64_t kw);

/* dst [oh, ow, o], src [h, w, i]; oh = (h + top + bottom - kh) / stride + 1. */
enum cf_status cf_conv_run(struct cf_conv *conv, float *dst, const float *src, int h,
                           int w, struct cf_error *err);

/* A picture on its way into a 3x3 convolution with stride 1 and padding 1. What is
 * convolved, u, is never whole in memory:
 *
 *     u = silu(src mul + add)   or, without mul,   u = src
 *
 * and if twice, every pixel of it becomes 2 x 2. The padding is zeros around u. */
struct cf_conv_pass {
    const float *src;       /* [h, w, i] */
    const float *mul, *add; /* [i], or both NULL */
    int h, w, twice;
};

/* Rows y .. y+rows-1 of the result: dst [rows, w, o] = conv(u) (+ plus). plus lies as dst
 * does and may be dst; NULL: none. The same values for any y and rows. work is that of
 * cf_conv_work for as many rows or more. CF_ERANGE for rows outside of the picture and
 * other convolutions. */
enum cf_status cf_conv_rows(struct cf_conv *conv, float *dst, const float *plus,
                            const struct cf_conv_pass *pass, int y, int rows, float *work,
                            struct cf_error *err);

/* Floats of work for up to rows rows of a convolution opened with how, whatever the
 * number of threads; onto: plus will be dst. Of pass only the sizes are looked at. */
size_t cf_conv_work(const struct cf_dnn *dnn, enum cf_conv_how how, int in, int out,
                    const struct cf_conv_pass *pass, int rows, int onto);

/* Whether work stays small however many rows there are, so that all are best asked for at
 * once. */
int cf_conv_bands_itself(const struct cf_dnn *dnn, enum cf_conv_how how, int in, int out);

#endif
