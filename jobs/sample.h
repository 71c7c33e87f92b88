/* sample.h - a bounded choice of jobs, spread evenly over the queue; the same queue gives
 * the same choice. */
#ifndef CF_JOBS_SAMPLE_H
#define CF_JOBS_SAMPLE_H

#include "jobs/queue.h"

enum { CF_SAMPLE_MAX = 1000000, CF_SAMPLE_BATCHES = 100 };

/* At most want jobs of a state and, where batch is not NULL, of the batches of that name:
 * all when there are no more, else every total/want-th, in order. *ids is fresh
 * (cf_free), *n of them; *total is how many there are. CF_ERANGE above CF_SAMPLE_MAX. */
enum cf_status cf_sample_ids(struct cf_queue *q, int state, const char *batch, int want,
                             int64_t **ids, int *n, int64_t *total, struct cf_error *err);

/* Names of batches, in the order in which they came first, the first CF_SAMPLE_BATCHES of
 * *total. */
struct cf_sample_batch {
    int64_t id;
    char *name;
};
enum cf_status cf_sample_batches(struct cf_queue *q, struct cf_sample_batch **batch,
                                 int *n, int64_t *total, struct cf_error *err);
void cf_sample_batches_free(struct cf_sample_batch *batch, int n);

/* Codes of failed jobs and how many of each, most first; the first CF_SAMPLE_BATCHES. */
struct cf_sample_cause {
    char *code;
    int64_t n;
};
enum cf_status cf_sample_causes(struct cf_queue *q, struct cf_sample_cause **cause,
                                int *n, struct cf_error *err);
void cf_sample_causes_free(struct cf_sample_cause *cause, int n);

#endif
