#include "weights/source.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "weights/checkpoint.h"
#include "weights/index.h"
#include "weights/names.h"
#include "weights/pth.h"
#include "weights/source_pick.h"

enum kind { SAFETENSORS, PYTORCH, INDEX };

struct cf_source {
    char *path;           /* the file that was taken */
    struct cf_ckpt *ckpt; /* or */
    struct cf_pth **pth;
    int pths;
    struct cf_names all;
    struct cf_view *shape; /* of all, without data */
    int first, count;      /* those that were entered */
    size_t skip;           /* bytes of the name before the rest */
};

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* A file by its first bytes. What begins like nothing of ours is left to the reader that
 * its name asks for, which says what is wrong with it. */
static enum cf_status sniff(const char *path, enum kind *kind, struct cf_error *err)
{
    char head[32] = "";
    size_t size, text;
    ssize_t n;
    int fd = cf_file_open(path, &size, err);

    if (fd < 0)
        return err->status;
    n = pread(fd, head, sizeof head - 1, 0);
    if (n < 0)
        cf_fail_errno(err, errno, "%.300s: read", path);
    close(fd);
    if (n < 0)
        return err->status;
    text = strspn(head, " \t\r\n");
    if (n > 8 && head[8] == '{' && cf_load_u64(head) <= size - 8)
        *kind = SAFETENSORS;
    else if (head[text] == '{')
        *kind = INDEX;
    else if (memcmp(head, "PK", 2) != 0 && ends_with(path, ".safetensors"))
        *kind = SAFETENSORS;
    else
        *kind = PYTORCH;
    return CF_OK;
}

static void list_ckpt(struct cf_source *s)
{
    for (int i = 0; i < cf_ckpt_count(s->ckpt); i++)
        cf_names_add(&s->all,
                     (struct cf_name){cf_ckpt_name(s->ckpt, i), cf_ckpt_view(s->ckpt, i),
                                      cf_ckpt_path(s->ckpt), 0, i});
}

static void list_pths(struct cf_source *s)
{
    for (int f = 0; f < s->pths; f++)
        for (int i = 0; i < cf_pth_count(s->pth[f]); i++)
            cf_names_add(&s->all, (struct cf_name){cf_pth_name(s->pth[f], i),
                                                   cf_pth_shape(s->pth[f], i),
                                                   cf_pth_path(s->pth[f]), f, i});
}

/* One table over all files; a name may come once. */
static enum cf_status list(struct cf_source *s, struct cf_error *err)
{
    size_t total = s->ckpt ? (size_t)cf_ckpt_count(s->ckpt) : 0;

    for (int f = 0; f < s->pths; f++)
        total += (size_t)cf_pth_count(s->pth[f]);
    CF_TRY(cf_names_open(&s->all, total, s->path, err));
    s->shape = cf_alloc(total, sizeof *s->shape, err);
    if (!s->shape)
        return CF_ENOMEM;
    if (s->ckpt)
        list_ckpt(s);
    list_pths(s);
    CF_TRY(cf_names_join(&s->all, err));
    for (int i = 0; i < s->all.count; i++) {
        s->shape[i] = *s->all.item[i].view;
        s->shape[i].data = NULL;
    }
    return CF_OK;
}

static enum cf_status open_ckpt(struct cf_source *s, struct cf_error *err)
{
    CF_TRY(cf_ckpt_open(&s->ckpt, s->path, err));
    return list(s, err);
}

static enum cf_status open_pth(struct cf_source *s, struct cf_error *err)
{
    s->pth = cf_calloc(1, sizeof(struct cf_pth *), err);
    if (!s->pth)
        return CF_ENOMEM;
    CF_TRY(cf_pth_open(&s->pth[0], s->path, err));
    s->pths = 1;
    return list(s, err);
}

static enum cf_status open_pth_shards(struct cf_source *s, const struct cf_index *x,
                                      struct cf_error *err)
{
    s->pth = cf_calloc((size_t)x->shards, sizeof(struct cf_pth *), err);
    if (!s->pth)
        return CF_ENOMEM;
    for (size_t i = 0; i < x->count; i++) {
        enum cf_status status;
        char *path;

        if (x->line[i].shard < s->pths)
            continue;
        path = cf_index_file(x, &x->line[i], err);
        if (!path)
            return CF_ENOMEM;
        status = cf_pth_open(&s->pth[s->pths], path, err);
        cf_free(path);
        if (status != CF_OK)
            return status;
        s->pths++;
    }
    CF_TRY(list(s, err));
    return cf_names_check(&s->all, x, err);
}

/* An index of whatever its first shard is. */
static enum cf_status open_index(struct cf_source *s, struct cf_error *err)
{
    enum kind kind = INDEX;
    struct cf_index x;
    enum cf_status status = cf_index_load(&x, s->path, err);
    char *shard = status == CF_OK ? cf_index_file(&x, &x.line[0], err) : NULL;

    if (shard && sniff(shard, &kind, err) == CF_OK) {
        if (kind == PYTORCH)
            open_pth_shards(s, &x, err);
        else if (kind == SAFETENSORS)
            open_ckpt(s, err);
        else
            cf_fail(err, CF_EFORMAT, "%.200s: %.200s is no file of weights", s->path,
                    shard);
    }
    cf_free(shard);
    cf_index_free(&x);
    return err->status;
}

static enum cf_status open_file(struct cf_source *s, struct cf_error *err)
{
    enum kind kind;

    CF_TRY(sniff(s->path, &kind, err));
    switch (kind) {
    case SAFETENSORS:
        return open_ckpt(s, err);
    case PYTORCH:
        return open_pth(s, err);
    default:
        return open_index(s, err);
    }
}

enum cf_status cf_source_open(struct cf_source **out, const char *path,
                              struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_source *s = cf_calloc(1, sizeof *s, &own);

    *out = NULL;
    if (s && (s->path = cf_source_pick(path, &own)) != NULL &&
        open_file(s, &own) == CF_OK) {
        s->count = s->all.count;
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
    for (int f = 0; f < s->pths; f++)
        cf_pth_close(s->pth[f]);
    cf_free(s->pth);
    cf_names_close(&s->all);
    cf_free(s->shape);
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
        s->count = s->all.count;
        s->skip = 0;
        return CF_OK;
    }
    while (first < s->all.count && (strncmp(s->all.item[first].name, prefix, len) != 0 ||
                                    s->all.item[first].name[len] != '.'))
        first++;
    for (end = first; end < s->all.count &&
                      strncmp(s->all.item[end].name, prefix, len) == 0 &&
                      s->all.item[end].name[len] == '.';)
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
    return s->all.item[s->first + i].name + s->skip;
}

const struct cf_view *cf_source_shape(const struct cf_source *s, int i)
{
    return &s->shape[s->first + i];
}

int cf_source_index(const struct cf_source *s, const char *name)
{
    return cf_names_find(s->all.item + s->first, s->count, s->skip, name);
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
    const struct cf_name *item = &s->all.item[s->first + i];
    size_t n = cf_source_bytes(s, i);
    const void *data;

    if (n == 0)
        return CF_OK;
    if (!s->ckpt)
        return cf_pth_read(s->pth[item->shard], item->at, dst, err);
    data = cf_ckpt_view(s->ckpt, item->at)->data;
    memcpy(dst, data, n);
    let_go(data, n);
    return CF_OK;
}
