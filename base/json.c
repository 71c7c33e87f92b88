#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

/* No value comes without one of these bytes before or after it, so their count bounds the
 * number of values (bytes inside strings only make the bound larger). */
static size_t value_bound(const char *text, size_t len)
{
    size_t n = 1;

    for (size_t i = 0; i < len; i++)
        n += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
    return n;
}

/* Jansson 2.14 writes past a block when the buffer of a long string cannot grow
 * (lex_scan_string looks for a quote that was never saved), so memory must not run out in
 * there. Ask first for more than it can come to, and give that back. */
static enum cf_status ask_for_memory(size_t len, size_t values, struct cf_error *err)
{
    void *p;

    if (len > SIZE_MAX / 16 || values > SIZE_MAX / 512)
        return cf_fail(err, CF_ENOMEM, "memory: %zu bytes of JSON", len);
    p = cf_alloc(6 * len + 128 * values, 1, err);
    cf_free(p);
    return p ? CF_OK : CF_ENOMEM;
}

json_t *cf_json_parse(const char *text, size_t len, size_t max_values, const char *where,
                      struct cf_error *err)
{
    size_t values = value_bound(text, len);
    json_error_t je;
    json_t *tree;

    if (values > max_values) {
        cf_fail(err, CF_EFORMAT, "%s: more than %zu JSON values", where, max_values);
        return NULL;
    }
    if (ask_for_memory(len, values, err) != CF_OK)
        return NULL;
    tree = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
    /* Where Jansson runs out of memory it mostly just stops, without a text. */
    if (!tree && (!je.text[0] || json_error_code(&je) == json_error_out_of_memory))
        cf_fail(err, CF_ENOMEM, "%s: no memory for %zu bytes of JSON", where, len);
    else if (!tree)
        cf_fail(err, CF_EFORMAT, "%s: line %d, column %d: %s", where, je.line, je.column,
                je.text);
    return tree;
}

json_t *cf_json_load(const char *path, size_t max_bytes, size_t max_values,
                     struct cf_error *err)
{
    size_t len;
    char *text = cf_file_read(path, max_bytes, &len, err);
    struct cf_error why = {0};
    json_t *tree = text ? cf_json_parse(text, len, max_values, path, &why) : NULL;

    if (why.status == CF_EFORMAT)
        cf_file_no_download(text, len, path, err);
    if (why.status)
        cf_fail(err, why.status, "%s", why.msg); /* unless that told more */
    cf_free(text);
    return tree;
}

static const char *type_name(const json_t *v)
{
    static const char *const name[] = {"an object", "an array", "a string", "an integer",
                                       "a number",  "true",     "false",    "null"};

    return v ? name[json_typeof(v)] : "nothing";
}

static enum cf_status wrong(const json_t *v, const char *key, const char *want,
                            const char *where, struct cf_error *err)
{
    return cf_fail(err, CF_EFORMAT, "%s: %s: found %s, expected %s", where, key,
                   type_name(v), want);
}

enum cf_status cf_json_int(const json_t *obj, const char *key, int64_t lo, int64_t hi,
                           int64_t *out, const char *where, struct cf_error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_integer(v))
        return wrong(v, key, "an integer", where, err);
    *out = json_integer_value(v);
    if (*out < lo || *out > hi)
        return cf_fail(err, CF_EFORMAT, "%s: %s is %lld, expected %lld..%lld", where, key,
                       (long long)*out, (long long)lo, (long long)hi);
    return CF_OK;
}

enum cf_status cf_json_num(const json_t *obj, const char *key, double lo, double hi,
                           double *out, const char *where, struct cf_error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_number(v))
        return wrong(v, key, "a number", where, err);
    *out = json_number_value(v);
    if (!(*out >= lo && *out <= hi))
        return cf_fail(err, CF_EFORMAT, "%s: %s is %g, expected %g..%g", where, key, *out,
                       lo, hi);
    return CF_OK;
}

enum cf_status cf_json_str(const json_t *obj, const char *key, const char **out,
                           const char *where, struct cf_error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_string(v))
        return wrong(v, key, "a string", where, err);
    *out = json_string_value(v);
    if (strlen(*out) != json_string_length(v))
        return cf_fail(err, CF_EFORMAT, "%s: %s holds a NUL", where, key);
    return CF_OK;
}

enum cf_status cf_json_bool(const json_t *obj, const char *key, bool *out,
                            const char *where, struct cf_error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_boolean(v))
        return wrong(v, key, "true or false", where, err);
    *out = json_is_true(v);
    return CF_OK;
}

enum cf_status cf_json_obj(const json_t *obj, const char *key, json_t **out,
                           const char *where, struct cf_error *err)
{
    *out = json_object_get(obj, key);
    if (!json_is_object(*out))
        return wrong(*out, key, "an object", where, err);
    return CF_OK;
}

enum cf_status cf_json_arr(const json_t *obj, const char *key, json_t **out,
                           const char *where, struct cf_error *err)
{
    *out = json_object_get(obj, key);
    if (!json_is_array(*out))
        return wrong(*out, key, "an array", where, err);
    return CF_OK;
}
