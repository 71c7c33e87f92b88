/* safetensors.h - one safetensors file as checked views into a read-only map.
 *
 *     uint64 n, little-endian | n bytes of JSON | data
 *     JSON: { "name": { "dtype": "BF16", "shape": [2048, 768],
 *                       "data_offsets": [begin, end] }, ..., "__metadata__": { text: text
 * } }
 *
 * Offsets count from the start of the data. As in the reference reader the tensors must
 * tile the data: no gap, no overlap, no rest. All of this is proved against the size of
 * the file before the first view exists; a view then never points outside the map.
 *
 * Safetensors README and safetensors/src/tensor.rs ("Metadata::validate").
 *
 * What stays outside our hands: a file that somebody cuts short while it is mapped raises
 * SIGBUS on the next access. Replace weights by rename, never in place. */
#ifndef CF_WEIGHTS_SAFETENSORS_H
#define CF_WEIGHTS_SAFETENSORS_H

#include <stddef.h>

#include "base/error.h"
#include "base/tensor.h"

/* Limits, so that a hostile header costs less than 200 MB and a second. The format allows
 * headers of 100 MB, but the JSON tree of one may take four times its size (a key is held
 * three times while it is read) and 2.5 s; a header of 37000 tensors takes 5 MB. */
enum {
    CF_ST_MAX_HEADER = 25 * 1000 * 1000, /* bytes */
    CF_ST_MAX_VALUES = 512 * 1024,       /* JSON values, at most 120 bytes of tree each */
    CF_ST_MAX_NAME = 512,                /* bytes */
};

struct cf_st;

/* CF_ENOENT, CF_EPERM, CF_EIO, CF_ENOMEM; CF_EFORMAT for a damaged file; CF_EUNSUP for a
 * dtype, a rank (> CF_MAX_DIM) or a header size that this program does not read. Messages
 * name the file, the tensor and the byte. */
enum cf_status cf_st_open(struct cf_st **st, const char *path, struct cf_error *err);

/* The same from memory, which is borrowed and must outlive *st; where names it. */
enum cf_status cf_st_parse(struct cf_st **st, const void *bytes, size_t n,
                           const char *where, struct cf_error *err);

void cf_st_close(struct cf_st *st); /* NULL is fine */

/* The pages of the map leave this process's memory, and come back by themselves when a
 * view is read; the page cache keeps what it wants. Nothing for borrowed bytes. */
void cf_st_rest(const struct cf_st *st);

/* Tensors in the byte order of their names; borrowed from st. */
int cf_st_count(const struct cf_st *st);
const char *cf_st_name(const struct cf_st *st, int i);
const struct cf_view *cf_st_view(const struct cf_st *st, int i);

/* Bytes of data, all tensors together. */
size_t cf_st_bytes(const struct cf_st *st);

const char *cf_st_path(const struct cf_st *st);

#endif
