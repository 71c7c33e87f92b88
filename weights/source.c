#include "weights/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "weights/checkpoint.h"

struct item {
    const char *name;    /* whole; borrowed from its file */
    struct cf_view view; /* data NULL */
};

struct cf_source {
    char *path;           /* the file that was taken */
    struct cf_ckpt *ckpt; /* item i is tensor i of it */
    struct item *item;    /* all tensors by name */
    int total;
    int first, count; /* those that were entered */
    size_t skip;      /* bytes of the name before the rest */
};

static enum cf_status list_ckpt(struct cf_source *s, struct cf_error *err)
{
    s->total = cf_ckpt_count(s->ckpt);
    s->item = cf_alloc((size_t)s->total, sizeof *s->item, err);
    if (!s->item)
        return CF_ENOMEM;
    for (int i = 0; i < s->total; i++) {
        s->item[i] = (struct item){cf_ckpt_name(s->ckpt, i), *cf_ckpt_view(s->ckpt, i)};
        s->item[i].view.data = NULL;
    }
    return CF_OK;
}

enum cf_status cf_source_open(struct cf_source **out, const char *path,
                              struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_source *s = cf_calloc(1, sizeof *s, &own);

    *out = NULL;
    if (s && (s->path = cf_strdup(path, &own)) != NULL &&
        cf_ckpt_open(&s->ckpt, s->path, &own) == CF_OK && list_ckpt(s, &own) == CF_OK) {
        s->count = s->total;
        *out = s;
    } else {
        cf_source_close(s);
    }
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

void cf_source_close(struct cf_source *s)
{
    if (!s)
        return;
    cf_ckpt_close(s->ckpt);
    cf_free(s->item);
    cf_free(s->path);
    cf_free(s);
}

const char *cf_source_path(const struct cf_source *s)
{
    return s->path;
}

const char *cf_source_format(const struct cf_source *s)
{
    return s->ckpt ? "safetensors" : "pytorch";
}

/* Names that begin alike stand together, in the order of their rests. */
enum cf_status cf_source_enter(struct cf_source *s, const char *prefix,
                               struct cf_error *err)
{
    size_t len = strlen(prefix);
    int first = 0, end;

    if (len == 0) {
        s->first = 0;
        s->count = s->total;
        s->skip = 0;
        return CF_OK;
    }
    while (first < s->total && (strncmp(s->item[first].name, prefix, len) != 0 ||
                                s->item[first].name[len] != '.'))
        first++;
    for (end = first; end < s->total && strncmp(s->item[end].name, prefix, len) == 0 &&
                      s->item[end].name[len] == '.';)
        end++;
    if (first == end)
        return cf_fail(err, CF_ENOENT, "%.200s: no tensor begins with \"%.100s.\"",
                       s->path, prefix);
    s->first = first;
    s->count = end - first;
    s->skip = len + 1;
    return CF_OK;
}

int cf_source_count(const struct cf_source *s)
{
    return s->count;
}

const char *cf_source_name(const struct cf_source *s, int i)
{
    return s->item[s->first + i].name + s->skip;
}

const struct cf_view *cf_source_shape(const struct cf_source *s, int i)
{
    return &s->item[s->first + i].view;
}

int cf_source_index(const struct cf_source *s, const char *name)
{
    int lo = 0, hi = s->count;

    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        int order = strcmp(cf_source_name(s, mid), name);

        if (order == 0)
            return mid;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

size_t cf_source_bytes(const struct cf_source *s, int i)
{
    const struct cf_view *v = cf_source_shape(s, i);

    return (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);
}

/* What was copied out of the map need not stay in memory: a file is read once. */
static void let_go(const void *bytes, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)bytes + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)bytes + n) / page * page;

    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

enum cf_status cf_source_read(struct cf_source *s, int i, void *dst, struct cf_error *err)
{
    const struct cf_view *v = cf_ckpt_view(s->ckpt, s->first + i);
    size_t n = cf_source_bytes(s, i);

    (void)err;
    if (n) {
        memcpy(dst, v->data, n);
        let_go(v->data, n);
    }
    return CF_OK;
}
