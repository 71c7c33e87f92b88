/* queue.h - jobs in one SQLite file: claimed under a lease, done at most once per lease.
 *
 * Execution is at least once, output is a function of the job, so results are effectively
 * once. Every transaction starts with BEGIN IMMEDIATE. A lease is a row with a random
 * token; finishing needs the token. Liveness of a worker is a file lock (the kernel drops
 * it at kill -9) or, failing that, a counter that moves: clocks of two machines are never
 * compared.
 *
 * A job's key is SHA-256 over a canonical, length-prefixed text of format version,
 * prompt, negative, recipe, seed and size (jobs/key.h). It names neither weights nor
 * build: an output's row does. Recipes are canonical JSON (jobs/recipe.h); jobs are put
 * in by jobs/adder.h and jobs/import.h.
 *
 * Order of calls: open; register; then any of claim, finish, fail, release, beat, reap;
 * unregister; close. A connection belongs to one thread.
 * Schema and transactions: jobs/schema.c. */
#ifndef CF_JOBS_QUEUE_H
#define CF_JOBS_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

struct cf_queue;

enum cf_job_state {
    CF_JOB_READY = 0,
    CF_JOB_RUNNING = 1,
    CF_JOB_DONE = 2,
    CF_JOB_FAILED = 3,
    CF_JOB_DELAYED = 4,
    CF_JOB_CANCELLED = 5,
    CF_JOB_HELD = 6,
    CF_NJOBSTATE
};

enum cf_queue_mode {
    CF_QUEUE_READ,   /* read-only */
    CF_QUEUE_WRITE,  /* must exist */
    CF_QUEUE_CREATE, /* made when missing; an existing queue is opened */
    CF_QUEUE_UNSAFE_SHARED =
        8,               /* or-ed to a mode: also on a file system shared between
                            machines, by somebody who knows that one host uses it */
    CF_QUEUE_SHARD = 16, /* or-ed to a mode: the result file of a shard (jobs/shard.h),
                            whose lock the caller holds. Rollback journal instead of the
                            log with shared memory, so it may lie on any file system */
};

/* mode, with CF_QUEUE_UNSAFE_SHARED where the user says so. */
static inline enum cf_queue_mode cf_queue_mode(enum cf_queue_mode mode,
                                               bool unsafe_shared)
{
    return unsafe_shared ? (enum cf_queue_mode)(mode | CF_QUEUE_UNSAFE_SHARED) : mode;
}

/* CF_ENOENT (missing), CF_EFORMAT (not SQLite, damaged), CF_ECONFIG (a database that is
 * not ours, or of a newer schema, or on a shared file system), CF_EBUSY past the timeout.
 * Never writes to a file that is not ours. One of an older schema is brought up to date
 * when it is opened to be written, and is CF_ECONFIG for a reader. A reader may open a
 * database without write-ahead log (plans, results of shards) on any file system. */
enum cf_status cf_queue_open(struct cf_queue **q, const char *path,
                             enum cf_queue_mode mode, struct cf_error *err);
void cf_queue_close(struct cf_queue *q); /* NULL is fine */

/* Open and close path, so that its schema is the newest. Before an older one is changed,
 * a backup is made beside it (PATH.vNNNN.bak, NNNN its version; one that is there already
 * stays as it is). */
struct cf_migrated {
    int from, to; /* user_version: 1000 * major + minor; equal: nothing to do */
    char *backup; /* absolute path, NULL when there was nothing to do; cf_free */
};
enum cf_status cf_queue_migrate(const char *path, bool unsafe_shared,
                                struct cf_migrated *m, struct cf_error *err);

/* How long a call waits for other processes before CF_EBUSY; 60000 at first. */
void cf_queue_timeout(struct cf_queue *q, int ms);

/* From now on a call that waits for another process gives up with CF_ECANCEL, and nothing
 * done, within a tenth of a second after the flag is set. Borrowed; NULL: none. Calls
 * that give jobs back at the end use cf_queue_timeout on a queue without a flag. */
void cf_queue_cancel(struct cf_queue *q, struct cf_cancel *cancel);

/* Only jobs that match are claimed and counted as due by this connection. condition is
 * KEY=VALUE: batch=NAME, tag=NAME (one of the words of the job's "tags", a list or a text
 * divided by commas), recipe=HASH (its first 8 digits or more), key=USERKEY. Calls add
 * up: all must hold. CF_EUSAGE for another key or an ill-formed value. A value that
 * nothing has matches nothing. */
