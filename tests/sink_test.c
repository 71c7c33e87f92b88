/* sink_test.c - files whole or not at all: what is on disk after every way to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "store/sink.h"
#include "tests/store_calls.h"
#include "tests/store_fail.h"

enum { NOBODY = 65534 };

/* ---- the way it should go ---- */

static void a_file_lies_where_its_name_says(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_blob blob = {.data = (uint8_t *)(uintptr_t) "one", .size = 3};
    struct cf_error err = {0};
    char path[CF_SINK_PATH];

    (void)state;
    assert_int_equal(count("-mindepth 1"), 0); /* the probe is gone */
    assert_int_equal(cf_sink_put(sink, STEM, &blob, path, &err), CF_OK);
    assert_string_equal(path, PATH);
    expect_content(PATH, "one");
    assert_int_equal(put(sink, STEM, "other", &err), CF_OK);
    expect_content(PATH, "other");
    assert_int_equal(put(sink, "01230000000000000000000000000000", "", &err), CF_OK);
    expect_content("01/23/01230000000000000000000000000000.webp", "");
    assert_int_equal(temps(), 0);
    cf_sink_close(sink);
    cf_sink_close(open_sink()); /* a root that is there is fine */
    cf_sink_close(NULL);
}

static void everything_is_on_disk_before_the_next_step(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_error err = {0};

    (void)state;
    fault_arm(NULL, 0, 0);
    assert_int_equal(put_sync(sink, STEM, "one", &err), CF_OK);
    assert_string_equal(fault.trace,
                        "open mkdirat open open mkdirat open create flock write "
                        "fdatasync close renameat close close "
                        "open fsync close open fsync close open open close fsync close ");
    fault_arm(NULL, 0, 0); /* the directories are known now */
    assert_int_equal(put_sync(sink, STEM, "two", &err), CF_OK);
    assert_string_equal(fault.trace,
                        "open open create flock write fdatasync close renameat "
                        "close close open open close fsync close ");
    cf_sink_close(sink);
    /* Directories that somebody else made may not be on disk yet. */
    sink = open_sink();
    fault_arm("fsync", 99, 0);
    assert_int_equal(put_sync(sink, STEM, "three", &err), CF_OK);
    assert_int_equal(fault.seen, 3);
    cf_sink_close(sink);
}

static void a_batch_syncs_each_directory_once(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_error err = {0};
    char stem[33];

    (void)state;
    fault_arm("fsync", 99, 0);
    for (int i = 0; i < 12; i++) {
        snprintf(stem, sizeof stem, "0%d0%d%028d", i % 2, i % 3, i);
        assert_int_equal(put(sink, stem, "x", &err), CF_OK);
    }
    assert_int_equal(fault.seen, 0);
    assert_int_equal(cf_sink_sync(sink, &err), CF_OK);
    assert_int_equal(fault.seen, 1 + 2 + 6);
    assert_int_equal(cf_sink_sync(sink, &err), CF_OK);
    assert_int_equal(fault.seen, 1 + 2 + 6); /* nothing new, nothing to do */
    assert_int_equal(put_sync(sink, stem, "y", &err), CF_OK);
    assert_int_equal(fault.seen, 1 + 2 + 6 + 1);
    cf_sink_close(sink);
}

static void after_a_failed_sync_nothing_of_the_batch_counts(void **state)
{
    char stem[33];

    (void)state;
    for (int nth = 1; nth <= 5; nth++) { /* the root, 2 below it, 2 below these */
        struct cf_sink *sink;
        struct cf_error err = {0}, ok = {0};

        snprintf(root, sizeof root, "%.40s/out%d", here, nth);
        sink = open_sink();
        for (int i = 0; i < 2; i++) {
            snprintf(stem, sizeof stem, "%02d%030d", i, 0);
            assert_int_equal(put(sink, stem, "x", &ok), CF_OK);
        }
        fault_arm("fsync", nth, EIO);
        assert_int_equal(cf_sink_sync(sink, &err), CF_EIO);
        assert_non_null(strstr(err.msg, root));
        fault_arm("fsync", 99, 0);
        for (int i = 0; i < 2; i++) {
            snprintf(stem, sizeof stem, "%02d%030d", i, 0);
            assert_int_equal(put(sink, stem, "x", &ok), CF_OK);
        }
        assert_int_equal(cf_sink_sync(sink, &ok), CF_OK);
        assert_int_equal(fault.seen, 5); /* all anew */
        cf_sink_close(sink);
    }
}

