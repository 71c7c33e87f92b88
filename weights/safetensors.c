#include "weights/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"

struct tensor {
    const char *name; /* of the JSON tree; in the end of cf_st.names */
    struct cf_view view;
    size_t begin, end; /* in the data */
};

struct cf_st {
    char *path;
    void *map; /* NULL: the bytes are borrowed */
    size_t map_size;
    const unsigned char *data; /* the bytes behind the header */
    size_t data_size;
    char *names; /* all names, each with its NUL */
    struct tensor *tensor;
    int count;
};

/* An entry of the header while it is read: what every message starts with. */
#define AT "%.200s: %.*s"
#define AT_ARGS(st, t) (st)->path, 160, (t)->name

static enum cf_status read_dtype(const struct cf_st *st, struct tensor *t,
                                 const json_t *entry, struct cf_error *err)
{
    const json_t *v = json_object_get(entry, "dtype");

    if (!json_is_string(v))
        return cf_fail(err, CF_EFORMAT, AT ": dtype is missing or no string",
                       AT_ARGS(st, t));
    for (int i = 0; i < CF_NDTYPE; i++)
        if (strlen(json_string_value(v)) == json_string_length(v) &&
            strcmp(json_string_value(v), cf_dtype_name((enum cf_dtype)i)) == 0) {
            t->view.dtype = (enum cf_dtype)i;
            return CF_OK;
        }
    return cf_fail(err, CF_EUNSUP, AT ": dtype \"%.40s\" is not supported",
                   AT_ARGS(st, t), json_string_value(v));
}

/* Fills ndim and dim, and *bytes with what they take. Extents of zero count as one in the
 * overflow check, so that no order of multiplication can wrap later. */
static enum cf_status read_shape(const struct cf_st *st, struct tensor *t,
                                 const json_t *entry, size_t *bytes, struct cf_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    int64_t product = (int64_t)cf_dtype_size(t->view.dtype);
    bool empty = false;

    if (!json_is_array(shape))
        return cf_fail(err, CF_EFORMAT, AT ": shape is missing or no array",
                       AT_ARGS(st, t));
    if (json_array_size(shape) > CF_MAX_DIM)
        return cf_fail(err, CF_EUNSUP, AT ": %zu dimensions, at most %d are supported",
                       AT_ARGS(st, t), json_array_size(shape), CF_MAX_DIM);
    t->view.ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->view.ndim; i++) {
        const json_t *v = json_array_get(shape, (size_t)i);
        int64_t d = json_integer_value(v);

        if (!json_is_integer(v) || d < 0)
            return cf_fail(err, CF_EFORMAT, AT ": shape[%d] is not an integer >= 0",
                           AT_ARGS(st, t), i);
        t->view.dim[i] = d;
        empty |= d == 0;
        if (__builtin_mul_overflow(product, d ? d : 1, &product))
            return cf_fail(err, CF_EFORMAT, AT ": the product of the shape overflows",
                           AT_ARGS(st, t));
    }
    *bytes = empty ? 0 : (size_t)product;
    return CF_OK;
}

static enum cf_status read_offsets(const struct cf_st *st, struct tensor *t,
                                   const json_t *entry, struct cf_error *err)
{
    const json_t *pair = json_object_get(entry, "data_offsets");
    const json_t *b = json_array_get(pair, 0), *e = json_array_get(pair, 1);

    if (json_array_size(pair) != 2 || !json_is_integer(b) || !json_is_integer(e) ||
        json_integer_value(b) < 0 || json_integer_value(e) < 0)
        return cf_fail(err, CF_EFORMAT, AT ": data_offsets are not two integers >= 0",
                       AT_ARGS(st, t));
    t->begin = (size_t)json_integer_value(b);
    t->end = (size_t)json_integer_value(e);
    if (t->end < t->begin || t->end > st->data_size)
        return cf_fail(err, CF_EFORMAT, AT ": bytes %zu..%zu of %zu bytes of data%s",
                       AT_ARGS(st, t), t->begin, t->end, st->data_size,
                       t->end > st->data_size ? ": cut short?" : "");
    return CF_OK;
}

