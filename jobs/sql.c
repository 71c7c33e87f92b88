#include "jobs/sql.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { NAP_MIN_US = 500, NAP_STEP_US = 500, NAP_MAX_US = 10000 };

/* Naps that grow a little and differ, so that none of many waiters is always late:
 * SQLite's own handler lets one of four wait for seconds. */
static int wait_more(void *ctx, int turn)
{
    struct cf_sql_wait *w = ctx;
    struct timespec nap = {0, 0};
    long long now = cf_clock_ms();
    int most = turn < 20 ? NAP_MIN_US + turn * NAP_STEP_US : NAP_MAX_US;

    if (turn == 0)
        w->since = now;
    if (cf_cancel_check(w->cancel, NULL) != CF_OK || now - w->since >= w->ms)
        return 0;
    w->luck = w->luck * 6364136223846793005u + 1442695040888963407u;
    nap.tv_nsec = (long)(NAP_MIN_US + (w->luck >> 33) % (uint64_t)most) * 1000;
    nanosleep(&nap, NULL);
    return 1;
}

/* SQLite 3.40 keeps nothing of ours for a connection but the argument of a hook, and
 * gives that back when the hook is set anew. This one does nothing else. */
static void keeps_wait(void *ctx)
{
    (void)ctx;
}

void cf_sql_wait(sqlite3 *db, struct cf_sql_wait *w)
{
    w->luck = (uint64_t)getpid() << 32 ^ (uint64_t)cf_clock_ms();
    sqlite3_rollback_hook(db, keeps_wait, w);
    sqlite3_busy_handler(db, wait_more, w);
}

static bool was_cancelled(sqlite3 *db)
{
    struct cf_sql_wait *w = db ? sqlite3_rollback_hook(db, keeps_wait, NULL) : NULL;

    if (w)
        sqlite3_rollback_hook(db, keeps_wait, w);
    return w && cf_cancel_check(w->cancel, NULL) != CF_OK;
}

static int file_errno(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;
    int errnum = 0;

    if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file &&
        file->pMethods)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &errnum);
    return errnum;
}

/* Why the system refused. A COMMIT that fails leaves nothing for sqlite3_system_errno
 * (SQLite 3.40), but the files remember: first the journal or log, then the database. */
static int system_errno(sqlite3 *db, int rc)
{
    int errnum = db ? sqlite3_system_errno(db) : 0;

    if (db && !errnum && (rc & 0xff) == SQLITE_IOERR)
        errnum = file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
    if (db && !errnum && (rc & 0xff) == SQLITE_IOERR)
        errnum = file_errno(db, SQLITE_FCNTL_FILE_POINTER);
    return errnum;
}

static enum cf_status from_errno(int errnum, enum cf_status other)
{
    if (errnum == ENOSPC || errnum == EDQUOT)
        return CF_ENOSPC;
    return errnum == EROFS ? CF_EPERM : other;
}

static enum cf_status from_sqlite(sqlite3 *db, int rc)
{
    int errnum = system_errno(db, rc);

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return CF_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return was_cancelled(db) ? CF_ECANCEL : CF_EBUSY;
    case SQLITE_FULL:
        return CF_ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CF_EFORMAT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return CF_EPERM;
    case SQLITE_CANTOPEN:
        return errnum == ENOENT || errnum == ENOTDIR ? CF_ENOENT
                                                     : from_errno(errnum, CF_EPERM);
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return CF_ENOMEM;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return CF_ENOMEM;
        return from_errno(errnum, CF_EIO);
    default:
        return CF_EBUG;
    }
}

enum cf_status cf_sql_fail(sqlite3 *db, int rc, const char *what, struct cf_error *err)
{
    const char *words = db && sqlite3_extended_errcode(db) == rc ? sqlite3_errmsg(db)
                                                                 : sqlite3_errstr(rc);
    int errnum = system_errno(db, rc), kind = rc & 0xff;
    const char *file = db ? sqlite3_db_filename(db, "main") : NULL;

    if (file && *file)
        what = file;
    if (errnum &&
        (kind == SQLITE_IOERR || kind == SQLITE_FULL || kind == SQLITE_CANTOPEN))
        return cf_fail(err, from_sqlite(db, rc), "%s: %s (SQLite %d): %s", what, words,
                       rc, strerror(errnum));
    return cf_fail(err, from_sqlite(db, rc), "%s: %s (SQLite %d)", what, words, rc);
}

