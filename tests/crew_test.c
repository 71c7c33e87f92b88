/* crew_test.c - workers that die are replaced, and those whose parent dies leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/crew.h"

/* What the children share with the test. */
static struct {
    atomic_int started, ended, pid[64];
} * seen;

static int set_up(void **state)
{
    (void)state;
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    return seen == MAP_FAILED;
}

static int again(void **state)
{
    (void)state;
    atomic_store(&seen->started, 0);
    atomic_store(&seen->ended, 0);
    return 0;
}

/* Which of all children this is, from 0. */
static int count_me(void)
{
    int n = atomic_fetch_add(&seen->started, 1);

    atomic_store(&seen->pid[n], (int)getpid());
    return n;
}

static void wait_until(atomic_int *what, int n)
{
    for (int i = 0; i < 2000 && atomic_load(what) < n; i++)
        usleep(10000);
    assert_true(atomic_load(what) >= n);
}

static struct cf_crew_sum run(int workers,
                              int (*work)(void *, struct cf_crew_share *, int),
                              struct cf_crew_result *result)
{
    struct cf_crew_options o = {.workers = workers, .deaths_max = 3, .work = work};
    struct cf_crew_share *share;
    struct cf_error err = {0};
    struct cf_crew_sum sum;

    assert_int_equal(cf_crew_run(&o, &share, result, &err), CF_OK);
    sum = cf_crew_sum(share);
    cf_crew_close(share);
    return sum;
}

static int dies_once(void *ctx, struct cf_crew_share *share, int index)
{
    (void)ctx;
    atomic_fetch_add(&share->slot[index].done, 1);
    if (count_me() == 0)
        raise(SIGKILL);
    return 0;
}

static void who_dies_is_replaced_and_counts(void **state)
{
    struct cf_crew_result result;

    (void)state;
    assert_int_equal(run(2, dies_once, &result).done, 3);
    assert_int_equal(atomic_load(&seen->started), 3);
    assert_int_equal(result.status, 0);
    assert_false(result.orphans);
}

static int always_dies(void *ctx, struct cf_crew_share *share, int index)
{
    (void)ctx;
    (void)share;
    (void)index;
    count_me();
    raise(SIGKILL);
    return 0;
}

static void deaths_without_a_finished_job_end_the_crew(void **state)
{
    struct cf_crew_result result;

    (void)state;
    run(1, always_dies, &result);
    assert_int_equal(atomic_load(&seen->started), 4);
    assert_int_equal(result.status, 70);
    assert_true(result.orphans);
}

static int dies_after_work(void *ctx, struct cf_crew_share *share, int index)
{
    (void)ctx;
    atomic_fetch_add(&share->slot[index].done, 1);
    if (count_me() < 9)
        raise(SIGKILL);
    return 0;
}

static void deaths_with_work_between_them_do_not(void **state)
{
    struct cf_crew_result result;

    (void)state;
    assert_int_equal(run(1, dies_after_work, &result).done, 10);
    assert_int_equal(result.status, 0);
}

static int some_status(void *ctx, struct cf_crew_share *share, int index)
{
    static const int status[] = {0, 75, 74, 1};

    (void)ctx;
    (void)share;
    count_me();
    return status[index];
}

static void the_worst_status_counts_and_order_is_not_replaced(void **state)
{
    struct cf_crew_result result;

    (void)state;
    run(4, some_status, &result);
    assert_int_equal(result.status, 74);
    assert_int_equal(atomic_load(&seen->started), 4);
    assert_int_equal(cf_crew_worse(1, 75), 75);
    assert_int_equal(cf_crew_worse(75, 1), 75);
    assert_int_equal(cf_crew_worse(0, 1), 1);
    assert_int_equal(cf_crew_worse(70, 74), 70);
    assert_int_equal(cf_crew_worse(75, 64), 64);
}

static int until_told(void *ctx, struct cf_crew_share *share, int index)
{
    (void)ctx;
    (void)index;
    count_me();
    while (!atomic_load(&share->stop))
        usleep(5000);
    atomic_fetch_add(&seen->ended, 1);
    return 75;
}

static void *tell(void *arg)
{
    (void)arg;
    wait_until(&seen->started, 2);
    kill(getpid(), SIGTERM);
    return NULL;
}

/* The test tells from a child of its own: the parent of a crew has one thread. */
static void a_signal_to_the_parent_reaches_all(void **state)
{
    struct cf_crew_result result;
    pid_t parent = getpid(), teller = fork();

    (void)state;
    assert_true(teller >= 0);
    if (teller == 0) {
        wait_until(&seen->started, 2);
        kill(parent, SIGTERM);
        _exit(0);
    }
    run(2, until_told, &result);
    assert_int_equal(waitpid(teller, NULL, 0), teller);
    assert_int_equal(atomic_load(&seen->ended), 2);
    assert_int_equal(result.status, 75);
}

