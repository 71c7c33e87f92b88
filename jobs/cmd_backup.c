/* cfgen-jobs backup and migrate - a copy of the queue while it is worked on; its schema
 * brought up to date. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "jobs/cmd.h"
#include "jobs/db.h"
#include "jobs/part.h"

enum { STEP_PAGES = 4096 };

static const struct cf_option options[] = {CF_CMD_COMMON, {0}};

/* The source holds one snapshot, so that what workers write meanwhile does not start the
 * copy again; in steps, so that no lock of the copy is held for long. */
static enum cf_status copy(struct cf_queue *q, sqlite3 *to, struct cf_error *err)
{
    sqlite3_backup *b;
    int64_t ignored;
    int rc = SQLITE_OK;

    CF_TRY(cf_sql_exec(q->db, "BEGIN", err));
    if (cf_sql_int64(q->db, "SELECT count(*) FROM sqlite_schema", &ignored, err) != CF_OK)
        return cf_sql_end(q->db, err->status, err);
    b = sqlite3_backup_init(to, "main", q->db, "main");
    while (b && rc == SQLITE_OK)
        rc = sqlite3_backup_step(b, STEP_PAGES);
    if (rc == SQLITE_DONE)
        rc = SQLITE_OK;
    if (!b || sqlite3_backup_finish(b) != SQLITE_OK)
        rc = sqlite3_extended_errcode(to);
    return cf_sql_end(q->db, rc == SQLITE_OK ? CF_OK : cf_sql_fail(to, rc, "copy", err),
                      err);
}

/* Without a log beside it, the copy is one file. */
static enum cf_status verify(sqlite3 *db, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    CF_TRY(cf_sql_exec(db, "PRAGMA journal_mode = DELETE", err));
    st = cf_sql_open(&s, db, "PRAGMA quick_check(1)", err);
    if (st == CF_OK)
        st = cf_sql_step(&s, &row, err);
    if (st == CF_OK && (!row || strcmp(cf_sql_col_text(&s, 0, NULL), "ok") != 0))
        st = cf_fail(err, CF_EFORMAT, "the copy is damaged: %s",
                     row ? cf_sql_col_text(&s, 0, NULL) : "no answer");
    cf_sql_close(&s);
    return st;
}

static enum cf_status copy_to(struct cf_queue *q, const char *path, struct cf_error *err)
{
    sqlite3 *db = NULL;
    enum cf_status st;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

    st = rc == SQLITE_OK ? copy(q, db, err) : cf_sql_fail(db, rc, "copy", err);
    if (st == CF_OK)
        st = verify(db, err);
    sqlite3_close(db);
    return st;
}

static enum cf_status back_up(struct cf_queue *q, const char *target,
                              struct cf_error *err)
{
    struct cf_part part = {0};
    struct stat a, b;
    enum cf_status st;

    if (stat(target, &a) == 0 && stat(q->path, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        return cf_fail(err, CF_EUSAGE, "%s: that is the queue itself", target);
    st = cf_part_open(&part, target, NULL, err);
    if (st == CF_OK)
        st = copy_to(q, part.path, err);
    if (st == CF_OK)
        st = cf_part_keep(&part, err);
    cf_part_drop(&part);
    return st == CF_OK ? CF_OK : cf_wrap(err, "backup");
}

static int backup(struct cf_call *call)
{
    const char *value;

    if (cf_cmd_next(call, &value) == 0 && cf_cmd_open(call, CF_QUEUE_READ, 1, 1) == CF_OK)
        back_up(call->q, call->operand[0], &call->err);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_backup = {
    "backup", "FILE", "Copy the queue to a file while workers go on", options, backup,
};

static void told(const struct cf_migrated *m)
{
    if (m->from == m->to)
        printf("schema %d.%d already\n", m->to / 1000, m->to % 1000);
    else
        printf("schema %d.%d is now %d.%d; as it was: ", m->from / 1000, m->from % 1000,
               m->to / 1000, m->to % 1000);
    if (m->backup) {
        cf_cmd_print(m->backup, strlen(m->backup), SIZE_MAX);
        putchar('\n');
    }
}

static int migrate(struct cf_call *call)
{
    struct cf_migrated m;
    const char *value;

    if (cf_cmd_next(call, &value) != 0)
        return cf_cmd_end(call);
    if (call->n)
        cf_fail(&call->err, CF_EUSAGE, "unexpected operand '%.80s'", call->operand[0]);
    else if (!call->db || !*call->db)
        cf_fail(&call->err, CF_EUSAGE, "no queue: give --db=FILE or set CFGEN_DB");
    else if (cf_queue_migrate(call->db, call->unsafe, &m, &call->err) == CF_OK) {
        told(&m);
        cf_free(m.backup);
    }
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_migrate = {
    "migrate", "",      "Bring the schema of an older queue up to date, with a backup",
    options,   migrate,
};
