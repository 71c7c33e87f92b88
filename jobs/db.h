/* db.h - what a struct cf_queue is, for the files of jobs/ alone. */
#ifndef CF_JOBS_DB_H
#define CF_JOBS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/queue.h"
#include "jobs/sql.h"

struct cf_queue {
    sqlite3 *db;
    char *path; /* absolute */
    char *dir;  /* absolute */
    bool writable;
};

/* Unix milliseconds by the wall clock. */
int64_t cf_now_ms(void);

/* CF_EPERM when the queue was opened to read. */
enum cf_status cf_queue_writable(const struct cf_queue *q, struct cf_error *err);

/* Close the running attempt of a job. code and message may be NULL. */
enum cf_status cf_attempt_end(struct cf_queue *q, int64_t job_id, const char *outcome,
                              const char *code, const char *message, const char *stage_ms,
                              struct cf_error *err);

/* Give up a lease: CF_ELOST when the token is not the one stored. */
enum cf_status cf_lease_drop(struct cf_queue *q, const struct cf_job *job,
                             struct cf_error *err);

/* Take back every lease of a worker inside the caller's transaction. charge: crashes + 1
 * and CRASH_LOOP at the limit; else a release. why goes into the history; *reaped
 * grows by the jobs. */
enum cf_status cf_lease_take_back(struct cf_queue *q, int64_t worker_id, bool charge,
                                  const char *why, const struct cf_retry *retry,
                                  struct cf_reaped *reaped, struct cf_error *err);

/* Whether the lock file of a worker of this host has no owner any more. Free is a lock
 * that could be shared now: its holder wants it alone. An unreadable file says nothing,
 * and then the worker is taken to live. */
bool cf_lock_is_free(const char *path);

#endif
