/* image_read.h - a finished image back from below the output root, in either layout.
 *
 * What a row says about it is hostile: a path that is none of ours is refused before
 * anything is opened, links are not followed, sizes are compared before memory is asked
 * for. */
#ifndef CF_STORE_IMAGE_READ_H
#define CF_STORE_IMAGE_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

/* "ab/cd/STEM.webp", the name that cf_sink_put gives: nothing else is ours to remove. */
bool cf_image_is_file(const char *path);

enum { CF_IMAGE_BYTES_MAX = 1 << 30 };

/* The file as it was written, owned by the caller (cf_blob_free).
 *   path    "ab/cd/STEM.webp" with offset 0, or "NNNNN.tar", which may still be called
 *           NNNNN.tar.part
 *   offset  0, or where the image begins in the tar
 *   bytes   its size: another one on disk is CF_EMISMATCH
 * CF_ENOENT when it is gone; CF_EFORMAT for a path or offset that cannot be, no plain
 * file, a tar that has no image there; CF_ERANGE for bytes outside
 * 1..CF_IMAGE_BYTES_MAX. */
enum cf_status cf_image_read(const char *root, const char *path, int64_t offset,
                             int64_t bytes, struct cf_blob *blob, struct cf_error *err);

/* The same, but the image itself is not read: is it there, with that size? */
enum cf_status cf_image_look(const char *root, const char *path, int64_t offset,
                             int64_t bytes, struct cf_error *err);

#endif
