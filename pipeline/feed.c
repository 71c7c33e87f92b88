#include "pipeline/feed.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "pipeline/crew.h"

enum { AUTO_CLAIM = 16, STEP_MS = 100, PATIENCE = 300 /* seconds for a delayed job */ };

struct cf_feed {
    struct cf_shift *shift;
    struct cf_queue *queue; /* of this thread alone */
    pthread_t thread;
    long claimed;
    long long empty_since; /* monotonic ms, 0: it is not empty */
    bool left;
};

enum next { END, AGAIN, WORK_LEFT };

static bool stopping(struct cf_feed *f)
{
    return cf_shift_stopping(f->shift);
}

/* Until no more than n claimed jobs are on their way. False when told to stop. */
static bool wait_alone(struct cf_feed *f, long n)
{
    while (!cf_ledger_wait(&f->shift->ledger, n, STEP_MS))
        if (stopping(f))
            return false;
    return !stopping(f);
}

static bool wait_room(struct cf_feed *f)
{
    while (!cf_belt_wait_empty(f->shift->lots, STEP_MS))
        if (stopping(f))
            return false;
    return !stopping(f);
}

static bool wait_seconds(struct cf_feed *f, int seconds)
{
    long long until = cf_clock_ms() + 1000LL * seconds;

    while (cf_clock_ms() < until) {
        if (stopping(f))
            return false;
        usleep(STEP_MS * 1000);
    }
    return true;
}

static int claim_size(const struct cf_feed *f)
{
    const struct cf_batch_options *o = f->shift->o;
    long long us = atomic_load(&f->shift->image_us);
    int groups = atomic_load(&f->shift->groups), most;
    long long k = o->claim;

    if (k)
        return (int)k;
    groups = groups > 1 ? groups : 1;
    most = groups > AUTO_CLAIM ? groups : AUTO_CLAIM;
    if (cf_loaded_turns(f->shift->loaded))
        k = most; /* each claim costs one more turn of the encoder */
    else
        k = us ? 5000000 / us : 1; /* the first images tell how long one takes */
    k = k < most ? k : most;
    k = k > groups ? k / groups * groups : groups; /* no group is left out */
    return k > CF_LOT_MAX ? CF_LOT_MAX : (int)k;
}

/* Of k jobs, those that --max-jobs leaves room for, here or in the whole crew. */
static int reserve(struct cf_feed *f, int k)
{
    const struct cf_batch_options *o = f->shift->o;

    if (!o->max_jobs)
        return k;
    if (o->share)
        return cf_crew_reserve(o->share, o->index, k, o->max_jobs);
    return k < o->max_jobs - f->claimed ? k : (int)(o->max_jobs - f->claimed);
}

static void unreserve(struct cf_feed *f, int n)
{
    const struct cf_batch_options *o = f->shift->o;

    if (o->max_jobs && o->share)
        cf_crew_unreserve(o->share, o->index, n);
}

/* Of k jobs, those that are expected to end before the limit of time. None: wait for what
 * is at hand, it may be faster; with nothing at hand there is no time for another. */
static int in_time(struct cf_feed *f, int k)
{
    const struct cf_tally t = cf_ledger_tally(&f->shift->ledger);
    const double *ms = t.stage_ms;
    double write_ms = ms[CF_STAGE_WEBP] + ms[CF_STAGE_FILE] + ms[CF_STAGE_ROW];

    return cf_budget_fit(&f->shift->budget, cf_clock_ms(), k,
                         (int)cf_ledger_in_flight(&f->shift->ledger),
                         t.done ? write_ms / (double)t.done : 0);
}

/* No time for another job: work is left if there is one. */
static enum cf_status when_late(struct cf_feed *f, enum next *then, struct cf_error *err)
{
    long at_hand = cf_ledger_in_flight(&f->shift->ledger);
    int64_t due = 0;

    if (at_hand) {
        wait_alone(f, at_hand - 1);
        return CF_OK;
    }
    CF_TRY(cf_queue_due(f->queue, &due, err));
    *then = due ? WORK_LEFT : END;
    return CF_OK;
}

/* Read settings and check texts; what is wrong here fails at once and for good. */
static void open_slots(struct cf_feed *f, struct cf_lot *lot)
{
    for (int i = 0; i < lot->jobs.n; i++) {
        struct cf_error why = {0};

        if (cf_slot_read(&lot->slot[i], f->shift->o->kv_type, &why) == CF_OK)
            continue;
        lot->slot[i].open = false;
        cf_ledger_charge(&f->shift->ledger, f->queue, lot->slot[i].job, &why, false);
    }
}

/* Takes the jobs: to the generator, or back. */
static enum cf_status hand_on(struct cf_feed *f, struct cf_jobs *jobs,
                              struct cf_error *err)
{
    const bool suspect = jobs->job[0].crashes > 0;
    struct cf_lot *lot;

