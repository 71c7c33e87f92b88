/* shard.h - a queue split into shards that share nothing: plan, result files, merge.
 *
 * A plan is a file that nobody writes to: the jobs of a queue that were ready or delayed
 * when it was made, with the ids they have there, a random plan id, the number of shards
 * and a table that says which job is whose: prompts that have jobs are dealt out in turn
 * (large ones by blocks), so that all variants of a prompt are encoded once and no shard
 * has more than one prompt more than another.
 *
 * The result file of a shard is itself a queue (all of jobs/queue.h works on it), made
 * from the plan when it is missing: the shard's jobs with their ids. One host writes to
 * it at a time, and holds its lock. Everything a worker does on a queue - leases, crash
 * counters, tars, resumption - is the same there; merging carries outputs and failures
 * over to the queue the plan was made from.
 *
 * What the files say of themselves, as rows of meta:
 *   queue       queue_id, random
 *   plan        plan_id (random), plan_queue (the queue's id), plan_shards,
 *               plan_partition, plan_jobs, plan_smallest and plan_largest (jobs of a
 *               shard), plan_tar (the first tar number that the queue had not used)
 *   result file plan_id, plan_queue, plan_shards, plan_partition, plan_shard, tar_first
 *               and tar_end: its numbers are tar_first .. tar_end - 1 (jobs/tars.h) */
#ifndef CF_JOBS_SHARD_H
#define CF_JOBS_SHARD_H

#include "jobs/queue.h"

enum { CF_SHARDS_MAX = 100000 };

/* Write the plan of q to path, whole or not at all (CF_ECREAT where path exists). *jobs
 * is how many it holds. q needs to be open for writing only when it has no queue_id yet,
 * being older than plans. */
enum cf_status cf_plan_write(struct cf_queue *q, const char *path, int shards,
                             int64_t *jobs, struct cf_error *err);

struct cf_plan_info {
    char id[33];
    char queue[33]; /* the id of the queue it was made from */
    int shards;
    int64_t jobs;
    int64_t smallest, largest; /* jobs of a shard */
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
 * is never seen. CF_EBUSY when another process works on this shard; CF_EUSAGE for a
 * shard the plan does not have; CF_EMISMATCH when the file belongs to another plan or
 * shard. Children made by fork share the lock, which is the file RESULTS.lock; it stays
 * there. */
enum cf_status cf_shard_open(struct cf_shard *s, const char *plan, int shard,
                             const char *results, struct cf_error *err);
void cf_shard_close(struct cf_shard *s); /* zeroed with lock_fd -1 is fine */

/* The shard that text means: "3", "3/64" (64 must be what the plan says: CF_ECONFIG)
 * or "auto" (cf_shard_rank). CF_EUSAGE for anything else and for a shard the plan does
 * not have. */
enum cf_status cf_shard_parse(const char *text, const struct cf_plan_info *plan,
                              int *shard, struct cf_error *err);

/* The index that a launcher gave this process. Only the index: how many shards there are
 * is the plan's to say. *from names the variable.
 *
 * Arrays: SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX, PBS_ARRAYID, HQ_TASK_ID are the index as
 * they are, whatever the lowest one of this submission is, so that --array=3,7 does
 * shards 3 and 7 again. Arrays of LSF and SGE cannot hold 0, so there the index is
 * LSB_JOBINDEX - 1 (0: no array) and SGE_TASK_ID - 1 ("undefined": no array).
 *
 * Else ranks of more than one task: OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK, and where
 * none of them is, SLURM_PROCID. A rank is of one task, and means nothing, where
 * OMPI_COMM_WORLD_SIZE, PMI_SIZE or SLURM_STEP_NUM_TASKS (else SLURM_NTASKS) says so.
 *
 * CF_ECONFIG when there is no index; when one is no number; when two arrays or two ranks
 * disagree; and when a step of several tasks runs in an array, for then the shard would
 * depend on how many tasks there are. The message names variables and values. */
enum cf_status cf_shard_rank(int *index, const char **from, struct cf_error *err);

/* What a merge did. */
struct cf_merged {
    int64_t done;      /* results that were new */
    int64_t present;   /* that were there already, with equal pixels */
    int64_t conflicts; /* there already with other pixels: left as they were */
    int64_t failed;    /* jobs that failed for good in the shard and are not done here */
    int64_t unknown;   /* jobs that this queue does not have any more */
    int64_t left;      /* jobs of the shard that are not ended yet */
    int64_t tar_conflicts; /* tars whose number another plan's tar has here */
};

/* Two results where there can be one. */
struct cf_conflict {
    int64_t job;              /* -1: it is about a tar */
    int tar;                  /* its number, or -1 */
    const char *here, *there; /* hashes of the pixels; of a tar, whose it is */
};

/* Carry over one result file, in one transaction; a second time changes nothing. told is
 * called for every conflict (NULL: nobody). CF_EMISMATCH for results of a plan that was
 * not made from this queue, CF_ECONFIG for a file that is no result file.
 *
 * A job that is done in the shard is done here whatever state it had; a lease that
 * somebody holds on it ends as CF_ELOST for the holder. One that failed in the shard
 * fails here unless it is done or somebody is at it, and unless that failure was told
 * before: a job that was retried since is not failed again by the same file. History and
 * counters grow by the attempts that are not known here, but for jobs that were done
 * already. Tars come over as closed ones: nobody here appends to them.
 *
 * Result files are read, not written to; only the journal of a writer that was killed is
 * rolled back first, with the shard's lock held. */
enum cf_status cf_shard_merge(struct cf_queue *q, const char *results,
                              void (*told)(void *ctx, const struct cf_conflict *c),
                              void *ctx, struct cf_merged *m, struct cf_error *err);

#endif
