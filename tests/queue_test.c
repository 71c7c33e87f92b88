/* queue_test.c - leases: taken, finished, failed, given back; a queue without room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/digest.h"
#include "jobs/adder.h"
#include "jobs/db.h"
#include "jobs/key.h"
#include "tests/queue_util.h"

/* Claims the next job and fails it: for good? */
static bool fail_next(struct cf_queue *q, int64_t w, const struct cf_error *why)
{
    struct cf_error err = {0};
    struct cf_jobs jobs;
    bool final;

    util_claim(q, w, &jobs);
    assert_int_equal(cf_queue_fail(q, &jobs.job[0], why, &util_retry, &final, &err),
                     CF_OK);
    cf_jobs_free(&jobs);
    return final;
}

static void nothing_is_ready(struct cf_queue *q, int64_t w)
{
    struct cf_error err = {0};
    struct cf_jobs jobs;

    assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &err), CF_OK);
    assert_int_equal(jobs.n, 0);
    cf_jobs_free(&jobs);
}

static void claims_go_by_priority_then_age(void **state)
{
    struct cf_queue *q = util_fresh(4);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    cf_sql_exec(q->db, "UPDATE job SET priority = 5 WHERE id = 3", &err);
    assert_int_equal(cf_queue_claim(q, w, 3, &jobs, &err), CF_OK);
    assert_int_equal(jobs.n, 3);
    assert_int_equal(jobs.job[0].id, 3);
    assert_int_equal(jobs.job[1].id, 1);
    assert_int_equal(jobs.job[2].id, 2);
    assert_string_equal(jobs.job[0].prompt, "a cat");
    assert_null(jobs.job[0].negative);
    assert_string_equal(jobs.job[0].recipe, "{}");
    assert_int_equal(jobs.job[0].seed, 2);
    assert_int_equal(jobs.job[0].attempt, 1);
    assert_int_equal(jobs.job[0].prompt_id, jobs.job[1].prompt_id);
    assert_int_equal(strlen(jobs.job[0].token), 32);
    assert_int_equal(util_count(q, CF_JOB_RUNNING), 3);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_claim(q, w, 0, &jobs, NULL), CF_ERANGE);
    util_close(q);
}

static void the_largest_seed_survives(void **state)
{
    struct cf_new_job job = {.spec = {.prompt = "x",
                                      .prompt_len = 1,
                                      .negative = "blurry",
                                      .negative_len = 6,
                                      .recipe = "{\"cfg\":3.0}",
                                      .seed = UINT64_MAX,
                                      .width = 512,
                                      .height = 256}};
    struct cf_batch batch = {0};
    struct cf_queue *q = util_fresh(0);
    struct cf_error err = {0};
    char key[CF_DIGEST_HEX];
    struct cf_adder *a;
    struct cf_jobs jobs;
    int64_t id, again;
    bool is_new;

    (void)state;
    assert_int_equal(cf_adder_open(&a, q, &batch, &err), CF_OK);
    assert_int_equal(cf_adder_row(a, &job, &id, &is_new, &err), CF_OK);
    assert_int_equal(cf_adder_row(a, &job, &again, &is_new, &err), CF_OK);
    assert_false(is_new);
    assert_int_equal(id, again);
    assert_int_equal(cf_adder_close(a, true, NULL, &err), CF_OK);
    util_claim(q, util_worker(q), &jobs);
    assert_true(jobs.job[0].seed == UINT64_MAX);
    assert_string_equal(jobs.job[0].negative, "blurry");
    assert_int_equal(cf_job_key(&job.spec, key, &err), CF_OK);
    assert_string_equal(jobs.job[0].key, key);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_key_is_the_hash_of_the_documented_text(void **state)
{
    static const char text[] =
        "cfgen-job-1\n5:a cat\n-\n2:{}\n18446744073709551615\n0x0\n";
    static const char with[] = "cfgen-job-1\n5:a cat\n3:dog\n2:{}\n7\n64x32\n";
    struct cf_job_spec s = {
        .prompt = "a cat", .prompt_len = 5, .recipe = "{}", .seed = UINT64_MAX};
    char key[CF_DIGEST_HEX], want[CF_DIGEST_HEX];

    (void)state;
    assert_int_equal(cf_job_key(&s, key, NULL), CF_OK);
    cf_digest_mem(text, sizeof text - 1, want, NULL);
    assert_string_equal(key, want);
    s.negative = "dog";
    s.negative_len = 3;
    s.seed = 7;
    s.width = 64;
    s.height = 32;
    assert_int_equal(cf_job_key(&s, key, NULL), CF_OK);
    cf_digest_mem(with, sizeof with - 1, want, NULL);
    assert_string_equal(key, want);
}

static void a_finished_job_has_its_output_and_is_never_claimed_again(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    util_claim(q, w, &jobs);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_OK);
    assert_int_equal(util_count(q, CF_JOB_DONE), 1);
    nothing_is_ready(q, w);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_ELOST);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_finish_after_the_lease_was_taken_writes_nothing(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error a = {0}, b = {0}, c = {0};
    struct cf_jobs first, second;
    int64_t w1 = util_worker(q), w2 = util_worker(q);
    bool final;
    struct cf_reaped n;

    (void)state;
    util_claim(q, w1, &first);
    assert_int_equal(cf_queue_reap_worker(q, w1, &util_retry, &n, &a), CF_OK);
    assert_int_equal(n.jobs, 1);
    util_claim(q, w2, &second);
    assert_int_equal(second.job[0].attempt, 2);
    assert_int_equal(cf_queue_finish(q, &first.job[0], &util_output, &a), CF_ELOST);
    assert_int_equal(cf_queue_fail(q, &first.job[0], &a, &util_retry, &final, &b),
                     CF_ELOST);
    assert_int_equal(cf_queue_release(q, &first.job[0], "x", &c), CF_ELOST);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM output"), 0);
    util_sound(q);
    memset(&a, 0, sizeof a);
    assert_int_equal(cf_queue_finish(q, &second.job[0], &util_output, &a), CF_OK);
    assert_int_equal(cf_queue_reap_worker(q, 99, &util_retry, &n, &a), CF_ENOENT);
    cf_jobs_free(&first);
    cf_jobs_free(&second);
    util_close(q);
}

