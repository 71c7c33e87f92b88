/* shapes.h - names and shapes of tensors, wherever they come from.
 *
 * Detecting a geometry needs no data, so it is the same for a checkpoint (checkpoint.h)
 * and for a file that somebody downloaded (source.h). */
#ifndef CF_WEIGHTS_SHAPES_H
#define CF_WEIGHTS_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

#include "weights/checkpoint.h"
#include "weights/keys.h"
#include "weights/source.h"

struct cf_shapes {
    const char *where; /* for messages */
    const void *from;  /* borrowed */
    int (*count)(const void *from);
    /* In byte order; NULL: tensor i is not to be seen, and index does not find it. */
    const char *(*name)(const void *from, int i);
    const struct cf_view *(*view)(const void *from, int i);
    int (*index)(const void *from, const char *name); /* -1: none */
    /* Only names under prefix + "." are there, without it; "": all. Borrowed. */
    const char *prefix;
};

/* Of a checkpoint, which is borrowed. */
struct cf_shapes cf_shapes_of_ckpt(const struct cf_ckpt *ckpt);

/* Of a downloaded file, borrowed; valid until its next cf_source_enter. */
struct cf_shapes cf_shapes_of_source(const struct cf_source *src);

int cf_shapes_count(const struct cf_shapes *s); /* of all, whatever the prefix */
/* NULL where tensor i is not under the prefix or not to be seen; else its name without
 * it. */
const char *cf_shapes_name(const struct cf_shapes *s, int i);
/* Place of a name that stands under the prefix; -1 when there is no such tensor. */
int cf_shapes_index(const struct cf_shapes *s, const char *name);
/* NULL when there is no such tensor under the prefix. */
const struct cf_view *cf_shapes_find(const struct cf_shapes *s, const char *name);

/* dim[at] of a tensor with ndim dimensions; 0 where there is none of that name and
 * rank. */
int64_t cf_shapes_dim(const struct cf_shapes *s, const char *name, int ndim, int at);

/* Whether a tensor of any name begins so. */
bool cf_shapes_begins(const struct cf_shapes *s, const char *start);

/* Does view have the shape of key (any number of rows where it allows that; 4-bit values
 * of a matrix, two to a byte)? */
bool cf_key_fits(const struct cf_key *key, const struct cf_view *view);

#endif
