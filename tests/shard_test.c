/* Plans and the result files made from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/shard_util.h"

static int64_t count_of(const char *path, const char *sql)
{
    struct cf_error err = {0};
    struct cf_queue *q;
    int64_t n;

    assert_int_equal(cf_queue_open(&q, path, UTIL_MODE(CF_QUEUE_READ), &err), CF_OK);
    util_sound(q);
    n = util_ask(q, sql);
    cf_queue_close(q);
    return n;
}

/* The shards of a plan hold each job once, variants of a prompt together. */
static void split(int prompts, int shards)
{
    struct cf_queue *q = fresh_prompts(prompts, 4);
    int64_t jobs = 0, ids = 0;
    struct cf_plan_info info;
    char name[32];

    plan_of(q, at("plan.sqlite"), shards);
    assert_int_equal(cf_plan_read(at("plan.sqlite"), &info, NULL), CF_OK);
    assert_int_equal(info.jobs, prompts * 4);
    assert_int_equal(info.shards, shards);
    assert_true(info.largest - info.smallest <= 4); /* the seeds of one prompt */
    for (int i = 0; i < shards; i++) {
        struct cf_shard s;
        int64_t n;

        assert_int_equal(cf_shard_open(&s, at("plan.sqlite"), i, NULL, NULL), CF_OK);
        snprintf(name, sizeof name, "plan-%05d.results.sqlite", i);
        assert_non_null(strstr(s.results, name));
        n = count_of(s.results, "SELECT count(*) FROM job");
        assert_true(n >= info.smallest && n <= info.largest);
        assert_int_equal(
            n, 4 * count_of(s.results, "SELECT count(DISTINCT prompt_id) FROM job"));
        jobs += n;
        ids += count_of(s.results, "SELECT coalesce(sum(id), 0) FROM job");
        cf_shard_close(&s);
    }
    assert_int_equal(jobs, prompts * 4);
    assert_int_equal(ids, util_ask(q, "SELECT coalesce(sum(id), 0) FROM job"));
    util_close(q);
}

static void shards_hold_each_job_once_and_variants_together(void **state)
{
    (void)state;
    split(10, 3);
    split(5, 1);
    split(3, 8); /* more shards than prompts */
    split(0, 2); /* nothing to do */
}

/* So that merging a shard of a large queue does not touch every page of it. */
static void prompts_of_a_large_plan_are_dealt_out_by_blocks(void **state)
{
    (void)state;
    split(2 * 2 * 128 + 89, 2);
    for (int i = 0; i < 4; i++) {
        char sql[160];

        snprintf(sql, sizeof sql,
                 "SELECT sum(shard = %d) FROM (SELECT shard FROM share ORDER BY prompt_id"
                 " LIMIT 128 OFFSET %d)",
                 i % 2, i * 128);
        assert_int_equal(count_of(at("plan.sqlite"), sql), 128);
    }
}

static void a_shard_keeps_ids_texts_and_seeds(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 2);
    struct cf_error err = {0};
    struct cf_shard s;
    struct cf_queue *r;
    struct cf_jobs a, b;

    (void)state;
    plan_of(q, at("plan.sqlite"), 1);
    assert_int_equal(cf_shard_open(&s, at("plan.sqlite"), 0, NULL, NULL), CF_OK);
    r = open_results(s.results);
    assert_int_equal(cf_queue_claim(q, util_worker(q), 9, &a, &err), CF_OK);
    assert_int_equal(cf_queue_claim(r, util_worker(r), 9, &b, &err), CF_OK);
    assert_int_equal(a.n, 4);
    assert_int_equal(b.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a.job[i].id, b.job[i].id);
        assert_string_equal(a.job[i].key, b.job[i].key);
        assert_true(a.job[i].seed == b.job[i].seed);
    }
    assert_string_equal(b.job[0].negative, "ugly");
    cf_jobs_free(&a);
    cf_jobs_free(&b);
    util_close(r);
    util_close(q);
    cf_shard_close(&s);
}