enum cf_status cf_queue_where(struct cf_queue *q, const char *condition,
                              struct cf_error *err);
/* The first of these conditions whose batch or recipe the queue does not have (KEY=VALUE
 * in text, at most size bytes), "" where there is none: a slip of the pen, perhaps. */
enum cf_status cf_queue_where_unknown(struct cf_queue *q, char *text, size_t size,
                                      struct cf_error *err);
/* Jobs in READY and DELAYED that match: what this connection may still claim. */
enum cf_status cf_queue_due(struct cf_queue *q, int64_t *n, struct cf_error *err);

/* Who works. Text is borrowed for the call. lock_path: a file that this process holds
 * locked by flock (LOCK_EX) as long as it lives: locked before register, never reused by
 * another worker. jobs/self.h fills all of it and makes the file. A child made by fork
 * keeps the lock alive. */
struct cf_worker {
    const char *host, *boot_id, *lock_path, *build, *cpu;
    int pid;
    const char *slurm_job, *slurm_task; /* NULL outside Slurm */
    int restart;                        /* SLURM_RESTART_COUNT, 0 outside */
};
enum cf_status cf_queue_register(struct cf_queue *q, const struct cf_worker *w,
                                 int64_t *worker_id, struct cf_error *err);
/* In good order: what the worker still holds is released uncharged. */
enum cf_status cf_queue_unregister(struct cf_queue *q, int64_t worker_id,
                                   struct cf_error *err);

/* A claimed job. Everything owned by the array it came in (cf_jobs_free). */
struct cf_job {
    int64_t id;
    char token[33]; /* of the lease */
    char key[65];   /* SHA-256 of what identifies the job: prompt, negative, recipe,
                       seed, size; the stem of its file name is its first 32 digits */
    char *prompt;   /* NUL-terminated; may not hold NUL */
    size_t prompt_len;
    char *negative; /* NULL for none */
    size_t negative_len;
    char *recipe; /* canonical JSON: what changes pixels and is no column */
    uint64_t seed;
    int width, height; /* 0: the model's default */
    int attempt;       /* 1, 2, ... */
    int crashes;       /* workers that died while they had it */
    int64_t prompt_id; /* equal for equal prompts: encode once */
};

struct cf_jobs {
    struct cf_job *job;
    int n;
    int damaged; /* rows that a claim found unreadable and failed for good */
};
void cf_jobs_free(struct cf_jobs *jobs);

/* One job that was moved out of its array (the place it left was zeroed). Zeroes it. */
void cf_job_free(struct cf_job *job);

/* At most k ready jobs by priority and id; jobs->n == 0 when nothing is ready. A job over
 * which a worker died comes alone, so that the next death is charged to nobody beside it.
 * Delayed jobs whose time has come are made ready first. CF_ENOENT for a worker that is
 * not registered; one that was taken for dead counts as alive again. */
enum cf_status cf_queue_claim(struct cf_queue *q, int64_t worker_id, int k,
                              struct cf_jobs *jobs, struct cf_error *err);

/* The jobs that a claim of k would bring now, without claiming: nothing is changed, and
 * the tokens are of no use. Delayed jobs do not count. A damaged row brings nothing. */
enum cf_status cf_queue_peek(struct cf_queue *q, int k, struct cf_jobs *jobs,
                             struct cf_error *err);

/* Whether a worker died over the job that a claim would take first: then nothing should
 * be at hand when it is claimed. Delayed jobs are not looked at. */
enum cf_status cf_queue_suspect(struct cf_queue *q, bool *suspect, struct cf_error *err);

/* What a finished job left behind. */
struct cf_output {
    const char *path; /* relative to the output root */
    int64_t offset;   /* of the image inside the tar at path; 0: path is the image */
    int64_t bytes;
    const char *file_sha256, *pixel_sha256;
    int width, height, threads;
    const char *build, *isa, *model_sha256;
    const char *stage_ms; /* JSON object of stage to milliseconds, or NULL */
    const char *note;     /* facts worth telling (prompt cut, size replaced), or NULL */
};

/* The file is durable already. CF_ELOST: the lease went to somebody else; nothing
 * written. */
