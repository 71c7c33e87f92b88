/* index.h - *.index.json: which shard holds which tensor.
 *
 *     {"metadata": {...}, "weight_map": {"model.norm.weight": "model-00002.safetensors"}}
 *
 * A shard lies beside its index: names of files are plain names. */
#ifndef CF_WEIGHTS_INDEX_H
#define CF_WEIGHTS_INDEX_H

#include <stddef.h>

#include "base/error.h"
#include "base/json.h"

enum { CF_INDEX_MAX_SHARDS = 4096 };

struct cf_index_line {
    const char *name, *file; /* borrowed from the tree */
    int shard;
};

struct cf_index {
    char *path;
    json_t *tree;
    const json_t *map;          /* weight_map: name -> file */
    struct cf_index_line *line; /* by file, then by name */
    size_t count;
    int shards; /* line[i].shard counts them, in the order of their names */
};

/* CF_ENOENT, CF_EPERM, CF_EIO, CF_ENOMEM; CF_EFORMAT naming the tensor, CF_EUNSUP for
 * more shards than CF_INDEX_MAX_SHARDS. *x is for cf_index_free in any case. */
enum cf_status cf_index_load(struct cf_index *x, const char *path, struct cf_error *err);
void cf_index_free(struct cf_index *x);

/* The path of a line's file; cf_free. */
char *cf_index_file(const struct cf_index *x, const struct cf_index_line *line,
                    struct cf_error *err);

#endif
