/* shift.h - what the stages of a worker share while it works.
 *
 *     feed -> lots -> generator -> pieces -> press -> pieces -> commit
 *
 * Each stage has a thread (the generator that of the caller), takes from the belt before
 * it and puts to the one behind it, so that nothing waits on a disk that need not. A
 * stage that must not go on tells the ledger; all of them look there and at the stop.
 * Filled in by batch.c before the first stage starts, and not changed after that but for
 * what is atomic. */
#ifndef CF_PIPELINE_SHIFT_H
#define CF_PIPELINE_SHIFT_H

#include "pipeline/batch.h"
#include "pipeline/belt.h"
#include "pipeline/budget.h"
#include "pipeline/finish.h"
#include "pipeline/ledger.h"
#include "pipeline/loaded.h"
#include "pipeline/stop.h"
#include "store/sink.h"

/* Told to stop, we wait this long for a queue that somebody else has locked. */
enum { CF_LATE_MS = 500 };

struct cf_shift {
    const struct cf_batch_options *o;
    struct cf_log *log;
    const char *db; /* the queue: o->db, or the result file of a shard */
    enum cf_queue_mode mode;
    int64_t worker_id;
    const struct cf_worker *self;
    const char *root; /* of the images */
    const char *dir;  /* of the queue or the plan: where relative paths of jobs begin */
    struct cf_sink *sink;
    bool in_tars; /* the layout */
    int threads;  /* of the compute team, for the rows */
    struct cf_loaded *loaded;
    struct cf_belt *lots, *images, *files;
    struct cf_ledger ledger;
    struct cf_budget budget; /* of time */
    struct cf_stop stop;
    atomic_llong image_us; /* running mean of an image, 0 until the first */
    atomic_llong claim_us; /* spent by the feed on the queue */
    atomic_llong wait_us;  /* that the generator waited for the feed */
    atomic_int groups;     /* of the model in memory, 0 without one */
    atomic_int pieces;     /* handed on by the generator and not ended */
    atomic_int loading;    /* the generator's thread reads a model */
};

/* An image on its way to the disk. It moves from belt to belt; whoever ends the job frees
 * it. */
struct cf_piece {
    struct cf_job job; /* owned strings */
    struct cf_story story;
    struct cf_image image; /* until the press: rgb owned */
    struct cf_webp webp;
    struct cf_engine_times times; /* of this image */
    /* from the press on */
    struct cf_blob blob;
    char file_sha256[CF_DIGEST_HEX];
    char *json; /* owned; the record, where the layout is tar */
    double webp_ms;
    struct cf_error why; /* it could not be encoded */
};
void cf_piece_free(struct cf_piece *p); /* NULL is fine */

/* Told to stop, or an error of the surroundings: nothing new is begun. */
bool cf_shift_stopping(struct cf_shift *s);

/* The model that a job names, or the worker's own (NULL), is loaded. Of the generator's
 * thread. */
enum cf_status cf_shift_model(struct cf_shift *s, const char *name, struct cf_error *err);

/* The conditions of --where for this connection. */
enum cf_status cf_shift_where(struct cf_queue *q, const struct cf_batch_options *o,
                              struct cf_error *err);

/* How many jobs there are to do, within --max-jobs. q has the conditions. The first
 * process (not one of a crew) also warns of what looks like a slip of the pen: a --where
 * that names what is not there, more threads than processors. */
enum cf_status cf_shift_work(struct cf_queue *q, const struct cf_batch_options *o,
                             struct cf_log *log, atomic_long *total,
                             struct cf_error *err);

/* A connection for one more thread: with the options' --where, and cancelled as soon as
 * the worker is told to stop. */
enum cf_status cf_shift_queue(struct cf_shift *s, struct cf_queue **q,
                              struct cf_error *err);

#endif
