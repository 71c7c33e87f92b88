/* claimers_test.c - eight processes on one queue, killed at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/db.h"
#include "jobs/self.h"
#include "tests/queue_util.h"

enum { JOBS = 240, PROCS = 8, KILLS = 40, MAX_CRASHES = 1000000 };

/* What a worker tells after each finish that was accepted. */
struct told {
    int64_t job;
    int attempt;
};

/* Reaps, claims and finishes until all is done; every end but done is told by a status.
 */
static void work(int fd, int k)
{
    struct cf_retry retry = util_retry;
    struct cf_reaped reaped;
    struct cf_jobs jobs;
    struct cf_queue *q;
    struct cf_self self;
    struct cf_counts c;
    int64_t w;

    retry.max_crashes = MAX_CRASHES;
    if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_OK ||
        cf_self_open(&self, cf_queue_dir(q), "b", "c", NULL) != CF_OK ||
        cf_queue_register(q, &self.worker, &w, NULL) != CF_OK)
        _exit(1);
    do {
        if (cf_queue_reap(q, &self.worker, &retry, &reaped, NULL) != CF_OK ||
            cf_queue_claim(q, w, k, &jobs, NULL) != CF_OK)
            _exit(2);
        for (int i = 0; i < jobs.n; i++) {
            struct told t = {jobs.job[i].id, jobs.job[i].attempt};

            usleep(500);
            if (cf_queue_finish(q, &jobs.job[i], &util_output, NULL) != CF_OK ||
                write(fd, &t, sizeof t) != sizeof t)
                _exit(3);
        }
        if (!jobs.n)
            usleep(5000);
        cf_jobs_free(&jobs);
        if (cf_queue_counts(q, &c, NULL) != CF_OK)
            _exit(4);
    } while (c.n[CF_JOB_DONE] < JOBS);
    cf_queue_unregister(q, w, NULL);
    cf_self_close(&self);
    cf_queue_close(q);
    _exit(0);
}

static pid_t start(int fd, int i)
{
    pid_t pid = fork();

    if (pid == 0)
        work(fd, 1 + i % 4);
    assert_true(pid > 0);
    return pid;
}

/* A killed worker finished at most one job that it did not tell. */
static void killed_claimers_lose_nothing_and_finish_nothing_twice(void **state)
{
    struct cf_queue *q = util_fresh(JOBS);
    int seen[JOBS + 1] = {0}, fd[2], untold = JOBS;
    pid_t pid[PROCS];
    unsigned luck = 11;
    struct told t;

    (void)state;
    assert_int_equal(pipe(fd), 0);
    for (int i = 0; i < PROCS; i++)
        pid[i] = start(fd[1], i);
    for (int i = 0; i < KILLS; i++) {
        int victim;

        luck = luck * 1103515245u + 12345u;
        victim = (int)(luck >> 16) % PROCS;
        usleep(2000 + (luck >> 20) % 25000);
        kill(pid[victim], SIGKILL);
        assert_int_equal(waitpid(pid[victim], NULL, 0), pid[victim]);
        pid[victim] = start(fd[1], i);
    }
    for (int i = 0; i < PROCS; i++)
        util_wait(pid[i]);
    close(fd[1]);
    while (read(fd[0], &t, sizeof t) == sizeof t) {
        assert_in_range(t.job, 1, JOBS);
        assert_int_equal(++seen[t.job], 1);
        untold--;
    }
    close(fd[0]);
    assert_in_range(untold, 0, KILLS);
    assert_int_equal(util_count(q, CF_JOB_DONE), JOBS);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM attempt WHERE outcome = 'done'"),
                     JOBS);
    assert_int_equal(
        util_ask(q, "SELECT count(*) FROM attempt WHERE outcome = 'crashed'"),
        util_ask(q, "SELECT sum(crashes) FROM job"));
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_claimers_lose_nothing_and_finish_nothing_twice),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
