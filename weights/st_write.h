/* st_write.h - write one safetensors file, tensor by tensor, in little memory.
 *
 * First all tensors are declared, then they are put in any order; the file appears under
 * its name, whole and synced, when it is finished, and not at all otherwise. Data start
 * at a multiple of 64 bytes and so does every tensor whose size allows it (sorted by
 * falling size of element, as the reference writer does, then by name). */
#ifndef CF_WEIGHTS_ST_WRITE_H
#define CF_WEIGHTS_ST_WRITE_H

#include "base/error.h"
#include "base/json.h"
#include "base/tensor.h"

struct cf_st_writer;

/* The file is made beside path under a temporary name. CF_EPERM, CF_EIO, CF_ENOMEM. */
enum cf_status cf_st_writer_open(struct cf_st_writer **w, const char *path,
                                 struct cf_error *err);

/* CF_EFORMAT for a name that comes twice or is too long. */
enum cf_status cf_st_declare(struct cf_st_writer *w, const char *name,
                             enum cf_dtype dtype, int ndim, const int64_t *dim,
                             struct cf_error *err);

/* Writes the header; metadata (an object of strings, may be NULL) becomes __metadata__.
 * Asks for the space on disk at once: CF_EIO where it is not there. */
enum cf_status cf_st_begin(struct cf_st_writer *w, const json_t *metadata,
                           struct cf_error *err);

/* All bytes of one declared tensor, once. CF_EBUG for another size or name. */
enum cf_status cf_st_put(struct cf_st_writer *w, const char *name, const void *bytes,
                         size_t n, struct cf_error *err);

/* Sync, rename. CF_EBUG where a tensor was not put. Frees w in any case. */
enum cf_status cf_st_finish(struct cf_st_writer *w, struct cf_error *err);
void cf_st_abandon(struct cf_st_writer *w); /* nothing is left; NULL is fine */

#endif
