/* meta.h - every image tells how it was made: EXIF for people's tools, XMP for machines.
 *
 * EXIF (TIFF header first, no "Exif" prefix: the WebP specification): Software, UserComment
 * in UTF-16 with the text that A1111-style readers parse. XMP, as elements: IPTC
 * DigitalSourceType and AI fields, dc:description, our own namespace
 * "https://cfgen.org/ns/1/" with recipe, hashes and seed. */
#ifndef CF_STORE_META_H
#define CF_STORE_META_H

#include "base/error.h"
#include "store/webp.h"

enum cf_meta_level { CF_META_FULL, CF_META_MINIMAL, CF_META_NONE };

/* All text is UTF-8, borrowed for the call; NULL where unknown. */
struct cf_record {
    const char *prompt, *negative;
    uint64_t seed;
    int width, height, steps;
    const char *model_name, *model_sha256;
    const char *transformer_sha256, *vae_sha256, *text_sha256, *vocab_sha256;
    const char *guidance;     /* "4" or "4,4,3": as used, per step when they differ */
    const char *temperature;
    const char *sampler;      /* "infinity bitwise, top-k 900, top-p 0.97" */
    const char *recipe;       /* JSON of everything that changes pixels */
    const char *recipe_sha256, *job_key, *pixel_sha256;
    const char *build, *isa;
    const char *date;         /* ISO 8601, or NULL for none (reruns must repeat it) */
    const char *note;         /* facts such as a cut prompt or injected bit flips */
};

/* Adds EXIF and XMP chunks to the WebP in blob, in place. Characters that XML cannot hold
 * (control characters) become U+FFFD in XMP; EXIF keeps them. */
enum cf_status cf_meta_attach(struct cf_blob *blob, const struct cf_record *r,
                              enum cf_meta_level level, struct cf_error *err);

/* The record as canonical JSON, one line (manifest, cfgen --meta). Fresh string. */
char *cf_record_json(const struct cf_record *r, struct cf_error *err);

/* The XMP packet of a WebP file, fresh and NUL-terminated; CF_ENOENT when it has none. */
enum cf_status cf_meta_read_xmp(const void *data, size_t size, char **xmp,
                                struct cf_error *err);

#endif