static void short_and_interrupted_writes_go_on(void **state)
{
    static const struct {
        const char *call;
        int errnum;
    } c[] = {{"write", 0},        {"write", EINTR},  {"fdatasync", EINTR},
             {"fsync", EINTR},    {"create", EINTR}, {"open", EINTR},
             {"close", EINTR},    {"flock", ENOSYS}, {"create", EEXIST},
             {"mkdirat", EEXIST}, {"fsync", EINVAL}};
    struct cf_sink *sink = open_sink();

    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};
        char text[40];

        snprintf(text, sizeof text, "a longer text %zu", i);
        if (c[i].errnum == EEXIST && strcmp(c[i].call, "mkdirat") == 0) {
            char dir[200]; /* another process was faster */

            snprintf(dir, sizeof dir, "%s/01/23/" STEM ".webp", root);
            assert_int_equal(unlink(dir), 0);
        }
        fault_arm(c[i].call, 1, c[i].errnum);
        assert_int_equal(put_sync(sink, STEM, text, &err), CF_OK);
        expect_content(PATH, text);
        assert_int_equal(temps(), 0);
    }
    cf_sink_close(sink);
}

/* ---- every way to fail ---- */

static const struct {
    const char *call;
    int nth, errnum;
    enum cf_status status;
    bool replaced; /* the failure came after the rename */
} failures[] = {
    {"create", 1, ENOSPC, CF_ENOSPC, false},
    {"create", 1, EDQUOT, CF_ENOSPC, false},
    {"create", 1, EROFS, CF_EPERM, false},
    {"create", 1, EACCES, CF_EPERM, false},
    {"create", 1, EIO, CF_EIO, false},
    {"create", 1, ENOENT, CF_ECREAT, false},
    {"create", 1, EMFILE, CF_EIO, false},
    {"write", 1, ENOSPC, CF_ENOSPC, false},
    {"write", 1, EDQUOT, CF_ENOSPC, false},
    {"write", 1, EIO, CF_EIO, false},
    {"write", 1, EROFS, CF_EPERM, false},
    {"write", 1, EFBIG, CF_EIO, false},
    {"fdatasync", 1, EIO, CF_EIO, false},
    {"fdatasync", 1, ENOSPC, CF_ENOSPC, false},
    {"fdatasync", 1, EDQUOT, CF_ENOSPC, false},
    {"fdatasync", 1, EROFS, CF_EPERM, false},
    {"close", 1, EIO, CF_EIO, false},
    {"close", 1, EDQUOT, CF_ENOSPC, false},
    {"renameat", 1, EIO, CF_EIO, false},
    {"renameat", 1, ENOSPC, CF_ENOSPC, false},
    {"renameat", 1, EROFS, CF_EPERM, false},
    {"renameat", 1, ENOENT, CF_ECREAT, false},
    {"fsync", 1, EIO, CF_EIO, true},
    {"fsync", 1, ENOSPC, CF_ENOSPC, true},
    {"open", 1, EACCES, CF_EPERM, false},
    {"open", 2, EIO, CF_EIO, false},
    {"open", 1, ELOOP, CF_ECREAT, false},
};

