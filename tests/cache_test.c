/* cache_test.c - what goes in comes out bit for bit, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/cache.h"

enum { MIB = 1 << 20, VALUE = 100000 };

static char dir[] = "/tmp/cfgen-cache-XXXXXX";
static char path[sizeof dir + 32];
static const char *shared; /* what the directory's file system pretends to be */

const char *__wrap_cf_fs_shared(unsigned long magic);
const char *__wrap_cf_fs_shared(unsigned long magic)
{
    (void)magic;
    return shared;
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/c/embed.sqlite", dir);
    return 0;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* The cache of the last case, or an empty one. */
static struct cf_cache *again(int64_t max_bytes)
{
    char where[sizeof dir + 8];
    struct cf_error err = {0};
    struct cf_cache *c = NULL;

    snprintf(where, sizeof where, "%s/c", dir);
    if (cf_cache_open(&c, where, max_bytes, &err) != CF_OK)
        print_error("%s\n", err.msg);
    assert_non_null(c);
    return c;
}

static struct cf_cache *fresh(int64_t max_bytes)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf '%s/c'", dir);
    assert_int_equal(system(command), 0);
    return again(max_bytes);
}

static const char *key_of(int i)
{
    static char hex[CF_DIGEST_HEX];

    assert_int_equal(cf_digest_mem(&i, sizeof i, hex, NULL), CF_OK);
    return hex;
}

static unsigned char *value_of(int i, size_t size)
{
    unsigned char *v = cf_alloc(size + 1, 1, NULL);

    assert_non_null(v);
    for (size_t k = 0; k < size; k++)
        v[k] = (unsigned char)((k * 31 + (size_t)i * 7) >> (k % 5));
    return v;
}

static bool put(struct cf_cache *c, int i, size_t size)
{
    unsigned char *v = value_of(i, size);
    struct cf_error err = {0};
    bool kept;

    assert_int_equal(cf_cache_put(c, key_of(i), v, size, &kept, &err), CF_OK);
    cf_free(v);
    return kept;
}

/* A hit must be the very bytes. */
static bool hit(struct cf_cache *c, int i, size_t size)
{
    struct cf_error err = {0};
    void *data;
    size_t n;

    assert_int_equal(cf_cache_get(c, key_of(i), &data, &n, &err), CF_OK);
    if (data) {
        unsigned char *v = value_of(i, size);

        assert_int_equal(n, size);
        assert_memory_equal(data, v, size);
        cf_free(v);
        cf_free(data);
        return true;
    }
    return false;
}

static void sql(const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_hit_gives_the_bytes_that_were_put(void **state)
{
    static const size_t size[] = {0, 1, 4095, 131072};
    struct cf_cache *c = fresh(MIB);
    struct cf_cache_count n;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_false(hit(c, i, size[i]));
        assert_true(put(c, i, size[i]));
        assert_true(hit(c, i, size[i]));
    }
    assert_true(put(c, 2, size[2])); /* once more: it is there */
    n = cf_cache_count(c);
    assert_int_equal(n.hits, 4);
    assert_int_equal(n.misses, 4);
    assert_int_equal(n.kept, 5);
    assert_int_equal(n.entries, 4);
    assert_int_equal(n.bytes, 1 + 4095 + 131072);
    cf_cache_close(c);
    c = again(MIB);
    for (int i = 0; i < 4; i++)
        assert_true(hit(c, i, size[i]));
    cf_cache_close(c);
}

static void the_least_lately_used_goes_first(void **state)
{
    struct cf_cache *c = fresh(MIB);
    struct stat sb;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(put(c, i, VALUE));
    assert_true(hit(c, 0, VALUE)); /* used again */
    assert_true(put(c, 10, VALUE));
    assert_true(hit(c, 0, VALUE));
    assert_false(hit(c, 1, VALUE));
    assert_true(hit(c, 2, VALUE));
    for (int i = 11; i < 200; i++) {
        assert_true(put(c, i, VALUE));
        assert_true(cf_cache_count(c).bytes <= MIB);
    }
    assert_int_equal(cf_cache_count(c).entries, 10);
    cf_cache_close(c);
    assert_int_equal(stat(path, &sb), 0);
    assert_true(sb.st_size < 2 * MIB);
}

