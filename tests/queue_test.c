/* queue_test.c - leases, crashes, and files that are no queue of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "jobs/adder.h"
#include "jobs/db.h"
#include "jobs/fs.h"
#include "jobs/key.h"
#include "jobs/queue.h"
#include "jobs/schema.h"
#include "jobs/self.h"

/* Tests may run where the build lies on a mount that looks shared. */
#define MODE(m) ((enum cf_queue_mode)((m) | CF_QUEUE_UNSAFE_SHARED))

static char dir[] = "/tmp/cfgen-queue-XXXXXX";
static char path[sizeof dir + 16];
static const struct cf_retry retry = {.max_attempts = 3, .max_crashes = 5, .backoff = 60};

static struct cf_queue *must_open(enum cf_queue_mode mode)
{
    struct cf_error err = {0};
    struct cf_queue *q;

    if (cf_queue_open(&q, path, MODE(mode), &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_non_null(q);
    return q;
}

static struct cf_queue *fresh(void)
{
    char name[sizeof path + 8];

    unlink(path);
    snprintf(name, sizeof name, "%s-wal", path);
    unlink(name);
    snprintf(name, sizeof name, "%s-shm", path);
    unlink(name);
    return must_open(CF_QUEUE_CREATE);
}

/* n jobs that differ in their seed, from 0 on. */
static void add(struct cf_queue *q, int n)
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

static void sound(struct cf_queue *q)
{
    struct cf_error err = {0};

    if (cf_queue_check(q, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
}

static void sound_and_close(struct cf_queue *q)
{
    sound(q);
    cf_queue_close(q);
}

static int64_t ask(struct cf_queue *q, const char *sql)
{
    struct cf_error err = {0};
    int64_t v;

    if (cf_sql_int64(q->db, sql, &v, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(err.status, CF_OK);
    return v;
}

static int64_t in_state(struct cf_queue *q, enum cf_job_state state)
{
    struct cf_counts c;

    assert_int_equal(cf_queue_counts(q, &c, NULL), CF_OK);
    return c.n[state];
}

static int64_t worker(struct cf_queue *q, const char *host, const char *boot,
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

static struct cf_job claim_one(struct cf_queue *q, int64_t w, struct cf_jobs *jobs)
{
    struct cf_error err = {0};

    assert_int_equal(cf_queue_claim(q, w, 1, jobs, &err), CF_OK);
    assert_int_equal(jobs->n, 1);
    return jobs->job[0];
}

static const struct cf_output output = {
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

static void claims_go_by_priority_then_age(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;

    (void)state;
    add(q, 4);
    w = worker(q, "h", "b", NULL);
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
    assert_int_equal(in_state(q, CF_JOB_RUNNING), 3);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_claim(q, w, 0, &jobs, NULL), CF_ERANGE);
    sound_and_close(q);
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
    struct cf_queue *q = fresh();
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
    claim_one(q, worker(q, "h", "b", NULL), &jobs);
    assert_true(jobs.job[0].seed == UINT64_MAX);
    assert_string_equal(jobs.job[0].negative, "blurry");
    assert_int_equal(cf_job_key(&job.spec, key, &err), CF_OK);
    assert_string_equal(jobs.job[0].key, key);
    cf_jobs_free(&jobs);
    sound_and_close(q);
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
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs, none;
    int64_t w;

    (void)state;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    claim_one(q, w, &jobs);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &output, &err), CF_OK);
    assert_int_equal(in_state(q, CF_JOB_DONE), 1);
    assert_int_equal(cf_queue_claim(q, w, 1, &none, &err), CF_OK);
    assert_int_equal(none.n, 0);
    cf_jobs_free(&none);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &output, &err), CF_ELOST);
    cf_jobs_free(&jobs);
    sound_and_close(q);
}

static void a_finish_after_the_lease_was_taken_writes_nothing(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error a = {0}, b = {0}, c = {0};
    struct cf_jobs first, second;
    int64_t w1, w2;
    bool final;
    struct cf_reaped n;

    (void)state;
    add(q, 1);
    w1 = worker(q, "h", "b", NULL);
    w2 = worker(q, "h", "b", NULL);
    claim_one(q, w1, &first);
    assert_int_equal(cf_queue_reap_worker(q, w1, &retry, &n, &a), CF_OK);
    assert_int_equal(n.jobs, 1);
    claim_one(q, w2, &second);
    assert_int_equal(second.job[0].attempt, 2);
    assert_int_equal(cf_queue_finish(q, &first.job[0], &output, &a), CF_ELOST);
    assert_int_equal(cf_queue_fail(q, &first.job[0], &a, &retry, &final, &b), CF_ELOST);
    assert_int_equal(cf_queue_release(q, &first.job[0], "x", &c), CF_ELOST);
    assert_int_equal(ask(q, "SELECT count(*) FROM output"), 0);
    sound(q);
    memset(&a, 0, sizeof a);
    assert_int_equal(cf_queue_finish(q, &second.job[0], &output, &a), CF_OK);
    assert_int_equal(cf_queue_reap_worker(q, 99, &retry, &n, &a), CF_ENOENT);
    cf_jobs_free(&first);
    cf_jobs_free(&second);
    sound_and_close(q);
}

static void a_release_costs_the_job_nothing(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;

    (void)state;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(claim_one(q, w, &jobs).attempt, i);
        assert_int_equal(cf_queue_release(q, &jobs.job[0], "signal", &err), CF_OK);
        cf_jobs_free(&jobs);
    }
    assert_int_equal(ask(q, "SELECT attempts + crashes FROM job"), 0);
    assert_int_equal(ask(q, "SELECT releases FROM job"), 20);
    claim_one(q, w, &jobs);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_unregister(q, w, &err), CF_OK);
    assert_int_equal(in_state(q, CF_JOB_READY), 1);
    sound_and_close(q);
}

static void failures_wait_twice_as_long_each_time_and_then_are_final(void **state)
{
    const struct cf_error why = {CF_ENUMERIC, "not finite"};
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;
    int due;
    bool final;

    (void)state;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    assert_int_equal(cf_queue_next_due(q, &due, &err), CF_OK);
    assert_int_equal(due, -1);
    for (int i = 0; i < 3; i++) {
        claim_one(q, w, &jobs);
        assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &retry, &final, &err),
                         CF_OK);
        assert_int_equal(final, i == 2);
        cf_jobs_free(&jobs);
        sound(q);
        assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &err), CF_OK);
        assert_int_equal(jobs.n, 0);
        cf_jobs_free(&jobs);
        cf_queue_next_due(q, &due, &err);
        if (i < 2)
            assert_in_range(due, (60 << i) - 5, 60 << i);
        cf_sql_exec(q->db, "UPDATE delay SET until = 0", &err);
    }
    assert_int_equal(in_state(q, CF_JOB_FAILED), 1);
    assert_int_equal(ask(q, "SELECT attempts FROM job"), 3);
    assert_int_equal(ask(q, "SELECT count(*) FROM attempt WHERE code = 'ENUMERIC'"), 3);
    sound_and_close(q);
}

