/* ledger.h - what becomes of the jobs that this worker claimed; shared by all stages.
 *
 * Every job that was claimed ends once: done, lost, charged (a failure) or given back.
 * The ledger counts those on their way, so that a stage can wait until it is alone, keeps
 * the first error of the surroundings, which stops the worker, and decides when failures
 * in a row say that the worker itself is what is wrong. A stage brings its own connection
 * to the queue; the ledger has a lock of its own. */
#ifndef CF_PIPELINE_LEDGER_H
#define CF_PIPELINE_LEDGER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "jobs/queue.h"
#include "pipeline/stage.h"

/* Counts and seconds so far. failed: for good, those that reaping ended as CRASH_LOOP
 * among them. */
struct cf_tally {
    long claimed, done, failed, lost, released;
    double stage_ms[CF_NSTAGE]; /* sums over images */
};

struct cf_ledger {
    struct cf_log *log;
    struct cf_retry retry;
    int fail_fast; /* failures in a row that stop the worker */
    pthread_mutex_t lock;
    pthread_cond_t fewer; /* in_flight went down, or something fatal happened */
    struct cf_tally tally;
    long in_flight;
    int failures_in_row;
    struct cf_error fatal;
};

void cf_ledger_open(struct cf_ledger *l, struct cf_log *log, const struct cf_retry *retry,
                    int fail_fast);
void cf_ledger_close(struct cf_ledger *l);

void cf_ledger_claimed(struct cf_ledger *l, int n);
/* n jobs ended and *more is added to the tally (NULL: nothing). */
void cf_ledger_ended(struct cf_ledger *l, int n, const struct cf_tally *more);
void cf_ledger_add(struct cf_ledger *l, const struct cf_tally *more);
struct cf_tally cf_ledger_tally(struct cf_ledger *l);
/* Claimed and not ended. */
long cf_ledger_in_flight(struct cf_ledger *l);

/* Wait, ms milliseconds at most, until no more than n claimed jobs have not ended. True
 * when it is so. */
bool cf_ledger_wait(struct cf_ledger *l, long n, int ms);

/* An error of the surroundings (disk full, queue unreadable): the first is kept. */
void cf_ledger_fatal(struct cf_ledger *l, const struct cf_error *why);
/* CF_OK, or the error that stops the worker. */
enum cf_status cf_ledger_status(struct cf_ledger *l, struct cf_error *err);

/* Charge the job. Where the worker may be what is wrong (suspect), failures in a row are
 * fatal: a row that no worker could do says nothing about this one. What cannot be
 * charged is fatal too. */
void cf_ledger_charge(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                      const struct cf_error *why, bool suspect);
/* A job got through the stage that a sick worker fails in. */
void cf_ledger_success(struct cf_ledger *l);

/* Give back uncharged. */
void cf_ledger_release(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                       const char *why);

/* The job is at fault, or the surroundings are: charge it, or give it back and stop. With
 * CF_ECANCEL it stays leased: unregistering the worker gives all back in one step. */
void cf_ledger_error(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                     const struct cf_error *why, bool suspect);

#endif
