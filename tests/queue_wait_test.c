/* queue_wait_test.c - what comes from outside: other processes, disks, clocks, silence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "jobs/db.h"
#include "jobs/self.h"
#include "tests/queue_util.h"

static long long set_at;

static void *set_soon(void *arg)
{
    struct cf_cancel *c = arg;

    usleep(150 * 1000);
    set_at = cf_clock_ms();
    cf_cancel_set(c);
    return NULL;
}

static void a_wait_ends_within_a_tenth_of_a_second_of_the_flag(void **state)
{
    struct cf_queue *q = util_fresh(1), *other = util_open(CF_QUEUE_WRITE);
    struct cf_cancel stop = {0};
    struct cf_error err = {0};
    struct cf_jobs jobs;
    int64_t w = util_worker(q);
    pthread_t thread;
    long long ended;

    (void)state;
    cf_queue_cancel(q, &stop);
    assert_int_equal(cf_sql_exec(other->db, "BEGIN EXCLUSIVE", NULL), CF_OK);
    assert_int_equal(pthread_create(&thread, NULL, set_soon, &stop), 0);
    assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &err), CF_ECANCEL);
    ended = cf_clock_ms();
    pthread_join(thread, NULL);
    assert_in_range(ended - set_at, 0, 100);
    assert_int_equal(cf_queue_beat(q, w, NULL), CF_ECANCEL);
    assert_non_null(strstr(err.msg, util_db));
    cf_sql_exec(other->db, "ROLLBACK", NULL);
    util_hold(q, w); /* what need not wait is done though the flag is set */
    cf_queue_cancel(q, NULL);
    cf_queue_close(other);
    util_close(q);
}

static int failing; /* errno of every write to a file, 0: none */

static ssize_t no_pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (!failing)
        return pwrite(fd, data, n, at);
    errno = failing;
    return -1;
}

static void a_disk_that_takes_nothing_is_told_by_its_cause(void **state)
{
    static const struct {
        int errnum;
        enum cf_status want;
    } table[] = {
        {EDQUOT, CF_ENOSPC}, {ENOSPC, CF_ENOSPC}, {EROFS, CF_EPERM}, {EIO, CF_EIO}};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    struct cf_queue *q = util_fresh(1);
    struct cf_jobs jobs;
    int64_t w = util_worker(q);

    (void)state;
    vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)no_pwrite);
    vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)no_pwrite);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct cf_error err = {0};
        enum cf_status st;

        failing = table[i].errnum;
        st = cf_queue_claim(q, w, 1, &jobs, &err);
        failing = 0;
        if (st != table[i].want)
            print_error("%s\n", err.msg);
        assert_int_equal(st, table[i].want);
        assert_non_null(strstr(err.msg, util_db));
        util_sound(q);
    }
    vfs->xSetSystemCall(vfs, "pwrite", NULL);
    vfs->xSetSystemCall(vfs, "pwrite64", NULL);
    util_hold(q, w);
    util_close(q);
}

static void
results_of_a_shard_have_no_log_and_a_killed_writer_is_rolled_back(void **state)
{
    struct cf_queue *q;
    struct stat sb;
    char name[128];

    (void)state;
    cf_queue_close(util_fresh(0));
    unlink(util_db);
    q = util_open((enum cf_queue_mode)(CF_QUEUE_CREATE | CF_QUEUE_SHARD));
    util_add(q, 3);
    util_hold(q, util_worker(q));
    snprintf(name, sizeof name, "%s-wal", util_db);
    assert_int_equal(access(name, F_OK), -1);
    cf_queue_close(q);
    if (fork() == 0) {
        q = util_open((enum cf_queue_mode)(CF_QUEUE_WRITE | CF_QUEUE_SHARD));
        cf_sql_exec(q->db, "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;", NULL);
        cf_sql_begin(q->db, NULL);
        cf_sql_exec(q->db,
                    "UPDATE job SET releases = 7;"
                    "INSERT INTO meta SELECT 'k' || value, hex(zeroblob(2000)) FROM"
                    " json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]')",
                    NULL);
        _exit(0);
    }
    util_wait(-1);
    snprintf(name, sizeof name, "%s-journal", util_db);
    assert_int_equal(stat(name, &sb), 0);
    assert_true(sb.st_size > 0);
    q = util_open(CF_QUEUE_READ);
    assert_int_equal(util_ask(q, "SELECT sum(releases) FROM job"), 0);
    assert_int_equal(cf_sql_exec(q->db, "DELETE FROM stat", NULL), CF_EPERM);
    util_close(q);
}

static int64_t wall, boot; /* what the clocks of a test show */

static int64_t shown_wall(void)
{
    return wall;
}

static int64_t shown_boot(void)
{
    return boot;
}

static int reap_as(struct cf_queue *q, const char *host)
{
    struct cf_worker self = {.host = host, .boot_id = "boot"};
    struct cf_error err = {0};
    struct cf_reaped n;

    assert_int_equal(cf_queue_reap(q, &self, &util_retry, &n, &err), CF_OK);
    return n.jobs;
}

