/* batch.c - the worker's loop.
 *
 * Order: everything that can fail for reasons of set-up (queue, output, model) is opened
 * before the first claim, so that a wrong option costs no job anything. Then claims of a
 * few jobs; inside a claim, jobs with equal settings run side by side; a group that fails
 * is run again one by one, so that one bad job fails alone. */
#include "pipeline/batch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/team.h"
#include "base/utf8.h"
#include "jobs/self.h"
#include "pipeline/pool.h"
#include "pipeline/settings.h"
#include "pipeline/stop.h"
#include "pipeline/writer.h"

enum { MAX_CLAIM = 64, AUTO_CLAIM = 16, AUTO_SIDE = 8 };

struct slot {
    struct cf_job *job; /* borrowed from the claim; handed over when done */
    struct cf_settings recipe;
    bool open; /* still ours to end */
};

struct batch {
    const struct cf_batch_options *o;
    struct cf_log *log;
    struct cf_team team;
    struct cf_pool *pool;
    char *model_dir; /* of the model in the pool, NULL: none */
    struct cf_queue *queue;
    struct cf_sink *sink;
    struct cf_writer *writer;
    struct cf_self self;
    char build[CF_BUILD_ID];
    char *root;
    int64_t worker_id;
    struct cf_stop stop;
    struct cf_progress progress;
    double ms_per_image; /* running mean, 0 until the first */
    long claimed, failed;
    int failures_in_row;
    long long work_start; /* monotonic ms, 0 until set-up is over */
};

void cf_batch_default(struct cf_batch_options *o)
{
    memset(o, 0, sizeof *o);
    cf_retry_default(&o->retry);
    o->fail_fast = 5;
    o->grace = 30;
}

static void tick(void *ctx, bool now)
{
    struct batch *b = ctx;

    cf_progress_tick(&b->progress, now);
}

/* ---- set-up ---- */

static enum cf_status enlist(struct batch *b, struct cf_error *err)
{
    CF_TRY(cf_self_open(&b->self, cf_queue_dir(b->queue), cf_build_id(b->build),
                        cf_cpu_name(cf_dnn_level(cf_pool_dnn(b->pool))), err));
    return cf_queue_register(b->queue, &b->self.worker, &b->worker_id, err);
}

/* The model that a recipe names, or the worker's own. Keeps one model loaded. */
static enum cf_status need_model(struct batch *b, const char *name, struct cf_error *err)
{
    const struct cf_model *model;
    char *dir, *safe;

    CF_TRY(cf_model_find(&dir, name ? name : b->o->model, b->o->model_path, err));
    if (b->model_dir && strcmp(dir, b->model_dir) == 0) {
        cf_free(dir);
        return CF_OK;
    }
    cf_free(b->model_dir);
    b->model_dir = NULL;
    if (cf_pool_load(b->pool, dir, err) != CF_OK) {
        cf_free(dir);
        return err->status;
    }
    b->model_dir = dir;
    b->ms_per_image = 0;
    model = cf_engine_model(cf_pool_engine(b->pool));
    safe = cf_utf8_printable(model->name, strlen(model->name), 200, NULL);
    cf_log(b->log, CF_LOG_INFO, "model loaded",
           "name=\"%s\" sha256=\"%.12s\" threads=%d groups=%d cpu=%s", safe ? safe : "",
           model->hash, b->team.threads, cf_pool_groups(b->pool),
           cf_cpu_name(cf_dnn_level(cf_pool_dnn(b->pool))));
    cf_free(safe);
    return CF_OK;
}

static enum cf_status set_up(struct batch *b, struct cf_error *err)
{
    const struct cf_batch_options *o = b->o;
    const enum cf_queue_mode mode = (enum cf_queue_mode)(
        CF_QUEUE_WRITE | (o->unsafe_shared_db ? CF_QUEUE_UNSAFE_SHARED : 0));
    struct cf_writer_options wo;
    struct cf_reaped reaped = {0};
    int swept = 0;

