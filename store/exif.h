/* exif.h - the EXIF chunk of a WebP file: who made it, and one comment.
 *
 * A TIFF block in Intel order: Software in the first directory, UserComment in the Exif
 * directory as "UNICODE", a NUL and UTF-16 in the TIFF's own byte order, which ExifTool,
 * exiv2 and the A1111-style readers all take. ImageDescription is left out: EXIF makes it
 * ASCII, and readers turn UTF-8 there to mojibake. */
#ifndef CF_STORE_EXIF_H
#define CF_STORE_EXIF_H

#include "base/error.h"
#include "store/webp.h"

/* The chunk's bytes, starting with the TIFF header: the WebP specification knows no
 * "Exif" prefix, and ExifTool warns of one.
 *   software   ASCII
 *   comment    UTF-8, ill-formed parts become U+FFFD; NULL: no UserComment
 * CF_ENOMEM; CF_ERANGE where comment is longer than CF_EXIF_MAX bytes. */
enum { CF_EXIF_MAX = 1 << 23 };
enum cf_status cf_exif_make(const char *software, const char *comment,
                            struct cf_blob *out, struct cf_error *err);

#endif