static int until_term(void *ctx, struct cf_crew_share *share, int index)
{
    sigset_t term;
    int sig;

    (void)ctx;
    (void)share;
    (void)index;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    count_me();
    sigwait(&term, &sig);
    atomic_fetch_add(&seen->ended, 1);
    return 75;
}

static void children_hear_when_the_parent_is_killed(void **state)
{
    struct cf_crew_result result;
    pid_t parent = fork();

    (void)state;
    assert_true(parent >= 0);
    if (parent == 0) {
        run(2, until_term, &result);
        _exit(0);
    }
    wait_until(&seen->started, 2);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    wait_until(&seen->ended, 2);
}

static void a_parent_with_threads_is_refused(void **state)
{
    struct cf_crew_options o = {.workers = 1, .work = some_status};
    struct cf_crew_result result;
    struct cf_crew_share *share;
    struct cf_error err = {0};
    pthread_t thread;
    sigset_t term, was;

    (void)state;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &was);
    assert_int_equal(pthread_create(&thread, NULL, tell, NULL), 0);
    assert_int_equal(cf_crew_run(&o, &share, &result, &err), CF_EBUG);
    atomic_store(&seen->started, 2);
    pthread_join(thread, NULL);
    sigtimedwait(&term, NULL, &(struct timespec){0, 0});
    pthread_sigmask(SIG_SETMASK, &was, NULL);
}

static void processors_are_divided_and_none_is_left_over(void **state)
{
    cpu_set_t all, part, sum, both;

    (void)state;
    CPU_ZERO(&all);
    for (int i = 1; i < 15; i += 2)
        CPU_SET(i, &all); /* 7 */
    CPU_ZERO(&sum);
    for (int i = 0; i < 3; i++) {
        cf_crew_slice(&all, i, 3, &part);
        CPU_AND(&both, &part, &sum);
        assert_int_equal(CPU_COUNT(&both), 0);
        assert_in_range(CPU_COUNT(&part), 2, 3);
        CPU_OR(&sum, &sum, &part);
    }
    assert_true(CPU_EQUAL(&sum, &all));
    cf_crew_slice(&all, 2, 8, &part);
    assert_true(CPU_EQUAL(&part, &all));
}

static void no_more_than_the_bound_is_reserved(void **state)
{
    struct cf_crew_share *share = calloc(1, sizeof *share);

    (void)state;
    assert_non_null(share);
    assert_int_equal(cf_crew_reserve(share, 0, 4, 10), 4);
    assert_int_equal(cf_crew_reserve(share, 1, 4, 10), 4);
    assert_int_equal(cf_crew_reserve(share, 0, 4, 10), 2);
    assert_int_equal(cf_crew_reserve(share, 1, 4, 10), 0);
    cf_crew_unreserve(share, 0, 3);
    assert_int_equal(cf_crew_reserve(share, 1, 4, 10), 3);
    free(share);
}

static int dies_with_work(void *ctx, struct cf_crew_share *share, int index)
{
    int n;

    (void)ctx;
    n = cf_crew_reserve(share, index, 8, 10);
    if (count_me() == 0) {
        atomic_store(&share->slot[index].ended, 1);
        raise(SIGKILL);
    }
    return n == 8 && cf_crew_reserve(share, index, 8, 10) == 1 ? 0 : 1;
}

static void what_a_dead_worker_had_begun_is_not_counted(void **state)
{
    struct cf_crew_result result;

    (void)state;
    run(1, dies_with_work, &result);
    assert_int_equal(result.status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_dies_is_replaced_and_counts, again),
        cmocka_unit_test_setup(deaths_without_a_finished_job_end_the_crew, again),
        cmocka_unit_test_setup(deaths_with_work_between_them_do_not, again),
        cmocka_unit_test_setup(the_worst_status_counts_and_order_is_not_replaced, again),
        cmocka_unit_test_setup(a_signal_to_the_parent_reaches_all, again),
        cmocka_unit_test_setup(children_hear_when_the_parent_is_killed, again),
        cmocka_unit_test_setup(a_parent_with_threads_is_refused, again),
        cmocka_unit_test_setup(processors_are_divided_and_none_is_left_over, again),
        cmocka_unit_test_setup(what_a_dead_worker_had_begun_is_not_counted, again),
        cmocka_unit_test_setup(no_more_than_the_bound_is_reserved, again),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
