/* queue_migrate_test.c - a queue of schema 1.0 goes on under this version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/schema.h"
#include "tests/queue_util.h"

static char bak[128];

static void make_old(void)
{
    char *dir = getenv("CFGEN_SRCDIR"), name[512], text[16384];
    sqlite3 *db;
    size_t n;
    FILE *f;

    snprintf(name, sizeof name, "%s/tests/data/queue-1000.sql", dir ? dir : ".");
    f = fopen(name, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    assert_true(feof(f));
    fclose(f);
    cf_queue_close(util_fresh(0));
    unlink(util_db);
    snprintf(bak, sizeof bak, "%s.v1000.bak", util_db);
    unlink(bak);
    assert_int_equal(sqlite3_open(util_db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int version_of(const char *name)
{
    sqlite3 *db;
    int64_t v;

    assert_int_equal(sqlite3_open_v2(name, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(cf_sql_int64(db, "PRAGMA user_version", &v, NULL), CF_OK);
    sqlite3_close(db);
    return (int)v;
}

static void an_older_queue_is_backed_up_and_brought_up_to_date(void **state)
{
    struct cf_error err = {0};
    struct cf_migrated m;
    struct cf_queue *q;

    (void)state;
    make_old();
    assert_int_equal(cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_READ), &err),
                     CF_ECONFIG);
    assert_non_null(strstr(err.msg, "migrate"));
    assert_int_equal(version_of(util_db), 1000);
    assert_int_equal(cf_queue_migrate(util_db, true, &m, NULL), CF_OK);
    assert_int_equal(m.from, 1000);
    assert_int_equal(m.to, CF_SCHEMA_VERSION);
    assert_string_equal(m.backup, bak);
    cf_free(m.backup);
    assert_int_equal(version_of(bak), 1000);
    assert_int_equal(cf_queue_migrate(util_db, true, &m, NULL), CF_OK);
    assert_int_equal(m.from, m.to);
    assert_null(m.backup);
    q = util_open(CF_QUEUE_WRITE);
    assert_int_equal(util_ask(q, "SELECT n FROM cause WHERE code = 'EUNSUP'"), 1);
    assert_int_equal(util_ask(q, "SELECT n FROM cause WHERE code = 'UNKNOWN'"), 1);
    cf_sql_exec(q->db, "UPDATE job SET state = 0 WHERE id = 3", NULL);
    assert_int_equal(util_ask(q, "SELECT count(*) FROM cause"), 1);
    util_hold(q, util_worker(q));
    util_close(q);
}

static void a_backup_that_is_there_stays_as_it_is(void **state)
{
    FILE *f;

    (void)state;
    make_old();
    f = fopen(bak, "w");
    fputs("mine", f);
    fclose(f);
    util_close(util_open(CF_QUEUE_WRITE));
    f = fopen(bak, "r");
    assert_int_equal(fgetc(f), 'm');
    fclose(f);
}

/* A file name has at most 255 bytes: 240 leave room for those of SQLite, not for a part. */
static void without_room_for_the_backup_nothing_is_changed(void **state)
{
    char name[512];
    struct cf_error err = {0};
    struct cf_queue *q;

    (void)state;
    make_old();
    snprintf(name, sizeof name, "%.*s/%0240d", (int)(strrchr(util_db, '/') - util_db),
             util_db, 0);
    assert_int_equal(rename(util_db, name), 0);
    assert_int_not_equal(cf_queue_open(&q, name, UTIL_MODE(CF_QUEUE_WRITE), &err), CF_OK);
    assert_non_null(strstr(err.msg, "backup of the older schema"));
    assert_int_equal(version_of(name), 1000);
    unlink(name);
}

static void many_may_migrate_at_once(void **state)
{
    enum { PROCS = 5 };

    (void)state;
    make_old();
    for (int i = 0; i < PROCS; i++)
        if (fork() == 0) {
            struct cf_queue *q;

            if (cf_queue_open(&q, util_db, UTIL_MODE(CF_QUEUE_WRITE), NULL) != CF_OK)
                _exit(1);
            cf_queue_close(q);
            _exit(0);
        }
    for (int i = 0; i < PROCS; i++)
        util_wait(-1);
    assert_int_equal(version_of(bak), 1000);
    util_close(util_open(CF_QUEUE_READ));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_queue_is_backed_up_and_brought_up_to_date),
        cmocka_unit_test(a_backup_that_is_there_stays_as_it_is),
        cmocka_unit_test(many_may_migrate_at_once),
        cmocka_unit_test(without_room_for_the_backup_nothing_is_changed),
    };

    return cmocka_run_group_tests(tests, util_set_up, util_tear_down);
}