static void what_cannot_succeed_is_not_tried_again(void **state)
{
    const struct cf_error why = {CF_EUNSUP, "no such size"};
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    bool final = false;

    (void)state;
    add(q, 1);
    claim_one(q, worker(q, "h", "b", NULL), &jobs);
    assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &retry, &final, &err), CF_OK);
    assert_true(final);
    cf_jobs_free(&jobs);
    sound_and_close(q);
}

static void a_clock_set_back_costs_one_backoff(void **state)
{
    const struct cf_error why = {CF_ENUMERIC, "x"};
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;
    bool final;
    int due;

    (void)state;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    claim_one(q, w, &jobs);
    cf_queue_fail(q, &jobs.job[0], &why, &retry, &final, &err);
    cf_jobs_free(&jobs);
    cf_sql_exec(q->db, "UPDATE delay SET until = until + 365 * 86400000", &err);
    cf_queue_next_due(q, &due, &err);
    assert_in_range(due, 55, 60);
    assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &err), CF_OK);
    assert_int_equal(jobs.n, 0);
    cf_jobs_free(&jobs);
    assert_true(ask(q, "SELECT until < unixepoch() * 1000 + 61000 FROM delay"));
    sound_and_close(q);
}

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

        if (cf_queue_open(&q, path, MODE(CF_QUEUE_WRITE), NULL) != CF_OK ||
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
    assert_int_equal(cf_queue_reap(q, &self.worker, &retry, &n, &err), CF_OK);
    cf_self_close(&self);
    return n.jobs;
}

