/* webp.h - RGB8 to WebP bytes by libwebp's full encoder; blobs of bytes. */
#ifndef CF_STORE_WEBP_H
#define CF_STORE_WEBP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/image.h"

/* Bytes of a file in the making. */
struct cf_blob {
    uint8_t *data; /* owned, cf_free */
    size_t size;
};
void cf_blob_free(struct cf_blob *b); /* zeroes it */

struct cf_webp {
    bool lossless;
    float quality;  /* 0..100, default 90; effort when lossless */
    int method;     /* 0 fast .. 6 small, default 4 */
    bool sharp_yuv; /* default true; lossy only */
};

void cf_webp_default(struct cf_webp *w);
enum cf_status cf_webp_check(const struct cf_webp *w, struct cf_error *err);

/* One thread. CF_ERANGE for a side outside 1..16383; CF_ENOMEM. */
enum cf_status cf_webp_encode(const struct cf_image *image, const struct cf_webp *w,
                              struct cf_blob *out, struct cf_error *err);
/* The same, and CF_ECANCEL soon after the flag is set. */
enum cf_status cf_webp_encode_until(const struct cf_image *image, const struct cf_webp *w,
                                    struct cf_cancel *cancel, struct cf_blob *out,
                                    struct cf_error *err);

/* Decode (tests, image input). image->rgb is fresh (cf_free). Refuses more than 2^26
 * pixels. */
enum cf_status cf_webp_decode(const void *data, size_t size, struct cf_image *image,
                              struct cf_error *err);

/* What the head of a WebP file says. */
struct cf_webp_info {
    int w, h;
    bool lossless;
};
enum cf_status cf_webp_info(const void *data, size_t size, struct cf_webp_info *info,
                            struct cf_error *err);

/* As cf_webp_decode, but scaled down while decoding so that no side is above `side`; an
 * image that fits is not scaled. */
enum cf_status cf_webp_decode_fit(const void *data, size_t size, int side,
                                  struct cf_image *image, struct cf_error *err);

/* Decodes blob and compares it with the image it was made from: a broken library or
 * memory must not spoil a data set in silence. Lossless only; worth one call per process.
 * CF_EMISMATCH names the first pixel that differs. */
enum cf_status cf_webp_verify(const struct cf_blob *blob, const struct cf_image *image,
                              struct cf_error *err);

#endif