static enum cf_status read_entry(const struct cf_st *st, struct tensor *t,
                                 const json_t *entry, struct cf_error *err)
{
    char shape[160];
    size_t bytes = 0;

    if (!t->name[0] || strlen(t->name) > CF_ST_MAX_NAME)
        return cf_fail(err, CF_EFORMAT, AT ": a name of %zu bytes, expected 1..%d",
                       AT_ARGS(st, t), strlen(t->name), CF_ST_MAX_NAME);
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return cf_fail(err, CF_EFORMAT,
                       AT ": expected an object of dtype, shape and data_offsets",
                       AT_ARGS(st, t));
    CF_TRY(read_dtype(st, t, entry, err));
    CF_TRY(read_shape(st, t, entry, &bytes, err));
    CF_TRY(read_offsets(st, t, entry, err));
    if (t->end - t->begin != bytes)
        return cf_fail(err, CF_EFORMAT,
                       AT ": %s %s takes %zu bytes, bytes %zu..%zu are %zu",
                       AT_ARGS(st, t), cf_dtype_name(t->view.dtype),
                       cf_shape_str(shape, sizeof shape, t->view.ndim, t->view.dim),
                       bytes, t->begin, t->end, t->end - t->begin);
    t->view.data = st->data + t->begin;
    return CF_OK;
}

static enum cf_status check_metadata(const struct cf_st *st, json_t *meta,
                                     struct cf_error *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(meta))
        return cf_fail(err, CF_EFORMAT, "%.200s: __metadata__ is no object", st->path);
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return cf_fail(err, CF_EFORMAT, "%.200s: __metadata__: %.100s is no string",
                           st->path, key);
    }
    return CF_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* The tensors tile the data: each starts where the one before ended. */
static enum cf_status check_tiling(struct cf_st *st, struct cf_error *err)
{
    size_t at = 0;

    qsort(st->tensor, (size_t)st->count, sizeof *st->tensor, by_place);
    for (int i = 0; i < st->count; i++) {
        const struct tensor *t = &st->tensor[i];

        if (t->begin != at)
            return cf_fail(err, CF_EFORMAT, AT ": starts at byte %zu of the data, %s %zu",
                           AT_ARGS(st, t), t->begin,
                           t->begin < at ? "overlapping the tensor that ends at"
                                         : "leaving a gap after",
                           at);
        at = t->end;
    }
    if (at != st->data_size)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: the tensors end at byte %zu of %zu bytes of data",
                       st->path, at, st->data_size);
    return CF_OK;
}

/* Copies the names out of the tree, which may then go. */
static enum cf_status keep_names(struct cf_st *st, struct cf_error *err)
{
    size_t bytes = 0, at = 0;

    for (int i = 0; i < st->count; i++)
        bytes += strlen(st->tensor[i].name) + 1;
    st->names = cf_alloc(bytes, 1, err);
    if (!st->names)
        return CF_ENOMEM;
    for (int i = 0; i < st->count; i++) {
        size_t len = strlen(st->tensor[i].name) + 1;

        memcpy(st->names + at, st->tensor[i].name, len);
        st->tensor[i].name = st->names + at;
        at += len;
    }
    return CF_OK;
}

static enum cf_status read_header(struct cf_st *st, json_t *json, struct cf_error *err)
{
    const char *key;
    json_t *value;

    st->tensor = cf_calloc(json_object_size(json), sizeof *st->tensor, err);
    if (!st->tensor)
        return CF_ENOMEM;
    json_object_foreach(json, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            CF_TRY(check_metadata(st, value, err));
            continue;
        }
        st->tensor[st->count].name = key;
        CF_TRY(read_entry(st, &st->tensor[st->count], value, err));
        st->count++;
    }
    CF_TRY(check_tiling(st, err));
    qsort(st->tensor, (size_t)st->count, sizeof *st->tensor, by_name);
    return keep_names(st, err);
}

