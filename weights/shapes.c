#include "weights/shapes.h"

#include <stdio.h>
#include <string.h>

static int ckpt_count(const void *from)
{
    return cf_ckpt_count(from);
}

static const char *ckpt_name(const void *from, int i)
{
    return cf_ckpt_name(from, i);
}

static const struct cf_view *ckpt_view(const void *from, int i)
{
    return cf_ckpt_view(from, i);
}

static int ckpt_index(const void *from, const char *name)
{
    return cf_ckpt_index(from, name);
}

struct cf_shapes cf_shapes_of_ckpt(const struct cf_ckpt *ckpt)
{
    return (struct cf_shapes){.where = cf_ckpt_path(ckpt),
                              .from = ckpt,
                              .count = ckpt_count,
                              .name = ckpt_name,
                              .view = ckpt_view,
                              .index = ckpt_index,
                              .prefix = ""};
}

static int source_count(const void *from)
{
    return cf_source_count(from);
}

static const char *source_name(const void *from, int i)
{
    return cf_source_name(from, i);
}

static const struct cf_view *source_view(const void *from, int i)
{
    return cf_source_shape(from, i);
}

static int source_index(const void *from, const char *name)
{
    return cf_source_index(from, name);
}

struct cf_shapes cf_shapes_of_source(const struct cf_source *src)
{
    return (struct cf_shapes){.where = cf_source_path(src),
                              .from = src,
                              .count = source_count,
                              .name = source_name,
                              .view = source_view,
                              .index = source_index,
                              .prefix = ""};
}

int cf_shapes_count(const struct cf_shapes *s)
{
    return s->count(s->from);
}

const char *cf_shapes_name(const struct cf_shapes *s, int i)
{
    const char *name = s->name(s->from, i);
    size_t n = strlen(s->prefix);

    if (n == 0 || !name)
        return name;
    return strncmp(name, s->prefix, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

int cf_shapes_index(const struct cf_shapes *s, const char *name)
{
    char full[1024];
    int n =
        snprintf(full, sizeof full, "%s%s%s", s->prefix, s->prefix[0] ? "." : "", name);

    return n > 0 && (size_t)n < sizeof full ? s->index(s->from, full) : -1;
}

const struct cf_view *cf_shapes_find(const struct cf_shapes *s, const char *name)
{
    int i = cf_shapes_index(s, name);

    return i >= 0 ? s->view(s->from, i) : NULL;
}

int64_t cf_shapes_dim(const struct cf_shapes *s, const char *name, int ndim, int at)
{
    const struct cf_view *v = cf_shapes_find(s, name);

    return v && v->ndim == ndim ? v->dim[at] : 0;
}

bool cf_shapes_begins(const struct cf_shapes *s, const char *start)
{
    for (int i = 0; i < cf_shapes_count(s); i++) {
        const char *name = cf_shapes_name(s, i);

        if (name && strncmp(name, start, strlen(start)) == 0)
            return true;
    }
    return false;
}

bool cf_key_fits(const struct cf_key *key, const struct cf_view *v)
{
    bool halved = key->kind == CF_KEY_MATRIX && v->dtype == CF_U8; /* two to a byte */

    if (v->ndim != key->ndim)
        return false;
    for (int d = key->any_rows; d < key->ndim; d++)
        if (v->dim[d] != key->dim[d] &&
            !(halved && d == 1 && 2 * v->dim[d] == key->dim[d]))
            return false;
    return true;
}
