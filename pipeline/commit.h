/* commit.h - the stage that makes files durable and then ends the rows, on a thread and a
 * connection of its own.
 *
 * It takes all that waits, up to CF_COMMIT_MANY images: their files first, with one sync
 * for each directory or tar, then one transaction for all their rows. It also moves the
 * worker's heartbeat and takes back the jobs of workers that died. */
#ifndef CF_PIPELINE_COMMIT_H
#define CF_PIPELINE_COMMIT_H

#include "pipeline/shift.h"

enum { CF_COMMIT_MANY = 32, CF_COMMIT_BEAT = 30 /* seconds */, CF_COMMIT_SILENT = 10 };

struct cf_commit;

enum cf_status cf_commit_start(struct cf_commit **commit, struct cf_shift *shift,
                               struct cf_error *err);

/* Joins the thread, which ends when shift->files has ended and is empty. drained: nothing
 * is left in the queue, so open tars get their final names. NULL is fine. */
enum cf_status cf_commit_join(struct cf_commit *commit, bool drained,
                              struct cf_error *err);

#endif
