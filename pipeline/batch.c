/* batch.c - the worker's life: set-up, stages, end.
 *
 * Everything that can fail for reasons of set-up (queue, output, model) is opened before
 * the first claim, so that a wrong option costs no job anything. */
#include "pipeline/batch.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/team.h"
#include "base/utf8.h"
#include "jobs/self.h"
#include "pipeline/arrange.h"
#include "pipeline/commit.h"
#include "pipeline/crew.h"
#include "pipeline/feed.h"
#include "pipeline/generate.h"
#include "pipeline/press.h"
#include "pipeline/workdb.h"
#include "pipeline/statusfile.h"
#include "store/layout.h"

enum { LOTS = 1, IMAGES = 32, FILES = 64 };

struct batch {
    struct cf_shift shift; /* first what all stages see */
    struct cf_workdb source;
    struct cf_queue *queue; /* of the calling thread */
    struct cf_self self;
    struct cf_progress progress;
    struct cf_statusfile status;
    struct cf_feed *feed;
    struct cf_press *press;
    struct cf_commit *commit;
    char build[CF_BUILD_ID];
    char *root;
    atomic_int ending;    /* somebody ends the process: the first one alone does */
    atomic_int enlisted;  /* there may be leases */
    long long work_start; /* monotonic ms, 0 until set-up is over */
};

void cf_batch_default(struct cf_batch_options *o)
{
    memset(o, 0, sizeof *o);
    cf_retry_default(&o->retry);
    o->fail_fast = 5;
    o->kv_type = -1;
    o->grace = 30;
    o->stop_status = 75;
    o->per_tar = 10000;
    o->cache_bytes = 1 << 30;
    o->progress_interval = 60;
    o->workers = 1;
    o->time_limit = CF_UNLIMITED;
    o->time_start = cf_clock_ms();
}

/* ---- told to stop while a model is loaded ---- */

/* True for one caller in the life of the process. Everybody else waits for its end. */
static bool may_end(struct batch *b)
{
    return atomic_exchange(&b->ending, 1) == 0;
}

/* The generator's thread is deep in a file of many gigabytes: what it handed on is
 * brought to its end by the others, and all else goes back to the queue. */
static void leave(struct batch *b)
{
    struct cf_shift *s = &b->shift;
    long long until = cf_clock_ms() + CF_LATE_MS;
    struct cf_queue *q = NULL;
    bool told = false;

    while (atomic_load(&s->pieces) > 0 && cf_clock_ms() < until)
        usleep(10 * 1000);
    if (atomic_load(&b->enlisted)) {
        if (cf_queue_open(&q, s->db, s->mode, NULL) == CF_OK) {
            cf_queue_timeout(q, CF_LATE_MS);
            told = cf_queue_unregister(q, s->worker_id, NULL) == CF_OK;
        }
        cf_queue_close(q);
        if (told)
            cf_self_close(&b->self);
        else
            cf_self_leave(&b->self);
    }
    cf_log(s->log, CF_LOG_INFO, "work remains", "signal=%d while=\"loading a model\"",
           atomic_load(&s->stop.asked));
    _exit(s->o->stop_status);
}

/* ---- how it stands ---- */

/* One of a crew does what the crew is told, and says how far it is. */
static void tick_crew(struct batch *b, const struct cf_tally *t)
{
    struct cf_crew_share *share = b->shift.o->share;
    struct cf_crew_slot *slot = &share->slot[b->shift.o->index];

    atomic_store(&slot->done, t->done);
    atomic_store(&slot->failed, t->failed);
    atomic_store(&slot->released, t->released);
    atomic_store(&slot->ended, t->claimed - cf_ledger_in_flight(&b->shift.ledger));
    for (int i = 0; i < CF_NSTAGE; i++)
        atomic_store(&slot->stage_us[i], (long long)(1e3 * t->stage_ms[i]));
    if (atomic_load(&share->stop))
        cf_stop_ask(&b->shift.stop, atomic_load(&share->stop));
    if (atomic_load(&share->drop))
        cf_cancel_set(&b->shift.stop.cancel);
}

