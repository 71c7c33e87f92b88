#include "jobs/queue.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/fs.h"
#include "jobs/schema.h"

enum { TIMEOUT_MS = 60000, CLOSE_TIMEOUT_MS = 1000 };

int64_t cf_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t boot_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Absolute path of a file that may not exist yet, and its directory. Absolute, because
 * SQLite gives ":memory:" and "" a meaning of their own. */
static enum cf_status resolve(struct cf_queue *q, const char *path, struct cf_error *err)
{
    const char *base = strrchr(path, '/');
    char real[PATH_MAX], *slash;
    char *dir = NULL;

    if (!*path)
        return cf_fail(err, CF_EUSAGE, "database: the name is empty");
    if (!realpath(path, real)) {
        if (errno != ENOENT)
            return cf_fail_errno(err, errno, "%s", path);
        dir =
            base ? cf_strndup(path, (size_t)(base - path) + 1, err) : cf_strdup(".", err);
        if (!dir)
            return CF_ENOMEM;
        if (!realpath(dir, real)) {
            cf_fail_errno(err, errno, "%s", dir);
            cf_free(dir);
            return err ? err->status : CF_ENOENT;
        }
        cf_free(dir);
        q->dir = cf_strdup(real, err);
        q->path = cf_format(err, "%s/%s", strcmp(real, "/") ? real : "",
                            base ? base + 1 : path);
        return q->dir && q->path ? CF_OK : CF_ENOMEM;
    }
    q->path = cf_strdup(real, err);
    slash = strrchr(real, '/');
    slash[slash == real] = '\0';
    q->dir = cf_strdup(real, err);
    return q->dir && q->path ? CF_OK : CF_ENOMEM;
}

/* What lies at the path, from its first 100 bytes, before SQLite may touch anything: a
 * foreign file is never written to, not even to roll back its journal. Read through
 * SQLite's own file handle, since closing a descriptor of our own would drop the locks
 * that another connection of this process holds on the file. logged: it has a write-ahead
 * log. */
static enum cf_status probe(const char *path, bool *logged, struct cf_error *err)
{
    unsigned char head[100];
    sqlite3 *db = NULL;
    sqlite3_file *file = NULL;
    enum cf_status st = CF_OK;
    uint32_t id;
    int rc;

    rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK)
        rc = file->pMethods->xRead(file, head, sizeof head, 0);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        st = cf_sql_fail(db, rc, "database", err);
    } else if (rc != SQLITE_OK || memcmp(head, "SQLite format 3", 16) != 0) {
        st = cf_fail(err, CF_EFORMAT, "not an SQLite database");
    } else {
        id = (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 |
             (uint32_t)head[70] << 8 | head[71];
        if (id != CF_SCHEMA_ID)
            st = cf_fail(err, CF_ECONFIG,
                         "a database of another program (application_id 0x%08x, expected "
                         "0x%08x)",
                         id, CF_SCHEMA_ID);
        *logged = head[18] == 2 || head[19] == 2;
    }
    sqlite3_close(db);
    return st;
}

enum cf_status cf_db_probe(const char *path, struct cf_error *err)
{
    bool logged;

    return probe(path, &logged, err);
}

char *cf_db_uri(const char *path, const char *query, struct cf_error *err)
{
    char *uri = cf_alloc(strlen(path) + strlen(query) + 8, 3, err), *p = uri;

    if (!uri)
        return NULL;
    p += sprintf(p, "file:");
    for (; *path; path++) {
        bool plain = strchr("?#%", *path) == NULL && (unsigned char)*path < 0x80;

        p += sprintf(p, plain ? "%c" : "%%%02X", (unsigned char)*path);
    }
    sprintf(p, "?%s", query);
    return uri;
}

/* A file beside the database that holds something. */
static bool beside(const struct cf_queue *q, const char *suffix)
{
    struct cf_error ignored = {0};
    char *name = cf_format(&ignored, "%s%s", q->path, suffix);
    struct stat sb;
    bool there = !name || (stat(name, &sb) == 0 && sb.st_size > 0);

    cf_free(name);
    return there;
}

