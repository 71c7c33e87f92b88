/* json.h - JSON is read with the limits that hostile files need, and written whole.
 *
 * Jansson reads and holds it. Duplicate keys are refused, nesting is bounded by Jansson
 * (2048), a text with more values than max_values is refused before memory is asked for,
 * and a lack of memory is never called a fault of the text. Read the tree with Jansson's
 * own calls, or with the checked getters below, which name the key, what was found and
 * what was expected. */
#ifndef CF_BASE_JSON_H
#define CF_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Parse len bytes (well-formed UTF-8; a NUL only as \u0000). where names the text in
 * messages. NULL with CF_EFORMAT and the line and column, or CF_ENOMEM. The caller owns
 * the tree (json_decref). */
json_t *cf_json_parse(const char *text, size_t len, size_t max_values, const char *where,
                      struct cf_error *err);

/* The whole file, refused above max_bytes. */
json_t *cf_json_load(const char *path, size_t max_bytes, size_t max_values,
                     struct cf_error *err);

/* The tree as text, by Jansson's flags, for cf_free; NULL with CF_ENOMEM. Where its
 * buffer cannot grow json_dumps leaves out keys and returns the rest as if nothing had
 * been. */
char *cf_json_text(const json_t *tree, size_t flags, struct cf_error *err);

/* Checked getters on an object. A missing key is CF_EFORMAT, another type or a number
 * outside [lo, hi] too. */
enum cf_status cf_json_int(const json_t *obj, const char *key, int64_t lo, int64_t hi,
                           int64_t *out, const char *where, struct cf_error *err);
enum cf_status cf_json_num(const json_t *obj, const char *key, double lo, double hi,
                           double *out, const char *where, struct cf_error *err);
/* Borrowed from the tree, NUL-terminated, without inner NULs. */
enum cf_status cf_json_str(const json_t *obj, const char *key, const char **out,
                           const char *where, struct cf_error *err);
enum cf_status cf_json_bool(const json_t *obj, const char *key, bool *out,
                            const char *where, struct cf_error *err);
/* Borrowed child object or array; CF_EFORMAT when absent or of another type. */
enum cf_status cf_json_obj(const json_t *obj, const char *key, json_t **out,
                           const char *where, struct cf_error *err);
enum cf_status cf_json_arr(const json_t *obj, const char *key, json_t **out,
                           const char *where, struct cf_error *err);

#endif
