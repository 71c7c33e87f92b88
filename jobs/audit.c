#include "jobs/audit.h"

#include <stdio.h>
#include <string.h>

enum { PATH_OF_KEY = 48 }; /* "ab/cd/" + 32 digits + ".webp" */

/* Names are compared as bytes: file names need not be UTF-8. */
static const char tables[] =
    "CREATE TEMP TABLE IF NOT EXISTS audit_file(path TEXT NOT NULL);"
    "CREATE TEMP TABLE IF NOT EXISTS audit_busy(path TEXT NOT NULL);"
    "DELETE FROM temp.audit_file; DELETE FROM temp.audit_busy;";

static enum cf_status begin(struct cf_audit *a, const char *how, struct cf_error *err)
{
    CF_TRY(cf_sql_exec(a->q->db, how, err));
    a->open = true;
    return CF_OK;
}

static enum cf_status commit(struct cf_audit *a, struct cf_error *err)
{
    CF_TRY(cf_sql_exec(a->q->db, "COMMIT", err));
    a->open = false;
    return CF_OK;
}

enum cf_status cf_audit_begin(struct cf_audit *a, struct cf_queue *q,
                              struct cf_error *err)
{
    *a = (struct cf_audit){.q = q};
    CF_TRY(cf_sql_exec(q->db, tables, err));
    CF_TRY(begin(a, "BEGIN", err)); /* touches nothing but the temporary tables */
    return cf_sql_open(&a->s, q->db, "INSERT INTO temp.audit_file(path) VALUES(?1)", err);
}

enum cf_status cf_audit_found(struct cf_audit *a, const char *path, struct cf_error *err)
{
    cf_sql_str(&a->s, 1, path);
    return cf_sql_run(&a->s, NULL, err);
}

/* The files that running jobs are about to have. */
static enum cf_status note_running(struct cf_audit *a, struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_sql insert = {0};
    struct cf_detail d;
    enum cf_status st;
    bool row;

    st = cf_sql_open(&insert, a->q->db, "INSERT INTO temp.audit_busy(path) VALUES(?1)",
                     err);
    if (st == CF_OK)
        st = cf_details_open(&it, a->q, CF_JOB_RUNNING, -1, err);
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, err)) == CF_OK && row) {
        char path[PATH_OF_KEY];

        snprintf(path, sizeof path, "%.2s/%.2s/%.32s.webp", d.key, d.key + 2, d.key);
        cf_sql_str(&insert, 1, path);
        st = cf_sql_run(&insert, NULL, err);
    }
    cf_details_close(&it);
    cf_sql_close(&insert);
    return st;
}

enum cf_status cf_audit_lone(struct cf_audit *a, bool hold, struct cf_error *err)
{
    cf_sql_close(&a->s);
    CF_TRY(commit(a, err));
    CF_TRY(begin(a, hold ? "BEGIN IMMEDIATE" : "BEGIN", err));
    CF_TRY(note_running(a, err));
    return cf_sql_open(&a->s, a->q->db,
                       "SELECT path FROM temp.audit_file EXCEPT SELECT path FROM output"
                       " EXCEPT SELECT path FROM temp.audit_busy"
                       " EXCEPT SELECT printf('%05d.tar', number) FROM tar ORDER BY 1",
                       err);
}

enum cf_status cf_audit_next(struct cf_audit *a, const char **path, struct cf_error *err)
{
    bool row;

    *path = NULL;
    CF_TRY(cf_sql_step(&a->s, &row, err));
    if (row)
        *path = cf_sql_col_text(&a->s, 0, NULL);
    return CF_OK;
}

void cf_audit_end(struct cf_audit *a)
{
    if (!a->q)
        return;
    cf_sql_close(&a->s);
    if (a->open)
        cf_sql_exec(a->q->db, "ROLLBACK", NULL);
    memset(a, 0, sizeof *a);
}

/* Inside the caller's transaction. */
static enum cf_status undo(struct cf_queue *q, int64_t id, const char *path,
                           const char *file_sha256, bool *undone, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int n = 0;

    st = cf_sql_open(&s, q->db,
                     "DELETE FROM output WHERE job_id = ?1 AND path = ?2"
                     " AND file_sha256 = ?3",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        cf_sql_str(&s, 2, path);
        cf_sql_str(&s, 3, file_sha256);
        st = cf_sql_run(&s, &n, err);
    }
    cf_sql_close(&s);
    *undone = n == 1;
    if (st != CF_OK || !*undone)
        return st;
    st = cf_sql_open(&s, q->db,
                     "UPDATE job SET state = 0, attempts = 0, crashes = 0"
                     " WHERE id = ?1 AND state = 2",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_undo(struct cf_queue *q, int64_t id, const char *path,
                             const char *file_sha256, bool *undone, struct cf_error *err)
{
    *undone = false;
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    return cf_sql_end(q->db, undo(q, id, path, file_sha256, undone, err), err);
}
