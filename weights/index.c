#include "weights/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "weights/safetensors.h"

enum {
    MAX_INDEX = CF_ST_MAX_HEADER, /* bytes; both for the reasons given there */
    MAX_INDEX_VALUES = CF_ST_MAX_VALUES,
    MAX_FILE_NAME = 255,
};

static int by_file(const void *a, const void *b)
{
    const struct cf_index_line *x = a, *y = b;
    int order = strcmp(x->file, y->file);

    return order ? order : strcmp(x->name, y->name);
}

/* A shard lies beside its index: a plain name, no way out of the directory. */
static enum cf_status check_file_name(const char *index, const char *tensor,
                                      const json_t *file, struct cf_error *err)
{
    const char *s = json_string_value(file);

    if (!s)
        return cf_fail(err, CF_EFORMAT, "%.200s: %.100s: the file name is no string",
                       index, tensor);
    if (!*s || strlen(s) != json_string_length(file) || strlen(s) > MAX_FILE_NAME ||
        strchr(s, '/') || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: %.100s: \"%.100s\" is not the plain name of a file",
                       index, tensor, s);
    return CF_OK;
}

static enum cf_status read_map(struct cf_index *x, struct cf_error *err)
{
    const char *name;
    json_t *map, *file;
    size_t at = 0;

    CF_TRY(cf_json_obj(x->tree, "weight_map", &map, x->path, err));
    x->map = map;
    x->count = json_object_size(map);
    if (x->count == 0)
        return cf_fail(err, CF_EFORMAT, "%.200s: weight_map is empty", x->path);
    x->line = cf_alloc(x->count, sizeof *x->line, err);
    if (!x->line)
        return CF_ENOMEM;
    json_object_foreach(map, name, file)
    {
        CF_TRY(check_file_name(x->path, name, file, err));
        x->line[at++] = (struct cf_index_line){name, json_string_value(file), 0};
    }
    qsort(x->line, x->count, sizeof *x->line, by_file);
    return CF_OK;
}

static enum cf_status count_shards(struct cf_index *x, struct cf_error *err)
{
    size_t shards = 1;

    for (size_t i = 1; i < x->count; i++) {
        shards += strcmp(x->line[i - 1].file, x->line[i].file) != 0;
        x->line[i].shard = (int)shards - 1;
    }
    if (shards > CF_INDEX_MAX_SHARDS)
        return cf_fail(err, CF_EUNSUP, "%.200s: %zu shards, at most %d are supported",
                       x->path, shards, CF_INDEX_MAX_SHARDS);
    x->shards = (int)shards;
    return CF_OK;
}

enum cf_status cf_index_load(struct cf_index *x, const char *path, struct cf_error *err)
{
    *x = (struct cf_index){0};
    x->path = cf_strdup(path, err);
    if (!x->path)
        return CF_ENOMEM;
    x->tree = cf_json_load(path, MAX_INDEX, MAX_INDEX_VALUES, err);
    if (!x->tree)
        return err->status;
    CF_TRY(read_map(x, err));
    return count_shards(x, err);
}

void cf_index_free(struct cf_index *x)
{
    cf_free(x->line);
    json_decref(x->tree);
    cf_free(x->path);
    *x = (struct cf_index){0};
}

char *cf_index_file(const struct cf_index *x, const struct cf_index_line *line,
                    struct cf_error *err)
{
    const char *slash = strrchr(x->path, '/');
    int dir = slash ? (int)(slash - x->path) + 1 : 0;

    return cf_format(err, "%.*s%s", dir, x->path, line->file);
}