static void a_clock_that_jumps_reaps_nobody_and_delays_one_backoff_at_most(void **state)
{
    const int64_t day = 86400000, jump[] = {day, -day, 365 * day, -365 * day};
    const struct cf_error why = {CF_ENUMERIC, "not finite"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct cf_queue *q = util_fresh(2);
        struct cf_error err = {0};
        struct cf_jobs jobs;
        struct cf_self self;
        struct cf_reaped n;
        int64_t w, foreign;
        int seconds;
        bool final;

        q->wall_ms = shown_wall;
        wall = cf_now_ms();
        assert_int_equal(cf_self_open(&self, util_dir, "b", "c", &err), CF_OK);
        assert_int_equal(cf_queue_register(q, &self.worker, &w, &err), CF_OK);
        foreign = util_worker_of(q, "elsewhere", "boot", "/nowhere");
        util_hold(q, foreign);
        util_claim(q, w, &jobs);
        cf_queue_watch(q, 300000, &err);
        wall += jump[i];
        assert_int_equal(cf_queue_reap(q, &self.worker, &util_retry, &n, &err), CF_OK);
        assert_int_equal(n.jobs, 0);
        wall -= jump[i];
        assert_int_equal(cf_queue_fail(q, &jobs.job[0], &why, &util_retry, &final, &err),
                         CF_OK);
        cf_jobs_free(&jobs);
        wall += jump[i];
        assert_int_equal(cf_queue_next_due(q, &seconds, &err), CF_OK);
        assert_in_range(seconds, 0, 60);
        assert_int_equal(cf_queue_claim(q, w, 1, &jobs, &err), CF_OK);
        assert_int_equal(jobs.n, jump[i] > 0);
        cf_jobs_free(&jobs);
        wall += 60000;
        if (jump[i] < 0)
            util_hold(q, w);
        cf_self_close(&self);
        util_close(q);
    }
}

static void a_silent_worker_of_another_host_is_dead_by_our_own_clock(void **state)
{
    struct cf_queue *q = util_fresh(3);
    struct cf_error err = {0};
    int64_t far, mute;

    (void)state;
    q->boot_ms = shown_boot;
    q->wall_ms = shown_wall;
    boot = 1000;
    far = util_worker_of(q, "far", "other", "/nowhere");
    mute = util_worker_of(q, "here", "boot", NULL); /* without a lock */
    util_hold(q, far);
    util_hold(q, mute);
    assert_int_equal(cf_queue_watch(q, 0, NULL), CF_ERANGE);
    boot += 1000000;
    assert_int_equal(reap_as(q, "here"), 0); /* no watch */
    assert_int_equal(cf_queue_watch(q, 300000, &err), CF_OK);
    assert_int_equal(reap_as(q, "here"), 0); /* the first look */
    boot += 299999;
    assert_int_equal(reap_as(q, "here"), 0);
    assert_int_equal(cf_queue_beat(q, far, &err), CF_OK);
    boot += 1;
    wall += 1000000000;
    assert_int_equal(reap_as(q, "here"), 1); /* mute */
    assert_int_equal(util_ask(q, "SELECT ended IS NULL FROM worker WHERE id = 1"), 1);
    boot += 299999;
    assert_int_equal(reap_as(q, "here"), 0);
    boot += 1;
    assert_int_equal(reap_as(q, "here"), 1);
    assert_int_equal(util_ask(q, "SELECT sum(crashes) FROM job"), 2);
    util_hold(q, far); /* it was only slow: it is not dead at once again */
    boot += 1000;
    assert_int_equal(reap_as(q, "here"), 0);
    util_close(q);
}

static void in_use_is_a_lock_that_somebody_else_of_this_host_holds(void **state)
{
    struct cf_queue *q = util_fresh(0);
    struct cf_self a, b;
    bool in_use = true;
    int64_t w;

    (void)state;
    assert_int_equal(cf_self_open(&a, util_dir, "b", "c", NULL), CF_OK);
    assert_int_equal(cf_queue_register(q, &a.worker, &w, NULL), CF_OK);
    util_worker_of(q, a.host, a.boot_id, "/nowhere");
    util_worker_of(q, "far", "boot", a.lock_path);
    assert_int_equal(cf_queue_in_use(q, &a.worker, &in_use, NULL), CF_OK);
    assert_false(in_use);
    assert_int_equal(cf_self_open(&b, util_dir, "b", "c", NULL), CF_OK);
    assert_int_equal(cf_queue_in_use(q, &b.worker, &in_use, NULL), CF_OK);
    assert_true(in_use);
    cf_self_close(&a);
    assert_int_equal(cf_queue_in_use(q, &b.worker, &in_use, NULL), CF_OK);
    assert_false(in_use);
    cf_self_close(&b);
    util_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_within_a_tenth_of_a_second_of_the_flag),
        cmocka_unit_test(a_disk_that_takes_nothing_is_told_by_its_cause),
        cmocka_unit_test(
            results_of_a_shard_have_no_log_and_a_killed_writer_is_rolled_back),
        cmocka_unit_test(a_clock_that_jumps_reaps_nobody_and_delays_one_backoff_at_most),
        cmocka_unit_test(a_silent_worker_of_another_host_is_dead_by_our_own_clock),
        cmocka_unit_test(in_use_is_a_lock_that_somebody_else_of_this_host_holds),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
