/* convert_write.c - one part on its way from a source to a safetensors file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/quant.h"
#include "pipeline/convert_take.h"
#include "weights/st_write.h"

enum { CHUNK = 1 << 20 }; /* floats that are widened at a time, whole rows */

struct room {
    void *p;
    size_t size;
};

/* A part in the making. */
struct work {
    const struct cf_take *take;
    struct cf_st_writer *writer;
    struct cf_dnn *dnn;
    struct room in, out, scale, wide; /* the tensor at hand; wide: floats of a chunk */
};

/* At least size bytes; what was in the room is lost, so that there are never two. */
static enum cf_status make_room(struct room *room, size_t size, struct cf_error *err)
{
    if (room->p && size <= room->size)
        return CF_OK;
    cf_free(room->p);
    room->p = cf_alloc(size, 1, err);
    room->size = room->p ? size : 0;
    return room->p ? CF_OK : CF_ENOMEM;
}

static enum cf_status declare(struct work *w, const struct cf_take_item *item,
                              struct cf_error *err)
{
    const struct cf_view *v = cf_source_shape(w->take->src, item->from);
    const struct cf_take_type *t = &w->take->type;
    int64_t dim[2] = {v->dim[0], v->dim[1]};
    char name[sizeof item->name + 8];
    bool four = t->type == CF_W_Q4;

    if (!item->quantize)
        return cf_st_declare(w->writer, item->name, item->dtype, v->ndim, v->dim, err);
    if (four && dim[1] % t->group != 0)
        return cf_fail(err, CF_ESHAPE,
                       "%s: %lld columns are no groups of %d for 4 bits; --group or "
                       "another --dtype",
                       item->name, (long long)dim[1], t->group);
    dim[1] = four ? dim[1] / 2 : dim[1];
    CF_TRY(cf_st_declare(w->writer, item->name, item->dtype, 2, dim, err));
    snprintf(name, sizeof name, "%s_scale", item->name);
    dim[1] = four ? v->dim[1] / t->group : 0;
    return cf_st_declare(w->writer, name, four ? CF_F16 : CF_F32, four ? 2 : 1, dim, err);
}

/* Floats start .. start+n-1 of the tensor that was read into w->in. */
static enum cf_status widen(struct work *w, const struct cf_view *v, int64_t start,
                            int64_t n, struct cf_error *err)
{
    CF_TRY(make_room(&w->wide, (size_t)n * sizeof(float), err));
    return cf_view_floats(w->wide.p, v, start, n, err);
}

/* Of floats that become F16: the first that does not fit, or n. */
static int64_t first_too_large(const float *x, int64_t n)
{
    int64_t i = 0;

    while (i < n && fabsf(x[i]) < 65520.0f)
        i++;
    return i;
}

static enum cf_status change_type(struct work *w, const struct cf_take_item *item,
                                  const struct cf_view *v, struct cf_error *err)
{
    int64_t count = cf_view_count(v), n;
    size_t size = cf_dtype_size(item->dtype);
    unsigned char *dst;

    CF_TRY(make_room(&w->out, (size_t)count * size, err));
    dst = w->out.p;
    for (int64_t at = 0; at < count; at += n) {
        const float *x;

        n = count - at < CHUNK ? count - at : CHUNK;
        CF_TRY(widen(w, v, at, n, err));
        x = w->wide.p;
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(x[i]))
                return cf_fail(err, CF_ENUMERIC, "%s: value %lld is not finite",
                               item->name, (long long)(at + i));
        if (item->dtype == CF_F16 && first_too_large(x, n) < n)
            return cf_fail(err, CF_ERANGE,
                           "%s: %g does not fit f16; bf16 has the range of f32",
                           item->name, (double)x[first_too_large(x, n)]);
        CF_TRY(cf_floats_store(dst + (size_t)at * size, item->dtype, x, n, err));
    }
    return cf_st_put(w->writer, item->name, dst, (size_t)count * size, err);
}