static void a_failure_leaves_the_old_file_and_no_litter(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_error ok = {0};

    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        struct cf_error err = {0};

        assert_int_equal(put_sync(sink, STEM, "old", &ok), CF_OK);
        fault_arm(failures[i].call, failures[i].nth, failures[i].errnum);
        fault.forever = true;
        if (put_sync(sink, STEM, "new", &err) != failures[i].status)
            print_message("# %s %d: %s\n", failures[i].call, failures[i].errnum, err.msg);
        assert_int_equal(err.status, failures[i].status);
        assert_true(cf_status_environment(err.status)); /* no job is charged for it */
        assert_non_null(strstr(err.msg, root));
        if (strstr(failures[i].call, "sync"))
            assert_int_equal(fault.seen, 1); /* a failed fsync is never asked again */
        fault_arm(NULL, 0, 0);
        assert_int_equal(temps(), 0);
        expect_content(PATH, failures[i].replaced ? "new" : "old");
    }
    cf_sink_close(sink);
}

static void a_failure_where_no_file_was_leaves_none(void **state)
{
    static const struct {
        const char *call;
        int nth, errnum;
        enum cf_status status;
    } more[] = {{"mkdirat", 1, ENOSPC, CF_ENOSPC},
                {"mkdirat", 2, EROFS, CF_EPERM},
                {"write", 1, EIO, CF_EIO}};
    char stem[33];

    (void)state;
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        struct cf_sink *sink = open_sink();
        struct cf_error err = {0}, again = {0};

        snprintf(stem, sizeof stem, "%02zx%030x", i + 0x40, 5);
        fault_arm(more[i].call, more[i].nth, more[i].errnum);
        assert_int_equal(put_sync(sink, stem, "new", &err), more[i].status);
        fault_arm(NULL, 0, 0);
        assert_int_equal(count("-type f"), (int)i);
        assert_int_equal(put_sync(sink, stem, "new", &again), CF_OK); /* it recovers */
        cf_sink_close(sink);
    }
}

static int fill_small_disk(void)
{
    static char big[200000];
    struct cf_error err = {0}, ok = {0};
    struct cf_sink *sink;

    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(root, 0777) != 0 || mount("tmpfs", root, "tmpfs", 0, "size=64k") != 0)
        return 77;
    memset(big, 'x', sizeof big - 1);
    if (cf_sink_open(&sink, root, &err) != CF_OK || put(sink, STEM, "old", &err) != CF_OK)
        return 1;
    if (put(sink, STEM, big, &err) != CF_ENOSPC || !strstr(err.msg, "No space left"))
        return 2;
    if (temps() != 0 || put(sink, STEM, "small", &ok) != CF_OK)
        return 3;
    cf_sink_close(sink);
    return 0;
}

