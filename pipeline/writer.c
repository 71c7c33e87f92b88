#include "pipeline/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { ROOM = 64 };

struct cf_writer {
    struct cf_writer_options o;
    struct cf_queue *queue; /* of this thread alone */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more, less; /* something came; something left */
    struct cf_handover *ring[ROOM];
    int head, n;
    bool busy; /* one was taken from the ring and is not ended */
    bool stopping;
    bool proved;           /* cf_finish_encode; of the thread alone */
    struct cf_error fatal; /* first error of the surroundings */
    struct cf_writer_count count;
};

static void handover_free(struct cf_handover *h)
{
    if (!h)
        return;
    cf_job_free(&h->job);
    cf_story_free(&h->story);
    cf_free(h->image.rgb);
    cf_free(h);
}

/* Pixels to a file that is there for good. */
static enum cf_status store(struct cf_writer *w, struct cf_handover *h, char *path,
                            char file_sha256[CF_DIGEST_HEX], int64_t *bytes,
                            double *webp_ms, double *file_ms, struct cf_error *err)
{
    struct cf_blob blob = {0};
    long long t0 = cf_clock_ms(), t1;
    enum cf_status st;
    char stem[33];

    snprintf(stem, sizeof stem, "%.32s", h->job.key);
    st = cf_finish_encode(&h->image, &h->webp, &h->story, w->o.meta, &w->proved, &blob,
                          err);
    if (st == CF_OK)
        st = cf_digest_mem(blob.data, blob.size, file_sha256, err);
    t1 = cf_clock_ms();
    if (st == CF_OK)
        st = cf_sink_put(w->o.sink, stem, &blob, path, err);
    if (st == CF_OK)
        st = cf_sink_sync(w->o.sink, err);
    *bytes = (int64_t)blob.size;
    *webp_ms = (double)(t1 - t0);
    *file_ms = (double)(cf_clock_ms() - t1);
    cf_blob_free(&blob);
    return st;
}

static enum cf_status end_row(struct cf_writer *w, struct cf_handover *h,
                              const char *path, const char *file_sha256, int64_t bytes,
                              double webp_ms, double file_ms, struct cf_error *err)
{
    char stages[200], build[CF_BUILD_ID];
    struct cf_output out = {
        .path = path,
        .bytes = bytes,
        .file_sha256 = file_sha256,
        .pixel_sha256 = h->story.pixel_sha256,
        .width = h->story.width,
        .height = h->story.height,
        .threads = w->o.threads,
        .build = cf_build_id(build),
        .isa = h->story.isa,
        .model_sha256 = h->story.model_sha256,
        .stage_ms = stages,
        .note = h->story.note,
    };

    snprintf(stages, sizeof stages,
             "{\"encode\":%.1f,\"generate\":%.1f,\"decode\":%.1f,\"webp\":%.1f,"
             "\"file\":%.1f}",
             h->times.encode, h->times.generate, h->times.decode, webp_ms, file_ms);
    return cf_queue_finish(w->queue, &h->job, &out, err);
}

static void add_count(struct cf_writer *w, long done, long failed, long lost,
                      double webp_ms, double file_ms, double row_ms)
{
    pthread_mutex_lock(&w->lock);
    w->count.done += done;
    w->count.failed += failed;
    w->count.lost += lost;
    w->count.webp_ms += webp_ms;
    w->count.file_ms += file_ms;
    w->count.row_ms += row_ms;
    pthread_mutex_unlock(&w->lock);
}

static void set_fatal(struct cf_writer *w, const struct cf_error *why)
{
    pthread_mutex_lock(&w->lock);
    if (w->fatal.status == CF_OK)
        w->fatal = *why;
    pthread_cond_broadcast(&w->less);
    pthread_mutex_unlock(&w->lock);
}

static void release(struct cf_writer *w, const struct cf_handover *h, const char *why)
{
    struct cf_error err = {0};

    if (cf_queue_release(w->queue, &h->job, why, &err) != CF_OK && err.status != CF_ELOST)
        cf_log(w->o.log, CF_LOG_WARN, "not released", "job=%lld why=\"%s\"",
               (long long)h->job.id, err.msg);
}

/* The job is at fault, or the surroundings are: charge it, or give it back and stop. */
static void on_error(struct cf_writer *w, struct cf_handover *h,
                     const struct cf_error *why)
{
    struct cf_error err = {0};
    bool final = false;

    if (why->status == CF_ELOST) {
        cf_log(w->o.log, CF_LOG_WARN, "lease lost", "job=%lld", (long long)h->job.id);
        add_count(w, 0, 0, 1, 0, 0, 0);
    } else if (cf_status_environment(why->status)) {
        release(w, h, why->msg);
        set_fatal(w, why);
    } else if (cf_queue_fail(w->queue, &h->job, why, &w->o.retry, &final, &err) ==
               CF_OK) {
        cf_log(w->o.log, CF_LOG_ERROR, "job failed", "job=%lld final=%d error=\"%s\"",
               (long long)h->job.id, final, why->msg);
        add_count(w, 0, final, 0, 0, 0, 0);
    } else {
        set_fatal(w, &err);
    }
}

