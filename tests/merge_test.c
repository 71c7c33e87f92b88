/* Results of shards come back: once, whole, and only where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/shard_util.h"

static struct cf_merged merge(struct cf_queue *q, const char *path)
{
    struct cf_error err = {0};
    struct cf_merged m;

    if (cf_shard_merge(q, path, NULL, NULL, &m, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
    util_sound(q);
    return m;
}

/* All that a merge may change, as one number. */
static int64_t fingerprint(struct cf_queue *q)
{
    return util_ask(q, "SELECT (SELECT count(*) FROM attempt) * 1000003"
                       " + (SELECT count(*) FROM output) * 10007"
                       " + (SELECT count(*) FROM worker) * 101"
                       " + (SELECT sum(state + attempts * 7 + crashes * 31 + releases *"
                       " 63) FROM job) + (SELECT count(*) FROM tar) * 13");
}

static void the_same_results_twice_change_nothing(void **state)
{
    struct cf_queue *q = fresh_prompts(6, 2);
    struct cf_merged m;
    int64_t before;

    (void)state; /* 3 prompts with 2 seeds to a shard */
    plan_of(q, at("plan.db"), 2);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    do_shard(at("plan.db"), 1, at("r1.db"), 2, "p");
    assert_int_equal(merge(q, at("r0.db")).done, 6);
    m = merge(q, at("r1.db"));
    assert_int_equal(m.done, 2);
    assert_int_equal(m.left, 4);
    before = fingerprint(q);
    m = merge(q, at("r0.db"));
    assert_int_equal(m.done, 0);
    assert_int_equal(m.present, 6);
    assert_int_equal(merge(q, at("r1.db")).present, 2);
    assert_int_equal(fingerprint(q), before);
    do_shard(at("plan.db"), 1, at("r1.db"), -1, "p");
    assert_int_equal(merge(q, at("r1.db")).done, 4);
    assert_int_equal(util_count(q, CF_JOB_DONE), 12);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM output o JOIN model m ON m.id ="
                                 " o.model_id WHERE m.sha256 = 'm' AND o.path ="
                                 " 'ab/cd/x.webp' AND o.stage_ms = '{\"encode\":5}'"),
                     12);
    util_close(q);
}

static int conflicts;
static void told(void *ctx, const struct cf_conflict *c)
{
    (void)ctx;
    assert_true(c->job > 0);
    assert_string_equal(c->here, "p");
    assert_string_equal(c->there, "other");
    conflicts++;
}

static void overlapping_shards_are_harmless_and_conflicts_told(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    struct cf_merged m;

    (void)state;
    plan_of(q, at("plan.db"), 2);
    plan_of(q, at("plan2.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    do_shard(at("plan2.db"), 0, at("r1.db"), -1, "p");
    do_shard(at("plan.db"), 0, at("r2.db"), -1, "other");
    assert_int_equal(merge(q, at("r0.db")).done, 2);
    m = merge(q, at("r1.db"));
    assert_int_equal(m.done, 2);
    assert_int_equal(m.present, 2);
    assert_int_equal(cf_shard_merge(q, at("r2.db"), told, NULL, &m, NULL), CF_OK);
    assert_int_equal(m.conflicts, 2);
    assert_int_equal(conflicts, 2);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM output WHERE pixel_sha256 = 'p'"),
                     4);
    util_close(q);
}

static void foreign_and_wrong_files_are_refused(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    struct cf_error err = {0};
    struct cf_merged m;
    int64_t before;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    cf_queue_close(q);
    assert_int_equal(rename(at("r0.db"), at("s0.db")), 0);
    assert_int_equal(rename(at("plan.db"), at("s.db")), 0);
    q = fresh_prompts(4, 1); /* the same jobs, but another queue */
    before = fingerprint(q);
    assert_int_equal(cf_shard_merge(q, at("s0.db"), NULL, NULL, &m, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "another queue"));
    assert_int_equal(cf_shard_merge(q, at("s.db"), NULL, NULL, &m, NULL), CF_ECONFIG);
    assert_int_equal(cf_shard_merge(q, at("none"), NULL, NULL, &m, NULL), CF_ENOENT);
    assert_int_equal(truncate(at("s0.db"), 50), 0);
    assert_int_equal(cf_shard_merge(q, at("s0.db"), NULL, NULL, &m, NULL), CF_EFORMAT);
    assert_int_equal(fingerprint(q), before);
    util_close(q);
}

/* Results cut off in the middle: nothing of them comes in. */
static void a_cut_file_brings_nothing(void **state)
{
    struct cf_queue *q = fresh_prompts(200, 1);
    struct cf_merged m;
    struct stat sb;
    int64_t before;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    before = fingerprint(q);
    assert_int_equal(stat(at("r0.db"), &sb), 0);
    assert_int_equal(truncate(at("r0.db"), sb.st_size / 2), 0);
    assert_int_equal(cf_shard_merge(q, at("r0.db"), NULL, NULL, &m, NULL), CF_EFORMAT);
    assert_int_equal(m.done, 0);
    assert_int_equal(fingerprint(q), before);
    util_close(q);
}

/* Spills half a transaction into the file and dies: its journal is hot. */
static void die_in_a_transaction(const char *path)
{
    sqlite3 *db;

    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_exec(db,
                     "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1;"
                     "BEGIN IMMEDIATE; UPDATE prompt SET text = text || 'x' WHERE id > 0;"
                     "DELETE FROM output; UPDATE job SET priority = 9;",
                     NULL, NULL, NULL) == SQLITE_OK)
        raise(SIGKILL);
    _exit(1);
}