static void a_full_disk_is_told_and_left_usable(void **state)
{
    int rc = in_child(fill_small_disk);

    (void)state;
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static int exceed_file_size(void)
{
    static char big[200000];
    struct rlimit limit = {.rlim_cur = 65536, .rlim_max = RLIM_INFINITY};
    struct cf_error err = {0};
    struct cf_sink *sink = open_sink();

    memset(big, 'x', sizeof big - 1);
    signal(SIGXFSZ, SIG_IGN);
    if (put(sink, STEM, "old", &err) != CF_OK || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    if (put(sink, STEM, big, &err) != CF_EIO || temps() != 0)
        return 2;
    cf_sink_close(sink);
    return 0;
}

static void a_file_size_limit_is_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(in_child(exceed_file_size), 0);
    expect_content(PATH, "old");
}

/* ---- names ---- */

static void unsafe_names_are_refused(void **state)
{
    static const char *const stem[] = {"",
                                       "../../../../../../../../tmp/evil",
                                       "0123456789ABCDEF0123456789ABCDEF",
                                       "0123456789abcdef0123456789abcde",
                                       "0123456789abcdef0123456789abcdef0",
                                       "0123456789abcdef/123456789abcdef",
                                       ".123456789abcdef0123456789abcdef",
                                       "0123456789abcdef0123456789abcde\n"};
    struct cf_sink *sink = open_sink();

    (void)state;
    for (size_t i = 0; i < sizeof stem / sizeof stem[0]; i++) {
        struct cf_error err = {0};

        assert_int_equal(put(sink, stem[i], "x", &err), CF_EUSAGE);
    }
    assert_int_equal(count("-mindepth 1"), 0);
    cf_sink_close(sink);
}

static void links_inside_the_root_lead_nowhere(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_error err = {0};
    char link[200];
    int n;

    (void)state;
    snprintf(link, sizeof link, "%s/01", root);
    assert_int_equal(symlink(here, link), 0);
    assert_int_equal(put(sink, STEM, "x", &err), CF_ECREAT);
    assert_int_equal(count("-type f"), 0);
    memset(&err, 0, sizeof err);
    assert_int_equal(cf_sink_sweep(sink, &n, &err), CF_OK);
    cf_sink_close(sink);
}

static void a_root_that_cannot_be_is_named(void **state)
{
    struct cf_error a = {0}, b = {0}, c = {0};
    struct cf_sink *sink;
    char path[200];

    (void)state;
    snprintf(path, sizeof path, "%s/no/such", here);
    assert_int_equal(cf_sink_open(&sink, path, &a), CF_ECREAT);
    assert_non_null(strstr(a.msg, path));
    assert_null(sink);
    snprintf(path, sizeof path, "%s/file", here);
    assert_int_equal(cf_file_put(path, "x", 1, &b), CF_OK);
    assert_int_equal(cf_sink_open(&sink, path, &b), CF_ECREAT);
    fault_arm("write", 1, ENOSPC);
    assert_int_equal(cf_sink_open(&sink, root, &c), CF_ENOSPC);
    assert_int_equal(temps(), 0);
}

static int as_nobody(void)
{
    struct cf_error a = {0}, b = {0}, c = {0};
    struct cf_sink *sink;
    char path[200];

    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return 77;
    snprintf(path, sizeof path, "%s/new", here);
    if (cf_sink_open(&sink, path, &a) != CF_EPERM || sink)
        return 1;
    if (cf_sink_open(&sink, root, &b) != CF_EPERM || sink)
        return 2;
    snprintf(path, sizeof path, "%s/image.webp", root);
    if (cf_file_put(path, "x", 1, &c) != CF_EPERM)
        return 3;
    return strstr(c.msg, path) ? 0 : 4;
}

static void a_directory_of_others_is_refused_at_once(void **state)
{
    int rc;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(root, 0755), 0);
    rc = in_child(as_nobody);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

/* ---- one file of the caller's name ---- */

static void a_file_of_any_name_keeps_the_same_promise(void **state)
{
    struct cf_error err = {0};
    char path[400], name[256];

    (void)state;
    mkdir(root, 0777);
    memset(name, 'n', 255);
    name[255] = '\0';
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(cf_file_put(path, "one", 3, &err), CF_OK);
    expect_content(name, "one");
    assert_int_equal(cf_file_put(path, "two", 3, &err), CF_OK);
    expect_content(name, "two");
    fault_arm("fdatasync", 1, ENOSPC);
    assert_int_equal(cf_file_put(path, "three", 5, &err), CF_ENOSPC);
    expect_content(name, "two");
    assert_int_equal(temps(), 0);
    assert_int_equal(chdir(root), 0);
    memset(&err, 0, sizeof err);
    assert_int_equal(cf_file_put("-plain", "", 0, &err), CF_OK);
    expect_content("-plain", "");
    assert_int_equal(chdir("/"), 0);
}

static void what_is_no_plain_file_is_not_replaced(void **state)
{
    char path[200], link[200], fifo[200];

    (void)state;
    mkdir(root, 0777);
    snprintf(path, sizeof path, "%s/target", root);
    assert_int_equal(cf_file_put(path, "old", 3, NULL), CF_OK);
    snprintf(link, sizeof link, "%s/link", root);
    assert_int_equal(symlink("target", link), 0);
    snprintf(fifo, sizeof fifo, "%s/fifo", root);
    assert_int_equal(mkfifo(fifo, 0666), 0);
    for (int i = 0; i < 6; i++) {
        const char *const bad[] = {fifo, "", "/", link, root, "/tmp/.."};
        struct cf_error err = {0};

        assert_int_equal(cf_file_put(bad[i], "new", 3, &err), CF_ECREAT);
        assert_int_equal(err.status, CF_ECREAT);
    }
    snprintf(link, sizeof link, "%s/", root);
    assert_int_equal(cf_file_put(link, "new", 3, NULL), CF_ECREAT);
    snprintf(link, sizeof link, "%s/target/x", root);
    assert_int_equal(cf_file_put(link, "new", 3, NULL), CF_ECREAT);
    snprintf(link, sizeof link, "%s/missing/x", root);
    assert_int_equal(cf_file_put(link, "new", 3, NULL), CF_ECREAT);
    expect_content("target", "old");
    assert_int_equal(count("-type f"), 1);
}

/* ---- threads, memory ---- */

enum { THREADS = 8, PUTS = 40 };

static void *put_many(void *arg)
{
    struct cf_sink *sink = arg;
    char stem[33], text[64];

    for (unsigned i = 0; i < PUTS; i++) {
        struct cf_error err = {0};

        /* the same names from all threads */
        snprintf(stem, sizeof stem, "%02x%02x%028x", i % 3, i % 2, i);
        snprintf(text, sizeof text, "content of %s", stem);
        if (put_sync(sink, stem, text, &err) != CF_OK)
            return arg;
    }
    return NULL;
}

static void threads_may_write_the_same_names(void **state)
{
    struct cf_sink *sink = open_sink();
    pthread_t thread[THREADS];
    void *result;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, put_many, sink), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_null(result);
    }
    assert_int_equal(count("-type f"), PUTS);
    assert_int_equal(count("-type f -size -60c"), PUTS);
    assert_int_equal(temps(), 0);
    expect_content("01/01/01010000000000000000000000000001.webp",
                   "content of 01010000000000000000000000000001");
    cf_sink_close(sink);
}

