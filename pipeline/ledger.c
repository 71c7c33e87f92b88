#include "pipeline/ledger.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void cf_ledger_open(struct cf_ledger *l, struct cf_log *log, const struct cf_retry *retry,
                    int fail_fast)
{
    pthread_condattr_t a;

    memset(l, 0, sizeof *l);
    l->log = log;
    l->retry = *retry;
    l->fail_fast = fail_fast;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&l->fewer, &a);
    pthread_condattr_destroy(&a);
}

void cf_ledger_close(struct cf_ledger *l)
{
    pthread_cond_destroy(&l->fewer);
    pthread_mutex_destroy(&l->lock);
}

static void add(struct cf_tally *t, const struct cf_tally *more)
{
    t->claimed += more->claimed;
    t->done += more->done;
    t->failed += more->failed;
    t->lost += more->lost;
    t->released += more->released;
    for (int i = 0; i < CF_NSTAGE; i++)
        t->stage_ms[i] += more->stage_ms[i];
}

void cf_ledger_claimed(struct cf_ledger *l, int n)
{
    pthread_mutex_lock(&l->lock);
    l->in_flight += n;
    l->tally.claimed += n;
    pthread_mutex_unlock(&l->lock);
}

void cf_ledger_ended(struct cf_ledger *l, int n, const struct cf_tally *more)
{
    pthread_mutex_lock(&l->lock);
    l->in_flight -= n;
    if (more)
        add(&l->tally, more);
    pthread_cond_broadcast(&l->fewer);
    pthread_mutex_unlock(&l->lock);
}

void cf_ledger_add(struct cf_ledger *l, const struct cf_tally *more)
{
    cf_ledger_ended(l, 0, more);
}

struct cf_tally cf_ledger_tally(struct cf_ledger *l)
{
    struct cf_tally t;

    pthread_mutex_lock(&l->lock);
    t = l->tally;
    pthread_mutex_unlock(&l->lock);
    return t;
}

long cf_ledger_in_flight(struct cf_ledger *l)
{
    long n;

    pthread_mutex_lock(&l->lock);
    n = l->in_flight;
    pthread_mutex_unlock(&l->lock);
    return n;
}

bool cf_ledger_wait(struct cf_ledger *l, long n, int ms)
{
    struct timespec until;
    bool few;
    int e = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000L;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&l->lock);
    while (l->in_flight > n && e != ETIMEDOUT)
        e = pthread_cond_timedwait(&l->fewer, &l->lock, &until);
    few = l->in_flight <= n;
    pthread_mutex_unlock(&l->lock);
    return few;
}

void cf_ledger_fatal(struct cf_ledger *l, const struct cf_error *why)
{
    pthread_mutex_lock(&l->lock);
    if (l->fatal.status == CF_OK)
        l->fatal = *why;
    pthread_cond_broadcast(&l->fewer);
    pthread_mutex_unlock(&l->lock);
}

enum cf_status cf_ledger_status(struct cf_ledger *l, struct cf_error *err)
{
    struct cf_error fatal;

    pthread_mutex_lock(&l->lock);
    fatal = l->fatal;
    pthread_mutex_unlock(&l->lock);
    return fatal.status == CF_OK ? CF_OK : cf_fail(err, fatal.status, "%s", fatal.msg);
}

/* How many failures stand in a row with this one. */
static int count_failure(struct cf_ledger *l)
{
    int n;

    pthread_mutex_lock(&l->lock);
    n = ++l->failures_in_row;
    pthread_mutex_unlock(&l->lock);
    return n;
}

void cf_ledger_success(struct cf_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    l->failures_in_row = 0;
    pthread_mutex_unlock(&l->lock);
}

static void lost(struct cf_ledger *l, const struct cf_job *job)
{
    cf_log(l->log, CF_LOG_WARN, "lease lost", "job=%lld", (long long)job->id);
    cf_ledger_ended(l, 1, &(struct cf_tally){.lost = 1});
}

void cf_ledger_charge(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                      const struct cf_error *why, bool suspect)
{
    struct cf_retry retry = l->retry;
    struct cf_error err = {0};
    bool final = false;
    int n;

    retry.suspect = suspect;
    if (cf_queue_fail(q, job, why, &retry, &final, &err) == CF_ELOST) {
        lost(l, job);
        return;
    }
    if (err.status != CF_OK) {
        cf_ledger_fatal(l, &err);
        cf_ledger_ended(l, 1, NULL);
        return;
    }
    cf_log(l->log, CF_LOG_ERROR, "job failed",
           "job=%lld attempt=%d final=%d code=%s error=\"%s\"", (long long)job->id,
           job->attempt, final, cf_status_name(why->status), why->msg);
    if (suspect && (n = count_failure(l)) >= l->fail_fast) {
        cf_fail(&err, CF_EBUG,
                "%d jobs in a row failed (--fail-fast): this worker stops; the last "
                "error: %s",
                n, why->msg);
        cf_ledger_fatal(l, &err);
    }
    cf_ledger_ended(l, 1, &(struct cf_tally){.failed = final});
}

void cf_ledger_release(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                       const char *why)
{
    struct cf_error err = {0};

    if (cf_queue_release(q, job, why, &err) != CF_OK && err.status != CF_ELOST)
        cf_log(l->log, CF_LOG_WARN, "not released", "job=%lld why=\"%s\"",
               (long long)job->id, err.msg);
    cf_ledger_ended(l, 1, &(struct cf_tally){.released = 1});
}

void cf_ledger_error(struct cf_ledger *l, struct cf_queue *q, const struct cf_job *job,
                     const struct cf_error *why, bool suspect)
{
    if (why->status == CF_ELOST) {
        lost(l, job);
    } else if (why->status == CF_ECANCEL) { /* told to stop */
        cf_ledger_ended(l, 1, NULL);
    } else if (cf_status_environment(why->status)) {
        cf_ledger_fatal(l, why);
        cf_ledger_release(l, q, job, why->msg);
    } else {
        cf_ledger_charge(l, q, job, why, suspect);
    }
}
