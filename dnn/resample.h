/* resample.h - changing the size of [h, w, c] grids; all separable, weights from double.
 *
 * dst never overlaps src. work, where asked for, is scratch of [dh, sw, c] floats. */
#ifndef CF_DNN_RESAMPLE_H
#define CF_DNN_RESAMPLE_H

#include "dnn/dnn.h"

/* Half-pixel centres, no antialiasing, edges clamped, also when shrinking
 * (F.interpolate(mode="bilinear", align_corners=False)): src = max((i + 0.5) * in/out -
 * 0.5, 0). Equal sizes copy. */
void cf_resize_bilinear(struct cf_dnn *dnn, float *dst, int dh, int dw, const float *src,
                        int sh, int sw, int c, float *work);

/* Adaptive average pooling (F.interpolate(mode="area")): bins floor(i*in/out) ..
 * ceil((i+1)*in/out). Equal sizes copy. */
void cf_resize_area(struct cf_dnn *dnn, float *dst, int dh, int dw, const float *src,
                    int sh, int sw, int c, float *work);

/* Every pixel twice in each direction: dst [2h, 2w, c]. */
void cf_upsample_nearest2(struct cf_dnn *dnn, float *dst, const float *src, int h, int w,
                          int c);

/* Channels to space, factor f: src [h, w, c*f*f] with packed channel c*f*f + dy*f + dx,
 * dst [h*f, w*f, c] (torch.pixel_shuffle, channels last); and its inverse. */
void cf_pixel_shuffle(float *dst, const float *src, int h, int w, int c, int f);
void cf_pixel_unshuffle(float *dst, const float *src, int h, int w, int c, int f);

#endif
