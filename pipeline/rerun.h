/* rerun.h - an image made again, from its job's row or from what the image says of
 * itself, and what differs.
 *
 * Same recipe, seed and model, same build and instruction set: same pixels and same bytes
 * of the file, whatever the number of threads. Where they are not the same, the report
 * names each of those that differs. */
#ifndef CF_PIPELINE_RERUN_H
#define CF_PIPELINE_RERUN_H

#include <stdbool.h>
#include <stdint.h>

#include "dnn/cpu.h"
#include "base/error.h"

struct cf_watch;

struct cf_rerun {
    const char *db; /* with job ... */
    int64_t job;
    bool unsafe;
    const char *from;               /* ... or an image of ours */
    const char *output;             /* where the new image goes; NULL: nowhere */
    const char *model;              /* instead of the one it was made with; NULL: none */
    const char *usual, *model_path; /* for a job that names no model */
    int kv_type;                    /* for a job that names none; -1: the model's */
    const char *init; /* the image that `from` was made from; NULL: not given */
    enum cf_cpu cpu;
    int threads;                  /* 0: auto */
    int64_t memory;               /* bytes, 0: auto */
    const char *pack_cache;       /* pipeline/packed.h; NULL: off */
    const struct cf_watch *watch; /* pipeline/engine.h; NULL: none */
};

/* The report goes to stdout. *same: pixels and bytes are. CF_ENOENT for no such job or
 * model, CF_EUSAGE for a job that is not done, CF_EUNSUP for an image that was made from
 * another one which is not given. */
enum cf_status cf_rerun(const struct cf_rerun *how, bool *same, struct cf_error *err);

#endif
