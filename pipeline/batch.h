/* batch.h - the worker: claim, encode, generate, write, commit, until nothing is left.
 *
 * Five threads and bounded queues between them (shift.h): the feed claims and encodes
 * ahead (feed.h), the calling thread leads the compute team (generate.h), one makes WebP
 * (press.h), one makes files and rows (commit.h), and one waits for the order to stop
 * (stop.h). */
#ifndef CF_PIPELINE_BATCH_H
#define CF_PIPELINE_BATCH_H

#include "base/log.h"
#include "dnn/dnn.h"
#include "jobs/queue.h"
#include "pipeline/arrange.h"
#include "pipeline/groups.h"
#include "pipeline/progress.h"
#include "pipeline/room.h"
#include "store/meta.h"

struct cf_crew_share;
struct cf_loaded;
struct cf_workdb;

enum { CF_BATCH_WHERE = 16 };

struct cf_batch_options {
    const char *db;         /* queue database, or with shard a plan */
    bool unsafe_shared_db;  /* also on a file system shared between machines */
    const char *shard;      /* "I", "I/N" or "auto"; NULL: db is a queue */
    const char *results;    /* of the shard; NULL: beside the plan */
    const char *model;      /* name or directory; NULL: the default model */
    const char *model_path; /* colon-separated places to look for models; NULL: none */
    int kv_type;            /* for jobs that name none (models/gen.h), default -1 */
    const char *output;     /* root of the images; NULL: "images" beside the database */
    enum cf_layout layout;
    int per_tar; /* samples in a full tar, 1 .. 10000, default 10000 */
    int threads; /* 0: decide (base/team.h) */
    int groups;  /* of threads, 0: choose (pipeline/groups.h) */
    enum cf_bind bind;
    enum cf_cpu cpu;
    const char *where[CF_BATCH_WHERE]; /* KEY=VALUE (cf_queue_where); all must hold */
    int n_where;
    int max_jobs;      /* stop after so many, 0: no bound */
    int wait;          /* seconds to look for new jobs when nothing is left, default 0 */
    int claim;         /* jobs per claim, 0: by measured time, at most 16 */
    int side;          /* images side by side, 0: by memory, at most 8 */
    const char *cache; /* directory of the cache of text features, NULL: none */
    int64_t cache_bytes;    /* its bound, default 1 GiB */
    const char *pack_cache; /* pipeline/packed.h; NULL: off */
    int64_t memory;         /* bytes that the process may take, 0: find out */
    enum cf_encoder_mode encoder;
    struct cf_retry retry;
    int workers;             /* processes that share one loaded model, default 1 */
    int64_t time_limit;      /* seconds from time_start on, default CF_UNLIMITED */
    long long time_start;    /* monotonic ms; by default when the defaults were set */
    bool exclusive;          /* leave where another worker of this host is at work */
    bool dry_run;            /* tell what would be done and what it would cost */
    const char *status_file; /* pipeline/statusfile.h; NULL: none */
    int fail_fast;           /* stop after so many failures in a row */
    int grace;               /* seconds for the image at hand after a stop signal */
    int stop_status;         /* when stopped with work left, 0..255, default 75 */
    enum cf_meta_level meta;
    enum cf_progress_mode progress;
    int progress_interval; /* seconds between lines, default 60 */
    bool log_prompts;      /* lines about an image tell its prompt */
    bool quiet;
    /* Of one of a crew (crew.h); NULL: a worker by itself. */
    struct cf_loaded *loaded;       /* held; closed by the worker */
    const struct cf_workdb *source; /* held by the parent */
    struct cf_crew_share *share;
    int index; /* in the crew */
};

void cf_batch_default(struct cf_batch_options *o);

/* Returns the exit status of the program: 0, 1 (a job failed for good), stop_status
 * (stopped in good order with work left) or that of the error, which is logged. Told to
 * stop while a model is being loaded, it ends the process itself: nothing is at stake
 * then, and a file of many gigabytes is not read to its end first. */
int cf_batch_run(const struct cf_batch_options *o, struct cf_log *log);

#endif