static void only_jobs_that_wait_are_planned(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    const struct cf_error why = {.status = CF_EIO, .msg = "disk"};
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q), n = 0;

    (void)state;
    util_hold(q, w);
    util_claim(q, w, &jobs);
    assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &util_retry, NULL, &err),
                     CF_OK); /* delayed */
    cf_jobs_free(&jobs);
    assert_int_equal(cf_plan_write(q, at("plan.db"), 2, &n, &err), CF_OK);
    assert_int_equal(n, 3);
    assert_int_equal(count_of(at("plan.db"), "SELECT n FROM stat WHERE state = 0"), 3);
    util_close(q);
}

static void a_plan_overwrites_nothing_and_is_never_written(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1), *p;
    struct cf_error err = {0};
    int64_t n;

    (void)state;
    plan_of(q, at("plan.db"), 2);
    assert_int_equal(cf_plan_write(q, at("plan.db"), 2, &n, &err), CF_ECREAT);
    assert_int_equal(cf_plan_write(q, util_db, 2, &n, NULL), CF_ECREAT);
    assert_int_equal(cf_plan_write(q, at("no/plan.db"), 2, &n, NULL), CF_ECREAT);
    assert_int_equal(cf_plan_write(q, at("plan2.db"), 0, &n, NULL), CF_ERANGE);
    assert_int_equal(cf_queue_open(&p, at("plan.db"), UTIL_MODE(CF_QUEUE_WRITE), NULL),
                     CF_ECONFIG);
    util_close(q);
}

static void what_is_no_plan_is_refused(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1);
    struct cf_plan_info info;
    struct cf_shard s;
    FILE *f = fopen(at("r.txt"), "w");

    (void)state;
    fputs("not a database, but long enough to look for one", f);
    fclose(f);
    plan_of(q, at("plan.db"), 2);
    assert_int_equal(cf_plan_read(util_db, &info, NULL), CF_ECONFIG);
    assert_int_equal(cf_plan_read(at("r.txt"), &info, NULL), CF_EFORMAT);
    assert_int_equal(cf_plan_read(at("none"), &info, NULL), CF_ENOENT);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 2, NULL, NULL), CF_EUSAGE);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), -1, NULL, NULL), CF_EUSAGE);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 1, at("r.db"), NULL), CF_OK);
    assert_int_equal(cf_plan_read(s.results, &info, NULL), CF_ECONFIG);
    cf_shard_close(&s);
    util_close(q);
}

static void results_of_another_plan_or_shard_are_refused(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    struct cf_shard s;

    (void)state;
    plan_of(q, at("plan.db"), 2);
    plan_of(q, at("plan2.db"), 2);
    do_shard(at("plan.db"), 0, at("r.db"), 0, "p");
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 1, at("r.db"), NULL), CF_EMISMATCH);
    assert_int_equal(cf_shard_open(&s, at("plan2.db"), 0, at("r.db"), NULL),
                     CF_EMISMATCH);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 0, at("r.db"), NULL), CF_OK);
    cf_shard_close(&s);
    util_close(q);
}

static void a_shard_belongs_to_one_process_and_its_children(void **state)
{
    struct cf_queue *q = fresh_prompts(2, 1);
    struct cf_shard s, other;
    int to_child[2];
    char c;
    pid_t pid;

    (void)state;
    plan_of(q, at("plan.db"), 1);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 0, NULL, NULL), CF_OK);
    assert_int_equal(cf_shard_open(&other, at("plan.db"), 0, NULL, NULL), CF_EBUSY);
    assert_int_equal(pipe(to_child), 0);
    pid = fork();
    if (pid == 0) {
        close(to_child[1]);
        _exit(read(to_child[0], &c, 1) != 0);
    }
    close(to_child[0]);
    cf_shard_close(&s);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 0, NULL, NULL), CF_EBUSY);
    close(to_child[1]);
    util_wait(pid);
    assert_int_equal(cf_shard_open(&s, at("plan.db"), 0, NULL, NULL), CF_OK);
    cf_shard_close(&s);
    util_close(q);
}