static enum cf_status quantize(struct work *w, const struct cf_take_item *item,
                               const struct cf_view *v, struct cf_error *err)
{
    const struct cf_take_type *t = &w->take->type;
    int64_t rows = v->dim[0], k = v->dim[1], n;
    int64_t most = k < CHUNK ? CHUNK / (k ? k : 1) : 1;
    size_t row = cf_weight_row_bytes(t->type, k);
    size_t per = t->type == CF_W_Q4 ? (size_t)(k / t->group) * 2 : sizeof(float);
    char name[sizeof item->name + 8];
    unsigned char *dst, *scale;

    CF_TRY(make_room(&w->out, (size_t)rows * row, err));
    CF_TRY(make_room(&w->scale, (size_t)rows * per, err));
    dst = w->out.p;
    scale = w->scale.p;
    for (int64_t r = 0; r < rows; r += n) {
        n = rows - r < most ? rows - r : most;
        CF_TRY(widen(w, v, r * k, n * k, err));
        if (cf_quantize(w->dnn, dst + (size_t)r * row, scale + (size_t)r * per, t->type,
                        t->type == CF_W_Q4 ? t->group : 0, w->wide.p, n, k, err) != CF_OK)
            return cf_wrap(err, "%s: from row %lld on", item->name, (long long)r);
    }
    CF_TRY(cf_st_put(w->writer, item->name, dst, (size_t)rows * row, err));
    snprintf(name, sizeof name, "%s_scale", item->name);
    return cf_st_put(w->writer, name, scale, (size_t)rows * per, err);
}

static enum cf_status put(struct work *w, const struct cf_take_item *item,
                          struct cf_error *err)
{
    struct cf_source *src = w->take->src;
    size_t bytes = cf_source_bytes(src, item->from);
    struct cf_view v = *cf_source_shape(src, item->from);

    CF_TRY(make_room(&w->in, bytes, err));
    CF_TRY(cf_source_read(src, item->from, w->in.p, err));
    v.data = w->in.p;
    if (item->quantize)
        return quantize(w, item, &v, err);
    if (item->dtype != v.dtype)
        return change_type(w, item, &v, err);
    return cf_st_put(w->writer, item->name, w->in.p, bytes, err);
}

static int by_name(const void *a, const void *b)
{
    const struct cf_take_item *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int is_named(const void *name, const void *item)
{
    return strcmp(name, (*(const struct cf_take_item *const *)item)->name);
}

/* In the order of the file, so that it is hashed on its way; the scales of a quantized
 * matrix, which lie elsewhere, are put with it. */
static enum cf_status put_all(struct work *w, const struct cf_take_item **sorted,
                              struct cf_error *err)
{
    const struct cf_take *t = w->take;
    const char *name;

    for (size_t i = 0; i < t->n; i++)
        sorted[i] = &t->item[i];
    qsort(sorted, t->n, sizeof *sorted, by_name);
    for (size_t i = 0; (name = cf_st_place(w->writer, i)) != NULL; i++) {
        const struct cf_take_item **item =
            bsearch(name, sorted, t->n, sizeof *sorted, is_named);

        if (item)
            CF_TRY(put(w, *item, err));
    }
    return CF_OK;
}

static enum cf_status write_part(struct work *w, struct cf_error *err)
{
    const struct cf_take *t = w->take;
    const struct cf_take_item **sorted;
    enum cf_status status;

    for (size_t i = 0; i < t->n; i++)
        CF_TRY(declare(w, &t->item[i], err));
    CF_TRY(cf_st_begin(w->writer, NULL, err));
    sorted = cf_alloc(t->n, sizeof *sorted, err);
    status = sorted ? put_all(w, sorted, err) : CF_ENOMEM;
    cf_free(sorted);
    return status;
}

static enum cf_status write_file(const struct cf_take *take, const char *path,
                                 struct cf_dnn *dnn, char hex[CF_DIGEST_HEX],
                                 struct cf_error *err)
{
    struct work w = {.take = take, .dnn = dnn};
    enum cf_status status;

    CF_TRY(cf_st_writer_open(&w.writer, path, err));
    status = write_part(&w, err);
    if (status == CF_OK)
        status = cf_st_finish_hash(w.writer, hex, err);
    else
        cf_st_abandon(w.writer);
    cf_free(w.in.p);
    cf_free(w.out.p);
    cf_free(w.scale.p);
    cf_free(w.wide.p);
    return status;
}

enum cf_status cf_take_part(const struct cf_take *take, struct cf_out *out,
                            const char *name, struct cf_dnn *dnn,
                            struct cf_model_spec_part *part, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX], *path = cf_out_path(out, name, err);
    enum cf_status status = path ? write_file(take, path, dnn, hex, err) : CF_ENOMEM;

    cf_free(path);
    return status == CF_OK ? cf_model_spec_hashed(part, cf_out_dir(out), name, hex, err)
                           : status;
}