static void put_status(struct batch *b, const char *state, int exit_status)
{
    const struct cf_tally t = cf_ledger_tally(&b->shift.ledger);
    struct cf_statusfile_facts f = {
        .state = state,
        .workers = 1,
        .done = t.done,
        .failed = t.failed,
        .released = t.released,
        .total = atomic_load(&b->progress.total),
        .exit_status = exit_status,
    };

    memcpy(f.stage_ms, t.stage_ms, sizeof f.stage_ms);
    cf_statusfile_put(&b->status, &f);
}

static void tick(void *ctx, bool now)
{
    struct batch *b = ctx;
    struct cf_shift *s = &b->shift;
    struct cf_tally t;

    if (cf_stop_asked(&s->stop) && atomic_load(&s->loading) && may_end(b))
        leave(b);
    t = cf_ledger_tally(&s->ledger);
    atomic_store(&b->progress.done, t.done);
    atomic_store(&b->progress.failed, t.failed);
    cf_progress_tick(&b->progress, now);
    if (now)
        cf_progress_stages(&b->progress, t.stage_ms);
    if (s->o->share)
        tick_crew(b, &t);
    if (cf_statusfile_due(&b->status))
        put_status(b,
                   cf_stop_asked(&s->stop) ? "stopping"
                   : b->work_start         ? "running"
                                           : "starting",
                   0);
}

/* ---- set-up ---- */

static enum cf_status open_places(struct batch *b, struct cf_error *err)
{
    const struct cf_batch_options *o = b->shift.o;
    enum cf_layout layout;

    CF_TRY(cf_workdb_open(&b->source, o, err));
    b->shift.db = b->source.db;
    b->shift.mode = b->source.mode;
    CF_TRY(cf_shift_queue(&b->shift, &b->queue, err));
    b->root = cf_layout_root(b->source.dir, o->output, err);
    if (!b->root)
        return CF_ENOMEM;
    b->shift.root = b->root;
    b->shift.dir = b->source.dir;
    CF_TRY(cf_arrange_layout(b->queue, o->layout, b->source.planned, &layout, err));
    b->shift.in_tars = layout == CF_LAYOUT_TAR;
    CF_TRY(cf_sink_open(&b->shift.sink, b->root, err));
    return b->shift.in_tars ? cf_arrange_owner(b->queue, b->root, err) : CF_OK;
}

static enum cf_status open_model(struct batch *b, struct cf_error *err)
{
    const struct cf_batch_options *o = b->shift.o;
    const struct cf_loaded_options lo = {
        .cpu = o->cpu,
        .threads = b->shift.threads,
        .groups = o->groups,
        .bind = o->bind,
        .model = o->model,
        .model_path = o->model_path,
        .cache = o->cache,
        .cache_bytes = o->cache_bytes,
        .pack_cache = o->pack_cache,
        .memory = o->memory,
        .encoder = o->encoder,
        .cancel = &b->shift.stop.cancel,
        .log = b->shift.log,
    };

    b->shift.loaded = o->loaded;
    if (b->shift.loaded)
        CF_TRY(cf_loaded_go(b->shift.loaded, &b->shift.stop.cancel, err));
    else
        CF_TRY(cf_loaded_open(&b->shift.loaded, &lo, err));
    return cf_shift_model(&b->shift, NULL, err);
}

static enum cf_status enlist(struct batch *b, struct cf_error *err)
{
    struct cf_dnn *dnn = cf_pool_dnn(cf_loaded_pool(b->shift.loaded));

    CF_TRY(cf_self_open(&b->self, cf_queue_dir(b->queue), cf_build_id(b->build),
                        cf_cpu_name(cf_dnn_level(dnn)), err));
    b->shift.self = &b->self.worker;
    CF_TRY(cf_queue_register(b->queue, &b->self.worker, &b->shift.worker_id, err));
    atomic_store(&b->enlisted, 1);
    cf_log_worker(b->shift.log, b->shift.worker_id);
    return CF_OK;
}

static enum cf_status clean_up(struct batch *b, struct cf_error *err)
{
    const struct cf_retry *retry = &b->shift.o->retry;
    struct cf_reaped reaped = {0};
    int swept = 0;

