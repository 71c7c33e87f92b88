#include "weights/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool listed(const char *key, va_list ap)
{
    const char *known;

    while ((known = va_arg(ap, const char *)) != NULL)
        if (strcmp(key, known) == 0)
            return true;
    return false;
}

enum cf_status cf_config_only(const json_t *obj, const char *where, struct cf_error *err,
                              ...)
{
    const char *key;
    json_t *value;

    if (!json_is_object(obj))
        return cf_fail(err, CF_EFORMAT, "%s: found %s, expected an object", where,
                       obj ? "another type" : "nothing");
    json_object_foreach((json_t *)obj, key, value)
    {
        bool known;
        va_list ap;

        va_start(ap, err);
        known = listed(key, ap);
        va_end(ap);
        if (!known)
            return cf_fail(err, CF_EFORMAT, "%s: unknown key \"%.100s\"", where, key);
    }
    return CF_OK;
}

enum cf_status cf_config_int(const json_t *obj, const char *key, int lo, int hi, int *out,
                             const char *where, struct cf_error *err)
{
    int64_t value;

    CF_TRY(cf_json_int(obj, key, lo, hi, &value, where, err));
    *out = (int)value;
    return CF_OK;
}

enum cf_status cf_config_opt_int(const json_t *obj, const char *key, int lo, int hi,
                                 int *out, const char *where, struct cf_error *err)
{
    if (!json_object_get(obj, key))
        return CF_OK;
    return cf_config_int(obj, key, lo, hi, out, where, err);
}

enum cf_status cf_config_opt_num(const json_t *obj, const char *key, double lo, double hi,
                                 double *out, const char *where, struct cf_error *err)
{
    if (!json_object_get(obj, key))
        return CF_OK;
    return cf_json_num(obj, key, lo, hi, out, where, err);
}

enum cf_status cf_config_opt_bool(const json_t *obj, const char *key, bool *out,
                                  const char *where, struct cf_error *err)
{
    if (!json_object_get(obj, key))
        return CF_OK;
    return cf_json_bool(obj, key, out, where, err);
}

enum cf_status cf_config_opt_str(const json_t *obj, const char *key, const char **out,
                                 const char *where, struct cf_error *err)
{
    if (!json_object_get(obj, key))
        return CF_OK;
    return cf_json_str(obj, key, out, where, err);
}

static enum cf_status list(const json_t *obj, const char *key, int max, json_t **arr,
                           int *n, const char *where, struct cf_error *err)
{
    CF_TRY(cf_json_arr(obj, key, arr, where, err));
    if (json_array_size(*arr) < 1 || json_array_size(*arr) > (size_t)max)
        return cf_fail(err, CF_EFORMAT, "%s: %s has %zu elements, expected 1..%d", where,
                       key, json_array_size(*arr), max);
    *n = (int)json_array_size(*arr);
    return CF_OK;
}

enum cf_status cf_config_ints(const json_t *obj, const char *key, int lo, int hi,
                              int *out, int max, int *n, const char *where,
                              struct cf_error *err)
{
    json_t *arr;

    CF_TRY(list(obj, key, max, &arr, n, where, err));
    for (int i = 0; i < *n; i++) {
        const json_t *v = json_array_get(arr, (size_t)i);

        if (!json_is_integer(v) || json_integer_value(v) < lo ||
            json_integer_value(v) > hi)
            return cf_fail(err, CF_EFORMAT, "%s: %s[%d] is not an integer in %d..%d",
                           where, key, i, lo, hi);
        out[i] = (int)json_integer_value(v);
    }
    return CF_OK;
}

enum cf_status cf_config_nums(const json_t *obj, const char *key, double lo, double hi,
                              double *out, int max, int *n, const char *where,
                              struct cf_error *err)
{
    json_t *arr;

    CF_TRY(list(obj, key, max, &arr, n, where, err));
    for (int i = 0; i < *n; i++) {
        const json_t *v = json_array_get(arr, (size_t)i);

        out[i] = json_number_value(v);
        if (!json_is_number(v) || !(out[i] >= lo && out[i] <= hi))
            return cf_fail(err, CF_EFORMAT, "%s: %s[%d] is not a number in %g..%g", where,
                           key, i, lo, hi);
    }
    return CF_OK;
}

enum cf_status cf_config_choice(const json_t *obj, const char *key,
                                const char *const *names, int count, int *out,
                                const char *where, struct cf_error *err)
{
    char all[200] = "";
    const char *found;

    CF_TRY(cf_json_str(obj, key, &found, where, err));
    for (int i = 0; i < count; i++) {
        size_t at = strlen(all);

        if (strcmp(found, names[i]) == 0) {
            *out = i;
            return CF_OK;
        }
        snprintf(all + at, sizeof all - at, "%s\"%s\"", i ? ", " : "", names[i]);
    }
    return cf_fail(err, CF_EFORMAT, "%s: %s is \"%.100s\", expected one of %s", where,
                   key, found, all);
}
