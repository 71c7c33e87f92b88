/* names.h - the tensors of one or several files in one table, by name. */
#ifndef CF_WEIGHTS_NAMES_H
#define CF_WEIGHTS_NAMES_H

#include <stddef.h>

#include "base/error.h"
#include "base/tensor.h"
#include "weights/index.h"

struct cf_name {
    const char *name; /* borrowed from its file, like all of this */
    const struct cf_view *view;
    const char *file; /* path */
    int shard, at;    /* which file, and the tensor's place there */
};

/* Zeroed before; sorted by name after cf_names_join. */
struct cf_names {
    struct cf_name *item;
    int count;
};

/* Room for total names, to be added in any order. CF_ENOMEM; CF_EUNSUP for more than an
 * int counts, named after where. */
enum cf_status cf_names_open(struct cf_names *t, size_t total, const char *where,
                             struct cf_error *err);
void cf_names_close(struct cf_names *t);
void cf_names_add(struct cf_names *t, struct cf_name name);

/* After the last one: by name. CF_EFORMAT where a name comes twice. */
enum cf_status cf_names_join(struct cf_names *t, struct cf_error *err);

/* The index and its files hold the same tensors, each in the file that is said;
 * CF_EFORMAT. */
enum cf_status cf_names_check(const struct cf_names *t, const struct cf_index *index,
                              struct cf_error *err);

/* Place among n items whose names without their first skip bytes are sorted, or -1. */
int cf_names_find(const struct cf_name *item, int n, size_t skip, const char *name);

#endif
