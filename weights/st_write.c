#include "weights/st_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/utf8.h"
#include "weights/safetensors.h"

enum { LINE = 64, MAX_TRIES = 100 };

struct entry {
    char *name;
    enum cf_dtype dtype;
    int ndim;
    int64_t dim[CF_MAX_DIM];
    size_t bytes, at; /* at: offset in the data, from cf_st_begin on */
    bool put;
};

struct cf_st_writer {
    char *path, *part;
    int fd;
    struct entry *entry; /* after cf_st_begin by name */
    size_t count, cap;
    size_t data_at;           /* offset of the data in the file; 0 before cf_st_begin */
    size_t end;               /* bytes of the file */
    const char **place;       /* names in the order of the data; borrowed from entry */
    struct cf_digest *digest; /* of the first hashed bytes of the file */
    size_t hashed;
};

/* True where fd is still what the name part leads to: whoever held the lock before may
 * have renamed or removed it. */
static bool is_still(int fd, const char *part)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(part, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* The part file, ours alone. Where the file system knows no locks we go on without. */
static enum cf_status open_part(struct cf_st_writer *w, struct cf_error *err)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        w->fd = open(w->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (w->fd < 0)
            return cf_fail_errno(err, errno, "%.300s: create", w->part);
        if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            break;
        if (is_still(w->fd, w->part))
            return CF_OK;
        close(w->fd);
        w->fd = -1;
    }
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    return cf_fail(err, CF_EBUSY, "%.300s: another process is writing it", w->part);
}

static void free_writer(struct cf_st_writer *w)
{
    char hex[CF_DIGEST_HEX];

    if (w->fd >= 0)
        close(w->fd);
    for (size_t i = 0; i < w->count; i++)
        cf_free(w->entry[i].name);
    if (w->digest)
        cf_digest_close(w->digest, hex, NULL);
    cf_free(w->place);
    cf_free(w->entry);
    cf_free(w->part);
    cf_free(w->path);
    cf_free(w);
}

enum cf_status cf_st_writer_open(struct cf_st_writer **out, const char *path,
                                 struct cf_error *err)
{
    struct cf_st_writer *w = cf_calloc(1, sizeof *w, err);

    *out = NULL;
    if (!w)
        return CF_ENOMEM;
    w->fd = -1;
    w->digest = cf_digest_open(err);
    w->path = w->digest ? cf_strdup(path, err) : NULL;
    w->part = w->path ? cf_format(err, "%s.part", path) : NULL;
    if (!w->part || open_part(w, err) != CF_OK) {
        enum cf_status status = w->part ? cf_fail(err, CF_EIO, "%s", path) : CF_ENOMEM;

        free_writer(w);
        return status;
    }
    *out = w;
    return CF_OK;
}

enum cf_status cf_st_declare(struct cf_st_writer *w, const char *name,
                             enum cf_dtype dtype, int ndim, const int64_t *dim,
                             struct cf_error *err)
{
    struct entry e = {.dtype = dtype, .ndim = ndim, .bytes = cf_dtype_size(dtype)};
    size_t bad;

    if (!name[0] || strlen(name) > CF_ST_MAX_NAME || strcmp(name, "__metadata__") == 0 ||
        !cf_utf8_valid(name, strlen(name), &bad))
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: tensor name \"%.100s\", expected 1..%d bytes of UTF-8 "
                       "that are not __metadata__",
                       w->path, name, CF_ST_MAX_NAME);
    if (ndim < 0 || ndim > CF_MAX_DIM)
        return cf_fail(err, CF_ERANGE, "%.200s: %.100s: %d dimensions, expected 0..%d",
                       w->path, name, ndim, CF_MAX_DIM);
    for (int i = 0; i < ndim; i++) {
        e.dim[i] = dim[i];
        if (dim[i] < 0 || !cf_mul_size(e.bytes, (size_t)dim[i], &e.bytes))
            return cf_fail(err, CF_ERANGE, "%.200s: %.100s: dim[%d] is %lld", w->path,
                           name, i, (long long)dim[i]);
    }
    CF_TRY(cf_grow(&w->entry, &w->cap, w->count + 1, sizeof *w->entry, err));
    e.name = cf_strdup(name, err);
    if (!e.name)
        return CF_ENOMEM;
    w->entry[w->count++] = e;
    return CF_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    bool odd_x = x->bytes % LINE != 0, odd_y = y->bytes % LINE != 0;
    size_t size_x = cf_dtype_size(x->dtype), size_y = cf_dtype_size(y->dtype);

    if (odd_x != odd_y)
        return odd_x ? 1 : -1;
    if (size_x != size_y)
        return size_x > size_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Gives each tensor its place; *size is that of all data. */
static enum cf_status place(struct cf_st_writer *w, size_t *size, struct cf_error *err)
{
    *size = 0;
    if (w->count)
        qsort(w->entry, w->count, sizeof *w->entry, by_place);
    for (size_t i = 0; i < w->count; i++) {
        w->entry[i].at = *size;
        if (!cf_add_size(*size, w->entry[i].bytes, size) || *size > INT64_MAX / 2)
            return cf_fail(err, CF_ERANGE, "%.200s: the tensors' sizes overflow",
                           w->path);
    }
    return CF_OK;
}

