/* compare.h - files compared with their hashes, several at a time.
 *
 * A model has a few large files and some small ones: they are listed first, and then read
 * by plain threads that are gone afterwards, as many as there are processors. */
#ifndef CF_WEIGHTS_COMPARE_H
#define CF_WEIGHTS_COMPARE_H

#include "base/error.h"

struct cf_compare; /* a list */

struct cf_compare *cf_compare_open(struct cf_error *err); /* NULL: CF_ENOMEM */
void cf_compare_close(struct cf_compare *list);           /* NULL is fine */

/* The sample of path (weights/model.h) is that, or with whole its SHA-256. file is how
 * the manifest calls it. All are copied. */
enum cf_status cf_compare_add(struct cf_compare *list, const char *path, const char *file,
                              const char *hash, bool whole, struct cf_error *err);

/* CF_EMISMATCH, or why a file cannot be read: of the first in the list for which that
 * holds. */
enum cf_status cf_compare_run(struct cf_compare *list, struct cf_error *err);

#endif
