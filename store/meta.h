/* meta.h - every image tells how it was made: EXIF for people's tools, XMP for machines.
 *
 * EXIF (TIFF header first, no "Exif" prefix: the WebP specification): Software,
 * UserComment in UTF-16 with the text that A1111-style readers parse. XMP, as elements:
 * IPTC DigitalSourceType and AI fields, dc:description, our own namespace CF_META_NS with
 * recipe, hashes and seed. One record and one level always give the same bytes. */
#ifndef CF_STORE_META_H
#define CF_STORE_META_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

#define CF_META_NS "https://cfgen.org/ns/1/"

enum {
    CF_META_SCHEMA = 1,         /* raised when a field changes its meaning */
    CF_META_TEXT_MAX = 1 << 20, /* bytes of one text of a record */
    CF_META_XMP_MAX = 1 << 23   /* bytes of a packet */
};

/* Full: everything. Minimal: Software and DigitalSourceType. None: no chunk. */
enum cf_meta_level { CF_META_FULL, CF_META_MINIMAL, CF_META_NONE };

/* "full", "minimal" or "none"; else CF_EUSAGE about what, an option's name. */
enum cf_status cf_meta_level_parse(const char *s, enum cf_meta_level *level,
                                   const char *what, struct cf_error *err);

/* All text is UTF-8 (ill-formed parts are written as U+FFFD), borrowed for the call; NULL
 * where unknown. A count of 0 is unknown too. */
struct cf_record {
    const char *prompt, *negative;
    const char *prompt_encoded; /* where it is not the prompt itself */
    uint64_t seed;
    int width, height, steps;
    const char *weights; /* in which types: "transformer bf16 mapped, ..." */
    const char *model_name, *model_sha256;
    const char *transformer_sha256, *vae_sha256, *text_sha256, *vocab_sha256;
    const char *guidance; /* "4" or "4,4,3": as used, per step when they differ */
    const char *temperature;
    const char *sampler; /* "infinity bitwise, top-k 900, top-p 0.97" */
    const char *recipe;  /* JSON of everything that changes pixels */
    const char *recipe_sha256, *job_key, *pixel_sha256;
    const char *build, *isa;
    const char *date; /* ISO 8601, or NULL for none (reruns must repeat it) */
    const char *note; /* facts such as a cut prompt or injected bit flips */
};

/* Adds EXIF and XMP chunks to the WebP in blob, in place; chunks of these kinds that it
 * has are replaced. Characters that XML cannot hold (control characters) become U+FFFD in
 * XMP; EXIF keeps them. On failure blob is as it was: CF_EFORMAT when it is no WebP,
 * CF_ERANGE for a text above CF_META_TEXT_MAX or a packet above CF_META_XMP_MAX,
 * CF_ENOMEM. */
enum cf_status cf_meta_attach(struct cf_blob *blob, const struct cf_record *r,
                              enum cf_meta_level level, struct cf_error *err);

/* The record as canonical JSON, one line (manifest, cfgen --meta): keys sorted, no
 * blanks, unknown fields left out. The names are those of struct cf_record and "schema".
 * The seed is a string, because 64 bits do not survive as a number in most readers; the
 * recipe is embedded as an object when it parses as one, else a string. Fresh string
 * (cf_free). */
char *cf_record_json(const struct cf_record *r, struct cf_error *err);

/* The XMP packet of a WebP file, fresh and NUL-terminated, well-formed UTF-8 without
 * inner NULs; CF_ENOENT when it has none, CF_EFORMAT when it is no WebP, or the packet is
 * not text or longer than CF_META_XMP_MAX. */
enum cf_status cf_meta_read_xmp(const void *data, size_t size, char **xmp,
                                struct cf_error *err);

/* What cf_meta_attach wrote, read back from the XMP of a WebP file: a JSON object of the
 * fields in CF_META_NS in the types of cf_record_json (the same object, save for U+FFFD).
 * Names we do not know are kept as strings. The caller owns *out (json_decref). The file
 * is hostile: no network, no document type, no entities. CF_ENOENT without a packet or
 * without fields of ours; CF_EFORMAT for a damaged one. */
struct json_t;
enum cf_status cf_meta_read(const void *data, size_t size, struct json_t **out,
                            struct cf_error *err);

#endif
