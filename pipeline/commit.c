#include "pipeline/commit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/utf8.h"
#include "pipeline/tarout.h"

/* What goes into one transaction. */
struct parcel {
    struct cf_piece *piece[CF_COMMIT_MANY];
    char path[CF_COMMIT_MANY][CF_SINK_PATH];
    char stages[CF_COMMIT_MANY][240];
    struct cf_finished row[CF_COMMIT_MANY];
    int n;
};

struct cf_commit {
    struct cf_shift *shift;
    struct cf_queue *queue; /* of this thread alone */
    struct cf_tarout *tar;  /* NULL: the layout is files */
    pthread_t thread;
    char build[CF_BUILD_ID];
    bool late; /* told to stop while the queue was locked */
    struct parcel parcel;
};

/* ---- rows ---- */

static void drop(struct cf_commit *c, struct cf_piece *p, const struct cf_error *why)
{
    cf_ledger_error(&c->shift->ledger, c->queue, &p->job, why, false);
    cf_piece_free(p);
}

/* None of the parcel will be: why. */
static void drop_all(struct cf_commit *c, const struct cf_error *why)
{
    for (int i = 0; i < c->parcel.n; i++)
        drop(c, c->parcel.piece[i], why);
    c->parcel.n = 0;
}

static void fill_row(struct cf_commit *c, int i)
{
    const struct cf_piece *p = c->parcel.piece[i];

    c->parcel.row[i] = (struct cf_finished){
        .job = &p->job,
        .out =
            {
                .path = c->parcel.path[i],
                .bytes = (int64_t)p->blob.size,
                .file_sha256 = p->file_sha256,
                .pixel_sha256 = p->story.pixel_sha256,
                .width = p->story.width,
                .height = p->story.height,
                .threads = c->shift->threads,
                .build = c->build,
                .isa = p->story.isa,
                .model_sha256 = p->story.model_sha256,
                .stage_ms = c->parcel.stages[i],
                .note = p->story.note,
            },
    };
}

/* A queue that somebody else has locked is waited for until we are told to stop; then a
 * little longer, once. CF_ECANCEL after that. */
static enum cf_status finish_rows(struct cf_commit *c, const struct cf_tar_mark *mark,
                                  struct cf_error *err)
{
    struct cf_finished *row = c->parcel.row;
    struct cf_error why = {0};

    if (cf_queue_finish_many(c->queue, row, c->parcel.n, mark, &why) == CF_ECANCEL &&
        !c->late) {
        c->late = true;
        cf_queue_cancel(c->queue, NULL);
        cf_queue_timeout(c->queue, CF_LATE_MS);
        why = (struct cf_error){0};
        cf_queue_finish_many(c->queue, row, c->parcel.n, mark, &why);
    }
    if (c->late && why.status == CF_EBUSY) {
        cf_queue_timeout(c->queue, 0);
        why.status = CF_ECANCEL;
    }
    return why.status == CF_OK ? CF_OK : cf_fail(err, why.status, "%s", why.msg);
}

static void tell(struct cf_commit *c, const struct cf_piece *p, const char *path,
                 const char *stages)
{
    char *prompt = NULL;

    if (c->shift->o->log_prompts)
        prompt = cf_utf8_printable(p->job.prompt, p->job.prompt_len, 1000, NULL);
    cf_log(c->shift->log, CF_LOG_DEBUG, "done",
           "job=%lld attempt=%d path=%s bytes=%lld ms=%s%s%s%s", (long long)p->job.id,
           p->job.attempt, path, (long long)p->blob.size, stages,
           prompt ? " prompt=\"" : "", prompt ? prompt : "", prompt ? "\"" : "");
    cf_free(prompt);
}

static void count(struct cf_commit *c, double file_ms, double row_ms)
{
    struct parcel *p = &c->parcel;
    struct cf_tally more = {
        .stage_ms = {[CF_STAGE_FILE] = file_ms, [CF_STAGE_ROW] = row_ms}};

    for (int i = 0; i < p->n; i++) {
        struct cf_piece *piece = p->piece[i];

        if (p->row[i].lost) {
            cf_log(c->shift->log, CF_LOG_WARN, "lease lost", "job=%lld",
                   (long long)piece->job.id);
            more.lost++;
        } else {
            more.done++;
            more.stage_ms[CF_STAGE_ENCODE] += piece->times.encode;
            more.stage_ms[CF_STAGE_GENERATE] += piece->times.generate;
            more.stage_ms[CF_STAGE_DECODE] += piece->times.decode;
            more.stage_ms[CF_STAGE_WEBP] += piece->webp_ms;
            tell(c, piece, p->path[i], p->stages[i]);
        }
        cf_piece_free(piece);
    }
    cf_ledger_ended(&c->shift->ledger, p->n, &more);
    p->n = 0;
}