    CF_TRY(cf_queue_reap(b->queue, &b->self.worker, retry, &reaped, err));
    CF_TRY(cf_sink_sweep(b->shift.sink, &swept, err));
    if (reaped.jobs || swept)
        cf_log(b->shift.log, CF_LOG_INFO, "cleaned up after dead workers",
               "jobs=%d temporary_files=%d", reaped.jobs, swept);
    if (reaped.failed)
        cf_log(b->shift.log, CF_LOG_ERROR, "jobs failed",
               "jobs=%d code=CRASH_LOOP max_crashes=%d", reaped.failed,
               retry->max_crashes);
    cf_ledger_add(&b->shift.ledger, &(struct cf_tally){.failed = reaped.failed});
    return CF_OK;
}

static enum cf_status set_up(struct batch *b, struct cf_error *err)
{
    struct cf_team team;

    CF_TRY(cf_team_count(&team, b->shift.o->threads, err));
    b->shift.threads = team.threads;
    CF_TRY(open_places(b, err));
    CF_TRY(open_model(b, err));
    CF_TRY(enlist(b, err));
    CF_TRY(clean_up(b, err));
    return cf_shift_work(b->queue, b->shift.o, b->shift.log, &b->progress.total, err);
}

/* ---- stages ---- */

static enum cf_status start_stages(struct batch *b, struct cf_error *err)
{
    struct cf_shift *s = &b->shift;

    CF_TRY(cf_belt_open(&s->lots, LOTS, err));
    CF_TRY(cf_belt_open(&s->images, IMAGES, err));
    CF_TRY(cf_belt_open(&s->files, FILES, err));
    CF_TRY(cf_commit_start(&b->commit, s, err));
    CF_TRY(cf_press_start(&b->press, s, err));
    return cf_feed_start(&b->feed, s, err);
}

static bool is_drained(struct batch *b)
{
    struct cf_counts c;

    return b->queue && cf_queue_counts(b->queue, &c, NULL) == CF_OK &&
           !c.n[CF_JOB_READY] && !c.n[CF_JOB_DELAYED];
}

/* Each stage ends when the one before it has; also where not all of them were started. */
static void end_stages(struct batch *b, bool *left, struct cf_error *err)
{
    struct cf_shift *s = &b->shift;

    cf_feed_join(b->feed, left);
    if (s->images)
        cf_belt_end(s->images);
    cf_press_join(b->press);
    if (s->files)
        cf_belt_end(s->files);
    cf_commit_join(b->commit, b->commit && !*left && is_drained(b), err);
    cf_belt_free(s->lots);
    cf_belt_free(s->images);
    cf_belt_free(s->files);
    cf_ledger_status(&s->ledger, err);
}

/* The whole life of the worker; *left where work remains that this run will not do. */
static void live(struct batch *b, bool *left, struct cf_error *err)
{
    if (set_up(b, err) == CF_OK) {
        b->work_start = cf_clock_ms();
        if (start_stages(b, err) == CF_OK)
            cf_generate(&b->shift, b->queue);
    }
    while (!may_end(b))
        pause();
    end_stages(b, left, err);
    if (err->status == CF_ECANCEL && cf_stop_asked(&b->shift.stop)) {
        *err = (struct cf_error){0};
        *left = true;
    }
}

/* ---- the end ---- */

static void sum_up(struct batch *b)
{
    const struct cf_tally c = cf_ledger_tally(&b->shift.ledger);
    const struct cf_texts_count e = cf_loaded_texts(b->shift.loaded);
    const struct cf_dnn_times t = cf_pool_times(cf_loaded_pool(b->shift.loaded));
    double s = (double)(cf_clock_ms() - b->work_start) * 1e-3;
    char *root = cf_utf8_printable(b->root, strlen(b->root), 1000, NULL);

    cf_log(
        b->shift.log, CF_LOG_INFO, "finished",
        "images=%ld failed=%ld seconds=%.2f images_per_minute=%.1f linear_s=%.2f "
        "attn_s=%.2f conv_s=%.2f other_s=%.2f encode_s=%.2f encode_hits=%ld "
        "encode_misses=%ld webp_s=%.3f file_s=%.3f row_s=%.3f claim_s=%.3f wait_s=%.3f "
        "peak_mib=%.0f output=\"%s\"",
        c.done, c.failed, s, s > 0 ? 60 * (double)c.done / s : 0.0, t.linear, t.attn,
        t.conv, t.other, c.stage_ms[CF_STAGE_ENCODE] * 1e-3, e.memory + e.disk, e.encoded,
        c.stage_ms[CF_STAGE_WEBP] * 1e-3, c.stage_ms[CF_STAGE_FILE] * 1e-3,
        c.stage_ms[CF_STAGE_ROW] * 1e-3, 1e-6 * (double)atomic_load(&b->shift.claim_us),
        1e-6 * (double)atomic_load(&b->shift.wait_us),
        (double)cf_memory_peak() / (1 << 20), root ? root : "");
    cf_free(root);
}

