/* reap_test.c - workers side by side, those that die, and what becomes of their jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/db.h"
#include "jobs/self.h"
#include "tests/queue_util.h"

/* A child that registers with a lock, claims k jobs, says so and waits to be killed. */
static pid_t claimer(int k, bool die, int64_t *id)
{
    int fd[2];
    pid_t pid;

    assert_int_equal(pipe(fd), 0);
    pid = fork();
    if (pid == 0) {
        struct cf_queue *q;
        struct cf_self self;
        struct cf_jobs jobs;
        int64_t w = 0;

        if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_OK ||
            cf_self_open(&self, cf_queue_dir(q), "b", "c", NULL) != CF_OK ||
            cf_queue_register(q, &self.worker, &w, NULL) != CF_OK ||
            cf_queue_claim(q, w, k, &jobs, NULL) != CF_OK || jobs.n != k)
            w = -1;
        if (write(fd[1], &w, sizeof w) != sizeof w || die)
            _exit(1);
        for (;;)
            pause();
    }
    close(fd[1]);
    assert_int_equal(read(fd[0], id, sizeof *id), sizeof *id);
    close(fd[0]);
    assert_true(*id > 0);
    return pid;
}

static void bury(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int reap(struct cf_queue *q)
{
    struct cf_error err = {0};
    struct cf_self self;
    struct cf_reaped n;

    assert_int_equal(cf_self_open(&self, NULL, "b", "c", &err), CF_OK);
    assert_int_equal(cf_queue_reap(q, &self.worker, &util_retry, &n, &err), CF_OK);
    cf_self_close(&self);
    return n.jobs;
}

static void a_killed_worker_gives_its_jobs_back(void **state)
{
    struct cf_queue *q = util_fresh(3);
    int64_t id;
    pid_t pid;

    (void)state;
    pid = claimer(2, false, &id);
    assert_int_equal(reap(q), 0);
    assert_int_equal(util_count(q, CF_JOB_RUNNING), 2);
    bury(pid);
    assert_int_equal(reap(q), 2);
    assert_int_equal(util_count(q, CF_JOB_READY), 3);
    assert_int_equal(util_ask(q, "SELECT sum(crashes) FROM job"), 2);
    assert_int_equal(util_ask(q, "SELECT sum(attempts) FROM job"), 0);
    assert_int_equal(reap(q), 0);
    util_close(q);
}

static int lock_files(struct cf_queue *q)
{
    DIR *d = opendir(cf_queue_dir(q));
    struct dirent *e;
    int n = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        n += strncmp(e->d_name, ".cfgen-worker-", 14) == 0;
    closedir(d);
    return n;
}

static void the_lock_file_of_a_dead_worker_goes_and_that_of_a_living_stays(void **state)
{
    struct cf_queue *q = util_fresh(2);
    struct cf_error err = {0};
    int64_t dead_id, alive_id;
    struct cf_self self;
    pid_t dead, alive;

    (void)state;
    dead = claimer(1, false, &dead_id);
    alive = claimer(1, false, &alive_id);
    bury(dead);
    assert_int_equal(lock_files(q), 2);
    assert_int_equal(cf_self_open(&self, cf_queue_dir(q), "b", "c", &err), CF_OK);
    assert_int_equal(lock_files(q), 2); /* the living one's and ours */
    assert_int_equal(reap(q), 1);
    cf_self_close(&self);
    bury(alive);
    assert_int_equal(reap(q), 1);
    util_close(q);
}

static void a_job_that_kills_its_workers_ends_as_crash_loop(void **state)
{
    struct cf_queue *q = util_fresh(1);
    int64_t id;

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(util_count(q, CF_JOB_READY), 1);
        bury(claimer(1, true, &id));
        assert_int_equal(reap(q), 1);
    }
    assert_int_equal(util_count(q, CF_JOB_FAILED), 1);
    assert_int_equal(util_ask(q, "SELECT code = 'CRASH_LOOP' FROM attempt WHERE n = 5"),
                     1);
    assert_int_equal(util_ask(q, "SELECT n FROM cause WHERE code = 'CRASH_LOOP'"), 1);
    util_close(q);
}

