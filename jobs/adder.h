/* adder.h - jobs into the queue, many per transaction, each at most once.
 *
 * Order: open; any number of cf_adder_row; close, which commits when keep is set. A
 * transaction is committed every CF_ADDER_ROWS rows, so that an import of millions
 * neither holds the queue for hours nor loses everything when it is cut off; what is
 * repeated later is found to be there already. */
#ifndef CF_JOBS_ADDER_H
#define CF_JOBS_ADDER_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/key.h"
#include "jobs/queue.h"

enum {
    CF_ADDER_ROWS = 50000,
    CF_PROMPT_MAX = 65536, /* bytes */
    CF_SIDE_MAX = 16383,   /* pixels: what WebP can hold */
};

/* A job to be. */
struct cf_new_job {
    struct cf_job_spec spec; /* recipe must be canonical */
    int priority;
    const char *user_key; /* NULL for none */
    const char *extra;    /* JSON object, or NULL */
};

/* Where they come from. */
struct cf_batch {
    const char *name, *source; /* NULL is "" */
    const char *extra;         /* JSON object, or NULL */
};

struct cf_adder;

enum cf_status cf_adder_open(struct cf_adder **a, struct cf_queue *q,
                             const struct cf_batch *batch, struct cf_error *err);

/* *id is the job, *fresh whether it was not there before (then priority, user_key and
 * extra are as they were). CF_EFORMAT on a text that is empty, too long, not UTF-8 or
 * holds NUL; CF_ERANGE on a size or priority. Either leaves the transaction usable; any
 * other failure ends it. */
enum cf_status cf_adder_row(struct cf_adder *a, const struct cf_new_job *job, int64_t *id,
                            bool *fresh, struct cf_error *err);

/* Commits what is there; the next row begins a transaction of its own. Before a wait for
 * input, so that nobody waits for the queue meanwhile. */
enum cf_status cf_adder_pause(struct cf_adder *a, struct cf_error *err);

/* Texts as above, without a queue: prompts are checked before a row is taken apart. */
enum cf_status cf_prompt_check(const char *text, size_t len, const char *what,
                               struct cf_error *err);

/* keep: commit, else roll back what was not committed yet. sha256 of the source may be
 * NULL. Frees a (NULL is fine). */
enum cf_status cf_adder_close(struct cf_adder *a, bool keep, const char *sha256,
                              struct cf_error *err);

#endif
