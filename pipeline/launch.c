#include "pipeline/launch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/team.h"
#include "jobs/self.h"
#include "pipeline/crew.h"
#include "pipeline/estimate.h"
#include "pipeline/exclusive.h"
#include "pipeline/loaded.h"
#include "pipeline/shift.h"
#include "pipeline/workdb.h"
#include "pipeline/statusfile.h"
#include "pipeline/stop.h"

enum { STOPPED = 75 };

struct launch {
    const struct cf_batch_options *o;
    struct cf_batch_options child; /* the same, for each of the crew */
    struct cf_log *log;
    struct cf_workdb source; /* held for all of a crew */
    struct cf_loaded *loaded;
    struct cf_progress progress;
    struct cf_statusfile status;
};

static int complain(struct cf_log *log, const struct cf_error *err)
{
    cf_log(log, CF_LOG_ERROR, "stopped", "code=%s error=\"%s\"",
           cf_status_name(err->status), err->msg);
    return cf_status_exit(err->status);
}

/* ---- a crew ---- */

/* While the parent loads there is nothing to give back, and no thread may exist. */
static volatile sig_atomic_t status_when_loading;

static void leave(int sig)
{
    (void)sig;
    _exit(status_when_loading);
}

static void on_stop(void (*handler)(int))
{
    sigset_t set;

    cf_stop_signals(&set);
    sigdelset(&set, SIGUSR2);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(&set, sig) == 1)
            signal(sig, handler);
}

static enum cf_status load(struct launch *l, struct cf_error *err)
{
    const struct cf_batch_options *o = l->o;
    struct cf_team team;
    bool changed;

    CF_TRY(cf_team_count(&team, o->threads, err));
    l->child = *o;
    l->child.workers = 1;
    l->child.threads = team.threads > o->workers ? team.threads / o->workers : 1;
    l->child.progress = CF_PROGRESS_NEVER;
    l->child.status_file = NULL;
    l->child.stop_status = STOPPED;
    CF_TRY(cf_loaded_open(&l->loaded,
                          &(struct cf_loaded_options){
                              .cpu = o->cpu,
                              .threads = l->child.threads,
                              .groups = o->groups,
                              .bind = o->bind,
                              .model = o->model,
                              .model_path = o->model_path,
                              .cache = o->cache,
                              .cache_bytes = o->cache_bytes,
                              .pack_cache = o->pack_cache,
                              .memory = o->memory,
                              .encoder = o->encoder,
                              .workers = o->workers,
                              .log = l->log,
                              .held = true,
                          },
                          err));
    l->child.loaded = l->loaded;
    l->child.source = &l->source;
    return cf_loaded_need(l->loaded, NULL, &changed, err);
}

/* How much there is to do; no connection lives on into the children. */
static enum cf_status count_work(struct launch *l, struct cf_error *err)
{
    struct cf_queue *q = NULL;
    enum cf_status st;

    st = cf_queue_open(&q, l->source.db, l->source.mode, err);
    if (st == CF_OK)
        st = cf_shift_where(q, l->o, err);
    if (st == CF_OK)
        st = cf_shift_work(q, l->o, l->log, &l->progress.total, err);
    cf_queue_close(q);
    return st;
}

/* In the child. */
static int work(void *ctx, struct cf_crew_share *share, int index)
{
    struct launch *l = ctx;

    signal(SIGPIPE, SIG_IGN);
    l->child.share = share;
    l->child.index = index;
    return cf_batch_run(&l->child, l->log);
}

static void tell(struct launch *l, struct cf_crew_share *share, const char *state,
                 int status)
{
    struct cf_crew_sum sum = cf_crew_sum(share);
    struct cf_statusfile_facts f = {
        .state = state,
        .workers = l->o->workers,
        .done = sum.done,
        .failed = sum.failed,
        .released = sum.released,
        .total = atomic_load(&l->progress.total),
        .exit_status = status,
    };

    memcpy(f.stage_ms, sum.stage_ms, sizeof f.stage_ms);
    cf_statusfile_put(&l->status, &f);
}

static void tick(void *ctx, struct cf_crew_share *share, bool now)
{
    struct launch *l = ctx;
    struct cf_crew_sum sum = cf_crew_sum(share);

    atomic_store(&l->progress.done, sum.done);
    atomic_store(&l->progress.failed, sum.failed);
    cf_progress_tick(&l->progress, now);
    if (now)
        cf_progress_stages(&l->progress, sum.stage_ms);
    if (cf_statusfile_due(&l->status))
        tell(l, share, atomic_load(&share->stop) ? "stopping" : "running", 0);
}