/* A reader needs the memory shared by the users of the log, a file in that directory.
 * Where it may not be made and no log lies there, nobody is writing, and the file is read
 * as it is. */
static bool read_as_it_is(const struct cf_queue *q)
{
    return !q->writable && access(q->dir, W_OK) != 0 && !beside(q, "-wal") &&
           !beside(q, "-journal");
}

/* A writer that was killed left a journal: whoever reads next must roll it back. */
static bool must_roll_back(const struct cf_queue *q)
{
    return !q->writable && beside(q, "-journal") && access(q->path, W_OK) == 0 &&
           access(q->dir, W_OK) == 0;
}

char *cf_queue_read_uri(const struct cf_queue *q, struct cf_error *err)
{
    return cf_db_uri(q->path, read_as_it_is(q) ? "immutable=1" : "mode=ro", err);
}

static enum cf_status open_db(struct cf_queue *q, bool fresh, struct cf_error *err)
{
    bool as_it_is = read_as_it_is(q), repair = must_roll_back(q);
    char *name =
        as_it_is ? cf_db_uri(q->path, "immutable=1", err) : cf_strdup(q->path, err);
    int flags = q->writable || repair ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, rc;

    if (!name)
        return CF_ENOMEM;
    flags |= SQLITE_OPEN_URI; /* for ATTACH too; a plain name begins with a slash */
    flags |= fresh ? SQLITE_OPEN_CREATE : 0;
    rc = sqlite3_open_v2(name, &q->db, flags | SQLITE_OPEN_FULLMUTEX, NULL);
    cf_free(name);
    if (rc != SQLITE_OK && access(q->dir, fresh ? W_OK | X_OK : X_OK) != 0)
        return cf_fail_errno(err, errno, "%s", q->dir);
    if (rc != SQLITE_OK)
        return cf_sql_fail(q->db, rc, "database", err);
    if (q->writable && sqlite3_db_readonly(q->db, "main") == 1)
        return cf_fail(err, CF_EPERM, "no permission to write");
    return repair ? cf_sql_exec(q->db, "PRAGMA query_only = ON", err) : CF_OK;
}

static enum cf_status set_up(struct cf_queue *q, struct cf_error *err)
{
    q->wait.ms = TIMEOUT_MS;
    cf_sql_wait(q->db, &q->wait);
    sqlite3_extended_result_codes(q->db, 1);
    sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return cf_sql_exec(q->db,
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                       "PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;"
                       "PRAGMA synchronous = FULL;",
                       err);
}

/* Tables first, by rollback journal, so that the file's own first page carries our
 * application_id from its first moment; then the write-ahead log. Two processes may do
 * this at once. */
static enum cf_status create(struct cf_queue *q, struct cf_error *err)
{
    int64_t version, id;
    enum cf_status st;

    CF_TRY(cf_sql_exec(q->db, "BEGIN EXCLUSIVE", err));
    st = cf_sql_int64(q->db, "PRAGMA user_version", &version, err);
    if (st == CF_OK)
        st = cf_sql_int64(q->db, "PRAGMA application_id", &id, err);
    if (st == CF_OK && id != CF_SCHEMA_ID) {
        st = cf_schema_migrate(q->db, 0, err);
        if (st == CF_OK)
            st = cf_sql_exec(q->db,
                             "INSERT INTO meta(key, value) VALUES"
                             "('created_by', 'cfgen'),"
                             "('queue_id', lower(hex(randomblob(16)))),"
                             "('created_at', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                             err);
    }
    return cf_sql_end(q->db, st, err);
}

/* Changing the journal needs the file alone and does not wait by itself. */
static enum cf_status use_wal(struct cf_queue *q, struct cf_error *err)
{
    const struct timespec pause = {0, 50 * 1000 * 1000};
    int rc = SQLITE_BUSY;