    CF_TRY(cf_team_count(&b->team, o->threads, err));
    CF_TRY(cf_queue_open(&b->queue, o->db, mode, err));
    b->root = o->output ? cf_strdup(o->output, err)
                        : cf_format(err, "%s/images", cf_queue_dir(b->queue));
    if (!b->root)
        return CF_ENOMEM;
    CF_TRY(cf_sink_open(&b->sink, b->root, err));
    CF_TRY(cf_pool_open(&b->pool, o->cpu, b->team.threads, err));
    CF_TRY(need_model(b, NULL, err));
    CF_TRY(enlist(b, err));
    CF_TRY(cf_queue_reap(b->queue, &b->self.worker, &o->retry, &reaped, err));
    CF_TRY(cf_sink_sweep(b->sink, &swept, err));
    if (reaped.jobs || swept)
        cf_log(b->log, CF_LOG_INFO, "cleaned up after dead workers",
               "jobs=%d temporary_files=%d", reaped.jobs, swept);
    if (reaped.failed)
        cf_log(b->log, CF_LOG_ERROR, "jobs failed",
               "jobs=%d code=CRASH_LOOP max_crashes=%d", reaped.failed,
               o->retry.max_crashes);
    b->failed += reaped.failed;
    wo = (struct cf_writer_options){
        .db = o->db,
        .mode = mode,
        .worker_id = b->worker_id,
        .self = &b->self.worker,
        .retry = o->retry,
        .sink = b->sink,
        .meta = o->meta,
        .log = b->log,
        .threads = b->team.threads,
        .beat = 30,
    };
    return cf_writer_start(&b->writer, &wo, err);
}

/* ---- jobs ---- */

static void give_back(struct batch *b, struct slot *s, const char *why)
{
    struct cf_error err = {0};

    if (s->open && cf_queue_release(b->queue, s->job, why, &err) != CF_OK &&
        err.status != CF_ELOST)
        cf_log(b->log, CF_LOG_WARN, "not released", "job=%lld why=\"%s\"",
               (long long)s->job->id, err.msg);
    s->open = false;
}

/* Charge the job. Where the worker may be what is wrong (suspect), failures in a row stop
 * it: a row that no worker could do says nothing about this one. */
static enum cf_status charge(struct batch *b, struct slot *s, const struct cf_error *why,
                             bool suspect, struct cf_error *err)
{
    bool final = false;

    s->open = false;
    if (cf_queue_fail(b->queue, s->job, why, &b->o->retry, &final, err) != CF_OK)
        return err->status;
    b->failed += final;
    b->failures_in_row += suspect;
    atomic_store(&b->progress.failed, b->failed);
    cf_log(b->log, CF_LOG_ERROR, "job failed", "job=%lld final=%d code=%s error=\"%s\"",
           (long long)s->job->id, final, cf_status_name(why->status), why->msg);
    if (suspect && b->failures_in_row >= b->o->fail_fast)
        return cf_fail(
            err, CF_EBUG,
            "%d jobs in a row failed (--fail-fast): this worker stops; the last "
            "error: %s",
            b->failures_in_row, why->msg);
    return CF_OK;
}

static enum cf_status hand_over(struct batch *b, struct slot *s,
                                const struct cf_request *req, const struct cf_plan *plan,
                                struct cf_result *result,
                                const struct cf_engine_times *times, int n,
                                struct cf_error *err)
{
    struct cf_handover h = {
        .webp = s->recipe.webp,
        .times = {times->encode / n, times->generate / n, times->decode / n},
    };

    CF_TRY(cf_story_make(&h.story, cf_pool_engine(b->pool), cf_pool_dnn(b->pool), req,
                         plan, &h.webp, result, s->job->key, err));
    h.image = result->image;
    result->image.rgb = NULL;
    h.job = *s->job;
    memset(s->job, 0, sizeof *s->job);
    s->open = false;
    b->failures_in_row = 0;
    if (result->truncated)
        cf_log(b->log, CF_LOG_WARN, "prompt cut", "job=%lld tokens_dropped=%d",
               (long long)h.job.id, result->truncated);
    return cf_writer_put(b->writer, &h, err);
}