static void a_smaller_bound_shrinks_the_file(void **state)
{
    struct cf_cache *c = fresh(4 * MIB);
    struct stat sb;

    (void)state;
    for (int i = 0; i < 40; i++)
        assert_true(put(c, i, VALUE));
    cf_cache_close(c);
    c = again(MIB);
    assert_int_equal(cf_cache_count(c).entries, 10);
    assert_true(hit(c, 39, VALUE));
    assert_false(hit(c, 0, VALUE));
    cf_cache_close(c);
    assert_int_equal(stat(path, &sb), 0);
    assert_true(sb.st_size < 2 * MIB);
}

static void what_is_too_large_is_not_kept(void **state)
{
    struct cf_cache *c = fresh(MIB);

    (void)state;
    assert_false(put(c, 1, MIB / 8 + 1));
    assert_false(hit(c, 1, MIB / 8 + 1));
    cf_cache_close(c);
    assert_int_equal(cf_cache_open(&c, dir, MIB - 1, NULL), CF_EUSAGE);
}

static void a_changed_value_is_a_miss_and_removed(void **state)
{
    struct cf_cache *c = fresh(MIB);

    (void)state;
    assert_true(put(c, 1, 1000));
    assert_true(put(c, 2, 1000));
    assert_true(put(c, 3, 1000));
    sql("UPDATE value SET data = zeroblob(1000) WHERE id = 1");
    assert_false(hit(c, 1, 1000));
    assert_int_equal(cf_cache_count(c).entries, 2);
    assert_true(put(c, 1, 1000));
    assert_true(hit(c, 1, 1000));
    /* Two whole values, each in the other's place. */
    sql("UPDATE item SET crc = (SELECT crc FROM item WHERE id = 3) WHERE id = 2;"
        "UPDATE value SET data = (SELECT data FROM value WHERE id = 3) WHERE id = 2");
    assert_false(hit(c, 2, 1000));
    assert_true(hit(c, 3, 1000));
    cf_cache_close(c);
}

static void overwrite(off_t from, size_t n)
{
    unsigned char *junk = value_of(99, n);
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, junk, n, from), n);
    close(fd);
    cf_free(junk);
}

static void a_damaged_file_is_begun_anew(void **state)
{
    struct cf_cache *c = fresh(MIB);

    (void)state;
    assert_true(put(c, 1, VALUE));
    cf_cache_close(c);
    overwrite(0, 4096);
    c = again(MIB);
    assert_false(hit(c, 1, VALUE));
    assert_true(put(c, 1, VALUE));
    assert_true(hit(c, 1, VALUE));
    cf_cache_close(c);
    assert_int_equal(truncate(path, 5000), 0);
    c = again(MIB);
    assert_false(hit(c, 1, VALUE));
    assert_true(put(c, 1, VALUE));
    cf_cache_close(c);
    sql("PRAGMA user_version = 2");
    c = again(MIB);
    assert_false(hit(c, 1, VALUE));
    cf_cache_close(c);
}

static void damage_found_at_work_is_repaired_at_work(void **state)
{
    struct cf_cache *c = fresh(MIB), *other;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_true(put(c, i, VALUE));
    cf_cache_close(c);
    c = again(MIB);
    other = again(MIB);
    overwrite(4096, 600000); /* all but the schema */
    for (int i = 0; i < 8; i++)
        hit(c, i, VALUE);
    assert_true(put(c, 20, VALUE));
    assert_true(hit(c, 20, VALUE));
    hit(other, 1, VALUE);
    put(other, 21, VALUE);
    put(other, 21, VALUE);
    assert_true(hit(other, 21, VALUE));
    assert_true(hit(other, 20, VALUE)); /* not removed once more */
    cf_cache_close(other);
    assert_true(hit(c, 21, VALUE));
    cf_cache_close(c);
}

