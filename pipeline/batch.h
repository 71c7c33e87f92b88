/* batch.h - the worker: claim, encode, generate, write, commit, until nothing is left.
 *
 * The calling thread leads the compute team; a writer thread makes files and rows
 * (writer.h); a signal thread waits for the order to stop (stop.h). */
#ifndef CF_PIPELINE_BATCH_H
#define CF_PIPELINE_BATCH_H

#include "base/log.h"
#include "dnn/dnn.h"
#include "jobs/queue.h"
#include "pipeline/progress.h"
#include "store/meta.h"

struct cf_batch_options {
    const char *db;         /* queue database */
    bool unsafe_shared_db;  /* also on a file system shared between machines */
    const char *model;      /* name or directory; NULL: the default model */
    const char *model_path; /* colon-separated places to look for models; NULL: none */
    const char *output;     /* root of the images; NULL: "images" beside the database */
    int threads;            /* 0: decide (base/team.h) */
    enum cf_cpu cpu;
    int max_jobs; /* stop after so many, 0: no bound */
    int claim;    /* jobs per claim, 0: by measured time, at most 16 */
    int side;     /* images side by side, 0: by memory, at most 8 */
    struct cf_retry retry;
    int fail_fast; /* stop after so many failures in a row */
    int grace;     /* seconds for the image at hand after a stop signal */
    enum cf_meta_level meta;
    enum cf_progress_mode progress;
    bool quiet;
};

void cf_batch_default(struct cf_batch_options *o);

/* Returns the exit status of the program: 0, 1 (a job failed for good), 75 (stopped in
 * good order with work left) or that of the error, which is logged. */
int cf_batch_run(const struct cf_batch_options *o, struct cf_log *log);

#endif