static enum cf_status one_by_one(struct batch *b, struct slot **s, int n,
                                 struct cf_error *err);

/* n jobs with equal settings, side by side. */
static enum cf_status run_group(struct batch *b, struct slot **s, int n,
                                struct cf_error *err)
{
    struct cf_request req[MAX_CLAIM];
    struct cf_result result[MAX_CLAIM];
    struct cf_engine_times times = {0};
    struct cf_error why = {0};
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    long long t0 = cf_clock_ms();
    enum cf_status st = CF_OK;

    if (!plan)
        return CF_ENOMEM;
    for (int i = 0; i < n; i++)
        req[i] = (struct cf_request){
            .prompt = s[i]->job->prompt,
            .prompt_len = s[i]->job->prompt_len,
            .negative = s[i]->job->negative,
            .negative_len = s[i]->job->negative_len,
            .seed = s[i]->job->seed,
        };
    atomic_store(&b->stop.busy_until, t0 + (long long)(b->ms_per_image * n));
    if (cf_pool_run(b->pool, &s[0]->recipe.params, req, n, &b->stop.cancel, plan, result,
                    &times, &why) == CF_OK) {
        double ms = (double)(cf_clock_ms() - t0) / n;

        b->ms_per_image = b->ms_per_image > 0 ? 0.7 * b->ms_per_image + 0.3 * ms : ms;
        for (int i = 0; i < n; i++) {
            if (st == CF_OK)
                st = hand_over(b, s[i], &req[i], plan, &result[i], &times, n, err);
            cf_result_free(&result[i]);
        }
    } else if (why.status == CF_ECANCEL) {
        for (int i = 0; i < n; i++)
            give_back(b, s[i], "stopped");
    } else if (n > 1) {
        st = one_by_one(b, s, n, err);
    } else if (cf_status_environment(why.status)) {
        give_back(b, s[0], why.msg);
        st = cf_fail(err, why.status, "%s", why.msg);
    } else {
        st = charge(b, s[0], &why, cf_status_retryable(why.status), err);
    }
    atomic_store(&b->stop.busy_until, 0);
    cf_free(plan);
    return st;
}

/* After a failure of the group: each alone, so that a bad job fails alone and a group
 * that was too large for the memory still gets done. */
static enum cf_status one_by_one(struct batch *b, struct slot **s, int n,
                                 struct cf_error *err)
{
    for (int i = 0; i < n; i++)
        CF_TRY(run_group(b, &s[i], 1, err));
    return CF_OK;
}

/* How many images of these settings fit side by side: a quarter of the machine's memory.
 */
static int side_by_side(struct batch *b, const struct cf_gen_params *params, int want)
{
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    int n = b->o->side ? b->o->side : AUTO_SIDE * cf_pool_groups(b->pool);
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, NULL);

    n = n < MAX_CLAIM ? n : MAX_CLAIM;
    n = n < want ? n : want;
    while (plan && !b->o->side && n > 1 &&
           cf_engine_plan(cf_pool_engine(b->pool), params, n, plan, NULL) == CF_OK &&
           (double)plan->arena_bytes > memory / 4)
        n /= 2;
    cf_free(plan);
    return n < 1 ? 1 : n;
}

static bool stopping(struct batch *b)
{
    return cf_stop_asked(&b->stop) || cf_writer_status(b->writer, NULL) != CF_OK;
}

/* Group what belongs together, in the order of the claim. */
static enum cf_status run_claim(struct batch *b, struct slot *slot, int n,
                                struct cf_error *err)
{
    for (int i = 0; i < n; i++) {
        struct slot *group[MAX_CLAIM];
        struct cf_error why = {0};
        int m = 0, side;

        if (!slot[i].open)
            continue;
        if (stopping(b))
            return CF_OK;
        if (need_model(b, slot[i].recipe.model, &why) != CF_OK) {
            if (cf_status_environment(why.status)) /* the slots are given back */
                return cf_fail(err, why.status, "%s", why.msg);
            CF_TRY(charge(b, &slot[i], &why, true, err));
            continue;
        }
        side = side_by_side(b, &slot[i].recipe.params, n - i);
        for (int j = i; j < n && m < side; j++)
            if (slot[j].open && cf_settings_same_group(&slot[i].recipe, &slot[j].recipe))
                group[m++] = &slot[j];
        CF_TRY(run_group(b, group, m, err));
        atomic_store(&b->progress.done, cf_writer_count(b->writer).done);
    }
    return CF_OK;
}