    for (int i = 0; i < 200 && (rc & 0xff) == SQLITE_BUSY; i++) {
        rc = sqlite3_exec(q->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if ((rc & 0xff) == SQLITE_BUSY)
            nanosleep(&pause, NULL);
    }
    return rc == SQLITE_OK ? CF_OK : cf_sql_fail(q->db, rc, "write-ahead log", err);
}

/* No log and so no shared memory: for one host at a time, on any file system. */
static enum cf_status use_journal(struct cf_queue *q, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    st = cf_sql_open(&s, q->db, "PRAGMA journal_mode = TRUNCATE", err);
    if (st == CF_OK)
        st = cf_sql_step(&s, &row, err);
    if (st == CF_OK && (!row || strcmp(cf_sql_col_text(&s, 0, NULL), "truncate") != 0))
        st = cf_fail(err, CF_EBUSY, "another program uses the results of this shard");
    cf_sql_close(&s);
    return st;
}

static enum cf_status check_version(struct cf_queue *q, struct cf_error *err)
{
    int64_t version, id, tables;

    CF_TRY(cf_sql_int64(q->db, "PRAGMA application_id", &id, err));
    CF_TRY(cf_sql_int64(q->db, "PRAGMA user_version", &version, err));
    if (id != CF_SCHEMA_ID)
        return cf_fail(err, CF_EFORMAT,
                       "an empty database: its making was cut off, make it again");
    CF_TRY(cf_schema_usable((int)version, q->writable, err));
    CF_TRY(
        cf_sql_int64(q->db,
                     "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN"
                     "('meta','prompt','model','recipe','batch','job','worker','lease',"
                     "'attempt','output','delay','stat','failure','cause','tar')",
                     &tables, err));
    if (tables < (version < CF_SCHEMA_VERSION ? 12 : 15))
        return cf_fail(err, CF_EFORMAT, "%d of 15 tables are there", (int)tables);
    return version < CF_SCHEMA_VERSION ? cf_migrate(q, (int)version, err) : CF_OK;
}

/* A queue whose making was cut off: ours by its first page, empty once SQLite has rolled
 * back what was not committed. */
static enum cf_status cut_off(struct cf_queue *q, bool *empty, struct cf_error *err)
{
    int64_t id, tables;

    CF_TRY(cf_sql_int64(q->db, "PRAGMA application_id", &id, err));
    CF_TRY(cf_sql_int64(q->db, "SELECT count(*) FROM sqlite_schema", &tables, err));
    *empty = id == 0 && tables == 0;
    return CF_OK;
}

/* Whoever runs a shard of a plan only reads it. */
static enum cf_status no_plan(struct cf_queue *q, struct cf_error *err)
{
    int64_t plan;

    CF_TRY(cf_sql_int64(q->db,
                        "SELECT count(*) FROM meta WHERE key = 'plan_id' AND NOT EXISTS"
                        " (SELECT 1 FROM meta WHERE key = 'plan_shard')",
                        &plan, err));
    return plan ? cf_fail(err, CF_ECONFIG,
                          "a plan, which nobody writes to: run a shard of it, or use the "
                          "queue it was made from")
                : CF_OK;
}

static enum cf_status connect_to(struct cf_queue *q, bool may_create, bool anywhere,
                                 struct cf_error *err)
{
    bool there = true, fresh, logged = true;
    struct stat sb;

    if (stat(q->path, &sb) != 0) {
        if (errno != ENOENT || !may_create)
            return cf_fail_errno(err, errno, "database");
        there = false;
    } else if (!S_ISREG(sb.st_mode)) {
        return cf_fail(err, CF_EFORMAT, "not a regular file");
    }
    fresh = !there || sb.st_size == 0;
    if (fresh && !may_create)
        return cf_fail(err, CF_EFORMAT, "an empty file, not a database");
    if (!fresh)
        CF_TRY(probe(q->path, &logged, err));
    if (!anywhere && (q->writable || logged))
        CF_TRY(cf_fs_check_local(q->dir, err));
    CF_TRY(open_db(q, fresh, err));
    CF_TRY(set_up(q, err));
    if (!fresh && may_create)
        CF_TRY(cut_off(q, &fresh, err));
    if (fresh)
        CF_TRY(create(q, err));
    CF_TRY(check_version(q, err));
    if (!q->writable)
        return CF_OK;
    CF_TRY(no_plan(q, err));
    return q->shard ? use_journal(q, err) : use_wal(q, err);
}

static struct cf_queue *make(int mode, struct cf_error *err)
{
    struct cf_queue *q = cf_calloc(1, sizeof *q, err);