enum cf_status cf_queue_finish(struct cf_queue *q, const struct cf_job *job,
                               const struct cf_output *out, struct cf_error *err);

/* Many finished jobs in one transaction, one sync of the disk for all. lost is set where
 * the lease went to somebody else; the others count. tar, where it is not NULL, says how
 * far the worker's tar counts from now on (jobs/tars.h): in the same transaction,
 * so that a row and its bytes in the tar are one fact. CF_ELOST as the result when the
 * tar went to somebody else: then nothing was written. */
struct cf_finished {
    const struct cf_job *job;
    struct cf_output out;
    bool lost; /* out */
};
struct cf_tar_mark;
enum cf_status cf_queue_finish_many(struct cf_queue *q, struct cf_finished *f, int n,
                                    const struct cf_tar_mark *tar, struct cf_error *err);

/* Charge an attempt; FAILED when the status is not retryable or attempts are used up,
 * else DELAYED with doubling backoff. */
struct cf_retry {
    int max_attempts; /* default 3 */
    int max_crashes;  /* default 5 */
    int backoff;      /* seconds, doubling, default 60 */
    bool suspect;     /* the worker may be what is wrong (a model that this machine does
                         not have): tried again whatever the status */
};
void cf_retry_default(struct cf_retry *r);
enum cf_status cf_queue_fail(struct cf_queue *q, const struct cf_job *job,
                             const struct cf_error *why, const struct cf_retry *retry,
                             bool *final, struct cf_error *err);

/* Give a job back uncharged. */
enum cf_status cf_queue_release(struct cf_queue *q, const struct cf_job *job,
                                const char *why, struct cf_error *err);

/* One row per worker: beat + 1. */
enum cf_status cf_queue_beat(struct cf_queue *q, int64_t worker_id, struct cf_error *err);

/* Take back the jobs of dead workers: on this host the lock is free or its file is gone
 * (crashes + 1, FAILED with code CRASH_LOOP at max_crashes); another boot of this host,
 * or the same Slurm task before its restart (uncharged: the cause is known and outside).
 * Of workers on other hosts the watch tells (cf_queue_watch); without one they are left
 * alone, but for the result file of a shard: whoever holds its lock takes over at once.
 */
struct cf_reaped {
    int jobs;   /* taken back, or failed for good */
    int failed; /* of these: with CRASH_LOOP */
};
enum cf_status cf_queue_reap(struct cf_queue *q, const struct cf_worker *self,
                             const struct cf_retry *retry, struct cf_reaped *reaped,
                             struct cf_error *err);

/* The same by force for one worker, dead or not: when a foreign host is known to be gone.
 * Its late results will get CF_ELOST. CF_ENOENT when there is no such worker. */
enum cf_status cf_queue_reap_worker(struct cf_queue *q, int64_t worker_id,
                                    const struct cf_retry *retry,
                                    struct cf_reaped *reaped, struct cf_error *err);

/* From now on cf_queue_reap of this connection also remembers the beat of every worker
 * whose lock it cannot ask for (another host), and takes it for dead when the beat has
 * not moved for silence_ms of our own CLOCK_BOOTTIME: no clock of another machine is
 * read. Crashes are charged as for a lost lock. */
enum cf_status cf_queue_watch(struct cf_queue *q, int64_t silence_ms,
                              struct cf_error *err);

/* True where another worker of this host, not self, works on this queue: its lock is
 * held. */
enum cf_status cf_queue_in_use(struct cf_queue *q, const struct cf_worker *self,
                               bool *in_use, struct cf_error *err);

/* Jobs per state, from counters kept by trigger: instant at any size. */
struct cf_counts {
    int64_t n[CF_NJOBSTATE];
};
enum cf_status cf_queue_counts(struct cf_queue *q, struct cf_counts *c,
                               struct cf_error *err);

/* Seconds until the earliest delayed job is due, -1 when none is delayed. */
enum cf_status cf_queue_next_due(struct cf_queue *q, int *seconds, struct cf_error *err);

/* The four facts of jobs/schema.c, the counters and SQLite's own integrity check:
 * CF_EFORMAT naming the first that does not hold. Reads the whole file. */
enum cf_status cf_queue_check(struct cf_queue *q, struct cf_error *err);

/* Absolute directory of the database file: outputs lie beside it by default. */
const char *cf_queue_dir(const struct cf_queue *q);

#endif
