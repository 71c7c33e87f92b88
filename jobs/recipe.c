#include "jobs/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/parse.h"

enum {
    LIST_MAX = 256,
    VALUES_MAX = 4096,
    NAME_LIMIT = 255,
    PATH_LIMIT = 4095,
    DIGITS = 9
};

enum kind { TEXT, BOOL, COUNT, NUMBER, NUMBERS, COUNTS, SIZE, DIGEST, KV };

static const struct field {
    const char *key;
    enum kind kind;
    double lo, hi;
} field[] = {
    {"model", TEXT, 1, NAME_LIMIT},
    {"cfg", NUMBERS, 0, 100},
    {"tau", NUMBERS, 0.001, 100},
    {"top_k", COUNT, 0, 1 << 30},
    {"top_p", NUMBER, 0, 1},
    {"cfg_insertion_layer", COUNTS, -1000, 0},
    {"flip_bits", NUMBERS, 0, 1},
    {"quality", NUMBER, 0, 100},
    {"lossless", BOOL, 0, 0},
    {"sharp_yuv", BOOL, 0, 0},
    {"method", COUNT, 0, 6},
    {"strict_size", BOOL, 0, 0},
    {"size", SIZE, 1, NAME_LIMIT},
    {"kv_type", KV, 1, NAME_LIMIT},
    {"positive_prompt", BOOL, 0, 0},
    {"init_image", TEXT, 1, PATH_LIMIT},
    {"init_sha256", DIGEST, 1, NAME_LIMIT},
    {"keep_scales", COUNT, 1, LIST_MAX},
    {"cfg_skip", COUNT, 0, LIST_MAX},
    {"prune_tokens", NUMBERS, 0, 1},
};

static const struct field *find(const char *key)
{
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        if (strcmp(field[i].key, key) == 0)
            return &field[i];
    return NULL;
}

static enum cf_status bad(const struct field *f, const json_t *v, const char *where,
                          struct cf_error *err)
{
    static const char *const want[] = {
        "a text",
        "true or false",
        "an integer",
        "a number",
        "a number or a list of numbers",
        "a list of integers",
        "a size by name, such as \"3:2\", \"0.25M\" or \"3:2@0.25M\"",
        "64 hexadecimal digits in lower case",
        "\"f32\" or \"bf16\"",
    };
    char *found = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII |
                                    JSON_REAL_PRECISION(DIGITS));

    if (f->kind < COUNT || f->kind > COUNTS)
        cf_fail(err, CF_EFORMAT, "%s: %s is %.60s, expected %s", where, f->key,
                found ? found : "?", want[f->kind]);
    else
        cf_fail(err, CF_EFORMAT, "%s: %s is %.60s, expected %s in %.10g..%.10g", where,
                f->key, found ? found : "?", want[f->kind], f->lo, f->hi);
    free(found);
    return CF_EFORMAT;
}

static bool is_number(const struct field *f, const json_t *v)
{
    double d = json_number_value(v);

    return json_is_number(v) && d >= f->lo && d <= f->hi;
}

static bool is_count(const struct field *f, const json_t *v)
{
    json_int_t i = json_integer_value(v);

    return json_is_integer(v) && i >= (json_int_t)f->lo && i <= (json_int_t)f->hi;
}

static bool is_list(const struct field *f, const json_t *v)
{
    size_t n = json_array_size(v);

    if (!json_is_array(v) || n < 1 || n > LIST_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);

        if (!(f->kind == COUNTS ? is_count(f, item) : is_number(f, item)))
            return false;
    }
    return true;
}

static bool is_digest(const char *s)
{
    return strlen(s) == CF_DIGEST_HEX - 1 &&
           strspn(s, "0123456789abcdef") == CF_DIGEST_HEX - 1;
}

/* A text that may be what f wants by its length, and for some kinds by its form. */
static bool is_text(const struct field *f, const json_t *v)
{
    const char *s = json_string_value(v);
    struct cf_size_name name;
    size_t len = json_string_length(v);

    return s && len >= 1 && len <= (size_t)f->hi && strlen(s) == len &&
           (f->kind != SIZE || cf_size_name_read(s, &name)) &&
           (f->kind != DIGEST || is_digest(s)) &&
           (f->kind != KV || strcmp(s, "f32") == 0 || strcmp(s, "bf16") == 0);
}

static bool fits(const struct field *f, const json_t *v)
{
    switch (f->kind) {
    case TEXT:
    case SIZE:
    case DIGEST:
    case KV:
        return is_text(f, v);
    case BOOL:
        return json_is_boolean(v);
    case COUNT:
        return is_count(f, v);
    case NUMBER:
        return is_number(f, v);
    case NUMBERS:
        return is_list(f, v) || is_number(f, v);
    case COUNTS:
        return is_list(f, v);
    }
    return false;
}

/* A fresh canonical value of one that fits; NULL when there is no memory for it. */
static json_t *canonical(const struct field *f, const json_t *v)
{
    double d = json_number_value(v);
    json_t *out;

    if (json_is_string(v))
        return json_string(json_string_value(v));
    if (json_is_boolean(v))
        return json_boolean(json_is_true(v));
    if (json_is_number(v))
        return f->kind == COUNT || f->kind == COUNTS ? json_integer(json_integer_value(v))
                                                     : json_real(d == 0 ? 0.0 : d);
    out = json_array();
    for (size_t i = 0; out && i < json_array_size(v); i++)
        if (json_array_append_new(out, canonical(f, json_array_get(v, i))) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}

static enum cf_status lay_over(json_t *out, const json_t *obj, const char *where,
                               struct cf_error *err)
{
    const char *key;
    json_t *v;

    if (!obj)
        return CF_OK;
    if (!json_is_object(obj))
        return cf_fail(err, CF_EFORMAT, "%s: a recipe is an object", where);
    json_object_foreach((json_t *)obj, key, v)
    {
        const struct field *f = find(key);

        if (!f)
            return cf_fail(err, CF_EFORMAT, "%s: unknown key \"%.60s\"", where, key);
        if (json_is_null(v)) {
            json_object_del(out, key);
            continue;
        }
        if (!fits(f, v))
            return bad(f, v, where, err);
        if (json_object_set_new(out, key, canonical(f, v)) != 0)
            return cf_fail(err, CF_ENOMEM, "%s: no memory", where);
    }
    return CF_OK;
}

enum cf_status cf_recipe_merge(const json_t *base, const json_t *over, const char *where,
                               char **canon, struct cf_error *err)
{
    json_t *out = json_object();
    enum cf_status st;

    *canon = NULL;
    st = out ? lay_over(out, base, where, err)
             : cf_fail(err, CF_ENOMEM, "%s: no memory", where);
    if (st == CF_OK)
        st = lay_over(out, over, where, err);
    if (st == CF_OK &&
        !json_object_get(out, "init_image") != !json_object_get(out, "keep_scales"))
        st =
            cf_fail(err, CF_EFORMAT, "%s: init_image and keep_scales go together", where);
    if (st == CF_OK) {
        *canon = cf_json_text(
            out, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(DIGITS), err);
        st = *canon ? CF_OK : CF_ENOMEM;
    }
    json_decref(out);
    return st;
}

enum cf_status cf_recipe_canon(const char *json, size_t len, const char *where,
                               char **canon, struct cf_error *err)
{
    json_t *tree = cf_json_parse(json, len, VALUES_MAX, where, err);
    enum cf_status st;

    *canon = NULL;
    if (!tree)
        return err ? err->status : CF_EFORMAT;
    st = cf_recipe_merge(tree, NULL, where, canon, err);
    json_decref(tree);
    return st;
}
