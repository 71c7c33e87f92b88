#include "pipeline/convert_take.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/vae_keys.h"

/* Bytes that a header line of a tensor takes, generously. */
enum { HEADER_LINE = 256 };

enum cf_status cf_take_open(struct cf_take *t, struct cf_source *src, const char *what,
                            struct cf_take_type type, struct cf_error *err)
{
    *t = (struct cf_take){.src = src, .what = what, .prefix = "", .type = type};
    t->used = cf_calloc((size_t)cf_source_count(src), sizeof *t->used, err);
    return t->used ? CF_OK : CF_ENOMEM;
}

void cf_take_close(struct cf_take *t)
{
    cf_free(t->item);
    cf_free(t->used);
    memset(t, 0, sizeof *t);
}

/* ---- finding ---- */

/* The table of a T5 encoder has two names for the same rows. */
static int find_table(const struct cf_source *src, const char *name)
{
    static const char own[] = "encoder.embed_tokens.weight", shared[] = "shared.weight";

    if (strcmp(name, shared) == 0)
        return cf_source_index(src, own);
    return strcmp(name, own) == 0 ? cf_source_index(src, shared) : -1;
}

static int find(const struct cf_source *src, const char *name)
{
    char plain[CF_KEY_NAME];
    int i = cf_source_index(src, name);

    if (i < 0)
        i = cf_source_index(src, cf_vae_plain(plain, name));
    return i < 0 ? find_table(src, name) : i;
}

static void fault(struct cf_take *t, enum cf_status status, const char *name,
                  const char *what)
{
    size_t len = strlen(t->why);

    t->status = t->faults ? t->status : status;
    if (t->faults++ < 3)
        snprintf(t->why + len, sizeof t->why - len, "%s%.90s: %s", len ? "; " : "", name,
                 what);
}

static bool same_shape(const struct cf_view *v, const struct cf_key *key)
{
    if (v->ndim != key->ndim)
        return false;
    for (int i = key->any_rows ? 1 : 0; i < v->ndim; i++)
        if (v->dim[i] != key->dim[i])
            return false;
    return true;
}

static bool is_float(enum cf_dtype t)
{
    return t == CF_F32 || t == CF_F16 || t == CF_BF16;
}

/* The type of a tensor in the part: a matrix as was asked for, anything else as it is. */
static void decide(const struct cf_take *t, struct cf_take_item *item,
                   const struct cf_key *key, enum cf_dtype from)
{
    static const enum cf_dtype file_type[CF_NWTYPE] = {CF_F32, CF_F16, CF_BF16, CF_I8,
                                                       CF_U8};

    item->dtype = from;
    if (key->kind != CF_KEY_MATRIX || t->type.keep)
        return;
    item->dtype = file_type[t->type.type];
    item->quantize = t->type.type == CF_W_I8 || t->type.type == CF_W_Q4;
}

enum cf_status cf_take_key(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct cf_take *t = ctx;
    int from = find(t->src, key->name);
    struct cf_take_item *item;
    const struct cf_view *v;
    char found[64], expected[64], text[160];

    if (from < 0) {
        if (!key->optional)
            fault(t, CF_EMISMATCH, key->name, "missing");
        return CF_OK;
    }
    v = cf_source_shape(t->src, from);
    t->used[from] = true;
    if (!same_shape(v, key)) {
        snprintf(text, sizeof text, "shape %s, expected %s",
                 cf_shape_str(found, sizeof found, v->ndim, v->dim),
                 cf_shape_str(expected, sizeof expected, key->ndim, key->dim));
        fault(t, CF_ESHAPE, key->name, text);
        return CF_OK;
    }
    if (!is_float(v->dtype)) {
        snprintf(text, sizeof text, "%s, expected F32, F16 or BF16",
                 cf_dtype_name(v->dtype));
        fault(t, CF_ESHAPE, key->name, text);
        return CF_OK;
    }
    CF_TRY(cf_grow(&t->item, &t->cap, t->n + 1, sizeof *t->item, err));
    item = &t->item[t->n++];
    *item = (struct cf_take_item){.from = from};
    snprintf(item->name, sizeof item->name, "%s%s", t->prefix, key->name);
    decide(t, item, key, v->dtype);
    t->values += cf_view_count(v);
    return CF_OK;
}

enum cf_status cf_take_check(struct cf_take *t, const struct cf_state *state,
                             bool (*drop)(const char *name), const char *const *ignore,
                             int *dropped, struct cf_error *err)
{
    const char *path = cf_source_path(t->src);
    int left = 0;

    *dropped = 0;
    if (t->faults)
        return cf_fail(err, t->status, "%.120s: %d tensors of the %s do not fit: %s",
                       path, t->faults, t->what, t->why);
    for (int i = 0; i < cf_source_count(t->src); i++) {
        const char *name = cf_source_name(t->src, i);
        size_t len = strlen(t->why);

        if (t->used[i])
            continue;
        if (cf_state_is_other(state, name) || drop(name) ||
            cf_state_ignores(ignore, name)) {
            ++*dropped;
            continue;
        }
        if (left++ < 3)
            snprintf(t->why + len, sizeof t->why - len, "%s%.90s", len ? ", " : "", name);
    }
    if (left)
        return cf_fail(err, CF_EMISMATCH,
                       "%.120s: %d tensors that no %s of this geometry has: %s%s; "
                       "--ignore=PATTERN leaves them out",
                       path, left, t->what, t->why, left > 3 ? " ..." : "");
    return CF_OK;
}

size_t cf_take_bytes(const struct cf_take *t)
{
    size_t bytes = 0;

    for (size_t i = 0; i < t->n; i++) {
        const struct cf_view *v = cf_source_shape(t->src, t->item[i].from);

        bytes += HEADER_LINE;
        if (t->item[i].quantize)
            bytes += cf_weight_bytes(t->type.type, v->dim[0], v->dim[1], t->type.group);
        else
            bytes += (size_t)cf_view_count(v) * cf_dtype_size(t->item[i].dtype);
    }
    return bytes;
}
