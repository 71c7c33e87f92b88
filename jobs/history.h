/* history.h - what the images of a queue cost so far, to tell what the rest will. */
#ifndef CF_JOBS_HISTORY_H
#define CF_JOBS_HISTORY_H

#include "jobs/queue.h"

/* Means over the latest images of one model, for jobs that asked for this size (0: the
 * model's default). ms: encoding, generating and decoding, which one image after another
 * goes through; the stages behind them run beside. n == 0: none is known, the rest is 0.
 * Only the last CF_HISTORY_ROWS outputs are looked at. */
enum { CF_HISTORY_ROWS = 5000 };
struct cf_history {
    int n;
    double ms, bytes;
};
enum cf_status cf_queue_history(struct cf_queue *q, const char *model_sha256, int width,
                                int height, struct cf_history *h, struct cf_error *err);

#endif