static void a_release_costs_the_job_nothing(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(util_claim(q, w, &jobs).attempt, i);
        assert_int_equal(cf_queue_release(q, &jobs.job[0], "signal", &err), CF_OK);
        cf_jobs_free(&jobs);
    }
    assert_int_equal(util_ask(q, "SELECT attempts + crashes FROM job"), 0);
    assert_int_equal(util_ask(q, "SELECT releases FROM job"), 20);
    util_hold(q, w);
    assert_int_equal(cf_queue_unregister(q, w, &err), CF_OK);
    assert_int_equal(util_count(q, CF_JOB_READY), 1);
    util_close(q);
}

static void failures_wait_twice_as_long_each_time_and_then_are_final(void **state)
{
    const struct cf_error why = {CF_ENUMERIC, "not finite"};
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    int64_t w = util_worker(q);
    int due;

    (void)state;
    assert_int_equal(cf_queue_next_due(q, &due, &err), CF_OK);
    assert_int_equal(due, -1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fail_next(q, w, &why), i == 2);
        util_sound(q);
        nothing_is_ready(q, w);
        cf_queue_next_due(q, &due, &err);
        if (i < 2)
            assert_in_range(due, (60 << i) - 5, 60 << i);
        cf_sql_exec(q->db, "UPDATE delay SET until = 0", &err);
    }
    assert_int_equal(util_count(q, CF_JOB_FAILED), 1);
    assert_int_equal(util_ask(q, "SELECT attempts FROM job"), 3);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM attempt WHERE code = 'ENUMERIC'"),
                     3);
    util_close(q);
}

static void what_cannot_succeed_is_not_tried_again(void **state)
{
    const struct cf_error why = {CF_EUNSUP, "no such size"};
    struct cf_queue *q = util_fresh(1);

    (void)state;
    assert_true(fail_next(q, util_worker(q), &why));
    util_close(q);
}