static void without_memory_nothing_is_written(void **state)
{
    struct cf_sink *sink;
    char path[200];
    bool hit = true;

    (void)state;
    mkdir(root, 0777);
    snprintf(path, sizeof path, "%s/file", root);
    for (long n = 1; hit; n++) {
        struct cf_error err = {0};

        fail_arm(n);
        cf_file_put(path, "x", 1, &err);
        hit = fail_hit();
        assert_int_equal(err.status, hit ? CF_ENOMEM : CF_OK);
        assert_int_equal(count("-type f"), hit ? 0 : 1);
    }
    assert_int_equal(rmdir(root) == 0 || errno == ENOTEMPTY, 1);
    unlink(path);
    rmdir(root);
    hit = true;
    for (long n = 1; hit; n++) {
        struct cf_error err = {0};

        fail_arm(n);
        cf_sink_open(&sink, root, &err);
        hit = fail_hit();
        assert_int_equal(err.status, hit ? CF_ENOMEM : CF_OK);
        assert_true((sink == NULL) == hit);
        cf_sink_close(sink);
        if (hit && n > 2)
            assert_int_equal(rmdir(root), 0); /* the next one makes it again */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_lies_where_its_name_says),
        TEST(everything_is_on_disk_before_the_next_step),
        TEST(a_batch_syncs_each_directory_once),
        TEST(after_a_failed_sync_nothing_of_the_batch_counts),
        TEST(short_and_interrupted_writes_go_on),
        TEST(a_failure_leaves_the_old_file_and_no_litter),
        TEST(a_failure_where_no_file_was_leaves_none),
        TEST(a_full_disk_is_told_and_left_usable),
        TEST(a_file_size_limit_is_an_io_error),
        TEST(unsafe_names_are_refused),
        TEST(links_inside_the_root_lead_nowhere),
        TEST(a_root_that_cannot_be_is_named),
        TEST(a_directory_of_others_is_refused_at_once),
        TEST(a_file_of_any_name_keeps_the_same_promise),
        TEST(what_is_no_plain_file_is_not_replaced),
        TEST(threads_may_write_the_same_names),
        TEST(without_memory_nothing_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
