#include "weights/pth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "weights/flatten.h"
#include "weights/zip_check.h"

enum {
    MAX_KEY = 255,
    MAX_TOP = 512, /* bytes of NAME */
    /* Deflate makes at most 1032 bytes of one ("zlib technical details"). */
    MAX_RATIO = 1032,
    TWO_HEADERS = 30 + 46, /* of an entry, local and central, without its name */
};

struct cf_pth {
    char *path;
    zip_t *zip;
    char *top;    /* NAME */
    char *pickle; /* bytes of data.pkl: keys and names borrow from them */
    struct cf_pickle *tree;
    struct cf_flat_list list;
    zip_uint64_t *entry; /* of the storage of each tensor */
};

static enum cf_status zip_fail(struct cf_error *err, const char *path, zip_error_t *e)
{
    if (zip_error_code_zip(e) == ZIP_ER_MEMORY)
        return cf_fail(err, CF_ENOMEM, "%.200s: no memory for the zip directory", path);
    if (zip_error_system_type(e) == ZIP_ET_SYS && zip_error_code_system(e) != 0)
        return cf_fail_errno(err, zip_error_code_system(e), "%.300s", path);
    return cf_fail(err, CF_EFORMAT, "%.300s: %s", path, zip_error_strerror(e));
}

/* fd is taken over in any case. */
static enum cf_status open_zip(struct cf_pth *t, int fd, struct cf_error *err)
{
    zip_error_t e;
    zip_source_t *source;
    FILE *f = fdopen(fd, "rb");

    if (!f) {
        cf_fail_errno(err, errno, "%.300s", t->path);
        close(fd);
        return err->status;
    }
    zip_error_init(&e);
    source = zip_source_filep_create(f, 0, -1, &e);
    if (!source) {
        fclose(f);
    } else {
        t->zip = zip_open_from_source(source, ZIP_RDONLY, &e);
        if (!t->zip)
            zip_source_free(source);
    }
    if (!t->zip)
        zip_fail(err, t->path, &e);
    zip_error_fini(&e);
    return t->zip ? CF_OK : CF_EFORMAT;
}

/* What no honest entry is. */
static enum cf_status check_stat(const struct cf_pth *t, const zip_stat_t *s, size_t file,
                                 struct cf_error *err)
{
    const zip_uint64_t need =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;

    if ((s->valid & need) != need)
        return cf_fail(err, CF_EFORMAT, "%.200s: a zip entry without name or size",
                       t->path);
    if ((s->valid & ZIP_STAT_ENCRYPTION_METHOD) && s->encryption_method != ZIP_EM_NONE)
        return cf_fail(err, CF_EUNSUP, "%.200s: %.150s is encrypted", t->path, s->name);
    if (s->comp_method != ZIP_CM_STORE && s->comp_method != ZIP_CM_DEFLATE)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: %.150s: compression method %d, expected none or deflate",
                       t->path, s->name, s->comp_method);
    if (s->comp_size > file ||
        (s->comp_method == ZIP_CM_STORE
             ? s->size != s->comp_size
             : s->size > s->comp_size * MAX_RATIO || s->size > INT64_MAX))
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: %.150s: %llu bytes packed as %llu in a file of %zu",
                       t->path, s->name, (unsigned long long)s->size,
                       (unsigned long long)s->comp_size, file);
    return CF_OK;
}

/* NAME of an entry NAME/tail with no other slash; 0 for any other entry. */
static size_t top_of(const char *entry, const char *tail)
{
    const char *slash = strchr(entry, '/');
    size_t len = slash ? (size_t)(slash - entry) : 0;

    return len && len <= MAX_TOP && strcmp(slash + 1, tail) == 0 ? len : 0;
}

static enum cf_status set_top(struct cf_pth *t, const char *name, struct cf_error *err)
{
    size_t len = top_of(name, "data.pkl");

    if (!len)
        return CF_OK;
    if (t->top)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: %.100s/data.pkl and %.100s: expected one data.pkl",
                       t->path, t->top, name);
    t->top = cf_strndup(name, len, err);
    return t->top ? CF_OK : CF_ENOMEM;
}

/* All entries once: each by itself, and together no more than the file holds, or two lie
 * in the same bytes. */
