/* cache.c - two tables: what is known of each value, and the values themselves.
 *
 * Apart, so that a hit, which renews the time of last use, rewrites a short row and not
 * the value. Time is a counter in the file: the newest use is the largest number. Sizes
 * and numbers of all values are kept by trigger. Nothing is synced; whoever finds the
 * file damaged, at any moment, removes it and begins anew, under a lock beside it, while
 * others go on with the file that they hold until they find the same. */
#include "jobs/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "jobs/fs.h"
#include "jobs/sql.h"

enum {
    APPLICATION = 0x63666563, /* "cfec" */
    VERSION = 1,
    MIN_BYTES = 1 << 20,
    BUSY_MS = 200,
    LOCK_TRIES = 100, /* of 50 ms */
};

static const char tables[] =
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE item(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
    " used INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;"
    "CREATE INDEX item_used ON item(used);"
    "CREATE TABLE value(id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE total(bytes INTEGER NOT NULL, entries INTEGER NOT NULL) STRICT;"
    "INSERT INTO total VALUES(0, 0);"
    "CREATE TRIGGER item_in AFTER INSERT ON item BEGIN"
    " UPDATE total SET bytes = bytes + new.size, entries = entries + 1; END;"
    "CREATE TRIGGER item_out AFTER DELETE ON item BEGIN"
    " DELETE FROM value WHERE id = old.id;"
    " UPDATE total SET bytes = bytes - old.size, entries = entries - 1; END;"
    "PRAGMA application_id = 1667655011;"
    "PRAGMA user_version = 1;"
    "COMMIT;";
_Static_assert(APPLICATION == 1667655011 && VERSION == 1, "as in tables");

enum { FIND, TOUCH, DROP, OLDEST, ADD_ITEM, ADD_VALUE, TOTAL, NSTATEMENT };
static const char *const statements[NSTATEMENT] = {
    "SELECT i.id, i.crc, v.data FROM item i JOIN value v ON v.id = i.id WHERE i.key = ?1",
    "UPDATE item SET used = 1 + (SELECT max(used) FROM item)"
    " WHERE id = ?1 AND used < (SELECT max(used) FROM item)",
    "DELETE FROM item WHERE key = ?1",
    "DELETE FROM item WHERE id = (SELECT id FROM item ORDER BY used LIMIT 1)",
    "INSERT INTO item(key, used, size, crc)"
    " VALUES(?1, 1 + coalesce((SELECT max(used) FROM item), 0), ?2, ?3)"
    " ON CONFLICT DO NOTHING",
    "INSERT INTO value(id, data) VALUES(last_insert_rowid(), ?1)",
    "SELECT bytes, entries FROM total",
};

struct cf_cache {
    char *path, *lock_path;
    int64_t max_bytes;
    ino_t inode; /* of the file that we hold */
    sqlite3 *db; /* NULL: the file was lost and could not be begun anew */
    struct cf_sql sql[NSTATEMENT];
    struct cf_cache_count count;
};

/* ---- the file ---- */

static void close_db(struct cf_cache *c)
{
    for (int i = 0; i < NSTATEMENT; i++)
        cf_sql_close(&c->sql[i]);
    sqlite3_close(c->db);
    c->db = NULL;
}

static ino_t inode(const struct cf_cache *c)
{
    struct stat sb;

    return stat(c->path, &sb) == 0 ? sb.st_ino : 0;
}

static void remove_file(const struct cf_cache *c)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char *name = cf_format(NULL, "%s%s", c->path, ends[i]);

        if (name)
            unlink(name);
        cf_free(name);
    }
}

/* *ours: with the tables of this version; otherwise *empty, or of an older or a newer
 * version, which is as good as damaged. CF_ECONFIG for another program's database. */
static enum cf_status whose(struct cf_cache *c, bool *ours, bool *empty,
                            struct cf_error *err)
{
    int64_t id, version, objects;

    CF_TRY(cf_sql_int64(c->db, "PRAGMA application_id", &id, err));
    CF_TRY(cf_sql_int64(c->db, "PRAGMA user_version", &version, err));
    CF_TRY(cf_sql_int64(c->db, "SELECT count(*) FROM sqlite_schema", &objects, err));
    *ours = id == APPLICATION && version == VERSION;
    *empty = objects == 0;
    if (id != APPLICATION && !*empty)
        return cf_fail(err, CF_ECONFIG,
                       "%s: a database of another program (application_id 0x%08x, "
                       "expected 0x%08x): name another directory",
                       c->path, (unsigned)id, (unsigned)APPLICATION);
    return CF_OK;
}

static enum cf_status total(struct cf_cache *c, struct cf_error *err)
{
    bool row;

    CF_TRY(cf_sql_step(&c->sql[TOTAL], &row, err));
    if (!row)
        return cf_fail(err, CF_EFORMAT, "%s: the row of sums is missing", c->path);
    c->count.bytes = cf_sql_col_int(&c->sql[TOTAL], 0);
    c->count.entries = cf_sql_col_int(&c->sql[TOTAL], 1);
    return cf_sql_step(&c->sql[TOTAL], &row, err);
}

