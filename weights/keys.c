#include "weights/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cf_key_add(struct cf_key_walk *walk, enum cf_key_kind kind, unsigned flags, int ndim,
                const int64_t *dim, const char *fmt, ...)
{
    struct cf_key key = {.kind = kind,
                         .ndim = ndim,
                         .optional = (flags & CF_KEY_OPTIONAL) != 0,
                         .any_rows = (flags & CF_KEY_ANY_ROWS) != 0};
    va_list ap;
    int n;

    if (walk->status != CF_OK)
        return;
    va_start(ap, fmt);
    n = vsnprintf(key.name, sizeof key.name, fmt, ap);
    va_end(ap);
    memcpy(key.dim, dim, (size_t)ndim * sizeof *dim);
    if (n < 0 || (size_t)n >= sizeof key.name)
        walk->status =
            cf_fail(walk->err, CF_EBUG, "%s...: a name of %d bytes", key.name, n);
    else
        walk->status = walk->fn(walk->ctx, &key, walk->err);
}

void cf_key_add_linear(struct cf_key_walk *walk, enum cf_key_kind kind, int64_t n,
                       int64_t k, const char *prefix, const char *name)
{
    const int64_t dim[2] = {n, k};

    cf_key_add(walk, kind, 0, 2, dim, "%s%s.weight", prefix, name);
    cf_key_add(walk, CF_KEY_SMALL, 0, 1, dim, "%s%s.bias", prefix, name);
}

void cf_key_add_vector(struct cf_key_walk *walk, enum cf_key_kind kind, int64_t n,
                       const char *prefix, const char *name)
{
    cf_key_add(walk, kind, 0, 1, &n, "%s%s", prefix, name);
}