static void a_killed_worker_gives_its_jobs_back(void **state)
{
    struct cf_queue *q = fresh();
    int64_t id;
    pid_t pid;

    (void)state;
    add(q, 3);
    pid = claimer(2, false, &id);
    assert_int_equal(reap(q), 0);
    assert_int_equal(in_state(q, CF_JOB_RUNNING), 2);
    bury(pid);
    assert_int_equal(reap(q), 2);
    assert_int_equal(in_state(q, CF_JOB_READY), 3);
    assert_int_equal(ask(q, "SELECT sum(crashes) FROM job"), 2);
    assert_int_equal(ask(q, "SELECT sum(attempts) FROM job"), 0);
    assert_int_equal(reap(q), 0);
    sound_and_close(q);
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
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    int64_t dead_id, alive_id;
    struct cf_self self;
    pid_t dead, alive;

    (void)state;
    add(q, 2);
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
    sound_and_close(q);
}

static void a_job_that_kills_its_workers_ends_as_crash_loop(void **state)
{
    struct cf_queue *q = fresh();
    int64_t id;

    (void)state;
    add(q, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(in_state(q, CF_JOB_READY), 1);
        bury(claimer(1, true, &id));
        assert_int_equal(reap(q), 1);
    }
    assert_int_equal(in_state(q, CF_JOB_FAILED), 1);
    assert_int_equal(ask(q, "SELECT code = 'CRASH_LOOP' FROM attempt WHERE n = 5"), 1);
    sound_and_close(q);
}

/* One bad job may not take down those that were claimed with it. */
static void a_job_that_kills_its_workers_fails_alone(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t id, w;

    (void)state;
    add(q, 6);
    bury(claimer(6, true, &id));
    assert_int_equal(reap(q), 6);
    w = worker(q, "h", "b", NULL);
    for (int turn = 0; in_state(q, CF_JOB_READY) > 0; turn++) {
        assert_in_range(turn, 0, 12);
        assert_int_equal(cf_queue_claim(q, w, 6, &jobs, &err), CF_OK);
        assert_int_equal(jobs.n, 1);
        if (jobs.job[0].id == 3) {
            assert_int_equal(jobs.job[0].crashes, turn - 1);
            assert_int_equal(cf_queue_release(q, &jobs.job[0], "test", &err), CF_OK);
            bury(claimer(1, true, &id));
            assert_int_equal(reap(q), 1);
        } else {
            assert_int_equal(cf_queue_finish(q, &jobs.job[0], &output, &err), CF_OK);
        }
        cf_jobs_free(&jobs);
    }
    assert_int_equal(in_state(q, CF_JOB_DONE), 5);
    assert_int_equal(ask(q, "SELECT crashes FROM job WHERE state = 3 AND id = 3"), 5);
    sound_and_close(q);
}

static void a_worker_thought_dead_that_claims_again_can_still_die(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_self self;
    struct cf_jobs jobs;
    int64_t w;
    struct cf_reaped n;

    (void)state;
    add(q, 1);
    assert_int_equal(cf_self_open(&self, cf_queue_dir(q), "b", "c", &err), CF_OK);
    assert_int_equal(cf_queue_register(q, &self.worker, &w, &err), CF_OK);
    assert_int_equal(cf_queue_reap_worker(q, w, &retry, &n, &err), CF_OK);
    claim_one(q, w, &jobs);
    cf_jobs_free(&jobs);
    sound(q);
    assert_int_equal(reap(q), 0);
    cf_self_close(&self);
    assert_int_equal(reap(q), 1);
    assert_int_equal(cf_queue_claim(q, 99, 1, &jobs, &err), CF_ENOENT);
    sound_and_close(q);
}

