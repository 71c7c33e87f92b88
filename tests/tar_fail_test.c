/* tar_fail_test.c - a tar on a disk that is full or sick, and without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/store_fail.h"
#include "tests/tar_util.h"

static void a_failed_write_leaves_whole_samples_and_may_be_tried_again(void **state)
{
    static const struct {
        int nth, errnum;
        enum cf_status status;
    } c[] = {{1, ENOSPC, CF_ENOSPC}, {1, EDQUOT, CF_ENOSPC}, {1, EIO, CF_EIO},
             {1, EROFS, CF_EPERM},   {1, EFBIG, CF_EIO},     {2, ENOSPC, CF_ENOSPC},
             {2, EIO, CF_EIO}};
    struct cf_tar *tar;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    grow(tar, 0, 1);
    assert_int_equal(add(tar, 1, NULL), CF_OK); /* written, not synced */
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};

        fault_arm("pwrite", c[i].nth, c[i].errnum);
        assert_int_equal(add(tar, 2, &err), c[i].status);
        assert_true(cf_status_environment(err.status));
        assert_non_null(strstr(err.msg, "00007.tar"));
        fault_arm(NULL, 0, 0);
        assert_int_equal(size_of("00007.tar.part"), 2 * SAMPLE);
        assert_int_equal(size_of("00007.jsonl.part"), want_lines.size / 3 * 2);
    }
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static void short_and_interrupted_calls_go_on(void **state)
{
    static const struct {
        const char *call;
        int errnum;
    } c[] = {{"pwrite", 0},     {"pwrite", EINTR}, {"fdatasync", EINTR}, {"fsync", EINTR},
             {"create", EINTR}, {"open", EINTR},   {"ftruncate", EINTR}, {"flock", EINTR},
             {"flock", ENOLCK}, {"fsync", EINVAL}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_tar *tar;

        fault_arm(c[i].call, 1, c[i].errnum);
        tar = tar_at(&zero);
        grow(tar, 0, 3);
        finish(tar);
        assert_true(fault.seen >= 1);
        fault_arm(NULL, 0, 0);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void a_failed_fdatasync_is_final_and_the_last_mark_still_counts(void **state)
{
    static const struct {
        int nth, errnum;
        enum cf_status status;
    } c[] = {{1, EIO, CF_EIO},
             {2, EIO, CF_EIO},
             {1, ENOSPC, CF_ENOSPC},
             {2, EDQUOT, CF_ENOSPC},
             {1, EROFS, CF_EPERM}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0}, later = {0}, last = {0};
        struct cf_tar *tar = tar_at(&zero);
        struct cf_tar_size at = grow(tar, 0, 2), size = {0};

        assert_int_equal(add(tar, 2, &err), CF_OK);
        fault_arm("fdatasync", c[i].nth, c[i].errnum);
        assert_int_equal(cf_tar_sync(tar, &size, &err), c[i].status);
        assert_int_equal(size.members, 0);
        assert_int_equal(size_of("00007.tar.part"), at.bytes);
        assert_int_equal(size_of("00007.jsonl.part"), at.manifest_bytes);
        /* The disk is well again, but nothing is believed of this handle. */
        assert_int_equal(cf_tar_sync(tar, &size, &later), c[i].status);
        assert_int_equal(add(tar, 2, &last), c[i].status);
        assert_int_equal(cf_tar_finish(tar, NULL), c[i].status);
        assert_int_equal(fault.seen, c[i].nth); /* never asked again */
        cf_tar_close(tar);
        fault_arm(NULL, 0, 0);
        tar = tar_at(&at);
        grow(tar, 2, 3);
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void a_cut_that_fails_gives_the_tar_up_and_the_next_open_cuts(void **state)
{
    struct cf_tar *tar;
    struct cf_tar_size at;
    struct cf_error err = {0}, later = {0};

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    at = grow(tar, 0, 2);
    fault_arm("ftruncate", 1, EIO);
    assert_int_equal(add(tar, 2, &err), CF_OK);
    assert_int_equal(cf_tar_cut(tar, &at, &err), CF_EIO);
    assert_int_equal(size_of("00007.tar.part"), at.bytes + SAMPLE);
    assert_int_equal(add(tar, 2, &later), CF_EIO);
    cf_tar_close(tar);
    fault_arm(NULL, 0, 0);
    tar = tar_at(&at);
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static void a_finish_that_fails_is_done_by_the_next_one(void **state)
{
    static const struct {
        const char *call;
        int nth, errnum;
        enum cf_status status;
        bool finished; /* found so by the next open */
    } c[] = {{"pwrite", 1, ENOSPC, CF_ENOSPC, false},
             {"pwrite", 1, EIO, CF_EIO, false},
             {"fdatasync", 1, EIO, CF_EIO, false},
             {"renameat", 1, EIO, CF_EIO, false},
             {"renameat", 2, ENOSPC, CF_ENOSPC, false},
             {"renameat", 2, EROFS, CF_EPERM, false},
             {"fsync", 1, EIO, CF_EIO, true}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};
        struct cf_tar *tar = tar_at(&zero);
        struct cf_tar_size at = grow(tar, 0, 3);

        fault_arm(c[i].call, c[i].nth, c[i].errnum);
        assert_int_equal(cf_tar_finish(tar, &err), c[i].status);
        assert_false(cf_tar_finished(tar));
        fault_arm(NULL, 0, 0);
        if (!c[i].finished)
            assert_int_equal(size_of("00007.tar.part"), at.bytes);
        cf_tar_close(tar);
        tar = tar_at(&at);
        assert_int_equal(cf_tar_finished(tar), c[i].finished);
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void an_open_that_fails_says_why_and_keeps_what_counts(void **state)
{
    static const struct {
        const char *call;
        int nth, errnum;
        enum cf_status status;
    } c[] = {{"open", 1, EACCES, CF_EPERM}, {"open", 2, EMFILE, CF_EIO},
             {"open", 3, EIO, CF_EIO},      {"flock", 1, EWOULDBLOCK, CF_EBUSY},
             {"ftruncate", 1, EIO, CF_EIO}, {"ftruncate", 2, EROFS, CF_EPERM},
             {"fsync", 1, EIO, CF_EIO}};
    struct cf_tar *tar;
    struct cf_tar_size at;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    at = grow(tar, 0, 2);
    cf_tar_close(tar);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        fault_arm(c[i].call, c[i].nth, c[i].errnum);
        no_tar_at(&at, c[i].status);
    }
    fault_arm(NULL, 0, 0);
    tar = tar_at(&at);
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static int fill_small_disk(void)
{
    static uint8_t big[200000];
    struct cf_blob webp = {.data = big, .size = sizeof big};
    struct cf_tar_sample s = {.webp = &webp, .prompt = "", .json = "{}"};
    char path[CF_TAR_PATH];
    struct cf_error err = {0};
    struct cf_tar *tar;
    int64_t offset;

    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(root, 0777) != 0 || mount("tmpfs", root, "tmpfs", 0, "size=64k") != 0)
        return 77;
    tar = tar_at(&zero);
    grow(tar, 0, 1);
    if (cf_tar_add(tar, &s, &offset, path, &err) != CF_ENOSPC)
        return 1;
    if (size_of("00007.tar.part") != SAMPLE)
        return 2;
    grow(tar, 1, 3);
    finish(tar);
    expect_undisturbed();
    return 0;
}

static void a_full_disk_is_told_and_small_samples_still_go_in(void **state)
{
    int rc;

    (void)state;
    undisturbed();
    rmdir(root);
    rc = in_child(fill_small_disk);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static void without_memory_nothing_changes(void **state)
{
    bool hit = true;

    (void)state;
    undisturbed();
    for (long n = 1; hit; n++) {
        struct cf_error err = {0};
        struct cf_tar *tar = NULL;

        fail_arm(n);
        if (cf_tar_open(&tar, root, NUMBER, &zero, &err) == CF_OK)
            add(tar, 0, &err);
        hit = fail_hit();
        assert_int_equal(err.status, hit ? CF_ENOMEM : CF_OK);
        if (tar) {
            assert_int_equal(size_of("00007.tar.part"), hit ? 0 : SAMPLE);
            grow(tar, hit ? 0 : 1, 3);
            finish(tar);
            expect_undisturbed();
        }
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_write_leaves_whole_samples_and_may_be_tried_again),
        TEST(short_and_interrupted_calls_go_on),
        TEST(a_failed_fdatasync_is_final_and_the_last_mark_still_counts),
        TEST(a_cut_that_fails_gives_the_tar_up_and_the_next_open_cuts),
        TEST(a_finish_that_fails_is_done_by_the_next_one),
        TEST(an_open_that_fails_says_why_and_keeps_what_counts),
        TEST(a_full_disk_is_told_and_small_samples_still_go_in),
        TEST(without_memory_nothing_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