    f->claimed += jobs->n;
    cf_ledger_claimed(&f->shift->ledger, jobs->n);
    lot = cf_lot_new(jobs, err);
    if (!lot) {
        cf_ledger_ended(&f->shift->ledger, jobs->n, NULL); /* given back at the end */
        cf_jobs_free(jobs);
        return CF_ENOMEM;
    }
    open_slots(f, lot);
    if (suspect)
        wait_alone(f, lot->jobs.n);
    if (!stopping(f)) {
        cf_fault_point("encode", lot->jobs.job[0].id);
        cf_loaded_ahead(f->shift->loaded, lot);
    }
    if (!cf_belt_put(f->shift->lots, lot))
        cf_lot_free(lot);
    else if (suspect)
        wait_alone(f, 0);
    return CF_OK;
}

/* Nothing is ready: jobs that wait for another try are worth a few minutes, new ones as
 * long as was asked for. */
static enum cf_status when_empty(struct cf_feed *f, enum next *then, struct cf_error *err)
{
    long long now = cf_clock_ms();
    bool patient;
    int due;

    if (!f->empty_since)
        f->empty_since = now;
    patient = now - f->empty_since < 1000LL * f->shift->o->wait;
    CF_TRY(cf_queue_next_due(f->queue, &due, err));
    if (!patient && (due < 0 || due > PATIENCE)) {
        *then = due < 0 ? END : WORK_LEFT;
        return CF_OK;
    }
    if (!patient && cf_budget_left(&f->shift->budget, now) <= 1000LL * due)
        return when_late(f, then, err);
    *then = wait_seconds(f, patient ? 1 : due + 1) ? AGAIN : WORK_LEFT;
    return CF_OK;
}

static enum cf_status step(struct cf_feed *f, enum next *then, struct cf_error *err)
{
    struct cf_jobs jobs = {0};
    bool suspect = false;
    enum cf_status st;
    double t0;
    int k;

    *then = WORK_LEFT;
    if (stopping(f) || !wait_room(f))
        return CF_OK;
    *then = AGAIN;
    CF_TRY(cf_queue_suspect(f->queue, &suspect, err));
    if (suspect && !wait_alone(f, 0))
        return CF_OK;
    k = in_time(f, claim_size(f));
    if (!k)
        return when_late(f, then, err);
    k = reserve(f, k);
    if (!k) {
        *then = END;
        return CF_OK;
    }
    cf_fault_point("claim", 0);
    t0 = cf_clock();
    st = cf_queue_claim(f->queue, f->shift->worker_id, k, &jobs, err);
    atomic_fetch_add(&f->shift->claim_us, (long long)(1e6 * (cf_clock() - t0)));
    unreserve(f, k - jobs.n);
    CF_TRY(st);
    if (jobs.damaged)
        cf_log(f->shift->log, CF_LOG_ERROR, "jobs failed", "jobs=%d code=EFORMAT",
               jobs.damaged);
    cf_ledger_add(&f->shift->ledger, &(struct cf_tally){.failed = jobs.damaged});
    if (jobs.n) {
        f->empty_since = 0;
        return hand_on(f, &jobs, err);
    }
    cf_jobs_free(&jobs);
    /* What is on its way may yet come back for another try. */
    if (!cf_ledger_wait(&f->shift->ledger, 0, 0)) {
        wait_alone(f, 0);
        return CF_OK;
    }
    return when_empty(f, then, err);
}

static void *run(void *arg)
{
    struct cf_feed *f = arg;
    struct cf_error err = {0};
    enum next then = AGAIN;

    while (then == AGAIN && step(f, &then, &err) == CF_OK)
        ;
    f->left = then == WORK_LEFT || err.status == CF_ECANCEL;
    if (err.status != CF_OK && err.status != CF_ECANCEL)
        cf_ledger_fatal(&f->shift->ledger, &err);
    cf_belt_end(f->shift->lots);
    return NULL;
}

enum cf_status cf_feed_start(struct cf_feed **feed, struct cf_shift *shift,
                             struct cf_error *err)
{
    struct cf_feed *f = cf_calloc(1, sizeof *f, err);
    int e = 0;

    if (!f)
        return CF_ENOMEM;
    f->shift = shift;
    if (cf_shift_queue(shift, &f->queue, err) == CF_OK &&
        (e = pthread_create(&f->thread, NULL, run, f)) != 0)
        cf_fail(err, CF_ENOMEM, "feed thread: %s", strerror(e));
    if (err->status != CF_OK) {
        cf_queue_close(f->queue);
        cf_free(f);
        return err->status;
    }
    *feed = f;
    return CF_OK;
}

void cf_feed_join(struct cf_feed *f, bool *left)
{
    if (!f)
        return;
    pthread_join(f->thread, NULL);
    *left = f->left;
    cf_queue_close(f->queue);
    cf_free(f);
}
