/* estimate.h - what a run would do and cost, without doing it: --dry-run.
 *
 * Everything is opened as for work, the model's hashes compared, and nothing is changed:
 * the queue is opened to read, no worker is registered, no file is made. Time and size of
 * an image are means over the next jobs, each by what the latest images of its size and
 * model cost in this queue; where there are none yet, up to two images are made in memory
 * and thrown away. Memory is that of the weights, once, and of the working memory of each
 * worker, as pipeline/room.h shares it out. */
#ifndef CF_PIPELINE_ESTIMATE_H
#define CF_PIPELINE_ESTIMATE_H

#include "pipeline/batch.h"

struct cf_estimate {
    int64_t jobs;                 /* that would be done, by --where and --max-jobs */
    double image_ms, image_bytes; /* means; 0: unknown */
    int past, made;               /* images they come from: of the queue, for trial */
    double weight_bytes, encoder_bytes; /* of the generator; of the text encoder */
    double work_bytes;
    bool turns;        /* encoder and generator are never there together */
    double peak_bytes; /* what that comes to with the program itself, at most */
    struct cf_memory memory;
    double free_bytes;   /* where the images would go */
    const char *root;    /* that place; owned by the estimate's maker */
    int threads, groups; /* of each worker */
    const char
        *arrangement; /* of its threads and why; owned by the model that is loaded */
};

/* Prints to stdout, as lines or (json) as one object. The exit status of the program: 0,
 * or that of the error, which is logged. */
int cf_estimate_run(const struct cf_batch_options *o, struct cf_log *log);

#endif