static void what_may_be_the_workers_fault_is_tried_again(void **state)
{
    const struct cf_error why = {CF_ENOENT, "no such model here"};
    struct cf_retry retry = util_retry;
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    bool final = true;

    (void)state;
    retry.suspect = true;
    util_claim(q, util_worker(q), &jobs);
    assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &retry, &final, &err), CF_OK);
    assert_false(final);
    assert_int_equal(util_count(q, CF_JOB_DELAYED), 1);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_clock_set_back_costs_one_backoff(void **state)
{
    const struct cf_error why = {CF_ENUMERIC, "x"};
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    int64_t w = util_worker(q);
    int due;

    (void)state;
    assert_false(fail_next(q, w, &why));
    cf_sql_exec(q->db, "UPDATE delay SET until = until + 365 * 86400000", &err);
    cf_queue_next_due(q, &due, &err);
    assert_in_range(due, 55, 60);
    nothing_is_ready(q, w);
    assert_true(util_ask(q, "SELECT until < unixepoch() * 1000 + 61000 FROM delay"));
    util_close(q);
}

static void a_busy_queue_is_told_and_charges_nobody(void **state)
{
    struct cf_queue *q = util_fresh(1), *other = util_open(CF_QUEUE_WRITE);
    struct cf_error err = {0}, busy = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    assert_int_equal(cf_sql_exec(other->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    cf_queue_timeout(q, 50);
    assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &busy), CF_EBUSY);
    cf_sql_exec(other->db, "ROLLBACK", &err);
    util_claim(q, w, &jobs);
    assert_int_equal(cf_sql_exec(other->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    memset(&busy, 0, sizeof busy);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &busy), CF_EBUSY);
    cf_sql_exec(other->db, "ROLLBACK", &err);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_OK);
    assert_int_equal(util_ask(q, "SELECT attempts FROM job"), 0);
    cf_jobs_free(&jobs);
    cf_queue_close(other);
    util_close(q);
}

static void a_full_disk_is_told_and_changes_nothing(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0}, full = {0};
    enum cf_status st = CF_OK;
    char note[60000];
    struct cf_output big = util_output;
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    memset(note, 'x', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    big.note = note;
    util_claim(q, w, &jobs);
    cf_sql_exec(q->db, "PRAGMA max_page_count = 1", &err); /* no page more than now */
    st = cf_queue_finish(q, &jobs.job[0], &big, &full);
    assert_int_equal(st, CF_ENOSPC);
    assert_true(cf_status_environment(st));
    util_sound(q);
    cf_sql_exec(q->db, "PRAGMA max_page_count = 100000", &err);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &big, &err), CF_OK);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void memory_that_runs_out_is_told_and_changes_nothing(void **state)
{
    struct cf_queue *q = util_fresh(40);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int told = 0, done = 0;
    int64_t w = util_worker(q);

    (void)state;
    for (int i = 0; i < 40; i++) {
        struct cf_error why = {0};
        enum cf_status st;

        sqlite3_db_release_memory(q->db);
        sqlite3_hard_heap_limit64(sqlite3_memory_used() + 16384 * i);
        st = cf_queue_claim(q, w, 1, &jobs, &why);
        if (st == CF_OK)
            st = cf_queue_finish(q, &jobs.job[0], &util_output, &why);
        sqlite3_hard_heap_limit64(0);
        if (jobs.n && st == CF_ENOMEM)
            assert_int_equal(cf_queue_release(q, &jobs.job[0], "memory", &err), CF_OK);
        cf_jobs_free(&jobs);
        assert_true(st == CF_OK || st == CF_ENOMEM);
        told += st == CF_ENOMEM;
        done += st == CF_OK;
        util_sound(q);
    }
    assert_true(told > 0 && done > 0);
    assert_int_equal(util_count(q, CF_JOB_DONE), done);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_go_by_priority_then_age),
        cmocka_unit_test(the_largest_seed_survives),
        cmocka_unit_test(a_key_is_the_hash_of_the_documented_text),
        cmocka_unit_test(a_finished_job_has_its_output_and_is_never_claimed_again),
        cmocka_unit_test(a_finish_after_the_lease_was_taken_writes_nothing),
        cmocka_unit_test(a_release_costs_the_job_nothing),
        cmocka_unit_test(failures_wait_twice_as_long_each_time_and_then_are_final),
        cmocka_unit_test(what_cannot_succeed_is_not_tried_again),
        cmocka_unit_test(what_may_be_the_workers_fault_is_tried_again),
        cmocka_unit_test(a_clock_set_back_costs_one_backoff),
        cmocka_unit_test(a_busy_queue_is_told_and_charges_nobody),
        cmocka_unit_test(a_full_disk_is_told_and_changes_nothing),
        cmocka_unit_test(memory_that_runs_out_is_told_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