/* One bad job may not take down those that were claimed with it. */
static void a_job_that_kills_its_workers_fails_alone(void **state)
{
    struct cf_queue *q = util_fresh(6);
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t id, w;

    (void)state;
    bury(claimer(6, true, &id));
    assert_int_equal(reap(q), 6);
    w = util_worker(q);
    for (int turn = 0; util_count(q, CF_JOB_READY) > 0; turn++) {
        assert_in_range(turn, 0, 12);
        assert_int_equal(cf_queue_claim(q, w, 6, &jobs, &err), CF_OK);
        assert_int_equal(jobs.n, 1);
        if (jobs.job[0].id == 3) {
            assert_int_equal(jobs.job[0].crashes, turn - 1);
            assert_int_equal(cf_queue_release(q, &jobs.job[0], "test", &err), CF_OK);
            bury(claimer(1, true, &id));
            assert_int_equal(reap(q), 1);
        } else {
            assert_int_equal(cf_queue_finish(q, &jobs.job[0], &util_output, &err), CF_OK);
        }
        cf_jobs_free(&jobs);
    }
    assert_int_equal(util_count(q, CF_JOB_DONE), 5);
    assert_int_equal(util_ask(q, "SELECT crashes FROM job WHERE state = 3 AND id = 3"),
                     5);
    util_close(q);
}

static void a_worker_thought_dead_that_claims_again_can_still_die(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_self self;
    struct cf_jobs jobs;
    int64_t w;
    struct cf_reaped n;

    (void)state;
    assert_int_equal(cf_self_open(&self, cf_queue_dir(q), "b", "c", &err), CF_OK);
    assert_int_equal(cf_queue_register(q, &self.worker, &w, &err), CF_OK);
    assert_int_equal(cf_queue_reap_worker(q, w, &util_retry, &n, &err), CF_OK);
    util_hold(q, w);
    util_sound(q);
    assert_int_equal(reap(q), 0);
    cf_self_close(&self);
    assert_int_equal(reap(q), 1);
    assert_int_equal(cf_queue_claim(q, 99, 1, &jobs, &err), CF_ENOENT);
    util_close(q);
}