static enum cf_status check_entries(struct cf_pth *t, size_t file, struct cf_error *err)
{
    zip_int64_t n = zip_get_num_entries(t->zip, 0);
    zip_uint64_t sum = 0;
    bool script = false;

    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t s;

        if (zip_stat_index(t->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW, &s) != 0)
            return zip_fail(err, t->path, zip_get_error(t->zip));
        CF_TRY(check_stat(t, &s, file, err));
        /* n * file fits: the directory is small. */
        sum += s.comp_size + TWO_HEADERS + 2 * strlen(s.name);
        if (sum > file)
            return cf_fail(err, CF_EFORMAT,
                           "%.200s: %.100s: the entries overlap: together they are "
                           "longer than the file (%zu bytes)",
                           t->path, s.name, file);
        CF_TRY(set_top(t, s.name, err));
        script |= top_of(s.name, "constants.pkl") != 0;
    }
    if (script)
        return cf_fail(
            err, CF_EUNSUP,
            "%.200s: a TorchScript archive, which holds a program: save the "
            "weights alone: torch.save(torch.jit.load(FILE).state_dict(), NEW)",
            t->path);
    if (!t->top)
        return cf_fail(
            err, CF_EFORMAT,
            "%.200s: a zip file without data.pkl in its top folder, expected a "
            "file of torch.save",
            t->path);
    return CF_OK;
}

/* The entry NAME/sub/key (NAME/key without sub); false where there is none. */
static bool find_entry(struct cf_pth *t, const char *sub, const char *key, size_t len,
                       zip_stat_t *s)
{
    char name[MAX_TOP + MAX_KEY + 16];
    zip_int64_t at;

    snprintf(name, sizeof name, "%s/%s%.*s", t->top, sub, (int)len, key);
    at = zip_name_locate(t->zip, name, ZIP_FL_ENC_RAW);
    return at >= 0 && zip_stat_index(t->zip, (zip_uint64_t)at, ZIP_FL_ENC_RAW, s) == 0;
}

static enum cf_status read_fail(const struct cf_pth *t, const char *name, zip_file_t *f,
                                struct cf_error *err)
{
    zip_error_t *e = zip_file_get_error(f);

    if (zip_error_code_zip(e) == ZIP_ER_OK)
        cf_fail(err, CF_EFORMAT, "%.200s: ends early", t->path);
    else
        zip_fail(err, t->path, e);
    return cf_wrap(err, "entry %.100s", name);
}

static enum cf_status read_exactly(const struct cf_pth *t, const char *name,
                                   zip_file_t *f, void *dst, size_t n,
                                   struct cf_error *err)
{
    unsigned char *p = dst;

    for (size_t done = 0; done < n;) {
        zip_int64_t got = zip_fread(f, p + done, n - done);

        if (got <= 0)
            return read_fail(t, name, f, err);
        done += (size_t)got;
    }
    return CF_OK;
}

/* A deflated entry knows no other way forward than to be read. */
static enum cf_status skip(const struct cf_pth *t, const zip_stat_t *s, zip_file_t *f,
                           size_t n, struct cf_error *err)
{
    unsigned char waste[4096];

    if (n == 0)
        return CF_OK;
    if (s->comp_method == ZIP_CM_STORE)
        return zip_fseek(f, (zip_int64_t)n, SEEK_SET) == 0
                   ? CF_OK
                   : read_fail(t, s->name, f, err);
    while (n > 0) {
        size_t part = n < sizeof waste ? n : sizeof waste;

        CF_TRY(read_exactly(t, s->name, f, waste, part, err));
        n -= part;
    }
    return CF_OK;
}

/* Bytes from .. from + n of an entry. At its end libzip compares the checksum, when it
 * has seen all of it. */
static enum cf_status read_entry(struct cf_pth *t, const zip_stat_t *s, size_t from,
                                 void *dst, size_t n, struct cf_error *err)
{
    zip_file_t *f = zip_fopen_index(t->zip, s->index, 0);
    enum cf_status status;
    unsigned char more;

    if (!f)
        return zip_fail(err, t->path, zip_get_error(t->zip));
    status = skip(t, s, f, from, err);
    if (status == CF_OK)
        status = read_exactly(t, s->name, f, dst, n, err);
    if (status == CF_OK && from + n == s->size && zip_fread(f, &more, 1) != 0)
        status = read_fail(t, s->name, f, err);
    zip_fclose(f);
    return status;
}

