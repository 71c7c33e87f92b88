#include "weights/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum cf_status cf_names_open(struct cf_names *t, size_t total, const char *where,
                             struct cf_error *err)
{
    if (total > INT32_MAX)
        return cf_fail(err, CF_EUNSUP, "%.200s: %zu tensors", where, total);
    t->item = cf_alloc(total, sizeof *t->item, err);
    return t->item ? CF_OK : CF_ENOMEM;
}

void cf_names_close(struct cf_names *t)
{
    cf_free(t->item);
    *t = (struct cf_names){0};
}

void cf_names_add(struct cf_names *t, struct cf_name name)
{
    t->item[t->count++] = name;
}

static int by_name(const void *a, const void *b)
{
    const struct cf_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : x->shard - y->shard;
}

enum cf_status cf_names_join(struct cf_names *t, struct cf_error *err)
{
    if (t->count)
        qsort(t->item, (size_t)t->count, sizeof *t->item, by_name);
    for (int i = 1; i < t->count; i++)
        if (strcmp(t->item[i - 1].name, t->item[i].name) == 0)
            return cf_fail(err, CF_EFORMAT, "%.150s: %.150s is also in %.150s",
                           t->item[i].file, t->item[i].name, t->item[i - 1].file);
    return CF_OK;
}

enum cf_status cf_names_check(const struct cf_names *t, const struct cf_index *x,
                              struct cf_error *err)
{
    for (size_t i = 0; i < x->count; i++) {
        int at = cf_names_find(t->item, t->count, 0, x->line[i].name);

        if (at < 0 || t->item[at].shard != x->line[i].shard)
            return cf_fail(err, CF_EFORMAT, "%.200s: %.150s is not in %.100s", x->path,
                           x->line[i].name, x->line[i].file);
    }
    for (int i = 0; i < t->count; i++)
        if (!json_object_get(x->map, t->item[i].name))
            return cf_fail(err, CF_EFORMAT, "%.200s: %.150s is not in the index %.100s",
                           t->item[i].file, t->item[i].name, x->path);
    return CF_OK;
}

int cf_names_find(const struct cf_name *item, int n, size_t skip, const char *name)
{
    int lo = 0, hi = n;

    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        int order = strcmp(item[mid].name + skip, name);

        if (order == 0)
            return mid;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}
