#include "weights/bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "weights/safetensors.h"

struct cf_bind {
    const struct cf_ckpt *ckpt;
    enum cf_status first;          /* status of the first fault */
    int faults, told;              /* how many there are, how many text names */
    size_t used;                   /* bytes of text */
    char text[CF_ERROR_MAX - 120]; /* leaves room for the file and the counts */
    bool seen[];                   /* per tensor of ckpt: wanted or ignored */
};

struct cf_bind *cf_bind_begin(const struct cf_ckpt *ckpt, struct cf_error *err)
{
    size_t n = (size_t)cf_ckpt_count(ckpt);
    struct cf_bind *b = cf_calloc(1, sizeof *b + n * sizeof b->seen[0], err);

    if (b)
        b->ckpt = ckpt;
    return b;
}

/* Counts a fault, and tells it where the text still has room for all of it. */
static void fault(struct cf_bind *b, enum cf_status status, const char *name,
                  const char *what)
{
    size_t room = sizeof b->text - b->used;
    int n;

    if (b->faults++ == 0)
        b->first = status;
    if (b->told < b->faults - 1)
        return; /* an earlier one found no room: keep the order */
    n = snprintf(b->text + b->used, room, "%s%.120s: %s", b->told ? "; " : "", name,
                 what);
    if (n >= 0 && ((size_t)n < room || b->told == 0)) { /* the first may be cut */
        b->used = strlen(b->text);
        b->told++;
    } else {
        b->text[b->used] = '\0';
    }
}

static bool fits(const struct cf_view *v, int ndim, const int64_t *dim)
{
    if (v->ndim != ndim)
        return false;
    for (int i = 0; i < ndim; i++)
        if (dim[i] != -1 && dim[i] != v->dim[i])
            return false;
    return true;
}

/* As cf_shape_str, with * for an extent that may be anything. */
static void wanted_shape(char *buf, size_t size, int ndim, const int64_t *dim)
{
    size_t at = (size_t)snprintf(buf, size, "[");

    for (int i = 0; i < ndim && at < size; i++) {
        const char *sep = i ? ", " : "";

        if (dim[i] == -1)
            at += (size_t)snprintf(buf + at, size - at, "%s*", sep);
        else
            at += (size_t)snprintf(buf + at, size - at, "%s%lld", sep, (long long)dim[i]);
    }
    if (at < size)
        snprintf(buf + at, size - at, "]");
}

static void take(struct cf_bind *b, struct cf_view *view, const struct cf_view *found,
                 int ndim, const int64_t *dim, const char *name)
{
    char what[320], is[140], want[140];

    if (found->dtype != CF_F32 && found->dtype != CF_F16 && found->dtype != CF_BF16) {
        snprintf(what, sizeof what, "%s, expected F32, F16 or BF16",
                 cf_dtype_name(found->dtype));
        fault(b, CF_ESHAPE, name, what);
    } else if (!fits(found, ndim, dim)) {
        wanted_shape(want, sizeof want, ndim, dim);
        snprintf(what, sizeof what, "shape %s, expected %s",
                 cf_shape_str(is, sizeof is, found->ndim, found->dim), want);
        fault(b, CF_ESHAPE, name, what);
    } else {
        *view = *found;
    }
}

void cf_bind_want(struct cf_bind *b, struct cf_view *view, enum cf_bind_flags flags,
                  int ndim, const int64_t *dim, const char *fmt, ...)
{
    char name[CF_ST_MAX_NAME + 1];
    va_list ap;
    int n, i;

    *view = (struct cf_view){0};
    if (!b)
        return;
    va_start(ap, fmt);
    n = vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    /* A longer name than any file may hold is a missing one. */
    i = n < 0 || (size_t)n >= sizeof name ? -1 : cf_ckpt_index(b->ckpt, name);
    if (i >= 0) {
        b->seen[i] = true;
        take(b, view, cf_ckpt_view(b->ckpt, i), ndim, dim, name);
    } else if (!(flags & CF_BIND_OPTIONAL)) {
        fault(b, CF_EMISMATCH, name, "missing");
    }
}

