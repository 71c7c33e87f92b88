/* writer.h - the thread that turns pixels into durable files and rows.
 *
 * The compute thread hands over finished images and goes on; this thread encodes WebP,
 * attaches metadata, writes the file, and only then ends the row. It has a connection of
 * its own to the queue, moves the worker's heartbeat and reaps the jobs of dead workers.
 * The hand-over queue is bounded: a slow disk slows the worker down instead of filling
 * its memory. */
#ifndef CF_PIPELINE_WRITER_H
#define CF_PIPELINE_WRITER_H

#include "base/log.h"
#include "jobs/queue.h"
#include "pipeline/finish.h"
#include "store/sink.h"

struct cf_writer;

struct cf_writer_options {
    const char *db;
    enum cf_queue_mode mode;
    int64_t worker_id;
    const struct cf_worker *self; /* borrowed, outlives the writer */
    struct cf_retry retry;
    struct cf_sink *sink; /* borrowed */
    enum cf_meta_level meta;
    struct cf_log *log;
    int threads; /* of the compute team, for the row */
    int beat;    /* seconds between heartbeats */
};

enum cf_status cf_writer_start(struct cf_writer **w, const struct cf_writer_options *o,
                               struct cf_error *err);

/* One finished image. Takes over job's strings, story and image, whatever it returns;
 * blocks while the queue is full. After a fatal error of the writer it returns that error
 * and the job is released there. */
struct cf_handover {
    struct cf_job job; /* owned strings */
    struct cf_story story;
    struct cf_image image;
    struct cf_webp webp;
    struct cf_engine_times times; /* of this image */
};
enum cf_status cf_writer_put(struct cf_writer *w, struct cf_handover *h,
                             struct cf_error *err);

/* Wait until all that was handed over has ended, one way or the other. */
void cf_writer_drain(struct cf_writer *w);

/* What it has done so far; from any thread. failed: for good, those that the writer's
 * reaping ended as CRASH_LOOP among them. */
struct cf_writer_count {
    long done, failed, lost;
    double webp_ms, file_ms, row_ms;
};
struct cf_writer_count cf_writer_count(struct cf_writer *w);

/* CF_OK, or the error of the surroundings (disk full, queue unreadable) that stops the
 * worker. */
enum cf_status cf_writer_status(struct cf_writer *w, struct cf_error *err);

/* Finish what was handed over, stop, free; *count is what it came to. The first fatal
 * error, if any. NULL is fine. */
enum cf_status cf_writer_stop(struct cf_writer *w, struct cf_writer_count *count,
                              struct cf_error *err);

#endif
