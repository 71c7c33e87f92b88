/* variation.h - the image whose coarse scales an image keeps: from its file to pixels of
 * the right size (base/lanczos.h). */
#ifndef CF_PIPELINE_VARIATION_H
#define CF_PIPELINE_VARIATION_H

#include "base/digest.h"
#include "base/error.h"
#include "base/image.h"

struct cf_variation {
    struct cf_image image;      /* rgb owned */
    char sha256[CF_DIGEST_HEX]; /* of the file */
};
void cf_variation_free(struct cf_variation *v); /* zeroes it */

/* The file, WebP of any size, resized to cover w x h and cut to it. dir: where a relative
 * path begins; NULL: the working directory. sha256: what the file must have; "": any.
 * CF_ENOENT where it cannot be read, CF_EFORMAT for what is no WebP (PNG and JPEG are
 * told by name, with what to do), CF_EMISMATCH for another hash; all name the file. */
enum cf_status cf_variation_read(struct cf_variation *v, const char *dir,
                                 const char *path, const char *sha256, int w, int h,
                                 struct cf_error *err);

#endif
