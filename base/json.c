#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

/* Jansson's parser must not run out of memory: 2.14 then calls a string that it has no room
 * for a syntax error, and where the buffer of its lexer cannot grow it loses digits of
 * numbers and writes past the block of a string. So it never does. A reserve that holds
 * more than a text can come to is taken before; what malloc refuses in the middle of a text
 * comes from there, and then the tree is given up as a whole. Outside of a parse, and in
 * threads that parse nothing, these functions are malloc and free. */
struct reserve {
    char *block;
    size_t room, used;
};

static _Thread_local struct reserve *parsing;

static void *take(size_t size)
{
    void *p = malloc(size);
    struct reserve *r = parsing;

    if (p || !r || size > r->room - r->used)
        return p;
    p = r->block + r->used;
    size = (size + 15) & ~(size_t)15;
    r->used += size < r->room - r->used ? size : r->room - r->used;
    return p;
}

static void give_back(void *p)
{
    const struct reserve *r = parsing;

    if (!r || (char *)p < r->block || (char *)p >= r->block + r->room)
        free(p);
}

/* Before main: no other thread is in Jansson yet. */
__attribute__((constructor)) static void watch_jansson(void)
{
    json_set_alloc_funcs(take, give_back);
}

/* No value comes without one of these bytes before or after it, so their count bounds the
 * number of values (bytes inside strings only make the bound larger). */
static size_t value_bound(const char *text, size_t len)
{
    size_t n = 1;

    for (size_t i = 0; i < len; i++)
        n += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
    return n;
}

/* More than Jansson asks for to read so much, freed blocks counted in: buffers that double
 * come to 4 bytes a byte, copies of keys and strings to 2, a value with its place in an
 * object or array to less than 256. */
static enum cf_status reserve_for(struct reserve *r, size_t len, size_t values,
                                  struct cf_error *err)
{
    if (len > SIZE_MAX / 32 || values > SIZE_MAX / 1024)
        return cf_fail(err, CF_ENOMEM, "memory: %zu bytes of JSON", len);
    r->room = 8 * len + 256 * values + 1024;
    r->block = cf_alloc(r->room, 1, err);
    return r->block ? CF_OK : CF_ENOMEM;
}

json_t *cf_json_parse(const char *text, size_t len, size_t max_values, const char *where,
                      struct cf_error *err)
{
    size_t values = value_bound(text, len);
    struct reserve reserve = {0};
    json_error_t je;
    json_t *tree;

    if (values > max_values) {
        cf_fail(err, CF_EFORMAT, "%s: more than %zu JSON values", where, max_values);
        return NULL;
    }
    if (reserve_for(&reserve, len, values, err) != CF_OK)
        return NULL;
    parsing = &reserve;
    tree = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
    if (reserve.used) {
        json_decref(tree);
        tree = NULL;
        cf_fail(err, CF_ENOMEM, "%s: no memory for %zu bytes of JSON", where, len);
    } else if (!tree) {
        cf_fail(err, CF_EFORMAT, "%s: line %d, column %d: %s", where, je.line, je.column,
                je.text);
    }
    parsing = NULL;
    cf_free(reserve.block);
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

char *cf_json_text(const json_t *tree, size_t flags, struct cf_error *err)
{
    size_t n = json_dumpb(tree, NULL, 0, flags);
    char *text = n ? cf_alloc(n + 1, 1, err) : NULL;

    if (text && json_dumpb(tree, text, n, flags) == n) {
        text[n] = '\0';
        return text;
    }
    cf_free(text);
    cf_fail(err, CF_ENOMEM, "no memory for the text of JSON");
    return NULL;
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