static void a_restart_goes_on_where_the_shard_was(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);

    (void)state;
    plan_of(q, at("plan.db"), 1);
    do_shard(at("plan.db"), 0, at("r.db"), 1, "p");
    do_shard(at("plan.db"), 0, at("r.db"), 2, "p");
    assert_int_equal(count_of(at("r.db"), "SELECT n FROM stat WHERE state = 2"), 3);
    util_close(q);
}

static void numbers_of_tars_are_apart(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);

    (void)state;
    util_ask(q, "INSERT INTO tar(number, closed) VALUES(9, 1)");
    plan_of(q, at("plan.db"), 3);
    do_shard(at("plan.db"), 0, at("r0.db"), 0, "p");
    do_shard(at("plan.db"), 2, at("r2.db"), 0, "p");
    assert_int_equal(
        count_of(at("r0.db"), "SELECT value + 0 FROM meta WHERE key = 'tar_first'"), 10);
    assert_int_equal(
        count_of(at("r0.db"), "SELECT value + 0 FROM meta WHERE key = 'tar_end'"),
        10 + 33330);
    assert_int_equal(
        count_of(at("r2.db"), "SELECT value + 0 FROM meta WHERE key = 'tar_end'"),
        100000);
    util_close(q);
}

/* Root may write anywhere: the case is run as somebody else. */
static void a_plan_is_read_where_one_may_not_write(void **state)
{
    struct cf_queue *q = fresh_prompts(4, 1);
    char results[64] = "/tmp/cfgen-results-XXXXXX";
    pid_t pid;

    (void)state;
    plan_of(q, at("plan.db"), 2);
    util_close(q);
    assert_non_null(mkdtemp(results));
    assert_int_equal(chmod(results, 0777), 0);
    assert_int_equal(chmod(util_dir, 0555), 0);
    strcat(results, "/r.db");
    pid = fork();
    if (pid == 0) {
        struct cf_error err = {0};
        struct cf_shard s;

        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(1);
        _exit(cf_shard_open(&s, at("plan.db"), 0, results, &err) != CF_OK ||
              cf_shard_open(&s, at("plan.db"), 0, NULL, NULL) != CF_EPERM);
    }
    util_wait(pid);
    assert_int_equal(chmod(util_dir, 0755), 0);
    unlink(results);
    strcat(results, ".lock");
    unlink(results);
    *strrchr(results, '/') = '\0';
    assert_int_equal(rmdir(results), 0);
}

static void the_id_of_a_queue_is_only_text(void **state)
{
    struct cf_queue *q = fresh_prompts(1, 1);
    struct cf_plan_info info;

    (void)state;
    assert_int_equal(
        cf_sql_exec(q->db, "UPDATE meta SET value = 'a''b' WHERE key = 'queue_id'", NULL),
        CF_OK);
    plan_of(q, at("plan.sqlite"), 1);
    assert_int_equal(cf_plan_read(at("plan.sqlite"), &info, NULL), CF_OK);
    assert_string_equal(info.queue, "a'b");
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_hold_each_job_once_and_variants_together),
        cmocka_unit_test(prompts_of_a_large_plan_are_dealt_out_by_blocks),
        cmocka_unit_test(a_shard_keeps_ids_texts_and_seeds),
        cmocka_unit_test(only_jobs_that_wait_are_planned),
        cmocka_unit_test(a_plan_overwrites_nothing_and_is_never_written),
        cmocka_unit_test(what_is_no_plan_is_refused),
        cmocka_unit_test(results_of_another_plan_or_shard_are_refused),
        cmocka_unit_test(a_shard_belongs_to_one_process_and_its_children),
        cmocka_unit_test(a_restart_goes_on_where_the_shard_was),
        cmocka_unit_test(numbers_of_tars_are_apart),
        cmocka_unit_test(a_plan_is_read_where_one_may_not_write),
        cmocka_unit_test(the_id_of_a_queue_is_only_text),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
