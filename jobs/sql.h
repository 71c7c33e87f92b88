/* sql.h - SQLite's C interface with its errors turned into ours.
 *
 * A statement remembers the first bind that failed; the step reports it. So a sequence of
 * binds needs no checks in between. Text handed to bind is borrowed until the statement
 * is reset or closed. Only jobs/ includes this. */
#ifndef CF_JOBS_SQL_H
#define CF_JOBS_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"

/* How a connection waits for other processes. */
struct cf_sql_wait {
    int ms;                   /* at most, before CF_EBUSY */
    struct cf_cancel *cancel; /* once set: CF_ECANCEL instead; NULL: none */
    long long since;          /* own */
    uint64_t luck;            /* own */
};

/* w is borrowed for as long as db is open; its first two fields may be changed at any
 * time between calls. The connection's rollback hook is used up by this. */
void cf_sql_wait(sqlite3 *db, struct cf_sql_wait *w);

struct cf_sql {
    sqlite3 *db;        /* borrowed */
    sqlite3_stmt *stmt; /* owned */
    int rc;             /* of the first bind that failed */
};

/* The status that stands for SQLite's result code rc: BUSY and LOCKED are CF_EBUSY (or
 * CF_ECANCEL, see cf_sql_wait), FULL is CF_ENOSPC, CORRUPT and NOTADB are CF_EFORMAT,
 * READONLY and PERM are CF_EPERM, CANTOPEN is CF_ENOENT or CF_EPERM, NOMEM is CF_ENOMEM,
 * IOERR is CF_EIO, but by errno CF_ENOSPC (no space, quota) or CF_EPERM (read-only file
 * system); else CF_EBUG. With db SQLite's own words are told, and the file's name stands
 * in place of what. */
enum cf_status cf_sql_fail(sqlite3 *db, int rc, const char *what, struct cf_error *err);

/* One or more statements without results. */
enum cf_status cf_sql_exec(sqlite3 *db, const char *text, struct cf_error *err);

/* The first column of the first row, 0 when there is none. */
enum cf_status cf_sql_int64(sqlite3 *db, const char *text, int64_t *value,
                            struct cf_error *err);

/* s is zeroed first, so cf_sql_close is always safe. */
enum cf_status cf_sql_open(struct cf_sql *s, sqlite3 *db, const char *text,
                           struct cf_error *err);
void cf_sql_close(struct cf_sql *s); /* a zeroed statement is fine */

/* Parameters count from 1. NULL text binds NULL. */
void cf_sql_int(struct cf_sql *s, int at, int64_t v);
void cf_sql_str(struct cf_sql *s, int at, const char *text);
void cf_sql_text(struct cf_sql *s, int at, const char *text, size_t len);
void cf_sql_blob(struct cf_sql *s, int at, const void *data, size_t len);

/* Next row: *row false at the end, and then the statement is reset for the next use. */
enum cf_status cf_sql_step(struct cf_sql *s, bool *row, struct cf_error *err);

/* Run to the end, reset, drop the bindings. *changes (may be NULL) is the number of rows
 * changed by an INSERT, UPDATE or DELETE. */
enum cf_status cf_sql_run(struct cf_sql *s, int *changes, struct cf_error *err);

/* Columns count from 0. The text is NUL-terminated and lives until the next step; NULL
 * for NULL. len may be NULL. */
int64_t cf_sql_col_int(const struct cf_sql *s, int col);
const char *cf_sql_col_text(const struct cf_sql *s, int col, size_t *len);
/* A fresh copy (cf_free); *out is NULL for NULL. */
enum cf_status cf_sql_col_dup(const struct cf_sql *s, int col, char **out, size_t *len,
                              struct cf_error *err);

/* BEGIN IMMEDIATE: a read that becomes a write may get BUSY at once, whatever the
 * timeout, so no transaction starts as a read. */
enum cf_status cf_sql_begin(sqlite3 *db, struct cf_error *err);
/* Commit when st is CF_OK, else roll back; returns what the whole came to. */
enum cf_status cf_sql_end(sqlite3 *db, enum cf_status st, struct cf_error *err);

#endif
