/* shard.h - a queue split into shards that share nothing: plan, result files, merge.
 *
 * A plan is a file that nobody writes to: the jobs of a queue that were ready or delayed
 * when it was made, with the ids they have there, a random plan id, the number of shards
 * and the rule that says which job is whose: shard = prompt_id mod N, so that all
 * variants of a prompt are encoded once.
 *
 * The result file of a shard is itself a queue (all of jobs/queue.h works on it), made
 * from the plan when it is missing: the shard's jobs with their ids. One host writes to
 * it at a time, and holds its lock. Everything a worker does on a queue - leases, crash
 * counters, tars, resumption - is the same there; merging carries outputs and failures
 * over to the queue the plan was made from. */
#ifndef CF_JOBS_SHARD_H
#define CF_JOBS_SHARD_H

#include "jobs/queue.h"

enum { CF_SHARDS_MAX = 100000 };

/* Write the plan of q to path, whole or not at all (CF_ECREAT where path exists). *jobs
 * is how many it holds. */
enum cf_status cf_plan_write(struct cf_queue *q, const char *path, int shards,
                             int64_t *jobs, struct cf_error *err);

struct cf_plan_info {
    char id[33];
    int shards;
    int64_t jobs;
};
/* CF_ECONFIG where path is a queue but no plan. */
enum cf_status cf_plan_read(const char *path, struct cf_plan_info *info,
                            struct cf_error *err);

/* A shard at work. */
struct cf_shard {
    char *results; /* absolute path of the result file; owned */
    int lock_fd;   /* -1: not open */
};

/* results NULL: beside the plan, PLAN-NNNNN.results.sqlite (PLAN without its .sqlite or
 * .db, NNNNN the shard). Makes the file when it is missing, in one step: a half-made one
 * is never seen. CF_EBUSY when another process works on this shard; CF_ERANGE for a
 * shard the plan does not have; CF_EMISMATCH when the file belongs to another plan or
 * shard. Children made by fork share the lock. */
enum cf_status cf_shard_open(struct cf_shard *s, const char *plan, int shard,
                             const char *results, struct cf_error *err);
void cf_shard_close(struct cf_shard *s); /* zeroed with lock_fd -1 is fine */

/* The index that a launcher gave this process: SLURM_ARRAY_TASK_ID, else the rank or
 * index of PMI, PMIx, OpenMPI, Slurm step (SLURM_PROCID), PBS, LSF, SGE, HyperQueue, with
 * their first index taken off where the variable that tells it is there. Only the index:
 * how many shards there are is the plan's to say. *from names the variable. CF_ECONFIG
 * when none is set or two of them that are in use disagree. */
enum cf_status cf_shard_rank(int *index, const char **from, struct cf_error *err);

/* What a merge did. */
struct cf_merged {
    int64_t done;      /* results that were new */
    int64_t present;   /* that were there already, with equal pixels */
    int64_t conflicts; /* there already with other pixels: left as they were */
    int64_t failed;    /* jobs that failed for good in the shard */
    int64_t unknown;   /* jobs that this queue does not have any more */
    int64_t left;      /* jobs of the shard that are not ended yet */
};

/* Carry over one result file, in one transaction; a second time changes nothing. told is
 * called for every conflict (NULL: nobody). CF_EMISMATCH for results of a plan that was
 * not made from this queue. A job that failed in the shard fails here unless it is done;
 * one that is done in the shard is done here whatever state it had, but for a lease that
 * somebody holds on it, which ends as CF_ELOST for the holder. */
enum cf_status cf_shard_merge(struct cf_queue *q, const char *results,
                              void (*told)(void *ctx, int64_t job, const char *here,
                                           const char *there),
                              void *ctx, struct cf_merged *m, struct cf_error *err);

#endif
