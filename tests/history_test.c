/* history_test.c - looking ahead in a queue, and back, changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs/db.h"
#include "jobs/history.h"
#include "tests/queue_util.h"

static void finish(struct cf_queue *q, int64_t w, const char *stages, int64_t bytes)
{
    struct cf_output out = util_output;
    struct cf_error err = {0};
    struct cf_jobs jobs;
    struct cf_job job = util_claim(q, w, &jobs);

    out.stage_ms = stages;
    out.bytes = bytes;
    assert_int_equal(cf_queue_finish(q, &job, &out, &err), CF_OK);
    cf_jobs_free(&jobs);
}

static void a_look_shows_the_next_claim_and_claims_nothing(void **state)
{
    struct cf_queue *q = util_fresh(5);
    struct cf_error err = {0};
    struct cf_jobs seen, got;
    int64_t w = util_worker(q);

    (void)state;
    cf_sql_exec(q->db, "UPDATE job SET priority = 3 WHERE id = 4", &err);
    assert_int_equal(cf_queue_peek(q, 2, &seen, &err), CF_OK);
    assert_int_equal(util_count(q, CF_JOB_RUNNING), 0);
    assert_int_equal(util_count(q, CF_JOB_READY), 5);
    assert_int_equal(cf_queue_claim(q, w, 2, &got, &err), CF_OK);
    assert_int_equal(seen.n, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen.job[i].id, got.job[i].id);
        assert_string_equal(seen.job[i].key, got.job[i].key);
        assert_string_equal(seen.job[i].prompt, got.job[i].prompt);
    }
    cf_jobs_free(&seen);
    cf_jobs_free(&got);
    util_close(q);
}

static void a_reader_may_look(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_jobs seen;

    (void)state;
    util_close(q);
    q = util_open(CF_QUEUE_READ);
    assert_int_equal(cf_queue_peek(q, 2, &seen, &err), CF_OK);
    assert_int_equal(seen.n, 1);
    cf_jobs_free(&seen);
    util_close(q);
}

static void the_past_is_told_by_model_and_size(void **state)
{
    struct cf_queue *q = util_fresh(4);
    struct cf_error err = {0};
    struct cf_history h;
    int64_t w = util_worker(q);

    (void)state;
    assert_int_equal(cf_queue_history(q, "m", 0, 0, &h, &err), CF_OK);
    assert_int_equal(h.n, 0);
    finish(q, w, "{\"encode\":1,\"generate\":20,\"decode\":9,\"webp\":500}", 1000);
    finish(q, w, "{\"encode\":0,\"generate\":50,\"decode\":0}", 3000);
    finish(q, w, NULL, 9);
    finish(q, w, "damaged", 9);
    assert_int_equal(cf_queue_history(q, "m", 0, 0, &h, &err), CF_OK);
    assert_int_equal(h.n, 2);
    assert_in_range(1000 * h.ms, 39999, 40001);
    assert_in_range(h.bytes, 1999, 2001);
    assert_int_equal(cf_queue_history(q, "m", 512, 512, &h, &err), CF_OK);
    assert_int_equal(h.n, 0);
    assert_int_equal(cf_queue_history(q, "other", 0, 0, &h, &err), CF_OK);
    assert_int_equal(h.n, 0);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_shows_the_next_claim_and_claims_nothing),
        cmocka_unit_test(a_reader_may_look),
        cmocka_unit_test(the_past_is_told_by_model_and_size),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
