/* queue_open_test.c - queues made and opened, and files that are no queue of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "jobs/db.h"
#include "jobs/fs.h"
#include "jobs/schema.h"
#include "tests/queue_util.h"

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

    (void)state;
    for (int i = 0; i < 2; i++) {
        cf_queue_close(util_fresh(0));
        unlink(util_db);
        if (fork() == 0) {
            sqlite3_vfs vfs = *sqlite3_vfs_find(NULL);
            sqlite3 *db;

            vfs.zName = "dies";
            vfs.xDelete = die;
            sqlite3_vfs_register(&vfs, 0);
            sqlite3_open_v2(util_db, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            "dies");
            cf_sql_begin(db, NULL);
            cf_schema_migrate(db, 0, NULL);
            cf_sql_end(db, CF_OK, NULL);
            _exit(1);
        }
        util_wait(-1);
        if (i)
            assert_int_equal(cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), &err),
                             CF_EFORMAT);
        q = util_open(CF_QUEUE_CREATE);
        util_add(q, 1);
        util_close(q);
    }
}

static void many_may_make_the_queue_at_once(void **state)
{
    enum { PROCS = 6 };
    struct cf_queue *q;

    (void)state;
    cf_queue_close(util_fresh(0));
    unlink(util_db);
    for (int i = 0; i < PROCS; i++)
        if (fork() == 0) {
            struct cf_error err = {0};

            if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_CREATE), &err) != CF_OK)
                fprintf(stderr, "# %s\n", err.msg);
            util_worker(q);
            cf_queue_close(q);
            _exit(err.status != CF_OK);
        }
    for (int i = 0; i < PROCS; i++)
        util_wait(-1);
    q = util_open(CF_QUEUE_READ);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM worker"), PROCS);
    util_close(q);
}

/* Closing any descriptor of a file drops a process's locks on it: opening a queue for a
 * second time must not do that to the first. */
static void a_second_connection_leaves_the_locks_of_the_first(void **state)
{
    struct cf_queue *q = util_fresh(0);
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_sql_exec(q->db, "BEGIN EXCLUSIVE", &err), CF_OK);
    cf_queue_close(util_open(CF_QUEUE_READ));
    if (fork() == 0) {
        struct cf_queue *other;
        int64_t w;

        if (cf_queue_open(&other, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_OK)
            _exit(2);
        cf_queue_timeout(other, 50);
        _exit(cf_queue_register(other, &(struct cf_worker){0}, &w, NULL) != CF_EBUSY);
    }
    util_wait(-1);
    cf_sql_exec(q->db, "ROLLBACK", &err);
    util_close(q);
}

static void a_reader_writes_nothing(void **state)
{
    struct cf_queue *q;
    struct cf_jobs jobs;
    int64_t w = 1;

    (void)state;
    cf_queue_close(util_fresh(0));
    q = util_open(CF_QUEUE_READ);
    assert_int_equal(cf_queue_register(q, &(struct cf_worker){0}, &w, NULL), CF_EPERM);
    assert_int_equal(cf_queue_claim(q, 1, 1, &jobs, NULL), CF_EPERM);
    util_close(q);
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
        assert_int_equal(cf_queue_open(&q, name, UTIL_MODE(i), &err), want[i]);
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
    snprintf(foreign, sizeof foreign, "%s/foreign.db", util_dir);
    snprintf(garbage, sizeof garbage, "%s/garbage.db", util_dir);
    snprintf(empty, sizeof empty, "%s/empty.db", util_dir);
    snprintf(future, sizeof future, "%s/future.db", util_dir);
    snprintf(missing, sizeof missing, "%s/missing.db", util_dir);
    snprintf(cut, sizeof cut, "%s/cut.db", util_dir);

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
    assert_int_equal(cf_queue_open(&q, empty, UTIL_MODE(CF_QUEUE_CREATE), NULL), CF_OK);
    util_close(q);

    assert_int_equal(cf_queue_open(&q, future, UTIL_MODE(CF_QUEUE_CREATE), NULL), CF_OK);
    cf_sql_exec(q->db, "PRAGMA user_version = 2000", NULL);
    cf_queue_close(q);
    refused(future, CF_ECONFIG, CF_ECONFIG, CF_ECONFIG);
    assert_int_equal(cf_schema_usable(CF_SCHEMA_VERSION + 1, false, NULL), CF_OK);
    assert_int_equal(cf_schema_usable(CF_SCHEMA_VERSION + 1, true, NULL), CF_ECONFIG);

    /* Ours, but cut in the middle. */
    q = util_fresh(1);
    cf_queue_close(q);
    f = fopen(util_db, "rb");
    assert_int_equal(fread(bytes, 1, sizeof bytes, f), sizeof bytes);
    fclose(f);
    put(cut, bytes, sizeof bytes);
    refused(cut, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);
    put(cut, bytes, 700);
    refused(cut, CF_EFORMAT, CF_EFORMAT, CF_EFORMAT);

    assert_int_equal(cf_queue_open(&q, missing, UTIL_MODE(CF_QUEUE_WRITE), NULL),
                     CF_ENOENT);
    assert_int_equal(cf_queue_open(&q, missing, UTIL_MODE(CF_QUEUE_READ), NULL),
                     CF_ENOENT);
    assert_int_equal(access(missing, F_OK), -1);
    assert_int_equal(cf_queue_open(&q, util_dir, UTIL_MODE(CF_QUEUE_CREATE), NULL),
                     CF_EFORMAT);
    assert_int_equal(cf_queue_open(&q, "/nowhere/q.db", UTIL_MODE(CF_QUEUE_CREATE), NULL),
                     CF_ENOENT);
    assert_int_equal(cf_queue_open(&q, "", UTIL_MODE(CF_QUEUE_CREATE), NULL), CF_EUSAGE);
}

/* Root may write anywhere, so the question is put as somebody else. */
static void a_directory_without_write_permission_is_refused(void **state)
{
    struct cf_error err = {0};
    struct cf_queue *q;
    char name[64];
    int status;

    (void)state;
    cf_queue_close(util_fresh(0));
    assert_int_equal(chmod(util_db, 0444), 0);
    assert_int_equal(chmod(util_dir, 0555), 0);
    if (fork() == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(0);
        snprintf(name, sizeof name, "%s/new.db", util_dir);
        if (cf_queue_open(&q, name, UTIL_MODE(CF_QUEUE_CREATE), NULL) != CF_EPERM)
            _exit(1);
        if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_EPERM)
            _exit(2);
        if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_READ), &err) != CF_OK) {
            fprintf(stderr, "# %s\n", err.msg);
            _exit(3);
        }
        cf_queue_close(q);
        _exit(0);
    }
    wait(&status);
    chmod(util_dir, 0700);
    chmod(util_db, 0644);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_whose_making_was_cut_off_is_made_again),
        cmocka_unit_test(many_may_make_the_queue_at_once),
        cmocka_unit_test(a_second_connection_leaves_the_locks_of_the_first),
        cmocka_unit_test(a_reader_writes_nothing),
        cmocka_unit_test(files_that_are_not_ours_are_refused_and_never_written),
        cmocka_unit_test(a_directory_without_write_permission_is_refused),
        cmocka_unit_test(shared_file_systems_are_known),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