/* Inside a transaction: the oldest go until `more` bytes have room. */
static enum cf_status make_room(struct cf_cache *c, int64_t more, struct cf_error *err)
{
    int gone = 1;

    CF_TRY(total(c, err));
    while (c->count.bytes > c->max_bytes - more && gone) {
        CF_TRY(cf_sql_run(&c->sql[OLDEST], &gone, err));
        CF_TRY(total(c, err));
    }
    return CF_OK;
}

/* A file left by somebody with a larger bound shrinks. */
static enum cf_status shrink(struct cf_cache *c, struct cf_error *err)
{
    enum cf_status st;

    CF_TRY(total(c, err));
    if (c->count.bytes <= c->max_bytes)
        return CF_OK;
    CF_TRY(cf_sql_begin(c->db, err));
    st = make_room(c, 0, err);
    CF_TRY(cf_sql_end(c->db, st, err));
    return cf_sql_exec(c->db, "PRAGMA incremental_vacuum", err);
}

/* CF_EFORMAT: to be begun anew. */
static enum cf_status open_db(struct cf_cache *c, struct cf_error *err)
{
    bool ours, empty;
    int rc = sqlite3_open_v2(
        c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
        NULL);

    if (rc != SQLITE_OK)
        return cf_sql_fail(c->db, rc, c->path, err);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    CF_TRY(cf_sql_exec(c->db,
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                       "PRAGMA mmap_size = 0; PRAGMA synchronous = OFF;"
                       "PRAGMA journal_size_limit = 1048576;",
                       err));
    CF_TRY(whose(c, &ours, &empty, err));
    if (!ours && !empty)
        return cf_fail(err, CF_EFORMAT, "%s: made by another version", c->path);
    if (empty)
        CF_TRY(cf_sql_exec(c->db, tables, err));
    CF_TRY(cf_sql_exec(c->db, "PRAGMA journal_mode = WAL", err));
    for (int i = 0; i < NSTATEMENT; i++)
        CF_TRY(cf_sql_open(&c->sql[i], c->db, statements[i], err));
    return shrink(c, err);
}

/* Whoever opens, makes or removes the file holds the lock meanwhile. */
static int lock(const struct cf_cache *c, struct cf_error *err)
{
    const struct timespec pause = {0, 50 * 1000 * 1000};
    int fd = open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0) {
        cf_fail_errno(err, errno, "%s", c->lock_path);
        return -1;
    }
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        nanosleep(&pause, NULL);
    }
    close(fd);
    cf_fail(err, CF_EBUSY, "%s: held by another process for seconds", c->lock_path);
    return -1;
}

/* What says that the rows are wrong, by SQLite's checks or by ours. */
static bool damaged(enum cf_status st)
{
    return st == CF_EFORMAT || st == CF_EBUG;
}

static enum cf_status open_or_renew(struct cf_cache *c, bool renew, struct cf_error *err)
{
    struct cf_error why = {0};
    enum cf_status st;
    int fd = lock(c, err);

    if (fd < 0)
        return err ? err->status : CF_EIO;
    if (renew && inode(c) == c->inode) /* else somebody has begun anew already */
        remove_file(c);
    st = open_db(c, &why);
    if (damaged(st)) {
        close_db(c);
        remove_file(c);
        why = (struct cf_error){0};
        st = open_db(c, &why);
    }
    if (st != CF_OK)
        close_db(c);
    c->inode = inode(c);
    close(fd);
    return st == CF_OK ? st : cf_fail(err, st, "%s", why.msg);
}

/* After a failure: only a lack of memory is the caller's business. A damaged file is
 * begun anew; where that cannot be, all is a miss from now on. */
static enum cf_status forgive(struct cf_cache *c, enum cf_status st, struct cf_error *err)
{
    if (st == CF_ENOMEM)
        return cf_fail(err, st, "%s: no memory", c->path);
    if (damaged(st)) {
        close_db(c);
        open_or_renew(c, true, NULL);
    }
    return CF_OK;
}

static enum cf_status check_dir(const char *dir, struct cf_error *err)
{
    struct statfs fs;
    const char *name;

    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return cf_fail_errno(err, errno, "%s", dir);
    if (statfs(dir, &fs) != 0)
        return cf_fail_errno(err, errno, "%s", dir);
    name = cf_fs_shared((unsigned long)fs.f_type);
    if (name)
        return cf_fail(err, CF_ECONFIG,
                       "%s lies on %s, a file system shared between machines, where a "
                       "cache cannot be: name a directory on a local disk",
                       dir, name);
    return CF_OK;
}

enum cf_status cf_cache_open(struct cf_cache **cache, const char *dir, int64_t max_bytes,
                             struct cf_error *err)
{
    struct cf_cache *c;
    enum cf_status st = CF_ENOMEM;