static enum cf_status parse(struct cf_st *st, const unsigned char *bytes, size_t n,
                            struct cf_error *err)
{
    enum cf_status status;
    json_t *json;
    uint64_t len;

    if (n < 8) {
        CF_TRY(cf_file_no_download(bytes, n, st->path, err));
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: %zu bytes, too short for a header length", st->path, n);
    }
    len = cf_load_u64(bytes);
    if (len < 2 || len > n - 8) {
        CF_TRY(cf_file_no_download(bytes, n, st->path, err));
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: byte 0: a header of %llu bytes in a file of %zu: %s",
                       st->path, (unsigned long long)len, n,
                       len > n && len <= CF_ST_MAX_HEADER ? "cut short?"
                                                          : "no safetensors file?");
    }
    if (len > CF_ST_MAX_HEADER)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: byte 0: a header of %llu bytes, at most %d are read",
                       st->path, (unsigned long long)len, CF_ST_MAX_HEADER);
    if (bytes[8] != '{')
        return cf_fail(err, CF_EFORMAT, "%.200s: byte 8: the header is no JSON object",
                       st->path);
    st->data = bytes + 8 + len;
    st->data_size = n - 8 - (size_t)len;
    json = cf_json_parse((const char *)bytes + 8, (size_t)len, CF_ST_MAX_VALUES, st->path,
                         err);
    if (!json)
        return err->status;
    status = read_header(st, json, err);
    json_decref(json);
    return status;
}

static struct cf_st *fresh(const char *path, struct cf_error *err)
{
    struct cf_st *st = cf_calloc(1, sizeof *st, err);

    if (st && !(st->path = cf_strdup(path, err))) {
        cf_free(st);
        return NULL;
    }
    return st;
}

static enum cf_status map_file(struct cf_st *st, struct cf_error *err)
{
    size_t size;
    int fd = cf_file_open(st->path, &size, err);

    if (fd < 0)
        return err->status;
    if (size > 0) { /* nothing cannot be mapped; parse refuses it */
        st->map_size = size;
        st->map = mmap(NULL, st->map_size, PROT_READ, MAP_SHARED, fd, 0);
        if (st->map == MAP_FAILED) {
            st->map = NULL;
            cf_fail_errno(err, errno, "%.200s: map of %zu bytes", st->path, st->map_size);
        }
    }
    close(fd);
    return err->status;
}

enum cf_status cf_st_open(struct cf_st **out, const char *path, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_st *st = fresh(path, &own);

    *out = NULL;
    if (st && map_file(st, &own) == CF_OK &&
        parse(st, st->map, st->map_size, &own) == CF_OK)
        *out = st;
    else
        cf_st_close(st);
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

enum cf_status cf_st_parse(struct cf_st **out, const void *bytes, size_t n,
                           const char *where, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_st *st = fresh(where, &own);

    *out = NULL;
    if (st && parse(st, bytes, n, &own) == CF_OK)
        *out = st;
    else
        cf_st_close(st);
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

void cf_st_close(struct cf_st *st)
{
    if (!st)
        return;
    cf_free(st->tensor);
    cf_free(st->names);
    if (st->map)
        munmap(st->map, st->map_size);
    cf_free(st->path);
    cf_free(st);
}

void cf_st_rest(const struct cf_st *st)
{
    /* Advice: a kernel that does not take it costs memory, not correctness. */
    if (st->map)
        (void)madvise(st->map, st->map_size, MADV_DONTNEED);
}

int cf_st_count(const struct cf_st *st)
{
    return st->count;
}

const char *cf_st_name(const struct cf_st *st, int i)
{
    return st->tensor[i].name;
}

const struct cf_view *cf_st_view(const struct cf_st *st, int i)
{
    return &st->tensor[i].view;
}

size_t cf_st_bytes(const struct cf_st *st)
{
    return st->data_size;
}

const char *cf_st_path(const struct cf_st *st)
{
    return st->path;
}
