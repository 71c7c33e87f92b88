#include "store/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"

#define TEXT(name)                                                                       \
    {                                                                                    \
#name, CF_FIELD_TEXT, offsetof(struct cf_record, name)                           \
    }
#define COUNT(name)                                                                      \
    {                                                                                    \
#name, CF_FIELD_COUNT, offsetof(struct cf_record, name)                          \
    }

const struct cf_field cf_fields[CF_NFIELD] = {
    TEXT(prompt),
    TEXT(negative),
    TEXT(prompt_encoded),
    {"seed", CF_FIELD_SEED, offsetof(struct cf_record, seed)},
    COUNT(width),
    COUNT(height),
    COUNT(steps),
    TEXT(guidance),
    TEXT(temperature),
    TEXT(sampler),
    TEXT(model_name),
    TEXT(model_sha256),
    TEXT(transformer_sha256),
    TEXT(vae_sha256),
    TEXT(text_sha256),
    TEXT(vocab_sha256),
    TEXT(weights),
    {"recipe", CF_FIELD_JSON, offsetof(struct cf_record, recipe)},
    TEXT(recipe_sha256),
    TEXT(job_key),
    TEXT(pixel_sha256),
    TEXT(build),
    TEXT(isa),
    TEXT(date),
    TEXT(note),
};

const struct cf_field *cf_field_find(const char *name)
{
    for (int i = 0; i < CF_NFIELD; i++)
        if (strcmp(cf_fields[i].name, name) == 0)
            return &cf_fields[i];
    return NULL;
}

const char *cf_field_text(const struct cf_record *r, const struct cf_field *f, char *buf)
{
    const char *at = (const char *)r + f->at;
    const char *text;
    uint64_t seed;
    int count;

    switch (f->kind) {
    case CF_FIELD_SEED:
        memcpy(&seed, at, sizeof seed);
        snprintf(buf, CF_FIELD_BUF, "%" PRIu64, seed);
        return buf;
    case CF_FIELD_COUNT:
        memcpy(&count, at, sizeof count);
        snprintf(buf, CF_FIELD_BUF, "%d", count);
        return count ? buf : NULL;
    default:
        memcpy(&text, at, sizeof text);
        return text;
    }
}

/* Digits only, no sign, no blanks: what strtoull lets through besides. */
static enum cf_status number(const char *name, const char *text, uint64_t max,
                             uint64_t *out, struct cf_error *err)
{
    size_t len = strlen(text);

    errno = 0;
    *out = strtoull(text, NULL, 10);
    if (!len || strspn(text, "0123456789") != len || errno || *out > max)
        return cf_fail(err, CF_EFORMAT, "%s: \"%.40s\", expected a number of 0..%" PRIu64,
                       name, text, max);
    return CF_OK;
}

static json_t *string(const char *text, struct cf_error *err)
{
    json_t *v;
    size_t len;
    char *s;

    if (cf_utf8_repair(text, strlen(text), &s, &len, err) != CF_OK)
        return NULL;
    v = json_stringn(s, len);
    cf_free(s);
    if (!v)
        cf_fail(err, CF_ENOMEM, "JSON: out of memory");
    return v;
}

/* A recipe that is not an object stays text: a record is written even so. */
static json_t *object(const char *text, struct cf_error *err)
{
    struct cf_error why = {0};
    json_t *v = cf_json_parse(text, strlen(text), CF_META_TEXT_MAX, "recipe", &why);

    if (json_is_object(v))
        return v;
    json_decref(v);
    if (why.status == CF_ENOMEM) {
        cf_fail(err, CF_ENOMEM, "%s", why.msg);
        return NULL;
    }
    return string(text, err);
}

json_t *cf_field_json(const struct cf_field *f, const char *text, struct cf_error *err)
{
    uint64_t n;
    json_t *v;

    switch (f ? f->kind : CF_FIELD_TEXT) {
    case CF_FIELD_JSON:
        return object(text, err);
    case CF_FIELD_COUNT:
        if (number(f->name, text, INT_MAX, &n, err) != CF_OK)
            return NULL;
        v = json_integer((json_int_t)n);
        if (!v)
            cf_fail(err, CF_ENOMEM, "JSON: out of memory");
        return v;
    case CF_FIELD_SEED:
        if (number(f->name, text, UINT64_MAX, &n, err) != CF_OK)
            return NULL;
        return string(text, err);
    default:
        return string(text, err);
    }
}

enum cf_status cf_record_check(const struct cf_record *r, struct cf_error *err)
{
    char buf[CF_FIELD_BUF];

    for (int i = 0; i < CF_NFIELD; i++) {
        const char *text = cf_field_text(r, &cf_fields[i], buf);
        size_t len = text ? strlen(text) : 0;

        if (len > CF_META_TEXT_MAX)
            return cf_fail(err, CF_ERANGE, "%s: %zu bytes, expected at most %d",
                           cf_fields[i].name, len, CF_META_TEXT_MAX);
    }
    return CF_OK;
}

char *cf_record_json(const struct cf_record *r, struct cf_error *err)
{
    json_t *all = json_object();
    char buf[CF_FIELD_BUF], *text = NULL;

    if (!all || json_object_set_new(all, "schema", json_integer(CF_META_SCHEMA)) != 0)
        goto memory;
    for (int i = 0; i < CF_NFIELD; i++) {
        const char *s = cf_field_text(r, &cf_fields[i], buf);
        json_t *v;

        if (!s)
            continue;
        v = cf_field_json(&cf_fields[i], s, err);
        if (!v)
            goto out;
        if (json_object_set_new(all, cf_fields[i].name, v) != 0)
            goto memory;
    }
    text = cf_json_text(all, JSON_SORT_KEYS | JSON_COMPACT, err);
    goto out;
memory:
    cf_fail(err, CF_ENOMEM, "JSON: out of memory");
out:
    json_decref(all);
    return text;
}
