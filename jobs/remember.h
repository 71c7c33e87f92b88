/* remember.h - facts that a queue keeps about itself: what was chosen once and stays.
 *
 * Rows of the table meta, which also holds the schema's own (jobs/schema.c). */
#ifndef CF_JOBS_REMEMBER_H
#define CF_JOBS_REMEMBER_H

#include "jobs/queue.h"

/* *value is fresh (cf_free), NULL where nothing is known under key. */
enum cf_status cf_queue_recall(struct cf_queue *q, const char *key, char **value,
                               struct cf_error *err);

/* Remember value, unless something is known already: *kept is what counts from now on,
 * fresh (cf_free). Two processes at once come to the same answer. */
enum cf_status cf_queue_remember(struct cf_queue *q, const char *key, const char *value,
                                 char **kept, struct cf_error *err);

/* 32 hex digits that no other queue has, for good. Queues have one from their making; one
 * that is older than that gets it here (CF_EPERM where it is open only to read).
 * CF_EFORMAT for a longer one. */
enum { CF_QUEUE_ID = 33 };
enum cf_status cf_queue_id(struct cf_queue *q, char id[CF_QUEUE_ID],
                           struct cf_error *err);

#endif
