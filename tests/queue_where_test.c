/* queue_where_test.c - conditions on what is claimed, and jobs that cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobs/adder.h"
#include "jobs/db.h"
#include "tests/queue_util.h"

/* Jobs with seeds from..to-1 and these columns of their own, as one batch. */
static void add(struct cf_queue *q, const char *batch, int from, int to, const char *key,
                const char *extra)
{
    struct cf_new_job job = {.spec = {.prompt = "a cat", .prompt_len = 5, .recipe = "{}"},
                             .user_key = key,
                             .extra = extra};
    struct cf_batch b = {.name = batch};
    struct cf_error err = {0};
    struct cf_adder *a;
    int64_t id;
    bool fresh;

    assert_int_equal(cf_adder_open(&a, q, &b, &err), CF_OK);
    for (int i = from; i < to; i++) {
        job.spec.seed = (uint64_t)i;
        assert_int_equal(cf_adder_row(a, &job, &id, &fresh, &err), CF_OK);
    }
    assert_int_equal(cf_adder_close(a, true, NULL, &err), CF_OK);
}

/* What a second connection with this condition may claim: number and first id. */
static int64_t found(const char *condition, int64_t *first)
{
    struct cf_queue *q = util_open(CF_QUEUE_WRITE);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t due, w = util_worker(q);

    assert_int_equal(cf_queue_where(q, condition, &err), CF_OK);
    assert_int_equal(cf_queue_due(q, &due, &err), CF_OK);
    assert_int_equal(cf_queue_claim(q, w, 100, &jobs, &err), CF_OK);
    assert_int_equal(jobs.n, due);
    *first = jobs.n ? jobs.job[0].id : 0;
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_unregister(q, w, &err), CF_OK);
    util_close(q);
    return due;
}

static void only_jobs_that_match_are_claimed_and_due(void **state)
{
    struct cf_queue *q = util_fresh(0);
    int64_t first;

    (void)state;
    add(q, "one", 0, 3, NULL, NULL);
    add(q, "two", 3, 5, "mine", "{\"tags\":[\"red\",\"dark blue\"]}");
    add(q, "one", 5, 6, NULL, "{\"tags\":\"red, dark blue\"}");
    add(q, "odd", 6, 7, NULL, "{\"tags\":\"a\\\"b],red,{\"}");
    add(q, "odd", 7, 8, NULL, "{\"tags\":{\"red\":1}}");
    add(q, "odd", 8, 9, NULL, "red, not JSON");
    assert_int_equal(found("batch=one", &first), 4);
    assert_int_equal(first, 1);
    assert_int_equal(found("batch=two", &first), 2);
    assert_int_equal(first, 4);
    assert_int_equal(found("tag=red", &first), 4);
    assert_int_equal(found("tag=dark blue", &first), 3);
    assert_int_equal(found("tag=a\"b]", &first), 1);
    assert_int_equal(first, 7);
    assert_int_equal(found("tag=re", &first), 0);
    assert_int_equal(found("tag=red'); DROP TABLE job; --", &first), 0);
    assert_int_equal(found("key=mine", &first), 2);
    assert_int_equal(found("recipe=44136FA3", &first), 9);
    assert_int_equal(found("recipe=44136fa4", &first), 0);
    assert_int_equal(found("batch=three", &first), 0);
    util_close(q);
}

static void conditions_add_up(void **state)
{
    struct cf_queue *q = util_fresh(0);
    struct cf_error err = {0};
    int64_t due;

    (void)state;
    add(q, "one", 0, 3, "k", NULL);
    add(q, "two", 3, 5, "k", NULL);
    assert_int_equal(cf_queue_where(q, "key=k", &err), CF_OK);
    assert_int_equal(cf_queue_where(q, "batch=two", &err), CF_OK);
    assert_int_equal(cf_queue_due(q, &due, &err), CF_OK);
    assert_int_equal(due, 2);
    assert_int_equal(cf_queue_where(q, "batch=one", &err), CF_OK);
    assert_int_equal(cf_queue_due(q, &due, &err), CF_OK);
    assert_int_equal(due, 0);
    util_close(q);
}

static void a_condition_that_makes_no_sense_is_refused(void **state)
{
    static const char *const bad[] = {
        "",      "batch",   "batch=",         "colour=red",      "=x",
        "bat=x", "BATCH=x", "recipe=1234567", "recipe=1234567g", "recipe=",
    };
    struct cf_queue *q = util_fresh(1);
    int64_t due;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cf_queue_where(q, bad[i], NULL), CF_EUSAGE);
    assert_int_equal(cf_queue_due(q, &due, NULL), CF_OK);
    assert_int_equal(due, 1);
    util_close(q);
}

