/* st_write.h - write one safetensors file, tensor by tensor, in little memory.
 *
 * First all tensors are declared, then they are put in any order; the file appears under
 * its name, whole and synced, when it is finished, and not at all otherwise.
 *
 * Data start at a multiple of 64 bytes, as oneDNN and vector loads like it. The format
 * allows no gaps between tensors, so those whose size is a multiple of 64 come first, all
 * of them aligned; the others follow by falling size of element, which keeps each aligned
 * to its own element. Within that the order is that of the names.
 *
 *     PATH.part (locked) -> header, space -> data -> fsync -> rename -> fsync directory
 *
 * A process that is killed leaves PATH.part behind; the next writer of PATH takes it over
 * and so removes it. */
#ifndef CF_WEIGHTS_ST_WRITE_H
#define CF_WEIGHTS_ST_WRITE_H

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "base/tensor.h"

struct cf_st_writer;

/* CF_EBUSY where another process writes the same file; CF_ENOENT, CF_EPERM, CF_EIO,
 * CF_ENOMEM. */
enum cf_status cf_st_writer_open(struct cf_st_writer **w, const char *path,
                                 struct cf_error *err);

/* The name is copied. CF_EFORMAT for a name that is empty, longer than CF_ST_MAX_NAME, no
 * UTF-8 or the format's own __metadata__; CF_ERANGE for a shape that is none. */
enum cf_status cf_st_declare(struct cf_st_writer *w, const char *name,
                             enum cf_dtype dtype, int ndim, const int64_t *dim,
                             struct cf_error *err);

/* Writes the header; metadata (an object of strings, may be NULL) becomes __metadata__.
 * Asks for the space on disk at once: CF_ENOSPC where it is not there. CF_EFORMAT for a
 * name that was declared twice; CF_EUNSUP for a header that
 * weights/safetensors.h does not read. */
enum cf_status cf_st_begin(struct cf_st_writer *w, const json_t *metadata,
                           struct cf_error *err);

/* Name of the tensor at place i of the data, NULL behind the last; borrowed. Tensors that
 * are put in this order are hashed on their way. After cf_st_begin. */
const char *cf_st_place(const struct cf_st_writer *w, size_t i);

/* All bytes of one declared tensor, once. CF_EBUG for another size or name. */
enum cf_status cf_st_put(struct cf_st_writer *w, const char *name, const void *bytes,
                         size_t n, struct cf_error *err);

/* Sync, rename. CF_EBUG where a tensor was not put. Frees w in any case. */
enum cf_status cf_st_finish(struct cf_st_writer *w, struct cf_error *err);
/* The same, and the hash of the whole file: of what was written in the order of
 * cf_st_place on its way, of the rest by reading it. */
enum cf_status cf_st_finish_hash(struct cf_st_writer *w, char hex[CF_DIGEST_HEX],
                                 struct cf_error *err);
void cf_st_abandon(struct cf_st_writer *w); /* nothing is left; NULL is fine */

#endif
