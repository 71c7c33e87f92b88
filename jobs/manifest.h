/* manifest.h - the manifest line of one finished job, before its row says so: the tar
 * layout writes it beside the tar. Names and order are those of cfgen-jobs export; a
 * function of the job and its output, the same on every machine. */
#ifndef CF_JOBS_MANIFEST_H
#define CF_JOBS_MANIFEST_H

#include <jansson.h>

#include "jobs/queue.h"

/* All but where the image lies: out's path may still be anything, its offset is not read.
 * A fresh object (json_decref). CF_ELOST where the job is not in the queue any more. */
enum cf_status cf_manifest_open(json_t **line, struct cf_queue *q,
                                const struct cf_job *job, const struct cf_output *out,
                                struct cf_error *err);

/* The whole line, fresh (cf_free), without line end. Frees the object, also on failure,
 * which is NULL and CF_ENOMEM. */
char *cf_manifest_close(json_t *line, const char *path, int64_t offset,
                        struct cf_error *err);

#endif