static void a_reboot_or_a_slurm_restart_charges_nobody(void **state)
{
    struct cf_worker old = {
        .host = "h1", .boot_id = "boot1", .slurm_job = "7", .slurm_task = "0"};
    struct cf_worker self = {.host = "h1", .boot_id = "boot2"};
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;
    struct cf_reaped n;

    (void)state;
    add(q, 1);
    claim_one(q, worker(q, "h1", "boot1", "/nowhere"), &jobs);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_reap(q, &self, &retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(cf_queue_register(q, &old, &w, &err), CF_OK);
    claim_one(q, w, &jobs);
    cf_jobs_free(&jobs);
    self = old;
    self.host = "h2";
    self.restart = 1;
    assert_int_equal(cf_queue_reap(q, &self, &retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 1);
    assert_int_equal(ask(q, "SELECT crashes FROM job"), 0);
    assert_int_equal(ask(q, "SELECT releases FROM job"), 2);
    sound_and_close(q);
}

static void workers_of_other_hosts_are_left_alone(void **state)
{
    struct cf_worker self = {.host = "h1", .boot_id = "boot1"};
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w;
    struct cf_reaped n;

    (void)state;
    add(q, 1);
    w = worker(q, "h2", "boot2", "/nowhere");
    claim_one(q, w, &jobs);
    cf_jobs_free(&jobs);
    assert_int_equal(cf_queue_reap(q, &self, &retry, &n, &err), CF_OK);
    assert_int_equal(n.jobs, 0);
    assert_int_equal(cf_queue_beat(q, w, &err), CF_OK);
    assert_int_equal(ask(q, "SELECT beat FROM worker"), 1);
    assert_int_equal(cf_queue_beat(q, 99, &err), CF_ENOENT);
    sound_and_close(q);
}

/* Claims k at a time and finishes them until nothing is left; tells each id by one write.
 */
static void work(int fd, int k, int naps)
{
    struct cf_jobs jobs = {0};
    struct cf_queue *q;
    struct cf_self self;
    int64_t w;

    if (cf_queue_open(&q, path, MODE(CF_QUEUE_WRITE), NULL) != CF_OK ||
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
            if (cf_queue_finish(q, &jobs.job[i], &output, NULL) != CF_OK)
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
    struct cf_queue *q = fresh();
    int seen[JOBS + 1] = {0}, fd[2], status;
    pid_t pid[PROCS];
    int64_t id;

    (void)state;
    add(q, JOBS);
    assert_int_equal(pipe(fd), 0);
    for (int i = 0; i < PROCS; i++)
        if ((pid[i] = fork()) == 0)
            work(fd[1], 1 + i, 0);
    for (int i = 0; i < PROCS; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    close(fd[1]);
    while (read(fd[0], &id, sizeof id) == sizeof id)
        assert_int_equal(++seen[id], 1);
    close(fd[0]);
    assert_int_equal(in_state(q, CF_JOB_DONE), JOBS);
    sound_and_close(q);
}

static void random_kills_lose_no_job_and_leave_a_sound_file(void **state)
{
    enum { JOBS = 40, KILLS = 12 };
    struct cf_queue *q = fresh();
    unsigned luck = 7;
    int fd[2], status = 1;

    (void)state;
    add(q, JOBS);
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
        sound(q);
    }
    cf_sql_exec(q->db, "UPDATE job SET state = 0 WHERE state = 3", NULL);
    if (fork() == 0)
        work(fd[1], 3, 0);
    wait(&status);
    assert_int_equal(status, 0);
    assert_int_equal(in_state(q, CF_JOB_DONE), JOBS);
    close(fd[0]);
    close(fd[1]);
    sound_and_close(q);
}

static int die(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    (void)name;
    (void)sync;
    _exit(0);
}

/* The child dies where a commit would delete its journal: all is written, nothing holds.
 */
static void a_queue_whose_making_was_cut_off_is_made_again(void **state)
{
    struct cf_error err = {0};
    struct cf_queue *q;
    int status = 1;

    (void)state;
    for (int i = 0; i < 2; i++) {
        cf_queue_close(fresh());
        unlink(path);
        if (fork() == 0) {
            sqlite3_vfs vfs = *sqlite3_vfs_find(NULL);
            sqlite3 *db;

            vfs.zName = "dies";
            vfs.xDelete = die;
            sqlite3_vfs_register(&vfs, 0);
            sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            "dies");
            cf_sql_begin(db, NULL);
            cf_schema_migrate(db, 0, NULL);
            cf_sql_end(db, CF_OK, NULL);
            _exit(1);
        }
        wait(&status);
        assert_int_equal(status, 0);
        if (i)
            assert_int_equal(cf_queue_open(&q, path, MODE(CF_QUEUE_WRITE), &err),
                             CF_EFORMAT);
        q = must_open(CF_QUEUE_CREATE);
        add(q, 1);
        sound_and_close(q);
    }
}

static void many_may_make_the_queue_at_once(void **state)
{
    enum { PROCS = 6 };
    int status;

    (void)state;
    cf_queue_close(fresh());
    unlink(path);
    for (int i = 0; i < PROCS; i++)
        if (fork() == 0) {
            struct cf_error err = {0};
            struct cf_queue *q;

            if (cf_queue_open(&q, path, MODE(CF_QUEUE_CREATE), &err) != CF_OK)
                fprintf(stderr, "# %s\n", err.msg);
            worker(q, "h", "b", NULL);
            cf_queue_close(q);
            _exit(err.status != CF_OK);
        }
    for (int i = 0; i < PROCS; i++) {
        wait(&status);
        assert_int_equal(status, 0);
    }
    struct cf_queue *q = must_open(CF_QUEUE_READ);
    assert_int_equal(ask(q, "SELECT count(*) FROM worker"), PROCS);
    sound_and_close(q);
}

static void a_busy_queue_is_told_and_charges_nobody(void **state)
{
    struct cf_queue *q = fresh(), *other = must_open(CF_QUEUE_WRITE);
    struct cf_error err = {0}, busy = {0};
    struct cf_jobs jobs;
    int64_t w;

    (void)state;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    assert_int_equal(cf_sql_exec(other->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    cf_queue_timeout(q, 50);
    assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &busy), CF_EBUSY);
    cf_sql_exec(other->db, "ROLLBACK", &err);
    claim_one(q, w, &jobs);
    assert_int_equal(cf_sql_exec(other->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    memset(&busy, 0, sizeof busy);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &output, &busy), CF_EBUSY);
    cf_sql_exec(other->db, "ROLLBACK", &err);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &output, &err), CF_OK);
    assert_int_equal(ask(q, "SELECT attempts FROM job"), 0);
    cf_jobs_free(&jobs);
    cf_queue_close(other);
    sound_and_close(q);
}

