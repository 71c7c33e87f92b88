/* queue_tars_test.c - tar shards: who appends to which, and how far each counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs/db.h"
#include "jobs/tars.h"
#include "tests/queue_util.h"

static struct cf_tar_mark take(struct cf_queue *q, int64_t w, int after)
{
    struct cf_error err = {0};
    struct cf_tar_mark t;

    assert_int_equal(cf_queue_tar_take(q, w, after, NULL, NULL, &t, &err), CF_OK);
    return t;
}

static void one_worker_has_one_tar_and_the_living_keep_theirs(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t a = util_worker(q), b = util_worker(q), c = util_worker(q);
    struct cf_reaped n;
    struct cf_tar_mark t;

    (void)state;
    assert_int_equal(take(q, a, 0).number, 0);
    assert_int_equal(take(q, b, 0).number, 1);
    assert_int_equal(take(q, a, 0).number, 0);
    assert_int_equal(cf_queue_unregister(q, a, NULL), CF_OK);
    assert_int_equal(take(q, c, 0).number, 0);
    assert_int_equal(cf_queue_reap_worker(q, b, &util_retry, &n, NULL), CF_OK);
    assert_int_equal(take(q, c, 0 + 1).number, 1); /* the file of 0 was locked */
    assert_int_equal(take(q, c, 2).number, 2);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM tar WHERE worker_id = 3"), 1);
    assert_int_equal(cf_queue_tar_take(q, 99, 0, NULL, NULL, &t, NULL), CF_ENOENT);
    util_close(q);
}

static void a_closed_tar_is_never_given_out_again(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t w = util_worker(q);
    struct cf_error err = {0};
    struct cf_tar_mark t = take(q, w, 0);

    (void)state;
    assert_int_equal(cf_queue_tar_close(q, w + 1, &t, &err), CF_ELOST);
    assert_int_equal(cf_queue_tar_close(q, w, &t, NULL), CF_OK);
    assert_int_equal(cf_queue_tar_close(q, w, &t, NULL), CF_ELOST);
    assert_int_equal(take(q, w, 0).number, 1);
    util_close(q);
}

static bool five_files(const void *ctx, int number)
{
    (void)ctx;
    return number < 3 || number == 4 || number == 5;
}

static void a_number_whose_files_are_there_is_not_begun_anew(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t a = util_worker(q), b = util_worker(q);
    struct cf_tar_mark t;

    (void)state;
    assert_int_equal(cf_queue_tar_take(q, a, 0, five_files, NULL, &t, NULL), CF_OK);
    assert_int_equal(t.number, 3);
    assert_int_equal(cf_queue_tar_take(q, b, 0, five_files, NULL, &t, NULL), CF_OK);
    assert_int_equal(t.number, 6);
    assert_int_equal(cf_queue_unregister(q, a, NULL), CF_OK);
    assert_int_equal(cf_queue_tar_take(q, b, 0, five_files, NULL, &t, NULL), CF_OK);
    assert_int_equal(t.number, 3); /* our own: it has a row */
    util_close(q);
}