/* Read recipes and check texts; what is wrong here fails at once and for good. */
static enum cf_status open_slots(struct batch *b, struct slot *slot, struct cf_jobs *jobs,
                                 struct cf_error *err)
{
    for (int i = 0; i < jobs->n; i++) {
        struct cf_job *job = &jobs->job[i];
        struct cf_error why = {0};
        size_t at;

        slot[i].job = job;
        slot[i].open = true;
        cf_settings_read(&slot[i].recipe, job->recipe, job->width, job->height, &why);
        if (why.status == CF_OK && !cf_utf8_valid(job->prompt, job->prompt_len, &at))
            cf_fail(&why, CF_EFORMAT, "prompt: ill-formed UTF-8 at byte %zu", at);
        if (why.status == CF_OK && job->negative &&
            !cf_utf8_valid(job->negative, job->negative_len, &at))
            cf_fail(&why, CF_EFORMAT, "negative prompt: ill-formed UTF-8 at byte %zu",
                    at);
        if (why.status != CF_OK)
            CF_TRY(charge(b, &slot[i], &why, false, err));
    }
    return CF_OK;
}

static int claim_size(const struct batch *b)
{
    int k = b->o->claim;

    if (!k && b->ms_per_image <= 0)
        k = 1; /* the first image tells how long one takes */
    else if (!k)
        k = (int)(5000.0 / b->ms_per_image);
    if (!b->o->claim && k > AUTO_CLAIM)
        k = AUTO_CLAIM;
    k = k < 1 ? 1 : k > MAX_CLAIM ? MAX_CLAIM : k;
    if (b->o->max_jobs && k > b->o->max_jobs - b->claimed)
        k = (int)(b->o->max_jobs - b->claimed);
    return k;
}

/* Wait for delayed jobs in short steps. False when told to stop. */
static bool wait_for(struct batch *b, int seconds)
{
    long long until = cf_clock_ms() + 1000LL * seconds;

    while (cf_clock_ms() < until) {
        if (stopping(b))
            return false;
        usleep(100 * 1000);
    }
    return true;
}

enum { NOTHING_LEFT, GO_ON, WORK_LEFT };

/* Nothing is ready: jobs that wait for another try are worth a few minutes. */
static enum cf_status when_empty(struct batch *b, int *then, struct cf_error *err)
{
    enum { PATIENCE = 300 };
    int due;

    CF_TRY(cf_queue_next_due(b->queue, &due, err));
    *then = due < 0 ? NOTHING_LEFT : due > PATIENCE ? WORK_LEFT : GO_ON;
    if (*then == GO_ON && !wait_for(b, due + 1))
        *then = WORK_LEFT;
    return CF_OK;
}

static enum cf_status work(struct batch *b, bool *left, struct cf_error *err)
{
    struct slot slot[MAX_CLAIM];
    struct cf_jobs jobs;
    int then = GO_ON;

    while (then == GO_ON) {
        enum cf_status st;

        if (stopping(b)) {
            *left = true;
            return CF_OK;
        }
        if (b->o->max_jobs && b->claimed >= b->o->max_jobs)
            return CF_OK;
        CF_TRY(cf_queue_claim(b->queue, b->worker_id, claim_size(b), &jobs, err));
        if (!jobs.n) {
            cf_jobs_free(&jobs);
            CF_TRY(when_empty(b, &then, err));
            continue;
        }
        b->claimed += jobs.n;
        memset(slot, 0, sizeof slot);
        st = open_slots(b, slot, &jobs, err);
        /* A suspect: no job on its way to the disk shall share its fate. */
        if (st == CF_OK && jobs.job[0].crashes)
            cf_writer_drain(b->writer);
        if (st == CF_OK)
            st = run_claim(b, slot, jobs.n, err);
        for (int i = 0; i < jobs.n; i++) {
            if (slot[i].open)
                give_back(b, &slot[i], "the worker stops");
            cf_settings_free(&slot[i].recipe);
        }
        cf_jobs_free(&jobs);
        CF_TRY(st);
    }
    *left = then == WORK_LEFT;
    return CF_OK;
}