    if (max_bytes < MIN_BYTES)
        return cf_fail(err, CF_EUSAGE, "cache: bound of %lld bytes, at least %d",
                       (long long)max_bytes, MIN_BYTES);
    CF_TRY(check_dir(dir, err));
    c = cf_calloc(1, sizeof *c, err);
    if (!c)
        return CF_ENOMEM;
    c->max_bytes = max_bytes;
    c->path = cf_format(err, "%s/embed.sqlite", dir);
    c->lock_path = cf_format(err, "%s/embed.lock", dir);
    if (c->path && c->lock_path)
        st = open_or_renew(c, false, err);
    if (st != CF_OK) {
        cf_cache_close(c);
        return st;
    }
    *cache = c;
    return CF_OK;
}

void cf_cache_close(struct cf_cache *c)
{
    if (!c)
        return;
    close_db(c);
    cf_free(c->path);
    cf_free(c->lock_path);
    cf_free(c);
}

/* ---- values ---- */

/* Over the key too: a value that stands in another's row is as bad as a damaged one. */
static uint32_t crc_of(const char *key, const void *data, size_t size)
{
    uLong crc = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)key, strlen(key));

    return (uint32_t)crc32_z(crc, data, size);
}

/* *data stays NULL where nothing is found; *bad where what is found is not what was put.
 */
static enum cf_status find(struct cf_cache *c, const char *key, void **data, size_t *size,
                           int64_t *id, bool *bad, struct cf_error *err)
{
    struct cf_sql *s = &c->sql[FIND];
    const void *blob;
    bool row;

    cf_sql_str(s, 1, key);
    CF_TRY(cf_sql_step(s, &row, err));
    if (!row)
        return CF_OK;
    *id = cf_sql_col_int(s, 0);
    blob = sqlite3_column_blob(s->stmt, 2);
    *size = (size_t)sqlite3_column_bytes(s->stmt, 2);
    if (!blob && *size == 0 && sqlite3_errcode(c->db) == SQLITE_NOMEM)
        return cf_fail(err, CF_ENOMEM, "%s: no memory", c->path);
    *bad = crc_of(key, *size ? blob : "", *size) != (uint32_t)cf_sql_col_int(s, 1);
    if (*bad)
        return CF_OK;
    *data = cf_alloc(*size ? *size : 1, 1, err);
    if (!*data)
        return CF_ENOMEM;
    if (*size)
        memcpy(*data, blob, *size);
    return CF_OK;
}

static enum cf_status drop(struct cf_cache *c, const char *key, struct cf_error *err)
{
    cf_sql_str(&c->sql[DROP], 1, key);
    CF_TRY(cf_sql_run(&c->sql[DROP], NULL, err));
    return total(c, err);
}

enum cf_status cf_cache_get(struct cf_cache *c, const char key[CF_DIGEST_HEX],
                            void **data, size_t *size, struct cf_error *err)
{
    struct cf_error why = {0};
    enum cf_status st = CF_OK;
    bool bad = false;
    int64_t id = 0;

    *data = NULL;
    *size = 0;
    if (c->db) {
        st = find(c, key, data, size, &id, &bad, &why);
        sqlite3_reset(c->sql[FIND].stmt);
        sqlite3_clear_bindings(c->sql[FIND].stmt);
    }
    if (st == CF_OK && bad)
        st = drop(c, key, &why);
    if (st == CF_OK && *data) {
        c->count.hits++;
        cf_sql_int(&c->sql[TOUCH], 1, id);
        st = cf_sql_run(&c->sql[TOUCH], NULL, &why);
        return damaged(st) ? forgive(c, st, err) : CF_OK;
    }
    c->count.misses++;
    return forgive(c, st, err);
}

static enum cf_status add(struct cf_cache *c, const char *key, const void *data,
                          size_t size, struct cf_error *err)
{
    struct cf_sql *item = &c->sql[ADD_ITEM], *value = &c->sql[ADD_VALUE];
    int added;

    CF_TRY(make_room(c, (int64_t)size, err));
    cf_sql_str(item, 1, key);
    cf_sql_int(item, 2, (int64_t)size);
    cf_sql_int(item, 3, crc_of(key, data, size));
    CF_TRY(cf_sql_run(item, &added, err));
    if (added) {
        cf_sql_blob(value, 1, data, size);
        CF_TRY(cf_sql_run(value, NULL, err));
    }
    return total(c, err);
}

enum cf_status cf_cache_put(struct cf_cache *c, const char key[CF_DIGEST_HEX],
                            const void *data, size_t size, bool *kept,
                            struct cf_error *err)
{
    struct cf_error why = {0};
    struct cf_cache_count before = c->count;
    enum cf_status st;

    *kept = false;
    if (!c->db || size > (uint64_t)c->max_bytes / 8)
        return CF_OK;
    st = cf_sql_begin(c->db, &why);
    if (st == CF_OK)
        st = cf_sql_end(c->db, add(c, key, data, size, &why), &why);
    if (st == CF_OK) {
        *kept = true;
        c->count.kept++;
        return CF_OK;
    }
    c->count.bytes = before.bytes;
    c->count.entries = before.entries;
    return forgive(c, st, err);
}

struct cf_cache_count cf_cache_count(const struct cf_cache *c)
{
    return c->count;
}
