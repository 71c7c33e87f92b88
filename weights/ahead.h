/* ahead.h - files that will be read soon come into memory while something else is done.
 *
 * One plain thread reads a byte of every page of what was listed, in that order, so that
 * the disk and whoever reads first work at the same time. Nothing depends on it but time.
 */
#ifndef CF_WEIGHTS_AHEAD_H
#define CF_WEIGHTS_AHEAD_H

#include "base/error.h"

struct cf_ahead; /* a list, then a thread */

struct cf_ahead *cf_ahead_open(struct cf_error *err); /* NULL: CF_ENOMEM */
/* Stops it, wherever it is, and joins it. NULL is fine. */
void cf_ahead_close(struct cf_ahead *ahead);

/* Tensors of a checkpoint whose names do not begin with but (NULL: all). Errors are those
 * of cf_ckpt_open. */
enum cf_status cf_ahead_tensors(struct cf_ahead *ahead, const char *path, const char *but,
                                struct cf_error *err);
/* All of a file; nothing where there is none. */
enum cf_status cf_ahead_file(struct cf_ahead *ahead, const char *path,
                             struct cf_error *err);

/* Where no thread can be started, nothing happens. */
void cf_ahead_start(struct cf_ahead *ahead);

#endif