static void a_busy_file_is_a_miss(void **state)
{
    struct cf_cache *c = fresh(MIB);
    sqlite3 *db;

    (void)state;
    assert_true(put(c, 1, VALUE));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(put(c, 2, VALUE));
    assert_true(hit(c, 1, VALUE)); /* reading needs no lock */
    assert_false(hit(c, 2, VALUE));
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_true(put(c, 2, VALUE));
    assert_true(hit(c, 2, VALUE));
    cf_cache_close(c);
}

static void a_full_disk_is_not_kept(void **state)
{
    struct cf_cache *c = fresh(8 * MIB);
    struct rlimit old, small;

    (void)state;
    assert_true(put(c, 1, VALUE));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){300000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_false(put(c, 2, 8 * VALUE));
    assert_true(hit(c, 1, VALUE));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(hit(c, 2, 8 * VALUE));
    assert_int_equal(cf_cache_count(c).entries, 1);
    assert_true(put(c, 2, 8 * VALUE));
    assert_true(hit(c, 2, 8 * VALUE));
    cf_cache_close(c);
}

static void another_programs_database_is_left_alone(void **state)
{
    struct cf_error err = {0};
    char where[sizeof dir + 8];
    struct cf_cache *c;

    (void)state;
    cf_cache_close(fresh(MIB));
    assert_int_equal(unlink(path), 0);
    sql("PRAGMA application_id = 7; CREATE TABLE precious(x)");
    snprintf(where, sizeof where, "%s/c", dir);
    assert_int_equal(cf_cache_open(&c, where, MIB, &err), CF_ECONFIG);
    assert_non_null(strstr(err.msg, "another program"));
    sql("INSERT INTO precious VALUES(1)");
    assert_int_equal(unlink(path), 0);
}

static void a_shared_file_system_is_refused(void **state)
{
    struct cf_error err = {0};
    struct cf_cache *c;

    (void)state;
    shared = "Lustre";
    assert_int_equal(cf_cache_open(&c, dir, MIB, &err), CF_ECONFIG);
    shared = NULL;
    assert_non_null(strstr(err.msg, "Lustre"));
}

static void a_missing_place_is_an_error(void **state)
{
    struct cf_error err = {0};
    struct cf_cache *c;

    (void)state;
    assert_int_equal(cf_cache_open(&c, "/nowhere/at/all", MIB, &err), CF_ENOENT);
}

/* Each process opens, puts and gets at once with the others; what comes is right. */
static void many_processes_share_it(void **state)
{
    enum { PROCESSES = 4, VALUES = 30, SMALL = 20000 };
    pid_t pid[PROCESSES];
    struct cf_cache *c;

    (void)state;
    cf_cache_close(fresh(MIB));
    assert_int_equal(unlink(path), 0); /* all of them make it */
    for (int p = 0; p < PROCESSES; p++) {
        pid[p] = fork();
        assert_true(pid[p] >= 0);
        if (pid[p] == 0) {
            int hits = 0;

            c = again(MIB);
            for (int i = 0; i < VALUES; i++) {
                put(c, i % 20, SMALL);
                hits += hit(c, i % 20, SMALL);
            }
            cf_cache_close(c);
            _exit(hits ? 0 : 1);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;

        assert_int_equal(waitpid(pid[p], &status, 0), pid[p]);
        assert_int_equal(status, 0);
    }
    c = again(MIB);
    assert_int_equal(cf_cache_count(c).entries, 20);
    assert_int_equal(cf_cache_count(c).bytes, 20 * SMALL);
    cf_cache_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_gives_the_bytes_that_were_put),
        cmocka_unit_test(the_least_lately_used_goes_first),
        cmocka_unit_test(a_smaller_bound_shrinks_the_file),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(a_changed_value_is_a_miss_and_removed),
        cmocka_unit_test(a_damaged_file_is_begun_anew),
        cmocka_unit_test(damage_found_at_work_is_repaired_at_work),
        cmocka_unit_test(a_busy_file_is_a_miss),
        cmocka_unit_test(a_full_disk_is_not_kept),
        cmocka_unit_test(another_programs_database_is_left_alone),
        cmocka_unit_test(a_shared_file_system_is_refused),
        cmocka_unit_test(a_missing_place_is_an_error),
        cmocka_unit_test(many_processes_share_it),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
