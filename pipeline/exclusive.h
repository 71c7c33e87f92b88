/* exclusive.h - one worker (or crew) on a queue of this host at a time: for cron.
 *
 * Of several that start at once exactly one gets the lock of a file beside the database,
 * which stays there; who has it leaves all the same where a worker that did not ask to be
 * alone is at work. The kernel drops the lock when the last process that inherited it is
 * gone. */
#ifndef CF_PIPELINE_EXCLUSIVE_H
#define CF_PIPELINE_EXCLUSIVE_H

#include <stdbool.h>

#include "jobs/queue.h"

/* path: of the database that q has open. *fd is to be kept open as long as the work goes
 * on (close drops it), -1 where *taken is false: somebody else is at work. */
enum cf_status cf_exclusive_take(const char *path, struct cf_queue *q, int *fd,
                                 bool *taken, struct cf_error *err);

#endif