static void the_tar_of_a_merged_shard_is_nobodys(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t w = util_worker(q);

    (void)state;
    assert_int_equal(sqlite3_exec(q->db,
                                  "INSERT INTO tar(number, members, bytes, origin)"
                                  " VALUES(0, 1, 512, 'plan/0'), (2, 1, 512, 'plan/1'),"
                                  " (50000, 1, 512, 'plan/2')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(take(q, w, 0).number, 1);
    assert_int_equal(take(q, w, 2).number, 3);
    util_close(q);
}

static void numbers_are_those_of_the_shard_and_may_be_used_up(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t w = util_worker(q);
    struct cf_error err = {0};
    struct cf_tar_mark t;

    (void)state;
    cf_sql_exec(q->db, "INSERT INTO meta VALUES('tar_first','700'),('tar_end','702')",
                NULL);
    for (int i = 0; i < 2; i++) {
        t = take(q, w, 0);
        assert_int_equal(t.number, 700 + i);
        assert_int_equal(cf_queue_tar_close(q, w, &t, NULL), CF_OK);
    }
    assert_int_equal(cf_queue_tar_take(q, w, 0, NULL, NULL, &t, &err), CF_ECONFIG);
    util_sound(q);
    cf_sql_exec(q->db, "UPDATE meta SET value = '100001' WHERE key = 'tar_end'", NULL);
    assert_int_equal(cf_queue_tar_take(q, w, 0, NULL, NULL, &t, NULL), CF_EFORMAT);
    util_close(q);
}

/* Claims n jobs and fills in what became of them, each 512 bytes further. */
static void claim(struct cf_queue *q, int64_t w, int n, struct cf_jobs *jobs,
                  struct cf_finished *f)
{
    struct cf_error err = {0};

    assert_int_equal(cf_queue_claim(q, w, n, jobs, &err), CF_OK);
    assert_int_equal(jobs->n, n);
    for (int i = 0; i < n; i++) {
        f[i] = (struct cf_finished){&jobs->job[i], util_output, true};
        f[i].out.offset = 512 * (i + 1);
    }
}

static void jobs_and_the_mark_of_their_tar_are_one_fact(void **state)
{
    struct cf_queue *q = util_fresh(3);
    int64_t w = util_worker(q);
    struct cf_tar_mark t = take(q, w, 0);
    struct cf_error err = {0};
    struct cf_finished f[3];
    struct cf_jobs jobs;

    (void)state;
    claim(q, w, 3, &jobs, f);
    t.members = 3;
    t.bytes = 4096;
    t.manifest_bytes = 77;
    assert_int_equal(cf_queue_finish_many(q, f, 3, &t, &err), CF_OK);
    for (int i = 0; i < 3; i++)
        assert_false(f[i].lost);
    assert_int_equal(util_count(q, CF_JOB_DONE), 3);
    assert_int_equal(util_ask(q, "SELECT sum(offset) FROM output"), 512 * 6);
    cf_queue_unregister(q, w, &err);
    t = take(q, util_worker(q), 0);
    assert_int_equal(t.number, 0);
    assert_int_equal(t.members, 3);
    assert_int_equal(t.bytes, 4096);
    assert_int_equal(t.manifest_bytes, 77);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_lost_lease_leaves_the_others_done(void **state)
{
    struct cf_queue *q = util_fresh(3);
    int64_t w = util_worker(q);
    struct cf_error err = {0};
    struct cf_finished f[3];
    struct cf_jobs jobs;

    (void)state;
    claim(q, w, 3, &jobs, f);
    assert_int_equal(cf_queue_release(q, &jobs.job[1], "test", &err), CF_OK);
    assert_int_equal(cf_queue_finish_many(q, f, 3, NULL, &err), CF_OK);
    assert_true(!f[0].lost && f[1].lost && !f[2].lost);
    assert_int_equal(util_count(q, CF_JOB_DONE), 2);
    assert_int_equal(util_count(q, CF_JOB_READY), 1);
    assert_int_equal(cf_queue_finish_many(q, f, 0, NULL, NULL), CF_ERANGE);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_tar_that_went_to_somebody_else_ends_nothing(void **state)
{
    struct cf_queue *q = util_fresh(2);
    int64_t a = util_worker(q), b = util_worker(q);
    struct cf_tar_mark t = take(q, a, 0);
    struct cf_error err = {0};
    struct cf_finished f[2];
    struct cf_reaped n;
    struct cf_jobs jobs;

    (void)state;
    claim(q, a, 2, &jobs, f);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_reap_worker(q, a, &util_retry, &n, NULL), CF_OK);
    assert_int_equal(take(q, b, 0).number, 0);
    claim(q, a, 1, &jobs, f); /* it lives, but its tar is gone */
    t.bytes = 1024;
    assert_int_equal(cf_queue_finish_many(q, f, 1, &t, &err), CF_ELOST);
    assert_int_equal(util_count(q, CF_JOB_DONE), 0);
    assert_int_equal(util_count(q, CF_JOB_RUNNING), 1);
    assert_int_equal(util_ask(q, "SELECT bytes FROM tar"), 0);
    cf_jobs_free(&jobs);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_has_one_tar_and_the_living_keep_theirs),
        cmocka_unit_test(a_closed_tar_is_never_given_out_again),
        cmocka_unit_test(a_number_whose_files_are_there_is_not_begun_anew),
        cmocka_unit_test(the_tar_of_a_merged_shard_is_nobodys),
        cmocka_unit_test(numbers_are_those_of_the_shard_and_may_be_used_up),
        cmocka_unit_test(jobs_and_the_mark_of_their_tar_are_one_fact),
        cmocka_unit_test(a_lost_lease_leaves_the_others_done),
        cmocka_unit_test(a_tar_that_went_to_somebody_else_ends_nothing),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