    if (!q)
        return NULL;
    q->writable = (mode & 7) != CF_QUEUE_READ;
    q->shard = (mode & CF_QUEUE_SHARD) != 0;
    q->wall_ms = cf_now_ms;
    q->boot_ms = boot_ms;
    return q;
}

enum cf_status cf_queue_open(struct cf_queue **out, const char *path,
                             enum cf_queue_mode mode, struct cf_error *err)
{
    int flags = CF_QUEUE_UNSAFE_SHARED | CF_QUEUE_SHARD, plain = (int)mode & ~flags;
    struct cf_error local = {0};
    struct cf_queue *q;
    enum cf_status st;

    *out = NULL;
    if (!err)
        err = &local;
    q = make((int)mode, err);
    if (!q)
        return CF_ENOMEM;
    st = resolve(q, path, err);
    if (st == CF_OK)
        st = connect_to(q, plain == CF_QUEUE_CREATE, ((int)mode & flags) != 0, err);
    if (st != CF_OK && q->path && strncmp(err->msg, q->path, strlen(q->path)) != 0)
        st = cf_wrap(err, "%s", path);
    if (st != CF_OK) {
        cf_queue_close(q);
        return st;
    }
    *out = q;
    return CF_OK;
}

void cf_queue_timeout(struct cf_queue *q, int ms)
{
    q->wait.ms = ms;
}

void cf_queue_cancel(struct cf_queue *q, struct cf_cancel *cancel)
{
    q->wait.cancel = cancel;
}

/* The log is folded back when nobody minds: a reader in the way is not worth a wait, and
 * none at all to who was told to stop or has waited in vain. */
void cf_queue_close(struct cf_queue *q)
{
    if (!q)
        return;
    if (q->db && q->writable && !q->shard) {
        q->wait.ms = q->wait.ms < CLOSE_TIMEOUT_MS ? q->wait.ms : CLOSE_TIMEOUT_MS;
        sqlite3_exec(q->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    }
    for (int i = 0; i < CF_KEPT_MAX; i++)
        cf_sql_close(&q->kept[i].sql);
    sqlite3_close(q->db);
    cf_where_free(q);
    cf_free(q->watched);
    cf_free(q->backup);
    cf_free(q->path);
    cf_free(q->dir);
    cf_free(q);
}

enum cf_status cf_queue_kept(struct cf_queue *q, const char *text, struct cf_sql **s,
                             struct cf_error *err)
{
    int i = 0;

    while (i < CF_KEPT_MAX - 1 && q->kept[i].text && q->kept[i].text != text)
        i++;
    *s = &q->kept[i].sql;
    if (q->kept[i].text == text)
        return CF_OK;
    q->kept[i].text = NULL;
    cf_sql_close(*s); /* the last place is shared by those that found no other */
    CF_TRY(cf_sql_open(*s, q->db, text, err));
    q->kept[i].text = text;
    return CF_OK;
}

enum cf_status cf_queue_writable(const struct cf_queue *q, struct cf_error *err)
{
    return q->writable ? CF_OK : cf_fail(err, CF_EPERM, "%s: opened to read", q->path);
}

const char *cf_queue_dir(const struct cf_queue *q)
{
    return q->dir;
}

enum cf_status cf_queue_counts(struct cf_queue *q, struct cf_counts *c,
                               struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    memset(c, 0, sizeof *c);
    st = cf_sql_open(&s, q->db, "SELECT state, n FROM stat", err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        int64_t state = cf_sql_col_int(&s, 0);

        if (state >= 0 && state < CF_NJOBSTATE)
            c->n[state] = cf_sql_col_int(&s, 1);
    }
    cf_sql_close(&s);
    return st;
}