static void a_full_disk_is_told_and_changes_nothing(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0}, full = {0};
    enum cf_status st = CF_OK;
    char note[60000];
    struct cf_output big = output;
    struct cf_jobs jobs;
    int64_t w;

    (void)state;
    memset(note, 'x', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    big.note = note;
    add(q, 1);
    w = worker(q, "h", "b", NULL);
    claim_one(q, w, &jobs);
    cf_sql_exec(q->db, "PRAGMA max_page_count = 1", &err); /* no page more than now */
    st = cf_queue_finish(q, &jobs.job[0], &big, &full);
    assert_int_equal(st, CF_ENOSPC);
    assert_true(cf_status_environment(st));
    sound(q);
    cf_sql_exec(q->db, "PRAGMA max_page_count = 100000", &err);
    assert_int_equal(cf_queue_finish(q, &jobs.job[0], &big, &err), CF_OK);
    cf_jobs_free(&jobs);
    sound_and_close(q);
}

static void memory_that_runs_out_is_told_and_changes_nothing(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int told = 0, done = 0;
    int64_t w;

    (void)state;
    add(q, 40);
    w = worker(q, "h", "b", NULL);
    for (int i = 0; i < 40; i++) {
        struct cf_error why = {0};
        enum cf_status st;

        sqlite3_db_release_memory(q->db);
        sqlite3_hard_heap_limit64(sqlite3_memory_used() + 16384 * i);
        st = cf_queue_claim(q, w, 1, &jobs, &why);
        if (st == CF_OK)
            st = cf_queue_finish(q, &jobs.job[0], &output, &why);
        sqlite3_hard_heap_limit64(0);
        if (jobs.n && st == CF_ENOMEM)
            assert_int_equal(cf_queue_release(q, &jobs.job[0], "memory", &err), CF_OK);
        cf_jobs_free(&jobs);
        assert_true(st == CF_OK || st == CF_ENOMEM);
        told += st == CF_ENOMEM;
        done += st == CF_OK;
        sound(q);
    }
    assert_true(told > 0 && done > 0);
    assert_int_equal(in_state(q, CF_JOB_DONE), done);
    sound_and_close(q);
}

/* Closing any descriptor of a file drops a process's locks on it: opening a queue for a
 * second time must not do that to the first. */