static enum cf_status count_work(struct batch *b, struct cf_error *err)
{
    struct cf_counts c;
    int64_t n;

    CF_TRY(cf_queue_counts(b->queue, &c, err));
    n = c.n[CF_JOB_READY] + c.n[CF_JOB_DELAYED];
    if (b->o->max_jobs && n > b->o->max_jobs)
        n = b->o->max_jobs;
    atomic_store(&b->progress.total, (long)n);
    return CF_OK;
}

static void sum_up(struct batch *b, const struct cf_writer_count *c)
{
    double s = (double)(cf_clock_ms() - b->work_start) * 1e-3;
    struct cf_dnn_times t = cf_pool_times(b->pool);
    char *root = cf_utf8_printable(b->root, strlen(b->root), 1000, NULL);

    cf_log(b->log, CF_LOG_INFO, "finished",
           "images=%ld failed=%ld seconds=%.2f images_per_minute=%.1f linear_s=%.2f "
           "attn_s=%.2f conv_s=%.2f other_s=%.2f webp_s=%.2f file_s=%.2f row_s=%.2f "
           "output=\"%s\"",
           c->done, b->failed + c->failed, s, s > 0 ? 60 * (double)c->done / s : 0.0,
           t.linear, t.attn, t.conv, t.other, c->webp_ms * 1e-3, c->file_ms * 1e-3,
           c->row_ms * 1e-3, root ? root : "");
    cf_free(root);
}

static void tear_down(struct batch *b)
{
    if (b->queue && b->worker_id)
        cf_queue_unregister(b->queue, b->worker_id, NULL);
    cf_queue_close(b->queue);
    cf_pool_close(b->pool);
    cf_free(b->model_dir);
    cf_sink_close(b->sink);
    cf_self_close(&b->self);
    cf_free(b->root);
}

/* The whole life of the worker; *left where work remains that this run will not do. */
static enum cf_status live(struct batch *b, bool *left, struct cf_error *err)
{
    CF_TRY(set_up(b, err));
    CF_TRY(count_work(b, err));
    b->work_start = cf_clock_ms();
    return work(b, left, err);
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

int cf_batch_run(const struct cf_batch_options *o, struct cf_log *log)
{
    struct batch b = {.o = o, .log = log, .self.lock_fd = -1};
    struct cf_error err = {0}, late = {0};
    struct cf_writer_count c = {0};
    const char *remedy;
    bool left = false;
    int status;

    cf_progress_start(&b.progress, log, o->progress, o->quiet);
    if (cf_stop_start(&b.stop, o->grace, tick, &b, &err) == CF_OK) {
        live(&b, &left, &err);
        if (cf_writer_stop(b.writer, &c, &late) != CF_OK)
            cf_fail(&err, late.status, "%s", late.msg);
        atomic_store(&b.progress.done, c.done);
        cf_stop_end(&b.stop);
        cf_progress_end(&b.progress);
    }
    if (b.work_start)
        sum_up(&b, &c);
    if (err.status != CF_OK) {
        remedy = remedy_of(err.status);
        cf_log(log, CF_LOG_ERROR, "stopped", "code=%s error=\"%s\"%s%s%s",
               cf_status_name(err.status), err.msg, *remedy ? " remedy=\"" : "", remedy,
               *remedy ? "\"" : "");
        status = cf_status_exit(err.status);
    } else if (left) {
        cf_log(log, CF_LOG_INFO, "work remains", "signal=%d", atomic_load(&b.stop.asked));
        status = 75;
    } else {
        status = b.failed + c.failed > 0 ? 1 : 0;
    }
    tear_down(&b);
    return status;
}