/* The files are on disk: end the rows of the parcel. t0: when work on the files began. */
static enum cf_status commit(struct cf_commit *c, const struct cf_tar_mark *mark,
                             double t0)
{
    struct parcel *p = &c->parcel;
    double t1 = 1e3 * cf_clock();
    struct cf_error why = {0};

    for (int i = 0; i < p->n; i++) {
        const struct cf_piece *piece = p->piece[i];

        snprintf(p->stages[i], sizeof p->stages[i],
                 "{\"encode\":%.1f,\"generate\":%.1f,\"decode\":%.1f,\"webp\":%.1f,"
                 "\"file\":%.1f}",
                 piece->times.encode, piece->times.generate, piece->times.decode,
                 piece->webp_ms, (t1 - t0) / p->n);
        cf_fault_point("row", piece->job.id);
    }
    if (finish_rows(c, mark, &why) != CF_OK) {
        drop_all(c, &why);
        return why.status;
    }
    count(c, t1 - t0, 1e3 * cf_clock() - t1);
    return CF_OK;
}

/* ---- files ---- */

static void put_files(struct cf_commit *c, struct cf_piece **piece, int n)
{
    struct parcel *p = &c->parcel;
    double t0 = 1e3 * cf_clock();
    struct cf_error why = {0};

    for (int i = 0; i < n; i++) {
        struct cf_error bad = {0};
        char stem[33];

        snprintf(stem, sizeof stem, "%.32s", piece[i]->job.key);
        if (cf_ledger_status(&c->shift->ledger, &bad) == CF_OK)
            cf_sink_put(c->shift->sink, stem, &piece[i]->blob, p->path[p->n], &bad);
        if (bad.status != CF_OK) {
            drop(c, piece[i], &bad);
            continue;
        }
        p->piece[p->n] = piece[i];
        fill_row(c, p->n++);
    }
    if (p->n && cf_sink_sync(c->shift->sink, &why) != CF_OK)
        drop_all(c, &why);
    else if (p->n)
        commit(c, NULL, t0);
}

/* ---- tars ---- */

/* What the tar got since the last transaction counts from now on, or is cut off. */
static void flush_tar(struct cf_commit *c, double t0)
{
    struct cf_error why = {0}, late = {0};
    struct cf_tar_mark mark;
    enum cf_status st;

    if (!c->parcel.n)
        return;
    st = cf_tarout_sync(c->tar, &mark, &why);
    if (st != CF_OK)
        drop_all(c, &why);
    else if ((st = commit(c, &mark, t0)) == CF_OK)
        cf_tarout_counted(c->tar, &mark);
    if (st != CF_OK && cf_tarout_back(c->tar, st != CF_ELOST, &late) != CF_OK)
        cf_ledger_fatal(&c->shift->ledger, &late);
    if (st == CF_OK && cf_tarout_full(c->tar) &&
        cf_tarout_end(c->tar, c->queue, &late) != CF_OK)
        cf_ledger_fatal(&c->shift->ledger, &late);
}

static void add_to_tar(struct cf_commit *c, struct cf_piece *piece)
{
    struct parcel *p = &c->parcel;
    const struct cf_tar_sample sample = {
        .webp = &piece->blob,
        .prompt = piece->job.prompt,
        .prompt_len = piece->job.prompt_len,
        .json = piece->json,
    };
    struct cf_error why = {0}, late = {0};

    p->piece[p->n] = piece;
    fill_row(c, p->n);
    if (cf_ledger_status(&c->shift->ledger, &why) == CF_OK &&
        cf_tarout_add(c->tar, c->queue, &piece->job, &sample, &p->row[p->n].out,
                      p->path[p->n], &why) == CF_OK) {
        p->n++;
        return;
    }
    drop(c, piece, &why);
    if (why.status == CF_ELOST) /* found before anything was written */
        return;
    drop_all(c, &why);
    if (cf_tarout_back(c->tar, true, &late) != CF_OK)
        cf_ledger_fatal(&c->shift->ledger, &late);
}