static void results_of_a_killed_writer_are_rolled_back(void **state)
{
    struct cf_queue *q = fresh_prompts(300, 1);
    struct stat sb;
    int status;
    pid_t pid;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), 20, "p");
    pid = fork();
    if (pid == 0)
        die_in_a_transaction(at("r0.db"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(stat(at("r0.db-journal"), &sb), 0);
    assert_true(sb.st_size > 0);
    assert_int_equal(merge(q, at("r0.db")).done, 20);
    assert_true(stat(at("r0.db-journal"), &sb) != 0 || sb.st_size == 0);
    util_close(q);
}

static void die(void *ctx, const struct cf_conflict *c)
{
    (void)ctx;
    _exit(c->job > 1 && raise(SIGKILL));
}

/* The last of four jobs is a conflict, and whoever is told so is killed there. */
static void a_merge_that_is_killed_brings_nothing_and_is_done_again(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    struct cf_merged m;
    int64_t before;
    char path[128];
    int status;
    pid_t pid;

    (void)state;
    plan_of(q, at("plan.db"), 4);
    plan_of(q, at("plan2.db"), 1);
    do_shard(at("plan.db"), 3, at("r0.db"), -1, "p");
    do_shard(at("plan2.db"), 0, at("r1.db"), -1, "other");
    assert_int_equal(merge(q, at("r0.db")).done, 1);
    before = fingerprint(q);
    snprintf(path, sizeof path, "%s", q->path);
    cf_queue_close(q); /* no connection goes through a fork */
    pid = fork();
    if (pid == 0) {
        if (cf_queue_open(&q, path, UTIL_MODE(CF_QUEUE_WRITE), NULL) == CF_OK)
            cf_shard_merge(q, at("r1.db"), die, NULL, &m, NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(cf_queue_open(&q, path, UTIL_MODE(CF_QUEUE_WRITE), NULL), CF_OK);
    assert_int_equal(fingerprint(q), before);
    m = merge(q, at("r1.db"));
    assert_int_equal(m.done, 3);
    assert_int_equal(m.conflicts, 1);
    util_close(q);
}

/* Fails the next job of a result file for good. */
static void fail_one(const char *path)
{
    const struct cf_error why = {.status = CF_EFORMAT, .msg = "bad row"};
    struct cf_queue *r = open_results(path);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(r);

    util_claim(r, w, &jobs);
    assert_int_equal(cf_queue_fail(r, &jobs.job[0], &why, &util_retry, NULL, &err),
                     CF_OK);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_unregister(r, w, &err), CF_OK);
    util_close(r);
}

static void failures_come_with_cause_and_history_and_only_once(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1);
    struct cf_merged m;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), 0, "p");
    fail_one(at("r0.db"));
    assert_int_equal(merge(q, at("r0.db")).failed, 1);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM failure WHERE code = 'EFORMAT' AND"
                                 " message = 'bad row'"),
                     1);
    assert_int_equal(util_ask(q, "SELECT n FROM cause WHERE code = 'EFORMAT'"), 1);
    assert_int_equal(util_ask(q, "SELECT sum(attempts) FROM job"), 1);
    util_ask(q, "UPDATE job SET state = 0 WHERE state = 3"); /* as retry does */
    m = merge(q, at("r0.db"));
    assert_int_equal(m.failed, 1);
    assert_int_equal(util_count(q, CF_JOB_FAILED), 0);
    assert_int_equal(util_ask(q, "SELECT sum(attempts) FROM job"), 1);
    util_close(q);
}

