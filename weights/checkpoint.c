#include "weights/checkpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "weights/index.h"
#include "weights/names.h"
#include "weights/safetensors.h"

struct cf_ckpt {
    char *path;           /* as given */
    struct cf_st **shard; /* each has its own map */
    int shards;
    struct cf_names names;
};

/* One table over all shards. */
static enum cf_status join(struct cf_ckpt *c, struct cf_error *err)
{
    size_t total = 0;

    for (int s = 0; s < c->shards; s++)
        total += (size_t)cf_st_count(c->shard[s]);
    CF_TRY(cf_names_open(&c->names, total, c->path, err));
    for (int s = 0; s < c->shards; s++)
        for (int i = 0; i < cf_st_count(c->shard[s]); i++)
            cf_names_add(&c->names, (struct cf_name){cf_st_name(c->shard[s], i),
                                                     cf_st_view(c->shard[s], i),
                                                     cf_st_path(c->shard[s]), s, i});
    return cf_names_join(&c->names, err);
}

static enum cf_status open_one(struct cf_ckpt *c, const char *file, struct cf_error *err)
{
    c->shard = cf_calloc(1, sizeof(struct cf_st *), err);
    if (!c->shard || cf_st_open(&c->shard[0], file, err) != CF_OK)
        return CF_EFORMAT;
    c->shards = 1;
    return join(c, err);
}

/* Opens every file that the index names, in the order of their names. */
static enum cf_status open_shards(struct cf_ckpt *c, const struct cf_index *x,
                                  struct cf_error *err)
{
    c->shard = cf_calloc((size_t)x->shards, sizeof(struct cf_st *), err);
    if (!c->shard)
        return CF_ENOMEM;
    for (size_t i = 0; i < x->count; i++) {
        enum cf_status status;
        char *path;

        if (x->line[i].shard < c->shards)
            continue;
        path = cf_index_file(x, &x->line[i], err);
        if (!path)
            return CF_ENOMEM;
        status = cf_st_open(&c->shard[c->shards], path, err);
        cf_free(path);
        if (status != CF_OK)
            return status;
        c->shards++;
    }
    return CF_OK;
}

static enum cf_status open_index(struct cf_ckpt *c, const char *index,
                                 struct cf_error *err)
{
    struct cf_index x;
    enum cf_status status = cf_index_load(&x, index, err);

    if (status == CF_OK)
        status = open_shards(c, &x, err);
    if (status == CF_OK)
        status = join(c, err);
    if (status == CF_OK)
        status = cf_names_check(&c->names, &x, err);
    cf_index_free(&x);
    return status;
}

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static enum cf_status open_dir(struct cf_ckpt *c, struct cf_error *err)
{
    char *one = cf_format(err, "%s/model.safetensors", c->path);
    char *index = one ? cf_format(err, "%s/model.safetensors.index.json", c->path) : NULL;
    enum cf_status status;

    if (!index)
        status = CF_ENOMEM;
    else if (exists(one))
        status = open_one(c, one, err);
    else if (exists(index))
        status = open_index(c, index, err);
    else
        status = cf_fail(err, CF_ENOENT,
                         "%.300s: holds neither model.safetensors nor "
                         "model.safetensors.index.json",
                         c->path);
    cf_free(one);
    cf_free(index);
    return status;
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n >= m && strcmp(s + n - m, tail) == 0;
}

static enum cf_status open_path(struct cf_ckpt *c, struct cf_error *err)
{
    struct stat info;

    if (stat(c->path, &info) != 0)
        return cf_fail_errno(err, errno, "%.300s", c->path);
    if (S_ISDIR(info.st_mode))
        return open_dir(c, err);
    if (ends_with(c->path, ".json"))
        return open_index(c, c->path, err);
    return open_one(c, c->path, err);
}

enum cf_status cf_ckpt_open(struct cf_ckpt **ckpt, const char *path, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_ckpt *c = cf_calloc(1, sizeof *c, &own);

    *ckpt = NULL;
    if (c && (c->path = cf_strdup(path, &own)) != NULL && open_path(c, &own) == CF_OK)
        *ckpt = c;
    else
        cf_ckpt_close(c);
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

void cf_ckpt_close(struct cf_ckpt *c)
{
    if (!c)
        return;
    for (int s = 0; s < c->shards; s++)
        cf_st_close(c->shard[s]);
    cf_free(c->shard);
    cf_names_close(&c->names);
    cf_free(c->path);
    cf_free(c);
}

int cf_ckpt_count(const struct cf_ckpt *c)
{
    return c->names.count;
}

const char *cf_ckpt_name(const struct cf_ckpt *c, int i)
{
    return c->names.item[i].name;
}

const struct cf_view *cf_ckpt_view(const struct cf_ckpt *c, int i)
{
    return c->names.item[i].view;
}

int cf_ckpt_index(const struct cf_ckpt *c, const char *name)
{
    return cf_names_find(c->names.item, c->names.count, 0, name);
}

const struct cf_view *cf_ckpt_find(const struct cf_ckpt *c, const char *name)
{
    int i = cf_ckpt_index(c, name);

    return i < 0 ? NULL : c->names.item[i].view;
}

size_t cf_ckpt_bytes(const struct cf_ckpt *c)
{
    size_t bytes = 0;

    for (int s = 0; s < c->shards; s++)
        bytes += cf_st_bytes(c->shard[s]);
    return bytes;
}

void cf_ckpt_rest(const struct cf_ckpt *c)
{
    for (int s = 0; s < c->shards; s++)
        cf_st_rest(c->shard[s]);
}

const char *cf_ckpt_path(const struct cf_ckpt *c)
{
    return c->path;
}
