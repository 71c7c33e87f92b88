/* queue_util.h - one queue in a directory of its own, for the tests of jobs/. Each
 * function fails the running cmocka case where the queue does not do as it is asked. */
#ifndef CF_TESTS_QUEUE_UTIL_H
#define CF_TESTS_QUEUE_UTIL_H

#include <stdint.h>
#include <sys/types.h>

#include "jobs/queue.h"

/* Tests may run where the build lies on a mount that looks shared. */
#define UTIL_MODE(m) ((enum cf_queue_mode)((m) | CF_QUEUE_UNSAFE_SHARED))

extern const char *const util_dir;       /* made by util_set_up */
extern const char *const util_db;        /* the queue's file in it */
extern const struct cf_retry util_retry; /* 3 attempts, 5 crashes, 60 s */
extern const struct cf_output util_output;

/* The group's fixture: the directory. */
int util_set_up(void **state);
int util_tear_down(void **state);

struct cf_queue *util_open(enum cf_queue_mode mode);

/* A new queue in place of the last one, with n jobs. */
struct cf_queue *util_fresh(int n);

/* n jobs that differ in their seed, from 0 on. */
void util_add(struct cf_queue *q, int n);

void util_sound(struct cf_queue *q);
void util_close(struct cf_queue *q); /* if sound */

int64_t util_ask(struct cf_queue *q, const char *sql);
int64_t util_count(struct cf_queue *q, enum cf_job_state state);

/* Registers a worker: of host "h", boot "b" and without a lock, or as told. */
int64_t util_worker(struct cf_queue *q);
int64_t util_worker_of(struct cf_queue *q, const char *host, const char *boot,
                       const char *lock);

/* Claims the next job, which must be there; cf_jobs_free. */
struct cf_job util_claim(struct cf_queue *q, int64_t w, struct cf_jobs *jobs);

/* The same by a worker that keeps the lease and does nothing with it. */
void util_hold(struct cf_queue *q, int64_t w);

/* Waits for a child, -1 for any, that must end with 0. */
void util_wait(pid_t pid);

#endif
