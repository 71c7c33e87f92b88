#include "tests/queue_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/adder.h"
#include "jobs/db.h"

static char dir[] = "/tmp/cfgen-queue-XXXXXX";
static char path[sizeof dir + 16];

const char *const util_dir = dir;
const char *const util_db = path;
const struct cf_retry util_retry = {.max_attempts = 3, .max_crashes = 5, .backoff = 60};
const struct cf_output util_output = {
    .path = "ab/cd/x.webp",
    .bytes = 7,
    .file_sha256 = "f",
    .pixel_sha256 = "p",
    .width = 1,
    .height = 1,
    .threads = 1,
    .build = "b",
    .isa = "c",
    .model_sha256 = "m",
};

int util_set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/q.db", dir);
    return chmod(dir, 0755);
}

int util_tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

struct cf_queue *util_open(enum cf_queue_mode mode)
{
    struct cf_error err = {0};
    struct cf_queue *q;

    if (cf_queue_open(&q, path, UTIL_MODE(mode), &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_non_null(q);
    return q;
}

struct cf_queue *util_fresh(int n)
{
    char name[sizeof path + 8];
    struct cf_queue *q;

    unlink(path);
    snprintf(name, sizeof name, "%s-wal", path);
    unlink(name);
    snprintf(name, sizeof name, "%s-shm", path);
    unlink(name);
    q = util_open(CF_QUEUE_CREATE);
    if (n)
        util_add(q, n);
    return q;
}

void util_add(struct cf_queue *q, int n)
{
    struct cf_new_job job = {
        .spec = {.prompt = "a cat", .prompt_len = 5, .recipe = "{}"}};
    struct cf_batch batch = {.name = "test"};
    struct cf_error err = {0};
    struct cf_adder *a;
    int64_t id;
    bool is_new;

    assert_int_equal(cf_adder_open(&a, q, &batch, &err), CF_OK);
    for (int i = 0; i < n; i++) {
        job.spec.seed = (uint64_t)i;
        assert_int_equal(cf_adder_row(a, &job, &id, &is_new, &err), CF_OK);
        assert_true(is_new);
    }
    assert_int_equal(cf_adder_close(a, true, NULL, &err), CF_OK);
}

void util_sound(struct cf_queue *q)
{
    struct cf_error err = {0};

    if (cf_queue_check(q, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
}

void util_close(struct cf_queue *q)
{
    util_sound(q);
    cf_queue_close(q);
}

int64_t util_ask(struct cf_queue *q, const char *sql)
{
    struct cf_error err = {0};
    int64_t v;

    if (cf_sql_int64(q->db, sql, &v, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
    return v;
}

int64_t util_count(struct cf_queue *q, enum cf_job_state state)
{
    struct cf_counts c;

    assert_int_equal(cf_queue_counts(q, &c, NULL), CF_OK);
    return c.n[state];
}

int64_t util_worker(struct cf_queue *q)
{
    return util_worker_of(q, "h", "b", NULL);
}

int64_t util_worker_of(struct cf_queue *q, const char *host, const char *boot,
                       const char *lock)
{
    struct cf_worker w = {.host = host,
                          .boot_id = boot,
                          .lock_path = lock,
                          .build = "b",
                          .cpu = "c",
                          .pid = 1};
    struct cf_error err = {0};
    int64_t id = 0;

    assert_int_equal(cf_queue_register(q, &w, &id, &err), CF_OK);
    return id;
}

struct cf_job util_claim(struct cf_queue *q, int64_t w, struct cf_jobs *jobs)
{
    struct cf_error err = {0};

    assert_int_equal(cf_queue_claim(q, w, 1, jobs, &err), CF_OK);
    assert_int_equal(jobs->n, 1);
    return jobs->job[0];
}

void util_hold(struct cf_queue *q, int64_t w)
{
    struct cf_jobs jobs;

    util_claim(q, w, &jobs);
    cf_jobs_free(&jobs);
}

void util_wait(pid_t pid)
{
    int status = 1;

    assert_true(waitpid(pid, &status, 0) > 0);
    assert_int_equal(status, 0);
}