/* Jansson's setters take a value over, and NULL for one that failed, in any case;
 * json_pack forgets some without memory. */
static json_t *entry_json(const struct entry *e)
{
    json_t *entry = json_object(), *shape = json_array(), *offsets = json_array();
    int bad = 0;

    for (int i = 0; i < e->ndim; i++)
        bad |= json_array_append_new(shape, json_integer(e->dim[i]));
    bad |= json_array_append_new(offsets, json_integer((json_int_t)e->at));
    bad |= json_array_append_new(offsets, json_integer((json_int_t)(e->at + e->bytes)));
    bad |= json_object_set_new(entry, "dtype", json_string(cf_dtype_name(e->dtype)));
    bad |= json_object_set_new(entry, "shape", shape);
    bad |= json_object_set_new(entry, "data_offsets", offsets);
    if (!bad)
        return entry;
    json_decref(entry);
    return NULL;
}

/* The header in the order of the data; NULL without memory. */
static json_t *header_json(const struct cf_st_writer *w, const json_t *metadata)
{
    json_t *tree = json_object();
    int bad = tree == NULL;

    if (metadata)
        bad |= json_object_set(tree, "__metadata__", (json_t *)(uintptr_t)metadata);
    for (size_t i = 0; i < w->count; i++)
        bad |= json_object_set_new(tree, w->entry[i].name, entry_json(&w->entry[i]));
    if (!bad)
        return tree;
    json_decref(tree);
    return NULL;
}

static enum cf_status write_all(struct cf_st_writer *w, const void *bytes, size_t n,
                                size_t at, struct cf_error *err)
{
    const unsigned char *p = bytes;

    for (size_t done = 0; done < n;) {
        ssize_t got = pwrite(w->fd, p + done, n - done, (off_t)(at + done));

        if (got < 0 && errno != EINTR)
            return cf_fail_errno(err, errno, "%.300s: write", w->part);
        done += got > 0 ? (size_t)got : 0;
    }
    if (at != w->hashed)
        return CF_OK;
    w->hashed += n;
    return cf_digest_add(w->digest, bytes, n, err);
}

/* The length, then the text, then blanks up to where the data start. */
static enum cf_status write_header(struct cf_st_writer *w, const json_t *metadata,
                                   struct cf_error *err)
{
    json_t *tree = header_json(w, metadata);
    size_t len = tree ? json_dumpb(tree, NULL, 0, JSON_COMPACT) : 0;
    unsigned char *block = NULL;
    enum cf_status status;
    size_t padded;

    if (len == 0)
        status = cf_fail(err, CF_ENOMEM, "%.200s: no memory for the header", w->path);
    else if (!cf_round_size(8 + len, LINE, &padded))
        status = cf_fail(err, CF_ERANGE, "%.200s: a header of %zu bytes", w->path, len);
    else if ((block = cf_alloc(padded, 1, err)) == NULL)
        status = CF_ENOMEM;
    else if (json_dumpb(tree, (char *)block + 8, len, JSON_COMPACT) != len)
        status = cf_fail(err, CF_ENOMEM, "%.200s: no memory for the header", w->path);
    else {
        for (int i = 0; i < 8; i++)
            block[i] = (unsigned char)((padded - 8) >> 8 * i);
        memset(block + 8 + len, ' ', padded - 8 - len);
        status = write_all(w, block, padded, 0, err);
        w->data_at = padded;
    }
    cf_free(block);
    json_decref(tree);
    return status;
}

/* fallocate and not posix_fallocate: the latter writes every block itself where the file
 * system cannot reserve them, which takes as long as the data. */
static enum cf_status reserve(struct cf_st_writer *w, size_t size, struct cf_error *err)
{
    if (ftruncate(w->fd, (off_t)size) != 0)
        return cf_fail_errno(err, errno, "%.300s: %zu bytes", w->part, size);
    if (fallocate(w->fd, 0, 0, (off_t)size) != 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS && errno != EINTR)
        return cf_fail_errno(err, errno, "%.300s: space for %zu bytes", w->part, size);
    return CF_OK;
}

/* Our own reader has the last word on the header, before hours go into the data. */
static enum cf_status read_back(const struct cf_st_writer *w, struct cf_error *err)
{
    struct cf_st *st;

    CF_TRY(cf_st_open(&st, w->part, err));
    cf_st_close(st);
    return CF_OK;
}

enum cf_status cf_st_begin(struct cf_st_writer *w, const json_t *metadata,
                           struct cf_error *err)
{
    enum cf_status status;
    size_t size;