static void handle(struct cf_writer *w, struct cf_handover *h)
{
    char path[CF_SINK_PATH], file_sha256[CF_DIGEST_HEX];
    double webp_ms = 0, file_ms = 0;
    struct cf_error err = {0};
    int64_t bytes = 0;
    long long t;

    if (cf_writer_status(w, NULL) != CF_OK) {
        release(w, h, "the worker stops");
        return;
    }
    if (store(w, h, path, file_sha256, &bytes, &webp_ms, &file_ms, &err) != CF_OK) {
        on_error(w, h, &err);
        return;
    }
    t = cf_clock_ms();
    if (end_row(w, h, path, file_sha256, bytes, webp_ms, file_ms, &err) != CF_OK) {
        on_error(w, h, &err);
        return;
    }
    add_count(w, 1, 0, 0, webp_ms, file_ms, (double)(cf_clock_ms() - t));
    cf_log(w->o.log, CF_LOG_DEBUG, "done",
           "job=%lld path=%s bytes=%lld encode_ms=%.0f generate_ms=%.0f decode_ms=%.0f "
           "webp_ms=%.0f file_ms=%.0f",
           (long long)h->job.id, path, (long long)bytes, h->times.encode,
           h->times.generate, h->times.decode, webp_ms, file_ms);
}

/* Heartbeat, and the jobs of workers that died. */
static void housekeep(struct cf_writer *w)
{
    struct cf_reaped reaped = {0};
    struct cf_error err = {0};

    if (cf_queue_beat(w->queue, w->o.worker_id, &err) != CF_OK ||
        cf_queue_reap(w->queue, w->o.self, &w->o.retry, &reaped, &err) != CF_OK) {
        cf_log(w->o.log, CF_LOG_WARN, "housekeeping", "error=\"%s\"", err.msg);
        return;
    }
    if (reaped.jobs)
        cf_log(w->o.log, reaped.failed ? CF_LOG_ERROR : CF_LOG_WARN,
               "jobs of dead workers came back", "jobs=%d failed_as_CRASH_LOOP=%d",
               reaped.jobs, reaped.failed);
    add_count(w, 0, reaped.failed, 0, 0, 0, 0);
}

static struct cf_handover *take(struct cf_writer *w)
{
    struct cf_handover *h = NULL;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&w->lock);
    if (!w->n && !w->stopping)
        pthread_cond_timedwait(&w->more, &w->lock, &until);
    if (w->n) {
        h = w->ring[w->head];
        w->head = (w->head + 1) % ROOM;
        w->n--;
        w->busy = true;
        pthread_cond_broadcast(&w->less);
    }
    pthread_mutex_unlock(&w->lock);
    return h;
}

static void ended(struct cf_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    pthread_cond_broadcast(&w->less);
    pthread_mutex_unlock(&w->lock);
}

static bool drained(struct cf_writer *w)
{
    bool end;

    pthread_mutex_lock(&w->lock);
    end = w->stopping && !w->n;
    pthread_mutex_unlock(&w->lock);
    return end;
}

static void *run(void *arg)
{
    struct cf_writer *w = arg;
    long long beat = cf_clock_ms();

    while (!drained(w)) {
        struct cf_handover *h = take(w);

        if (h) {
            handle(w, h);
            handover_free(h);
            ended(w);
        }
        if (cf_clock_ms() - beat >= 1000LL * w->o.beat) {
            housekeep(w);
            beat = cf_clock_ms();
        }
    }
    return NULL;
}

enum cf_status cf_writer_start(struct cf_writer **writer,
                               const struct cf_writer_options *o, struct cf_error *err)
{
    struct cf_writer *w = cf_calloc(1, sizeof *w, err);
    int e;

    if (!w)
        return CF_ENOMEM;
    w->o = *o;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    pthread_cond_init(&w->less, NULL);
    if (cf_queue_open(&w->queue, o->db, o->mode, err) != CF_OK)
        goto fail;
    e = pthread_create(&w->thread, NULL, run, w);
    if (e) {
        cf_fail(err, CF_ENOMEM, "writer thread: %s", strerror(e));
        goto fail;
    }
    *writer = w;
    return CF_OK;
fail:
    cf_queue_close(w->queue);
    cf_free(w);
    return err ? err->status : CF_EBUG;
}

enum cf_status cf_writer_put(struct cf_writer *w, struct cf_handover *from,
                             struct cf_error *err)
{
    struct cf_handover *h = cf_alloc(1, sizeof *h, err);

    if (!h)
        return CF_ENOMEM;
    *h = *from;
    memset(from, 0, sizeof *from);
    pthread_mutex_lock(&w->lock);
    while (w->n == ROOM)
        pthread_cond_wait(&w->less, &w->lock);
    w->ring[(w->head + w->n++) % ROOM] = h;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    return cf_writer_status(w, err);
}

void cf_writer_drain(struct cf_writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->n || w->busy)
        pthread_cond_wait(&w->less, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

struct cf_writer_count cf_writer_count(struct cf_writer *w)
{
    struct cf_writer_count c;

    pthread_mutex_lock(&w->lock);
    c = w->count;
    pthread_mutex_unlock(&w->lock);
    return c;
}

enum cf_status cf_writer_status(struct cf_writer *w, struct cf_error *err)
{
    struct cf_error fatal;

    pthread_mutex_lock(&w->lock);
    fatal = w->fatal;
    pthread_mutex_unlock(&w->lock);
    return fatal.status == CF_OK ? CF_OK : cf_fail(err, fatal.status, "%s", fatal.msg);
}

enum cf_status cf_writer_stop(struct cf_writer *w, struct cf_writer_count *count,
                              struct cf_error *err)
{
    enum cf_status st;

    if (!w)
        return CF_OK;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    st = cf_writer_status(w, err);
    *count = w->count;
    cf_queue_close(w->queue);
    pthread_cond_destroy(&w->more);
    pthread_cond_destroy(&w->less);
    pthread_mutex_destroy(&w->lock);
    cf_free(w);
    return st;
}