static void a_reboot_or_a_slurm_restart_charges_nobody(void **state)
{
    struct cf_worker old = {
        .host = "h1", .boot_id = "boot1", .slurm_job = "7", .slurm_task = "0"};
    struct cf_worker self = {.host = "h1", .boot_id = "boot2"};
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    int64_t w;
    struct cf_reaped n;

    (void)state;
    util_hold(q, util_worker_of(q, "h1", "boot1", "/nowhere"));
    assert_int_equal(cf_queue_reap(q, &self, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(cf_queue_register(q, &old, &w, &err), CF_OK);
    util_hold(q, w);
    self = old;
    self.host = "h2";
    self.restart = 1;
    assert_int_equal(cf_queue_reap(q, &self, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(util_ask(q, "SELECT crashes FROM job"), 0);
    assert_int_equal(util_ask(q, "SELECT releases FROM job"), 2);
    util_close(q);
}

static void workers_of_other_hosts_are_left_alone(void **state)
{
    struct cf_worker self = {.host = "h1", .boot_id = "boot1"};
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    int64_t w = util_worker_of(q, "h2", "boot2", "/nowhere");
    struct cf_reaped n;

    (void)state;
    util_hold(q, w);
    assert_int_equal(cf_queue_reap(q, &self, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 0);
    assert_int_equal(cf_queue_beat(q, w, &err), CF_OK);
    assert_int_equal(util_ask(q, "SELECT beat FROM worker"), 1);
    assert_int_equal(cf_queue_beat(q, 99, &err), CF_ENOENT);
    util_close(q);
}

static void who_left_while_the_queue_was_locked_is_charged_nothing(void **state)
{
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_self self, worker;
    struct cf_reaped n;
    char path[4096];
    int64_t w;

    (void)state;
    assert_int_equal(cf_self_open(&worker, util_dir, "b", "c", &err), CF_OK);
    snprintf(path, sizeof path, "%s", worker.lock_path);
    assert_int_equal(cf_self_open(&self, NULL, "b", "c", &err), CF_OK);
    assert_int_equal(cf_queue_register(q, &worker.worker, &w, &err), CF_OK);
    util_hold(q, w);
    assert_int_equal(cf_queue_reap(q, &self.worker, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 0);
    cf_self_leave(&worker);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(cf_queue_reap(q, &self.worker, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(util_ask(q, "SELECT crashes FROM job"), 0);
    assert_int_equal(util_ask(q, "SELECT releases FROM job"), 1);
    assert_int_equal(access(path, F_OK), -1);
    cf_self_close(&self);
    util_close(q);
}

static void whoever_holds_a_shard_takes_over_from_other_hosts(void **state)
{
    struct cf_worker self = {.host = "h1", .boot_id = "boot1"};
    struct cf_queue *q = util_fresh(1);
    struct cf_error err = {0};
    struct cf_reaped n;

    (void)state;
    util_hold(q, util_worker_of(q, "h2", "boot2", "/nowhere"));
    util_close(q);
    q = util_open((enum cf_queue_mode)(CF_QUEUE_WRITE | CF_QUEUE_SHARD));
    assert_int_equal(cf_queue_reap(q, &self, &util_retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(util_ask(q, "SELECT crashes FROM job"), 1);
    util_close(q);
}

/* Claims k at a time and finishes them until nothing is left; tells each id by one write.
 */
static void work(int fd, int k, int naps)
{
    struct cf_jobs jobs = {0};
    struct cf_queue *q;
    struct cf_self self;
    int64_t w;

    if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_OK ||
        cf_self_open(&self, cf_queue_dir(q), "b", "c", NULL) != CF_OK ||
        cf_queue_register(q, &self.worker, &w, NULL) != CF_OK)
        _exit(1);
    do {
        cf_jobs_free(&jobs);
        if (cf_queue_claim(q, w, k, &jobs, NULL) != CF_OK)
            _exit(2);
        for (int i = 0; i < jobs.n; i++) {
            if (naps)
                usleep((useconds_t)naps);
            if (cf_queue_finish(q, &jobs.job[i], &util_output, NULL) != CF_OK)
                _exit(3);
            if (write(fd, &jobs.job[i].id, sizeof jobs.job[i].id) < 0)
                _exit(4);
        }
    } while (jobs.n);
    cf_jobs_free(&jobs);
    cf_queue_unregister(q, w, NULL);
    cf_self_close(&self);
    cf_queue_close(q);
    _exit(0);
}

static void four_processes_never_do_a_job_twice(void **state)
{
    enum { JOBS = 60, PROCS = 4 };
    struct cf_queue *q = util_fresh(JOBS);
    int seen[JOBS + 1] = {0}, fd[2];
    pid_t pid[PROCS];
    int64_t id;

    (void)state;
    assert_int_equal(pipe(fd), 0);
    for (int i = 0; i < PROCS; i++)
        if ((pid[i] = fork()) == 0)
            work(fd[1], 1 + i, 0);
    for (int i = 0; i < PROCS; i++)
        util_wait(pid[i]);
    close(fd[1]);
    while (read(fd[0], &id, sizeof id) == sizeof id)
        assert_int_equal(++seen[id], 1);
    close(fd[0]);
    assert_int_equal(util_count(q, CF_JOB_DONE), JOBS);
    util_close(q);
}

static void random_kills_lose_no_job_and_leave_a_sound_file(void **state)
{
    enum { JOBS = 40, KILLS = 12 };
    struct cf_queue *q = util_fresh(JOBS);
    unsigned luck = 7;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    fcntl(fd[1], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = fork();

        if (pid == 0)
            work(fd[1], 3, 2000);
        luck = luck * 1103515245u + 12345u;
        usleep(5000 + (luck >> 16) % 60000);
        bury(pid);
        reap(q);
        util_sound(q);
    }
    cf_sql_exec(q->db, "UPDATE job SET state = 0 WHERE state = 3", NULL);
    if (fork() == 0)
        work(fd[1], 3, 0);
    util_wait(-1);
    assert_int_equal(util_count(q, CF_JOB_DONE), JOBS);
    close(fd[0]);
    close(fd[1]);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_worker_gives_its_jobs_back),
        cmocka_unit_test(the_lock_file_of_a_dead_worker_goes_and_that_of_a_living_stays),
        cmocka_unit_test(a_job_that_kills_its_workers_ends_as_crash_loop),
        cmocka_unit_test(a_job_that_kills_its_workers_fails_alone),
        cmocka_unit_test(a_worker_thought_dead_that_claims_again_can_still_die),
        cmocka_unit_test(a_reboot_or_a_slurm_restart_charges_nobody),
        cmocka_unit_test(workers_of_other_hosts_are_left_alone),
        cmocka_unit_test(who_left_while_the_queue_was_locked_is_charged_nothing),
        cmocka_unit_test(whoever_holds_a_shard_takes_over_from_other_hosts),
        cmocka_unit_test(four_processes_never_do_a_job_twice),
        cmocka_unit_test(random_kills_lose_no_job_and_leave_a_sound_file),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