    if (w->data_at)
        return cf_fail(err, CF_EBUG, "%.200s: begun twice", w->path);
    if (w->count)
        qsort(w->entry, w->count, sizeof *w->entry, by_name);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->entry[i - 1].name, w->entry[i].name) == 0)
            return cf_fail(err, CF_EFORMAT, "%.200s: tensor %.200s comes twice", w->path,
                           w->entry[i].name);
    CF_TRY(place(w, &size, err));
    cf_free(w->place);
    w->place = cf_alloc(w->count, sizeof *w->place, err);
    if (!w->place)
        return CF_ENOMEM;
    for (size_t i = 0; i < w->count; i++)
        w->place[i] = w->entry[i].name;
    if (ftruncate(w->fd, 0) != 0) /* what a killed process left */
        status = cf_fail_errno(err, errno, "%.300s: truncate", w->part);
    else
        status = write_header(w, metadata, err);
    w->end = w->data_at + size;
    if (status == CF_OK)
        status = reserve(w, w->end, err);
    if (status == CF_OK)
        status = read_back(w, err);
    if (w->count)
        qsort(w->entry, w->count, sizeof *w->entry, by_name);
    return status;
}

const char *cf_st_place(const struct cf_st_writer *w, size_t i)
{
    return i < w->count ? w->place[i] : NULL;
}

enum cf_status cf_st_put(struct cf_st_writer *w, const char *name, const void *bytes,
                         size_t n, struct cf_error *err)
{
    struct entry key = {.name = (char *)(uintptr_t)name}, *e = NULL;

    if (w->data_at && w->count)
        e = bsearch(&key, w->entry, w->count, sizeof *w->entry, by_name);
    if (!e || e->put || e->bytes != n)
        return cf_fail(err, CF_EBUG, "%.200s: tensor %.200s: %zu bytes, %s", w->path,
                       name, n,
                       !w->data_at ? "before the header"
                       : !e        ? "which was not declared"
                       : e->put    ? "which was written before"
                                   : "declared with another size");
    CF_TRY(write_all(w, bytes, n, w->data_at + e->at, err));
    e->put = true;
    return CF_OK;
}

static enum cf_status sync_dir(const char *path, struct cf_error *err)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        slash ? cf_strndup(path, (size_t)(slash - path) + 1, err) : cf_strdup(".", err);
    enum cf_status status = dir ? cf_file_sync_dir(dir, err) : CF_ENOMEM;

    cf_free(dir);
    return status;
}

static enum cf_status finish(struct cf_st_writer *w, struct cf_error *err)
{
    if (!w->data_at)
        return cf_fail(err, CF_EBUG, "%.200s: finished before it was begun", w->path);
    for (size_t i = 0; i < w->count; i++)
        if (!w->entry[i].put)
            return cf_fail(err, CF_EBUG, "%.200s: tensor %.200s was not written", w->path,
                           w->entry[i].name);
    if (fsync(w->fd) != 0)
        return cf_fail_errno(err, errno, "%.300s: sync", w->part);
    /* Still locked: nobody takes the part file over between its end and its rename. */
    if (rename(w->part, w->path) != 0)
        return cf_fail_errno(err, errno, "%.300s: rename", w->path);
    return sync_dir(w->path, err);
}

/* What was not hashed on its way, read back. */
static enum cf_status hash_rest(struct cf_st_writer *w, struct cf_error *err)
{
    enum { BLOCK = 1 << 20 };
    unsigned char *block = w->hashed < w->end ? cf_alloc(BLOCK, 1, err) : NULL;
    enum cf_status status = w->hashed < w->end && !block ? CF_ENOMEM : CF_OK;

    while (status == CF_OK && w->hashed < w->end) {
        size_t n = w->end - w->hashed < BLOCK ? w->end - w->hashed : BLOCK;
        ssize_t got = pread(w->fd, block, n, (off_t)w->hashed);

        if (got > 0) {
            status = cf_digest_add(w->digest, block, (size_t)got, err);
            w->hashed += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            status = cf_fail_errno(err, got ? errno : EIO, "%.300s: read", w->part);
        }
    }
    cf_free(block);
    return status;
}

static enum cf_status finish_hash(struct cf_st_writer *w, char *hex, struct cf_error *err)
{
    enum cf_status status = hash_rest(w, err), closed;

    closed = cf_digest_close(w->digest, hex, err);
    w->digest = NULL;
    return status == CF_OK ? closed : status;
}

enum cf_status cf_st_finish_hash(struct cf_st_writer *w, char hex[CF_DIGEST_HEX],
                                 struct cf_error *err)
{
    enum cf_status status = w->data_at ? finish_hash(w, hex, err) : CF_OK;

    if (status == CF_OK)
        return cf_st_finish(w, err);
    cf_st_abandon(w);
    return status;
}

enum cf_status cf_st_finish(struct cf_st_writer *w, struct cf_error *err)
{
    enum cf_status status = finish(w, err);

    if (status == CF_OK)
        free_writer(w);
    else
        cf_st_abandon(w);
    return status;
}

void cf_st_abandon(struct cf_st_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0 && is_still(w->fd, w->part))
        unlink(w->part);
    free_writer(w);
}