static void a_delayed_job_is_due_for_those_it_matches(void **state)
{
    const struct cf_error why = {CF_ENUMERIC, "not finite"};
    struct cf_queue *q = util_fresh(0), *other = util_open(CF_QUEUE_WRITE);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int seconds;
    int64_t due;
    bool final;

    (void)state;
    add(q, "one", 0, 1, NULL, NULL);
    add(q, "two", 1, 2, NULL, NULL);
    util_claim(q, util_worker(q), &jobs);
    assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &util_retry, &final, &err),
                     CF_OK);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_where(q, "batch=one", &err), CF_OK);
    assert_int_equal(cf_queue_where(other, "batch=two", &err), CF_OK);
    assert_int_equal(cf_queue_next_due(q, &seconds, &err), CF_OK);
    assert_in_range(seconds, 50, 60);
    assert_int_equal(cf_queue_due(q, &due, &err), CF_OK);
    assert_int_equal(due, 1);
    assert_int_equal(cf_queue_next_due(other, &seconds, &err), CF_OK);
    assert_int_equal(seconds, -1);
    cf_queue_close(other);
    util_close(q);
}

static int counted;

static int count(void *ctx)
{
    (void)ctx;
    counted++;
    return 0;
}

/* Work of the machine inside SQLite, in its own steps: no clock is asked. */
static int price_of_a_claim(struct cf_queue *q, int64_t w)
{
    struct cf_jobs jobs;

    counted = 0;
    sqlite3_progress_handler(q->db, 1, count, NULL);
    util_claim(q, w, &jobs);
    sqlite3_progress_handler(q->db, 0, NULL, NULL);
    cf_jobs_free(&jobs);
    return counted;
}

static void a_claim_of_one_batch_does_not_pay_for_the_others(void **state)
{
    struct cf_queue *q = util_fresh(0);
    struct cf_error err = {0};
    int64_t w = util_worker(q);
    int before;

    (void)state;
    add(q, "mine", 0, 20, NULL, NULL);
    assert_int_equal(cf_queue_where(q, "batch=mine", &err), CF_OK);
    price_of_a_claim(q, w);
    before = price_of_a_claim(q, w);
    add(q, "other", 20, 3000, NULL, NULL);
    cf_sql_exec(q->db, "UPDATE job SET priority = 9 WHERE id > 20", &err);
    price_of_a_claim(q, w);
    assert_in_range(price_of_a_claim(q, w), 1, 2 * before);
    util_close(q);
}

/* Rows as a bad disk or a stranger's hand leaves them. */
static void a_job_that_cannot_be_read_fails_alone(void **state)
{
    static const char *const spoil[] = {
        "INSERT INTO prompt VALUES(101, zeroblob(32), 'a' || char(0) || 'b')",
        "INSERT INTO prompt VALUES(102, randomblob(32), CAST(x'ff41' AS TEXT))",
        "PRAGMA foreign_keys = OFF",
        "UPDATE job SET prompt_id = 101 WHERE id = 1",
        "UPDATE job SET negative_id = 102 WHERE id = 3",
        "UPDATE job SET prompt_id = 999 WHERE id = 4",
        "UPDATE job SET recipe_id = 999 WHERE id = 6",
    };
    struct cf_queue *q = util_fresh(6);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++)
        assert_int_equal(cf_sql_exec(q->db, spoil[i], &err), CF_OK);
    assert_int_equal(cf_queue_claim(q, w, 6, &jobs, &err), CF_OK);
    assert_int_equal(jobs.n, 2);
    assert_int_equal(jobs.damaged, 4);
    assert_int_equal(jobs.job[0].id, 2);
    assert_int_equal(jobs.job[1].id, 5);
    assert_int_equal(err.status, CF_OK);
    cf_jobs_free(&jobs);
    assert_int_equal(util_count(q, CF_JOB_FAILED), 4);
    assert_int_equal(util_ask(q, "SELECT n FROM cause WHERE code = 'EFORMAT'"), 4);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM attempt WHERE outcome = 'failed'"
                                 " AND code = 'EFORMAT' AND ended IS NOT NULL"),
                     4);
    cf_sql_exec(q->db, "UPDATE job SET prompt_id = 1, recipe_id = 1", &err);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_jobs_that_match_are_claimed_and_due),
        cmocka_unit_test(conditions_add_up),
        cmocka_unit_test(a_condition_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_delayed_job_is_due_for_those_it_matches),
        cmocka_unit_test(a_claim_of_one_batch_does_not_pay_for_the_others),
        cmocka_unit_test(a_job_that_cannot_be_read_fails_alone),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
