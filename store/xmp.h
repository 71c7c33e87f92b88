/* xmp.h - the XMP packet of an image (ISO 16684-1): written, and read with distrust.
 *
 * Properties are elements, never attributes: ExifTool 12.57 silently drops IPTC
 * properties it does not know yet when they come as attributes and shows them as
 * elements. Reading takes both, for other programs rewrite packets in the short form. */
#ifndef CF_STORE_XMP_H
#define CF_STORE_XMP_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "store/meta.h"

/* A fresh packet (cf_free), NUL-terminated, well-formed XML 1.0 for any record: what
 * UTF-8 or XML cannot hold becomes U+FFFD. level is not CF_META_NONE. */
char *cf_xmp_write(const struct cf_record *r, enum cf_meta_level level,
                   struct cf_error *err);

/* The fields in CF_META_NS of a packet: see cf_meta_read. packet is well-formed UTF-8
 * with a NUL after len bytes. */
enum cf_status cf_xmp_read(const char *packet, size_t len, json_t **out,
                           struct cf_error *err);

#endif