static enum cf_status check_byteorder(struct cf_pth *t, struct cf_error *err)
{
    char word[16] = "";
    zip_stat_t s;

    if (!find_entry(t, "", "byteorder", strlen("byteorder"), &s))
        return CF_OK;
    if (s.size < sizeof word)
        CF_TRY(read_entry(t, &s, 0, word, (size_t)s.size, err));
    if (strcmp(word, "little") != 0)
        return cf_fail(err, CF_EUNSUP, "%.200s: byte order \"%s\", expected \"little\"",
                       t->path, word);
    return CF_OK;
}

static enum cf_status read_pickle(struct cf_pth *t, struct cf_error *err)
{
    zip_stat_t s;

    if (!find_entry(t, "", "data.pkl", strlen("data.pkl"), &s))
        return cf_fail(err, CF_EFORMAT, "%.200s: data.pkl cannot be found again",
                       t->path);
    if (s.size > CF_PICKLE_MAX_BYTES)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: data.pkl of %llu bytes, at most %d are read", t->path,
                       (unsigned long long)s.size, CF_PICKLE_MAX_BYTES);
    t->pickle = cf_alloc((size_t)s.size, 1, err);
    if (!t->pickle)
        return CF_ENOMEM;
    CF_TRY(read_entry(t, &s, 0, t->pickle, (size_t)s.size, err));
    CF_TRY(cf_pickle_parse(&t->tree, t->pickle, (size_t)s.size, t->path, err));
    return cf_flatten(&t->list, t->tree, t->path, err);
}

/* From the element of storage at which the tensor starts, to the one behind its last. */
static int64_t span(const struct cf_pickle_tensor *x)
{
    int64_t n = 1;

    for (int i = 0; i < x->view.ndim; i++)
        n += (x->view.dim[i] - 1) * x->stride[i];
    return n;
}

/* Bytes that must be read of the storage to have the tensor. */
static uint64_t cost(const struct cf_pickle_tensor *x, const zip_stat_t *s)
{
    uint64_t size = cf_dtype_size(x->view.dtype);

    if (cf_view_count(&x->view) == 0)
        return 0;
    return size * (uint64_t)(span(x) + (s->comp_method == ZIP_CM_STORE ? 0 : x->offset));
}

/* Each tensor's storage is there and as long as the pickle says. Together they take no
 * more reading than unpacking the largest honest file would, or a small one could keep us
 * busy for days: 100000 tensors, each at the end of one packed storage. */
static enum cf_status bind_storages(struct cf_pth *t, size_t file, struct cf_error *err)
{
    uint64_t sum = 0;

    t->entry = cf_alloc(t->list.count, sizeof *t->entry, err);
    if (!t->entry)
        return CF_ENOMEM;
    for (size_t i = 0; i < t->list.count; i++) {
        const struct cf_pickle_tensor *x = t->list.flat[i].tensor;
        const char *name = t->list.flat[i].name;
        zip_stat_t s;

        if (x->key_len == 0 || x->key_len > MAX_KEY || memchr(x->key, '/', x->key_len) ||
            memchr(x->key, 0, x->key_len))
            return cf_fail(err, CF_EFORMAT,
                           "%.200s: %.150s: its storage is called \"%.*s\", expected a "
                           "plain name",
                           t->path, name, (int)(x->key_len > 40 ? 40 : x->key_len),
                           x->key);
        if (!find_entry(t, "data/", x->key, x->key_len, &s))
            return cf_fail(err, CF_EFORMAT, "%.200s: %.150s: %.60s/data/%.*s is missing",
                           t->path, name, t->top, (int)x->key_len, x->key);
        if (s.size != (zip_uint64_t)x->bytes)
            return cf_fail(err, CF_EFORMAT,
                           "%.200s: %.150s: %.60s/data/%.*s has %llu bytes, expected "
                           "%lld",
                           t->path, name, t->top, (int)x->key_len, x->key,
                           (unsigned long long)s.size, (long long)x->bytes);
        t->entry[i] = s.index;
        sum += cost(x, &s); /* no more than the storage, which check_stat bounds */
        if (sum > (uint64_t)file * MAX_RATIO)
            return cf_fail(err, CF_EUNSUP,
                           "%.200s: %.150s: the tensors share their storages so often "
                           "that %llu bytes must be read of a file of %zu",
                           t->path, name, (unsigned long long)sum, file);
    }
    return CF_OK;
}

