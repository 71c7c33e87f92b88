/* convert_out.h - a model directory appears under its name whole or not at all.
 *
 *     OUT.partial/.converting (locked) -> parts -> model.json -> sync
 *       -> OUT.partial becomes OUT -> sync of the directory above
 *
 * A signal that ends the process takes OUT.partial along. A conversion that was killed
 * with -9 leaves it, and the next one to OUT removes it and begins anew; only a directory
 * with our mark in it is ever removed. */
#ifndef CF_PIPELINE_CONVERT_OUT_H
#define CF_PIPELINE_CONVERT_OUT_H

#include <stddef.h>

#include "base/digest.h"
#include "base/error.h"

struct cf_out;

/* Blocks the signals that end a program in the calling thread, so that all threads made
 * later inherit that, and makes a file that grows too large an error. Call once, before
 * any other thread exists; from cf_out_open on a thread waits for them. */
void cf_out_signals(void);

/* Looks whether path can be made, and touches nothing: CF_ECREAT where it is there
 * already, unless it is an empty directory or, with force, a model, which the new one
 * will replace; or where the directory above is missing. */
enum cf_status cf_out_open(struct cf_out **out, const char *path, bool force,
                           struct cf_error *err);

/* Makes OUT.partial. bytes is what will be written: CF_ENOSPC names it where the file
 * system has less. CF_EBUSY where another conversion to path runs; CF_ECREAT where
 * OUT.partial is somebody else's. */
enum cf_status cf_out_begin(struct cf_out *out, size_t bytes, struct cf_error *err);

/* Where the files lie meanwhile, borrowed. */
const char *cf_out_dir(const struct cf_out *out);
/* Path of a file or directory below OUT.partial, fresh (cf_free). NULL: CF_ENOMEM. */
char *cf_out_path(const struct cf_out *out, const char *name, struct cf_error *err);
enum cf_status cf_out_mkdir(const struct cf_out *out, const char *name,
                            struct cf_error *err);
/* A small file of these bytes, on disk; hex (may be NULL) is its hash. */
enum cf_status cf_out_put(const struct cf_out *out, const char *name, const void *bytes,
                          size_t n, char hex[CF_DIGEST_HEX], struct cf_error *err);

/* OUT.partial becomes OUT; what it replaces is removed. */
enum cf_status cf_out_publish(struct cf_out *out, struct cf_error *err);

/* Removes what was not published. NULL is fine. */
void cf_out_close(struct cf_out *out);

#endif
