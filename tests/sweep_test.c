/* sweep_test.c - what killed processes leave behind, and what a sweep may take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/file.h>
#include <time.h>

#include "store/sink.h"
#include "tests/store_calls.h"

static int killed_in_the_middle(void)
{
    struct cf_error err = {0};
    struct cf_sink *sink = open_sink();

    fault_arm(fault.call, 1, -1);
    put_sync(sink, STEM, "new", &err);
    return 0;
}

static void a_kill_leaves_the_old_file_and_a_sweep_cleans(void **state)
{
    static const char *const call[] = {"write", "fdatasync", "renameat", "fsync"};
    struct cf_sink *sink = open_sink();
    struct cf_error err = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        int n = -1;

        assert_int_equal(put_sync(sink, STEM, "old", &err), CF_OK);
        fault.call = call[i];
        fault.nth = INT32_MAX; /* the child's open_sink runs through */
        assert_int_equal(in_child(killed_in_the_middle), -SIGKILL);
        fault_arm(NULL, 0, 0);
        expect_content(PATH, i < 3 ? "old" : "new");
        assert_int_equal(temps(), i < 3 ? 1 : 0);
        assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
        assert_int_equal(n, i < 3 ? 1 : 0);
        assert_int_equal(temps(), 0);
    }
    cf_sink_close(sink);
}

/* A PID that was alive a moment ago. */
static pid_t dead_pid(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    return pid;
}

static int touch(const char *dir, const char *fmt, long pid)
{
    char path[400], name[200];

    snprintf(name, sizeof name, fmt, pid);
    snprintf(path, sizeof path, "%s/%s/%s", root, dir, name);
    return open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
}

static void a_sweep_takes_only_what_is_surely_dead(void **state)
{
    static const char *const alike[] = {
        ".tmp-%ld-" STEM,    ".tmp-%ld-0-" STEM "0",     ".tmp-%ld-0-0123",
        "x.tmp-%ld-0-" STEM, ".tmp-0%ld-0-" STEM,        ".tmp--%ld-0-" STEM,
        ".tmp-%ld--0-" STEM, ".tmp-%ld-0-" STEM ".webp", ".tmp-1234567890%ld-0-" STEM,
        ".tmp-%ld-00-" STEM, "_tmp-%ld-0-" STEM};
    struct cf_sink *sink = open_sink();
    long dead = dead_pid();
    struct cf_error err = {0};
    char path[400];
    int n, held;

    (void)state;
    assert_int_equal(put(sink, STEM, "old", &err), CF_OK);
    close(touch("01/23", ".tmp-%ld-0-" STEM, dead));
    close(touch("01", ".tmp-%ld-12-" STEM, dead));
    close(touch("", ".tmp-%ld-0-" STEM, dead));
    /* alive: init, ourselves, and a file somebody holds, whatever its PID means here */
    close(touch("01/23", ".tmp-%ld-0-" STEM, 1));
    close(touch("01/23", ".tmp-%ld-0-" STEM, getpid()));
    held = touch("01/23", ".tmp-%ld-7-" STEM, dead);
    assert_int_equal(flock(held, LOCK_EX), 0);
    for (size_t i = 0; i < sizeof alike / sizeof alike[0]; i++)
        close(touch("01/23", alike[i], dead));
    /* no files, and no directories of ours */
    snprintf(path, sizeof path, "%s/01/.tmp-%ld-1-" STEM, root, dead);
    assert_int_equal(symlink("23/" STEM ".webp", path), 0);
    snprintf(path, sizeof path, "%s/01/.tmp-%ld-2-" STEM, root, dead);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/01/.tmp-%ld-3-" STEM, root, dead);
    assert_int_equal(mkfifo(path, 0666), 0);
    snprintf(path, sizeof path, "%s/other", root);
    assert_int_equal(mkdir(path, 0777), 0);
    close(touch("other", ".tmp-%ld-0-" STEM, dead));

    assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
    assert_int_equal(n, 3);
    assert_int_equal(count("-name '*tmp*'"), 3 + 11 + 3 + 1);
    expect_content(PATH, "old");
    close(held);
    assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
    assert_int_equal(n, 1);
    cf_sink_close(sink);
}

static void a_sweep_leaves_growing_tars_alone(void **state)
{
    struct cf_sink *sink = open_sink();
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct cf_error err = {0};
    int n, fd = touch("", "00000.tar.part", 0);

    (void)state;
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
    close(touch("", "00000.jsonl.part", 0));
    assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
    assert_int_equal(n, 0);
    assert_int_equal(count("-name '*.part'"), 2);
    cf_sink_close(sink);
}

static void without_locks_only_old_files_are_swept(void **state)
{
    struct cf_sink *sink = open_sink();
    struct timespec old[2] = {{.tv_sec = time(NULL) - 7200},
                              {.tv_sec = time(NULL) - 7200}};
    struct cf_error err = {0};
    long dead = dead_pid();
    int n, fd;

    (void)state;
    close(touch("", ".tmp-%ld-0-" STEM, dead));
    fd = touch("", ".tmp-%ld-1-" STEM, dead);
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
    fault_arm("flock", 1, ENOSYS);
    fault.forever = true;
    assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
    assert_int_equal(n, 1);
    assert_int_equal(temps(), 1);
    cf_sink_close(sink);
}

static void litter_of_an_earlier_process_with_our_pid_does_not_block(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(put(sink, STEM, "old", &err), CF_OK);
    for (int i = 0; i < 3; i++) {
        char name[80];

        snprintf(name, sizeof name, ".tmp-%%ld-%d-" STEM, i);
        close(touch("01/23", name, getpid()));
    }
    assert_int_equal(put(sink, STEM, "new", &err), CF_OK);
    expect_content(PATH, "new");
    cf_sink_close(sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_leaves_the_old_file_and_a_sweep_cleans),
        TEST(a_sweep_takes_only_what_is_surely_dead),
        TEST(a_sweep_leaves_growing_tars_alone),
        TEST(without_locks_only_old_files_are_swept),
        TEST(litter_of_an_earlier_process_with_our_pid_does_not_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
