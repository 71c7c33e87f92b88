#include "weights/flatten.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* A container on the way down, and where in it we are. */
struct level {
    uint32_t value, at, place;
    size_t name_len; /* of the path to it */
    bool odd_key;    /* a key on the way is neither text nor integer */
};

struct walk {
    const struct cf_pickle *p;
    const char *where;
    struct cf_flat_list *list;
    struct level level[CF_FLAT_MAX_DEPTH];
    int depth;
    size_t visits;
    char name[CF_FLAT_MAX_NAME + 1];
    size_t len; /* of the whole name, which may be longer than what is kept of it */
};

static bool is_container(enum cf_pickle_kind kind)
{
    return kind == CF_PICKLE_DICT || kind == CF_PICKLE_LIST || kind == CF_PICKLE_TUPLE;
}

/* Behind the first from bytes: a dot, unless they are none, and the part. */
static void set_part(struct walk *w, size_t from, const char *part, size_t len)
{
    w->len = from + (from != 0) + len;
    if (w->len > CF_FLAT_MAX_NAME)
        return;
    if (from)
        w->name[from] = '.';
    memcpy(w->name + w->len - len, part, len);
    w->name[w->len] = '\0';
}

/* Names the item below level l; true where its key is odd. */
static bool name_item(struct walk *w, const struct level *l, uint32_t key)
{
    char number[24];
    size_t len;

    if (cf_pickle_kind(w->p, l->value) != CF_PICKLE_DICT) {
        snprintf(number, sizeof number, "%lu", (unsigned long)l->place);
        set_part(w, l->name_len, number, strlen(number));
    } else if (cf_pickle_kind(w->p, key) == CF_PICKLE_TEXT) {
        const char *s = cf_pickle_text(w->p, key, &len);

        set_part(w, l->name_len, s, len);
    } else if (cf_pickle_kind(w->p, key) == CF_PICKLE_INT) {
        snprintf(number, sizeof number, "%lld", (long long)cf_pickle_int(w->p, key));
        set_part(w, l->name_len, number, strlen(number));
    } else {
        set_part(w, l->name_len, "?", 1);
        return true;
    }
    return l->odd_key;
}

static enum cf_status add(struct walk *w, uint32_t value, bool odd_key,
                          struct cf_error *err)
{
    struct cf_flat_list *list = w->list;
    char *name;

    if (w->len == 0 || w->len > CF_FLAT_MAX_NAME)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: a tensor with a name of %zu bytes, expected 1..%d",
                       w->where, w->len, CF_FLAT_MAX_NAME);
    if (odd_key)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: %.150s: a key is neither text nor an integer", w->where,
                       w->name);
    for (size_t i = 0; i < w->len; i++)
        if ((unsigned char)w->name[i] < ' ' || w->name[i] == 0x7f)
            return cf_fail(err, CF_EFORMAT,
                           "%.200s: %.150s: a control character in a name", w->where,
                           w->name);
    if (list->count >= CF_PICKLE_MAX_TENSORS)
        return cf_fail(err, CF_EUNSUP, "%.200s: more than %d named tensors", w->where,
                       CF_PICKLE_MAX_TENSORS);
    CF_TRY(cf_grow(&list->flat, &list->cap, list->count + 1, sizeof *list->flat, err));
    name = cf_strndup(w->name, w->len, err);
    if (!name)
        return CF_ENOMEM;
    list->flat[list->count++] = (struct cf_flat){name, cf_pickle_tensor(w->p, value)};
    return CF_OK;
}

/* One value under the name that is set: a tensor, something to go into, or no matter. */
static enum cf_status visit(struct walk *w, uint32_t value, bool odd_key,
                            struct cf_error *err)
{
    enum cf_pickle_kind kind = cf_pickle_kind(w->p, value);

    if (++w->visits > CF_FLAT_MAX_VISITS)
        return cf_fail(err, CF_EUNSUP, "%.200s: more than %d values in places", w->where,
                       CF_FLAT_MAX_VISITS);
    if (kind == CF_PICKLE_TENSOR)
        return add(w, value, odd_key, err);
    if (!is_container(kind))
        return CF_OK;
    if (w->depth == CF_FLAT_MAX_DEPTH)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: %.150s: nested deeper than %d, or within itself",
                       w->where, w->name, CF_FLAT_MAX_DEPTH);
    /* What lies below a name that is too long keeps being too long. */
    w->level[w->depth++] = (struct level){value, 0, 0, w->len, odd_key};
    return CF_OK;
}

static enum cf_status walk(struct walk *w, struct cf_error *err)
{
    CF_TRY(visit(w, cf_pickle_root(w->p), false, err));
    while (w->depth > 0) {
        struct level *l = &w->level[w->depth - 1];
        uint32_t key = 0, item;
        bool odd_key;

        if (!cf_pickle_next(w->p, l->value, &l->at, &key, &item)) {
            w->depth--;
            continue;
        }
        odd_key = name_item(w, l, key);
        l->place++;
        CF_TRY(visit(w, item, odd_key, err));
    }
    return CF_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct cf_flat *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static enum cf_status sort(struct cf_flat_list *list, const char *where,
                           struct cf_error *err)
{
    if (list->count)
        qsort(list->flat, list->count, sizeof *list->flat, by_name);
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(list->flat[i - 1].name, list->flat[i].name) == 0)
            return cf_fail(err, CF_EFORMAT, "%.200s: %.200s comes twice", where,
                           list->flat[i].name);
    return CF_OK;
}

enum cf_status cf_flatten(struct cf_flat_list *list, const struct cf_pickle *p,
                          const char *where, struct cf_error *err)
{
    struct walk w = {.p = p, .where = where, .list = list};
    enum cf_status status;

    *list = (struct cf_flat_list){0};
    status = walk(&w, err);
    if (status == CF_OK)
        status = sort(list, where, err);
    if (status != CF_OK)
        cf_flat_free(list);
    return status;
}

void cf_flat_free(struct cf_flat_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cf_free(list->flat[i].name);
    cf_free(list->flat);
    *list = (struct cf_flat_list){0};
}