/* What is still leased goes back, all in one step. A queue that somebody has locked does
 * not keep us once we are told to stop: the next worker finds our lock free, and that we
 * left. */
static void unregister(struct batch *b)
{
    struct cf_error err = {0};

    if (!atomic_load(&b->enlisted))
        return;
    cf_queue_cancel(b->queue, NULL);
    if (cf_stop_asked(&b->shift.stop))
        cf_queue_timeout(b->queue, CF_LATE_MS);
    if (cf_queue_unregister(b->queue, b->shift.worker_id, &err) == CF_OK)
        return;
    cf_log(b->shift.log, CF_LOG_WARN, "jobs not given back; the next worker will",
           "error=\"%s\"", err.msg);
    cf_queue_timeout(b->queue, 0);
    cf_self_leave(&b->self);
}

static void tear_down(struct batch *b)
{
    unregister(b);
    cf_queue_close(b->queue);
    cf_loaded_close(b->shift.loaded);
    cf_sink_close(b->shift.sink);
    cf_self_close(&b->self);
    cf_ledger_close(&b->shift.ledger);
    cf_budget_close(&b->shift.budget);
    cf_workdb_close(&b->source);
    cf_free(b->root);
}

/* What to do about an error of the surroundings; all jobs are back in the queue. */
static const char *remedy_of(enum cf_status status)
{
    switch (status) {
    case CF_ENOSPC:
        return "make room on the disk or in the quota, then run the same command again";
    case CF_EIO:
        return "look after the disk, then run the same command again";
    case CF_EPERM:
    case CF_ECREAT:
        return "give write permission, or choose another --output or --db";
    case CF_ENOMEM:
        return "free memory, or ask for fewer --threads or --side-by-side";
    case CF_EBUSY:
        return "somebody holds the queue: run the same command again later";
    default:
        return "";
    }
}

/* Says how it ended; the exit status. */
static int conclude(struct batch *b, bool left, const struct cf_error *err)
{
    struct cf_log *log = b->shift.log;
    const char *remedy = remedy_of(err->status);

    if (err->status != CF_OK) {
        cf_log(log, CF_LOG_ERROR, "stopped", "code=%s error=\"%s\"%s%s%s",
               cf_status_name(err->status), err->msg, *remedy ? " remedy=\"" : "", remedy,
               *remedy ? "\"" : "");
        return cf_status_exit(err->status);
    }
    if (left) {
        cf_log(log, CF_LOG_INFO, "work remains", "signal=%d",
               atomic_load(&b->shift.stop.asked));
        return b->shift.o->stop_status;
    }
    return cf_ledger_tally(&b->shift.ledger).failed > 0;
}

int cf_batch_run(const struct cf_batch_options *o, struct cf_log *log)
{
    struct batch b = {.shift = {.o = o, .log = log}, .self.lock_fd = -1};
    struct cf_error err = {0};
    bool left = false;
    int status;

    cf_workdb_none(&b.source);
    cf_ledger_open(&b.shift.ledger, log, &o->retry, o->fail_fast);
    cf_budget_open(&b.shift.budget, o->time_start, o->time_limit);
    cf_statusfile_start(&b.status, o->status_file, log);
    cf_progress_start(&b.progress, log, o->progress, o->progress_interval, o->quiet);
    if (cf_stop_start(&b.shift.stop, o->grace, tick, &b, &err) == CF_OK) {
        live(&b, &left, &err);
        cf_stop_end(&b.shift.stop);
        tick(&b, false);
        cf_progress_end(&b.progress);
    }
    if (b.work_start)
        sum_up(&b);
    status = conclude(&b, left, &err);
    put_status(&b, "ended", status);
    tear_down(&b);
    return status;
}
