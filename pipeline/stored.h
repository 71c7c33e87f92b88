/* stored.h - the images of done jobs, read back from where their rows say they lie.
 *
 * A row may be damaged or hostile: its path is followed only when it stays below the
 * root, and through no link. */
#ifndef CF_PIPELINE_STORED_H
#define CF_PIPELINE_STORED_H

#include "jobs/detail.h"
#include "store/webp.h"

enum { CF_STORED_MAX = 256 << 20 }; /* bytes of one image */

/* The root: output, or "images" beside the queue. Fresh string. */
char *cf_stored_root(const struct cf_queue *q, const char *output, struct cf_error *err);

/* CF_EFORMAT where the row's path leaves the root or its numbers make no sense. */
enum cf_status cf_stored_check(const struct cf_detail *d, struct cf_error *err);

/* A plain file below the root, opened to read; -1 with CF_ENOENT, CF_EPERM, CF_EIO, or
 * CF_EFORMAT for a link, a device or a directory. */
int cf_stored_open(const char *root, const char *path, int64_t *size,
                   struct cf_error *err);

/* The bytes of the job's image: the file, or its part of a tar (store/tar.h). */
enum cf_status cf_stored_read(const char *root, const struct cf_detail *d,
                              struct cf_blob *blob, struct cf_error *err);

#endif
