/* config.h - typed fields out of a JSON object, and nothing else in it.
 *
 * A section of model.json or a config.json is read field by field into a struct. A
 * misspelt key must not silently mean "the default", so a reader first says which keys it
 * knows (cf_config_only) and then takes them. where names the object in messages:
 * "model.json: sizes". All faults are CF_EFORMAT, naming the key, what was found and what
 * was expected.
 *
 * Required fields of other types: cf_json_num, cf_json_str, cf_json_bool, cf_json_obj and
 * cf_json_arr of base/json.h. */
#ifndef CF_WEIGHTS_CONFIG_H
#define CF_WEIGHTS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"

/* obj is an object (CF_EFORMAT otherwise, NULL included) and holds no key but those
 * listed; the list ends with NULL. The first unknown key is named. */
enum cf_status cf_config_only(const json_t *obj, const char *where, struct cf_error *err,
                              ...) __attribute__((sentinel));

/* A required integer in [lo, hi]. */
enum cf_status cf_config_int(const json_t *obj, const char *key, int lo, int hi, int *out,
                             const char *where, struct cf_error *err);

/* Optional fields: when the key is absent *out keeps the default that the caller put
 * there; when it is present it must fit. null is not absent. */
enum cf_status cf_config_opt_int(const json_t *obj, const char *key, int lo, int hi,
                                 int *out, const char *where, struct cf_error *err);
enum cf_status cf_config_opt_num(const json_t *obj, const char *key, double lo, double hi,
                                 double *out, const char *where, struct cf_error *err);
enum cf_status cf_config_opt_bool(const json_t *obj, const char *key, bool *out,
                                  const char *where, struct cf_error *err);
/* Borrowed from the tree. */
enum cf_status cf_config_opt_str(const json_t *obj, const char *key, const char **out,
                                 const char *where, struct cf_error *err);

/* A required array of 1..max numbers, each in [lo, hi]; *n of them in out. */
enum cf_status cf_config_ints(const json_t *obj, const char *key, int lo, int hi,
                              int *out, int max, int *n, const char *where,
                              struct cf_error *err);
enum cf_status cf_config_nums(const json_t *obj, const char *key, double lo, double hi,
                              double *out, int max, int *n, const char *where,
                              struct cf_error *err);

/* A required string that is one of names[0 .. count-1]; *out is its index. The message
 * lists all of them. */
enum cf_status cf_config_choice(const json_t *obj, const char *key,
                                const char *const *names, int count, int *out,
                                const char *where, struct cf_error *err);

#endif
