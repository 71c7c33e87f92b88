/* shard_util.h - plans and shards of tests/queue_util.h's queue; for one test program
 * each, so the functions are static. */
#ifndef CF_TESTS_SHARD_UTIL_H
#define CF_TESTS_SHARD_UTIL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/adder.h"
#include "jobs/db.h"
#include "jobs/shard.h"
#include "tests/queue_util.h"

/* DIR/NAME, in one of eight buffers that take turns. */
static inline const char *at(const char *name)
{
    static char buf[8][128];
    static int turn;

    turn = (turn + 1) % 8;
    snprintf(buf[turn], sizeof buf[turn], "%s/%s", util_dir, name);
    return buf[turn];
}

/* What the last case left beside the queue. */
static inline void sweep(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -f '%s'/plan* '%s'/r*", util_dir, util_dir);
    assert_int_equal(system(command), 0);
}

/* Every prompt with `seeds` seeds, half of them with the top bit, and a negative text. */
static inline struct cf_queue *fresh_prompts(int prompts, int seeds)
{
    struct cf_batch batch = {.name = "test"};
    struct cf_queue *q = util_fresh(0);
    struct cf_error err = {0};
    struct cf_adder *a;
    char text[32];
    int64_t id;
    bool is_new;

    sweep();
    assert_int_equal(cf_adder_open(&a, q, &batch, &err), CF_OK);
    for (int i = 0; i < prompts; i++)
        for (int k = 0; k < seeds; k++) {
            struct cf_new_job job = {.spec = {.prompt = text, .recipe = "{}"}};

            job.spec.prompt_len = (size_t)snprintf(text, sizeof text, "prompt %d", i);
            job.spec.negative = "ugly";
            job.spec.negative_len = 4;
            job.spec.seed = k % 2 ? UINT64_MAX - (uint64_t)k : (uint64_t)k;
            assert_int_equal(cf_adder_row(a, &job, &id, &is_new, &err), CF_OK);
        }
    assert_int_equal(cf_adder_close(a, true, NULL, &err), CF_OK);
    return q;
}

static inline void plan_of(struct cf_queue *q, const char *path, int shards)
{
    struct cf_error err = {0};
    int64_t jobs;

    if (cf_plan_write(q, path, shards, &jobs, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
}

static inline struct cf_queue *open_results(const char *path)
{
    struct cf_error err = {0};
    struct cf_queue *q;

    if (cf_queue_open(&q, path, UTIL_MODE(CF_QUEUE_WRITE | CF_QUEUE_SHARD), &err) !=
        CF_OK)
        print_error("%s\n", err.msg);
    assert_non_null(q);
    return q;
}

/* Makes the result file of a shard at path and does n of its jobs (-1: all) with these
 * pixels. */
static inline void do_shard(const char *plan, int shard, const char *path, int n,
                            const char *pixels)
{
    struct cf_output out = util_output;
    struct cf_error err = {0};
    struct cf_shard s;
    struct cf_jobs jobs;
    struct cf_queue *r;
    int64_t w;

    if (cf_shard_open(&s, plan, shard, path, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
    r = open_results(s.results);
    w = util_worker(r);
    out.pixel_sha256 = pixels;
    out.stage_ms = "{\"encode\":5}";
    for (; n != 0; n--) {
        assert_int_equal(cf_queue_claim(r, w, 1, &jobs, &err), CF_OK);
        if (jobs.n)
            assert_int_equal(cf_queue_finish(r, &jobs.job[0], &out, &err), CF_OK);
        if (!jobs.n)
            n = 1;
        cf_jobs_free(&jobs);
    }
    assert_int_equal(cf_queue_unregister(r, w, &err), CF_OK);
    util_close(r);
    cf_shard_close(&s);
}

#endif