static void a_result_ends_the_lease_of_who_was_at_it(void **state)
{
    struct cf_queue *q = fresh_prompts(1, 1);
    struct cf_error err = {0};
    struct cf_jobs jobs;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    util_claim(q, util_worker(q), &jobs);
    assert_int_equal(merge(q, at("r0.db")).done, 1);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_ELOST);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void a_failure_leaves_who_is_at_it_alone(void **state)
{
    struct cf_queue *q = fresh_prompts(1, 1);
    struct cf_error err = {0};
    struct cf_jobs jobs;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), 0, "p");
    fail_one(at("r0.db"));
    util_claim(q, util_worker(q), &jobs);
    assert_int_equal(merge(q, at("r0.db")).failed, 1);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_OK);
    cf_jobs_free(&jobs);
    util_close(q);
}

static void an_id_that_means_another_job_now_is_left_alone(void **state)
{
    struct cf_queue *q = fresh_prompts(3, 1);
    struct cf_merged m;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), -1, "p");
    util_ask(q, "DELETE FROM job WHERE id = 1");
    util_ask(q, "UPDATE job SET seed = 77 WHERE id = 2");
    m = merge(q, at("r0.db"));
    assert_int_equal(m.unknown, 2);
    assert_int_equal(m.done, 1);
    util_close(q);
}

static void running_jobs_of_a_shard_are_left(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1), *r;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), 0, "p");
    r = open_results(at("r0.db"));
    util_hold(r, util_worker(r));
    cf_queue_close(r);
    assert_int_equal(merge(q, at("r0.db")).left, 2);
    assert_int_equal(util_count(q, CF_JOB_READY), 2);
    util_close(q);
}

static void tars_grow_but_do_not_mix(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1), *r;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    plan_of(q, at("plan2.db"), 1);
    do_shard(at("plan.db"), 0, at("r0.db"), 1, "p");
    do_shard(at("plan2.db"), 0, at("r1.db"), 1, "p");
    r = open_results(at("r0.db"));
    util_ask(r, "INSERT INTO tar(number, members, bytes) VALUES(0, 1, 1024)");
    merge(q, at("r0.db"));
    util_ask(r, "UPDATE tar SET members = 2, bytes = 2048, closed = 1");
    cf_queue_close(r);
    assert_int_equal(merge(q, at("r0.db")).tar_conflicts, 0);
    r = open_results(at("r1.db"));
    util_ask(r, "INSERT INTO tar(number, members, bytes) VALUES(0, 9, 9999)");
    cf_queue_close(r);
    assert_int_equal(merge(q, at("r1.db")).tar_conflicts, 1);
    assert_int_equal(util_ask(q, "SELECT bytes FROM tar WHERE closed = 1"), 2048);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_results_twice_change_nothing),
        cmocka_unit_test(overlapping_shards_are_harmless_and_conflicts_told),
        cmocka_unit_test(foreign_and_wrong_files_are_refused),
        cmocka_unit_test(a_cut_file_brings_nothing),
        cmocka_unit_test(results_of_a_killed_writer_are_rolled_back),
        cmocka_unit_test(a_merge_that_is_killed_brings_nothing_and_is_done_again),
        cmocka_unit_test(failures_come_with_cause_and_history_and_only_once),
        cmocka_unit_test(a_result_ends_the_lease_of_who_was_at_it),
        cmocka_unit_test(a_failure_leaves_who_is_at_it_alone),
        cmocka_unit_test(an_id_that_means_another_job_now_is_left_alone),
        cmocka_unit_test(running_jobs_of_a_shard_are_left),
        cmocka_unit_test(tars_grow_but_do_not_mix),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