/* The scales of a quantized matrix: F32 [n], or F16 [n, k / group]. */
static const struct cf_view *take_scale(struct cf_bind *b, const char *name, int64_t n,
                                        int64_t k, enum cf_wtype type)
{
    char scale[CF_ST_MAX_NAME + 16], what[240], is[140];
    const struct cf_view *v;
    bool ok;
    int i;

    snprintf(scale, sizeof scale, "%s_scale", name);
    i = cf_ckpt_index(b->ckpt, scale);
    if (i < 0) {
        fault(b, CF_EMISMATCH, scale, "missing");
        return NULL;
    }
    b->seen[i] = true;
    v = cf_ckpt_view(b->ckpt, i);
    if (type == CF_W_I8)
        ok = v->dtype == CF_F32 && v->ndim == 1 && v->dim[0] == n;
    else
        ok = v->dtype == CF_F16 && v->ndim == 2 && v->dim[0] == n &&
             (v->dim[1] * 32 == k || v->dim[1] * 64 == k);
    if (ok)
        return v;
    snprintf(what, sizeof what, "%s %s, expected %s", cf_dtype_name(v->dtype),
             cf_shape_str(is, sizeof is, v->ndim, v->dim),
             type == CF_W_I8 ? "F32, one a row" : "F16, one for 32 or 64 columns");
    fault(b, CF_ESHAPE, scale, what);
    return NULL;
}

void cf_bind_weight(struct cf_bind *b, struct cf_weight *w, int64_t n, int64_t k,
                    const char *fmt, ...)
{
    const int64_t dim[2] = {n, k}, half[2] = {n, k / 2};
    char name[CF_ST_MAX_NAME + 1];
    const struct cf_view *v, *scale;
    struct cf_view plain;
    va_list ap;
    int len, i;

    *w = (struct cf_weight){0};
    if (!b)
        return;
    va_start(ap, fmt);
    len = vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    i = len < 0 || (size_t)len >= sizeof name ? -1 : cf_ckpt_index(b->ckpt, name);
    if (i < 0) {
        fault(b, CF_EMISMATCH, name, "missing");
        return;
    }
    b->seen[i] = true;
    v = cf_ckpt_view(b->ckpt, i);
    if (v->dtype != CF_I8 && v->dtype != CF_U8) {
        plain = (struct cf_view){0};
        take(b, &plain, v, 2, dim, name);
        if (plain.data)
            (void)cf_weight_of(w, &plain, NULL); /* take let nothing else pass */
        return;
    }
    w->type = v->dtype == CF_I8 ? CF_W_I8 : CF_W_Q4;
    if (!fits(v, 2, w->type == CF_W_I8 ? dim : half) ||
        (w->type == CF_W_Q4 && k % 32 != 0)) {
        char what[320], is[140], want[140];

        wanted_shape(want, sizeof want, 2, w->type == CF_W_I8 ? dim : half);
        snprintf(what, sizeof what, "%s %s, expected %s", cf_dtype_name(v->dtype),
                 cf_shape_str(is, sizeof is, v->ndim, v->dim), want);
        fault(b, CF_ESHAPE, name, what);
        return;
    }
    scale = take_scale(b, name, n, k, w->type);
    if (!scale)
        return;
    w->n = n;
    w->k = k;
    w->group = w->type == CF_W_Q4 ? (int)(k / scale->dim[1]) : 0;
    w->w = v->data;
    w->scale = scale->data;
}

void cf_bind_ignore(struct cf_bind *b, const char *name)
{
    size_t len = strlen(name);
    bool prefix = len > 0 && name[len - 1] == '*';

    if (!b)
        return;
    for (int i = 0; i < cf_ckpt_count(b->ckpt); i++) {
        const char *have = cf_ckpt_name(b->ckpt, i);

        if (prefix ? strncmp(have, name, len - 1) == 0 : strcmp(have, name) == 0)
            b->seen[i] = true;
    }
}

enum cf_status cf_bind_end(struct cf_bind *b, bool strict, struct cf_error *err)
{
    enum cf_status status = CF_OK;
    const char *file;

    if (!b)
        return cf_fail(err, CF_ENOMEM, "tensors: nothing was bound");
    for (int i = 0; strict && i < cf_ckpt_count(b->ckpt); i++)
        if (!b->seen[i])
            fault(b, CF_EMISMATCH, cf_ckpt_name(b->ckpt, i), "not expected");
    if (b->faults > 0) {
        char more[40] = "";

        file = strrchr(cf_ckpt_path(b->ckpt), '/');
        file = file && file[1] ? file + 1 : cf_ckpt_path(b->ckpt);
        if (b->told < b->faults)
            snprintf(more, sizeof more, " (and %d more)", b->faults - b->told);
        status = cf_fail(err, b->first, "%.40s: %d tensor%s not fit: %s%s", file,
                         b->faults, b->faults == 1 ? " does" : "s do", b->text, more);
    }
    cf_free(b);
    return status;
}