static enum cf_status open_path(struct cf_pth *t, struct cf_error *err)
{
    size_t size;
    int fd = cf_file_open(t->path, &size, err);

    if (fd < 0)
        return err->status;
    if (cf_zip_check(fd, size, t->path, err) != CF_OK) {
        close(fd);
        return err->status;
    }
    CF_TRY(open_zip(t, fd, err));
    CF_TRY(check_entries(t, size, err));
    CF_TRY(check_byteorder(t, err));
    CF_TRY(read_pickle(t, err));
    return bind_storages(t, size, err);
}

enum cf_status cf_pth_open(struct cf_pth **out, const char *path, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_pth *t = cf_calloc(1, sizeof *t, &own);

    *out = NULL;
    if (t && (t->path = cf_strdup(path, &own)) != NULL && open_path(t, &own) == CF_OK)
        *out = t;
    else
        cf_pth_close(t);
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

void cf_pth_close(struct cf_pth *t)
{
    if (!t)
        return;
    cf_flat_free(&t->list);
    cf_pickle_close(t->tree);
    cf_free(t->pickle);
    cf_free(t->entry);
    if (t->zip)
        zip_discard(t->zip);
    cf_free(t->top);
    cf_free(t->path);
    cf_free(t);
}

const char *cf_pth_path(const struct cf_pth *t)
{
    return t->path;
}

int cf_pth_count(const struct cf_pth *t)
{
    return (int)t->list.count;
}

const char *cf_pth_name(const struct cf_pth *t, int i)
{
    return t->list.flat[i].name;
}

const struct cf_view *cf_pth_shape(const struct cf_pth *t, int i)
{
    return &t->list.flat[i].tensor->view;
}

/* True where the elements already follow one another row by row. */
static bool is_dense(const struct cf_pickle_tensor *x)
{
    int64_t step = 1;

    for (int i = x->view.ndim - 1; i >= 0; i--) {
        if (x->view.dim[i] != 1 && x->stride[i] != step)
            return false;
        step *= x->view.dim[i];
    }
    return true;
}

/* dst[i] = src[index of i times stride], like the wheels of an odometer. */
static void copy_strided(unsigned char *dst, const unsigned char *src,
                         const struct cf_pickle_tensor *x)
{
    size_t size = cf_dtype_size(x->view.dtype);
    int64_t index[CF_MAX_DIM] = {0}, count = cf_view_count(&x->view), at = 0;

    for (int64_t i = 0; i < count; i++) {
        memcpy(dst + (size_t)i * size, src + (size_t)at * size, size);
        for (int d = x->view.ndim - 1; d >= 0; d--) {
            at += x->stride[d];
            if (++index[d] < x->view.dim[d])
                break;
            at -= x->stride[d] * x->view.dim[d];
            index[d] = 0;
        }
    }
}

enum cf_status cf_pth_read(struct cf_pth *t, int i, void *dst, struct cf_error *err)
{
    const struct cf_pickle_tensor *x = t->list.flat[i].tensor;
    size_t size = cf_dtype_size(x->view.dtype), from = (size_t)x->offset * size;
    int64_t count = cf_view_count(&x->view);
    enum cf_status status;
    unsigned char *part;
    zip_stat_t s;

    if (count == 0)
        return CF_OK;
    if (zip_stat_index(t->zip, t->entry[i], ZIP_FL_ENC_RAW, &s) != 0)
        return zip_fail(err, t->path, zip_get_error(t->zip));
    if (is_dense(x))
        return read_entry(t, &s, from, dst, (size_t)count * size, err);
    part = cf_alloc((size_t)span(x), size, err);
    if (!part)
        return CF_ENOMEM;
    status = read_entry(t, &s, from, part, (size_t)span(x) * size, err);
    if (status == CF_OK)
        copy_strided(dst, part, x);
    cf_free(part);
    return status;
}