/* Jobs of those who died and were not replaced. */
static void take_back(struct launch *l)
{
    struct cf_reaped reaped = {0};
    struct cf_error err = {0};
    struct cf_queue *q = NULL;
    struct cf_self self;

    if (cf_self_open(&self, NULL, "", "", &err) == CF_OK) {
        if (cf_queue_open(&q, l->source.db, l->source.mode, &err) == CF_OK)
            cf_queue_reap(q, &self.worker, &l->o->retry, &reaped, &err);
        cf_queue_close(q);
        cf_self_close(&self);
    }
    if (err.status == CF_OK)
        cf_log(l->log, CF_LOG_INFO, "cleaned up after dead workers", "jobs=%d",
               reaped.jobs);
    else
        cf_log(l->log, CF_LOG_WARN, "jobs not given back; the next worker will",
               "error=\"%s\"", err.msg);
}

static enum cf_status man(struct launch *l, int *status, struct cf_error *err)
{
    const struct cf_crew_options co = {
        .workers = l->o->workers,
        .deaths_max = l->o->retry.max_crashes + l->o->workers,
        .log = l->log,
        .ctx = l,
        .work = work,
        .tick = tick,
    };
    struct cf_crew_result result = {0};
    struct cf_crew_share *share = NULL;
    struct cf_crew_sum sum;
    enum cf_status st;

    st = cf_crew_run(&co, &share, &result, err);
    if (share) {
        if (result.orphans)
            take_back(l);
        sum = cf_crew_sum(share);
        *status = result.status == STOPPED ? l->o->stop_status : result.status;
        cf_progress_end(&l->progress);
        cf_log(l->log, CF_LOG_INFO, "all workers ended",
               "workers=%d images=%ld failed=%ld status=%d", l->o->workers, sum.done,
               sum.failed, *status);
        tell(l, share, "ended", st == CF_OK ? *status : cf_status_exit(st));
    }
    cf_crew_close(share);
    return st;
}

static void check_places(const struct launch *l)
{
    const char *bind = getenv("OMP_PROC_BIND");

    if (bind && strcmp(bind, "false") != 0)
        cf_log(l->log, CF_LOG_WARN, "all workers bind their threads to the same places",
               "OMP_PROC_BIND=\"%.40s\" remedy=\"unset it: --workers divides the "
               "processors\"",
               bind);
}

static int run_crew(const struct cf_batch_options *o, struct cf_log *log)
{
    struct launch l = {.o = o, .log = log};
    struct cf_error err = {0};
    int status = 0;

    cf_progress_start(&l.progress, log, o->progress, o->progress_interval, o->quiet);
    cf_statusfile_start(&l.status, o->status_file, log);
    status_when_loading = o->stop_status;
    on_stop(leave);
    check_places(&l);
    cf_workdb_none(&l.source);
    if (cf_workdb_open(&l.source, o, &err) == CF_OK && count_work(&l, &err) == CF_OK)
        load(&l, &err);
    on_stop(SIG_DFL);
    if (err.status == CF_OK)
        man(&l, &status, &err);
    cf_loaded_close(l.loaded);
    cf_workdb_close(&l.source);
    return err.status == CF_OK ? status : complain(log, &err);
}

/* ---- alone ---- */

static enum cf_status take(const struct cf_batch_options *o, int *fd, bool *taken,
                           struct cf_error *err)
{
    struct cf_queue *q;
    enum cf_status st;

    CF_TRY(cf_queue_open(&q, o->db, cf_queue_mode(CF_QUEUE_WRITE, o->unsafe_shared_db),
                         err));
    st = cf_exclusive_take(o->db, q, fd, taken, err);
    cf_queue_close(q);
    return st;
}

int cf_launch(const struct cf_batch_options *o, struct cf_log *log)
{
    struct cf_error err = {0};
    bool taken = true;
    int fd = -1, status = 0;

    if (o->dry_run)
        return cf_estimate_run(o, log);
    if (o->exclusive && !o->shard && take(o, &fd, &taken, &err) != CF_OK)
        return complain(log, &err);
    if (!taken)
        cf_log(log, CF_LOG_INFO, "another worker is at work on this queue",
               "option=--exclusive");
    else
        status = o->workers > 1 ? run_crew(o, log) : cf_batch_run(o, log);
    if (fd >= 0)
        close(fd);
    return status;
}
