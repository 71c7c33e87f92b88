/* tarout.h - the tar that a worker appends to: taken from the queue, grown sample by
 * sample, finished when it is full.
 *
 * Samples count from the transaction that ends their jobs (cf_queue_finish_many with the
 * mark of cf_tarout_sync); what was added and not counted is cut off by cf_tarout_back,
 * or by the next one who takes the tar. Order of calls: add ...; sync; the transaction;
 * counted or back; when full, end. Belongs to one thread. */
#ifndef CF_PIPELINE_TAROUT_H
#define CF_PIPELINE_TAROUT_H

#include "jobs/tars.h"
#include "store/tar.h"

struct cf_tarout;

/* per_tar: samples in a full one, 1 .. CF_TAR_SAMPLES. Nothing is taken yet. */
enum cf_status cf_tarout_open(struct cf_tarout **t, const char *root, int64_t worker_id,
                              int per_tar, struct cf_error *err);
void cf_tarout_close(struct cf_tarout *t); /* NULL is fine; the tar stays as it is */

/* One sample of a job whose output is out, all but path and offset, which are filled in;
 * path (CF_TAR_PATH bytes) is what out->path then points to. Takes a tar first where none
 * is at hand. On failure nothing of it is there. */
enum cf_status cf_tarout_add(struct cf_tarout *t, struct cf_queue *q,
                             const struct cf_job *job, const struct cf_tar_sample *sample,
                             struct cf_output *out, char *path, struct cf_error *err);
bool cf_tarout_full(const struct cf_tarout *t);

/* All that was added is on disk; *mark is for the transaction. */
enum cf_status cf_tarout_sync(struct cf_tarout *t, struct cf_tar_mark *mark,
                              struct cf_error *err);
void cf_tarout_counted(struct cf_tarout *t, const struct cf_tar_mark *mark);
/* The transaction failed: back to what counts. keep false: the tar is somebody else's by
 * now; leave it alone and take another one next time. */
enum cf_status cf_tarout_back(struct cf_tarout *t, bool keep, struct cf_error *err);

/* Give the tar at hand, if any, its final name and close its row. */
enum cf_status cf_tarout_end(struct cf_tarout *t, struct cf_queue *q,
                             struct cf_error *err);
/* The queue is drained: end the tar at hand and those that nobody holds any more. */
enum cf_status cf_tarout_drained(struct cf_tarout *t, struct cf_queue *q,
                                 struct cf_error *err);

#endif