static void a_second_connection_leaves_the_locks_of_the_first(void **state)
{
    struct cf_queue *q = fresh();
    struct cf_error err = {0};
    int status = 1;

    (void)state;
    assert_int_equal(cf_sql_exec(q->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    cf_queue_close(must_open(CF_QUEUE_READ));
    if (fork() == 0) {
        struct cf_queue *other;
        int64_t w;

        if (cf_queue_open(&other, path, MODE(CF_QUEUE_WRITE), NULL) != CF_OK)
            _exit(2);
        cf_queue_timeout(other, 50);
        _exit(cf_queue_register(other, &(struct cf_worker){0}, &w, NULL) != CF_EBUSY);
    }
    wait(&status);
    assert_int_equal(status, 0);
    cf_sql_exec(q->db, "ROLLBACK", &err);
    sound_and_close(q);
}

static void a_reader_writes_nothing(void **state)
{
    struct cf_queue *q;
    struct cf_jobs jobs;
    int64_t w = 1;

    (void)state;
    cf_queue_close(fresh());
    q = must_open(CF_QUEUE_READ);
    assert_int_equal(cf_queue_register(q, &(struct cf_worker){0}, &w, NULL), CF_EPERM);
    assert_int_equal(cf_queue_claim(q, 1, 1, &jobs, NULL), CF_EPERM);
    sound_and_close(q);
}

static void put(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(name, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Opens in every mode; each must fail with want and leave the file as it was. */
static void refused(const char *name, enum cf_status read, enum cf_status write,
                    enum cf_status create)
{
    const enum cf_status want[] = {read, write, create};
    char before[CF_DIGEST_HEX], after[CF_DIGEST_HEX];

    for (int i = 0; i < 3; i++) {
        struct cf_error err = {0};
        struct cf_queue *q;

        if (want[i] == CF_OK)
            continue;
        assert_int_equal(cf_digest_file(name, before, NULL), CF_OK);
        assert_int_equal(cf_queue_open(&q, name, MODE(i), &err), want[i]);
        assert_null(q);
        assert_int_equal(cf_digest_file(name, after, NULL), CF_OK);
        assert_string_equal(before, after);
    }
}

static void files_that_are_not_ours_are_refused_and_never_written(void **state)
{
    char foreign[64], garbage[64], empty[64], future[64], missing[64], cut[64];
    unsigned char bytes[4096];
    struct cf_queue *q;
    sqlite3 *db;
    FILE *f;

    (void)state;
    snprintf(foreign, sizeof foreign, "%s/foreign.db", dir);
    snprintf(garbage, sizeof garbage, "%s/garbage.db", dir);
    snprintf(empty, sizeof empty, "%s/empty.db", dir);
    snprintf(future, sizeof future, "%s/future.db", dir);
    snprintf(missing, sizeof missing, "%s/missing.db", dir);
    snprintf(cut, sizeof cut, "%s/cut.db", dir);

    assert_int_equal(sqlite3_open(foreign, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE job(x)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    refused(foreign, CF_ECONFIG, CF_ECONFIG, CF_ECONFIG);

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    put(garbage, bytes, sizeof bytes);
    refused(garbage, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);
    put(garbage, "x", 1);
    refused(garbage, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);

    put(empty, "", 0);
    refused(empty, CF_EFORMAT, CF_EFORMAT, CF_OK);
    assert_int_equal(cf_queue_open(&q, empty, MODE(CF_QUEUE_CREATE), NULL), CF_OK);
    sound_and_close(q);

    assert_int_equal(cf_queue_open(&q, future, MODE(CF_QUEUE_CREATE), NULL), CF_OK);
    cf_sql_exec(q->db, "PRAGMA user_version = 2000", NULL);
    cf_queue_close(q);
    refused(future, CF_ECONFIG, CF_ECONFIG, CF_ECONFIG);
    assert_int_equal(cf_schema_usable(CF_SCHEMA_VERSION + 1, false, NULL), CF_OK);
    assert_int_equal(cf_schema_usable(CF_SCHEMA_VERSION + 1, true, NULL), CF_ECONFIG);

    /* Ours, but cut in the middle. */
    q = fresh();
    add(q, 1);
    cf_queue_close(q);
    f = fopen(path, "rb");
    assert_int_equal(fread(bytes, 1, sizeof bytes, f), sizeof bytes);
    fclose(f);
    put(cut, bytes, sizeof bytes);
    refused(cut, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);
    put(cut, bytes, 700);
    refused(cut, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);

    assert_int_equal(cf_queue_open(&q, missing, MODE(CF_QUEUE_WRITE), NULL), CF_ENOENT);
    assert_int_equal(cf_queue_open(&q, missing, MODE(CF_QUEUE_READ), NULL), CF_ENOENT);
    assert_int_equal(access(missing, F_OK), -1);
    assert_int_equal(cf_queue_open(&q, dir, MODE(CF_QUEUE_CREATE), NULL), CF_EFORMAT);
    assert_int_equal(cf_queue_open(&q, "/nowhere/q.db", MODE(CF_QUEUE_CREATE), NULL),
                     CF_ENOENT);
    assert_int_equal(cf_queue_open(&q, "", MODE(CF_QUEUE_CREATE), NULL), CF_EUSAGE);
}

/* Root may write anywhere, so the question is put as somebody else. */
static void a_directory_without_write_permission_is_refused(void **state)
{
    struct cf_error err = {0};
    struct cf_queue *q;
    char name[64];
    int status;

    (void)state;
    cf_queue_close(fresh());
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    if (fork() == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(0);
        snprintf(name, sizeof name, "%s/new.db", dir);
        if (cf_queue_open(&q, name, MODE(CF_QUEUE_CREATE), NULL) != CF_EPERM)
            _exit(1);
        if (cf_queue_open(&q, path, MODE(CF_QUEUE_WRITE), NULL) != CF_EPERM)
            _exit(2);
        if (cf_queue_open(&q, path, MODE(CF_QUEUE_READ), &err) != CF_OK) {
            fprintf(stderr, "# %s\n", err.msg);
            _exit(3);
        }
        cf_queue_close(q);
        _exit(0);
    }
    wait(&status);
    chmod(dir, 0700);
    chmod(path, 0644);
    assert_int_equal(status, 0);
}

static void shared_file_systems_are_known(void **state)
{
    (void)state;
    assert_string_equal(cf_fs_shared(0x6969), "NFS");
    assert_string_equal(cf_fs_shared((unsigned long)(int)0xff534d42), "CIFS");
    assert_non_null(cf_fs_shared(0x0bd00bd0));
    assert_null(cf_fs_shared(0xef53));     /* ext4 */
    assert_null(cf_fs_shared(0x794c7630)); /* overlayfs */
    assert_null(cf_fs_shared(0x01021994)); /* tmpfs */
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/q.db", dir);
    return chmod(dir, 0755);
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
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
        cmocka_unit_test(a_clock_set_back_costs_one_backoff),
        cmocka_unit_test(a_killed_worker_gives_its_jobs_back),
        cmocka_unit_test(the_lock_file_of_a_dead_worker_goes_and_that_of_a_living_stays),
        cmocka_unit_test(a_job_that_kills_its_workers_ends_as_crash_loop),
        cmocka_unit_test(a_job_that_kills_its_workers_fails_alone),
        cmocka_unit_test(a_worker_thought_dead_that_claims_again_can_still_die),
        cmocka_unit_test(a_reboot_or_a_slurm_restart_charges_nobody),
        cmocka_unit_test(workers_of_other_hosts_are_left_alone),
        cmocka_unit_test(four_processes_never_do_a_job_twice),
        cmocka_unit_test(random_kills_lose_no_job_and_leave_a_sound_file),
        cmocka_unit_test(a_queue_whose_making_was_cut_off_is_made_again),
        cmocka_unit_test(many_may_make_the_queue_at_once),
        cmocka_unit_test(a_busy_queue_is_told_and_charges_nobody),
        cmocka_unit_test(a_full_disk_is_told_and_changes_nothing),
        cmocka_unit_test(memory_that_runs_out_is_told_and_changes_nothing),
        cmocka_unit_test(a_second_connection_leaves_the_locks_of_the_first),
        cmocka_unit_test(a_reader_writes_nothing),
        cmocka_unit_test(files_that_are_not_ours_are_refused_and_never_written),
        cmocka_unit_test(a_directory_without_write_permission_is_refused),
        cmocka_unit_test(shared_file_systems_are_known),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