enum cf_status cf_sql_exec(sqlite3 *db, const char *text, struct cf_error *err)
{
    int rc = sqlite3_exec(db, text, NULL, NULL, NULL);

    return rc == SQLITE_OK ? CF_OK : cf_sql_fail(db, rc, "database", err);
}

enum cf_status cf_sql_int64(sqlite3 *db, const char *text, int64_t *value,
                            struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    *value = 0;
    st = cf_sql_open(&s, db, text, err);
    if (st == CF_OK)
        st = cf_sql_step(&s, &row, err);
    if (st == CF_OK && row)
        *value = cf_sql_col_int(&s, 0);
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_sql_open(struct cf_sql *s, sqlite3 *db, const char *text,
                           struct cf_error *err)
{
    int rc;

    memset(s, 0, sizeof *s);
    s->db = db;
    rc = sqlite3_prepare_v2(db, text, -1, &s->stmt, NULL);
    return rc == SQLITE_OK ? CF_OK : cf_sql_fail(db, rc, "database", err);
}

void cf_sql_close(struct cf_sql *s)
{
    sqlite3_finalize(s->stmt);
    memset(s, 0, sizeof *s);
}

static void bound(struct cf_sql *s, int rc)
{
    if (s->rc == SQLITE_OK)
        s->rc = rc;
}

void cf_sql_int(struct cf_sql *s, int at, int64_t v)
{
    bound(s, sqlite3_bind_int64(s->stmt, at, v));
}

void cf_sql_str(struct cf_sql *s, int at, const char *text)
{
    cf_sql_text(s, at, text, text ? strlen(text) : 0);
}

void cf_sql_text(struct cf_sql *s, int at, const char *text, size_t len)
{
    bound(s, text
                 ? sqlite3_bind_text64(s->stmt, at, text, len, SQLITE_STATIC, SQLITE_UTF8)
                 : sqlite3_bind_null(s->stmt, at));
}

void cf_sql_blob(struct cf_sql *s, int at, const void *data, size_t len)
{
    bound(s, sqlite3_bind_blob64(s->stmt, at, data, len, SQLITE_STATIC));
}

enum cf_status cf_sql_step(struct cf_sql *s, bool *row, struct cf_error *err)
{
    enum cf_status st;
    int rc = s->rc;

    *row = false;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s->stmt);
    if (rc == SQLITE_ROW) {
        *row = true;
        return CF_OK;
    }
    st = rc == SQLITE_DONE ? CF_OK : cf_sql_fail(s->db, rc, "database", err);
    sqlite3_reset(s->stmt);
    s->rc = SQLITE_OK;
    return st;
}

enum cf_status cf_sql_run(struct cf_sql *s, int *changes, struct cf_error *err)
{
    enum cf_status st;
    bool row = true;

    do
        st = cf_sql_step(s, &row, err);
    while (st == CF_OK && row);
    if (changes)
        *changes = sqlite3_changes(s->db);
    sqlite3_clear_bindings(s->stmt);
    return st;
}

int64_t cf_sql_col_int(const struct cf_sql *s, int col)
{
    return sqlite3_column_int64(s->stmt, col);
}

const char *cf_sql_col_text(const struct cf_sql *s, int col, size_t *len)
{
    const char *text = (const char *)sqlite3_column_text(s->stmt, col);

    if (len)
        *len = text ? (size_t)sqlite3_column_bytes(s->stmt, col) : 0;
    return text;
}

enum cf_status cf_sql_col_dup(const struct cf_sql *s, int col, char **out, size_t *len,
                              struct cf_error *err)
{
    size_t n;
    const char *text = cf_sql_col_text(s, col, &n);

    *out = NULL;
    if (len)
        *len = n;
    if (!text && sqlite3_column_type(s->stmt, col) == SQLITE_NULL)
        return CF_OK;
    if (!text)
        return cf_fail(err, CF_ENOMEM, "database: no memory for a text");
    *out = cf_strndup(text, n, err);
    return *out ? CF_OK : CF_ENOMEM;
}

enum cf_status cf_sql_begin(sqlite3 *db, struct cf_error *err)
{
    return cf_sql_exec(db, "BEGIN IMMEDIATE", err);
}

enum cf_status cf_sql_end(sqlite3 *db, enum cf_status st, struct cf_error *err)
{
    if (st == CF_OK)
        st = cf_sql_exec(db, "COMMIT", err);
    /* A failed statement may have rolled everything back by itself (full disk). */
    if (st != CF_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}
