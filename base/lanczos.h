/* lanczos.h - an image of any size to one of a wanted size: resized to cover it with a
 * Lanczos filter, and what stands over on two sides cut off equally.
 *
 *     L(x) = sinc(x) sinc(x / 3),  |x| < 3
 *
 * stretched by the scale where the image shrinks, so that every pixel of the source
 * counts. Columns first, then rows, 8 bits in between, weights as 22-bit fractions: the
 * steps are those of Pillow's LANCZOS, which the reference takes for its forced scales
 * (tools/run_infinity.py, transform). Only integers are added up, so machines agree. */
#ifndef CF_BASE_LANCZOS_H
#define CF_BASE_LANCZOS_H

#include "base/error.h"
#include "base/image.h"

/* dst->rgb is fresh (cf_free), w x h without gaps; src is only read and may have gaps.
 * A source of that size is copied. CF_ERANGE for a side below 1; CF_ENOMEM. */
enum cf_status cf_lanczos_cover(struct cf_image *dst, const struct cf_image *src, int w,
                                int h, struct cf_error *err);

#endif