static void put_tar(struct cf_commit *c, struct cf_piece **piece, int n)
{
    double t0 = 1e3 * cf_clock();

    for (int i = 0; i < n; i++) {
        add_to_tar(c, piece[i]);
        if (cf_tarout_full(c->tar)) {
            flush_tar(c, t0);
            t0 = 1e3 * cf_clock();
        }
    }
    flush_tar(c, t0);
}

/* ---- the thread ---- */

/* Heartbeat, and the jobs of workers that died. */
static void housekeep(struct cf_commit *c)
{
    struct cf_shift *s = c->shift;
    struct cf_reaped reaped = {0};
    struct cf_error err = {0};

    if (cf_queue_beat(c->queue, s->worker_id, &err) != CF_OK ||
        cf_queue_reap(c->queue, s->self, &s->o->retry, &reaped, &err) != CF_OK) {
        if (err.status != CF_ECANCEL)
            cf_log(s->log, CF_LOG_WARN, "housekeeping", "error=\"%s\"", err.msg);
        return;
    }
    if (reaped.jobs)
        cf_log(s->log, reaped.failed ? CF_LOG_ERROR : CF_LOG_WARN,
               "jobs of dead workers came back", "jobs=%d failed_as_CRASH_LOOP=%d",
               reaped.jobs, reaped.failed);
    cf_ledger_add(&s->ledger, &(struct cf_tally){.failed = reaped.failed});
}

/* What the press could not make goes back or is charged; the others are handled together.
 */
static void handle(struct cf_commit *c, struct cf_piece **piece, int n)
{
    int good = 0;

    for (int i = 0; i < n; i++) {
        cf_fault_point("file", piece[i]->job.id);
        if (piece[i]->why.status != CF_OK)
            drop(c, piece[i], &piece[i]->why);
        else
            piece[good++] = piece[i];
    }
    if (good && c->tar)
        put_tar(c, piece, good);
    else if (good)
        put_files(c, piece, good);
}

static void *run(void *arg)
{
    struct cf_commit *c = arg;
    struct cf_belt *from = c->shift->files;
    long long beat = cf_clock_ms();
    bool end = false;

    while (!end) {
        struct cf_piece *piece[CF_COMMIT_MANY];
        bool none;
        int n = 0;

        piece[0] = cf_belt_take(from, 1000, &end);
        while (piece[n] && ++n < CF_COMMIT_MANY)
            piece[n] = cf_belt_take(from, 0, &none);
        if (n) {
            handle(c, piece, n);
            atomic_fetch_sub(&c->shift->pieces, n);
        }
        if (cf_clock_ms() - beat >= 1000LL * CF_COMMIT_BEAT) {
            housekeep(c);
            beat = cf_clock_ms();
        }
    }
    return NULL;
}

static void close_commit(struct cf_commit *c)
{
    cf_tarout_close(c->tar);
    cf_queue_close(c->queue);
    cf_free(c);
}

static enum cf_status start(struct cf_commit *c, struct cf_error *err)
{
    struct cf_shift *s = c->shift;
    int e;

    cf_build_id(c->build);
    CF_TRY(cf_shift_queue(s, &c->queue, err));
    CF_TRY(cf_queue_watch(c->queue, 1000LL * CF_COMMIT_SILENT * CF_COMMIT_BEAT, err));
    if (s->in_tars)
        CF_TRY(cf_tarout_open(&c->tar, s->root, s->worker_id, s->o->per_tar, err));
    e = pthread_create(&c->thread, NULL, run, c);
    return e ? cf_fail(err, CF_ENOMEM, "commit thread: %s", strerror(e)) : CF_OK;
}

enum cf_status cf_commit_start(struct cf_commit **commit, struct cf_shift *shift,
                               struct cf_error *err)
{
    struct cf_commit *c = cf_calloc(1, sizeof *c, err);

    if (!c)
        return CF_ENOMEM;
    c->shift = shift;
    if (start(c, err) != CF_OK) {
        close_commit(c);
        return err->status;
    }
    *commit = c;
    return CF_OK;
}

enum cf_status cf_commit_join(struct cf_commit *c, bool drained, struct cf_error *err)
{
    enum cf_status st = CF_OK;

    if (!c)
        return CF_OK;
    pthread_join(c->thread, NULL);
    if (c->tar && drained && cf_ledger_status(&c->shift->ledger, NULL) == CF_OK)
        st = cf_tarout_drained(c->tar, c->queue, err);
    close_commit(c);
    return st;
}
