/* cfgen-jobs prune - rows that nobody needs any more.
 *
 * Jobs are gone through by ranges of their numbers, one transaction each, so that workers
 * wait for a moment only and memory is bounded. With --dry-run each is rolled back. */
#include <inttypes.h>
#include <stdio.h>

#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/db.h"

enum { ATTEMPTS = CF_CMD_OWN, CANCELLED, DONE, BATCH, WORKERS, DRY_RUN, VACUUM };
enum { RANGE = 50000, DAY_MS = 24 * 3600 * 1000, DAYS_MAX = 100000 };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {ATTEMPTS, "attempts-older-than", "DAYS", "the history of jobs that have ended"},
    {CANCELLED, "cancelled", NULL, "cancelled jobs"},
    {DONE, "done", NULL,
     "done jobs with what is known of their images;\nthe images themselves stay"},
    {BATCH, "batch", "NAME", "of cancelled and done jobs only those of this batch"},
    {WORKERS, "workers", NULL, "workers that ended and that no history names"},
    {DRY_RUN, "dry-run", NULL, "tell how much it would be, change nothing"},
    {VACUUM, "vacuum", NULL, "then make the file smaller"},
    {0},
};

struct args {
    bool history; /* attempts go */
    bool cancelled, done, workers, dry, vacuum;
    const char *batch;
    int64_t before;                                /* ms: attempts that ended earlier */
    int64_t attempts, jobs, prompts, workers_gone; /* rows */
};

/* One statement; ?1 and ?2 are the range, ?3 what else it needs. Rows are added to *n. */
static enum cf_status change(struct cf_queue *q, const char *text, int64_t lo, int64_t hi,
                             int64_t more, int64_t *n, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int rows = 0;

    st = cf_sql_open(&s, q->db, text, err);
    if (st == CF_OK) {
        if (sqlite3_bind_parameter_count(s.stmt) >= 2) {
            cf_sql_int(&s, 1, lo);
            cf_sql_int(&s, 2, hi);
        }
        if (sqlite3_bind_parameter_count(s.stmt) >= 3)
            cf_sql_int(&s, 3, more);
        st = cf_sql_run(&s, &rows, err);
    }
    cf_sql_close(&s);
    if (n)
        *n += rows;
    return st;
}

/* Which jobs of the range go: into temp.gone. */
static enum cf_status mark(struct cf_queue *q, const struct args *a, int64_t lo,
                           int64_t hi, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    CF_TRY(cf_sql_exec(q->db, "DELETE FROM temp.gone", err));
    st = cf_sql_open(&s, q->db,
                     "INSERT INTO temp.gone(id) SELECT id FROM job"
                     " WHERE id BETWEEN ?1 AND ?2 AND (?3 >> state) & 1 AND (?4 IS NULL"
                     " OR batch_id IN (SELECT id FROM batch WHERE name = ?4))",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, lo);
        cf_sql_int(&s, 2, hi);
        cf_sql_int(&s, 3,
                   (a->cancelled ? 1 << CF_JOB_CANCELLED : 0) |
                       (a->done ? 1 << CF_JOB_DONE : 0));
        cf_sql_str(&s, 4, a->batch);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status prune_range(struct cf_queue *q, struct args *a, int64_t lo,
                                  int64_t hi, struct cf_error *err)
{
    static const char of_gone[] = " WHERE job_id IN (SELECT id FROM temp.gone)";
    char text[120];

    if (a->history)
        CF_TRY(change(q,
                      "DELETE FROM attempt WHERE job_id BETWEEN ?1 AND ?2"
                      " AND ended < ?3 AND (SELECT state FROM job WHERE id = job_id)"
                      " IN (2, 3, 5)",
                      lo, hi, a->before, &a->attempts, err));
    if (!a->cancelled && !a->done)
        return CF_OK;
    CF_TRY(mark(q, a, lo, hi, err));
    snprintf(text, sizeof text, "DELETE FROM attempt%s", of_gone);
    CF_TRY(change(q, text, 0, 0, 0, &a->attempts, err));
    snprintf(text, sizeof text, "DELETE FROM output%s", of_gone);
    CF_TRY(change(q, text, 0, 0, 0, NULL, err));
    return change(q, "DELETE FROM job WHERE id IN (SELECT id FROM temp.gone)", 0, 0, 0,
                  &a->jobs, err);
}

/* A dry run has its rows back. */
static enum cf_status close_range(struct cf_queue *q, const struct args *a,
                                  enum cf_status st, struct cf_error *err)
{
    if (st == CF_OK && a->dry)
        return cf_sql_exec(q->db, "ROLLBACK", err);
    return cf_sql_end(q->db, st, err);
}

static enum cf_status prune_jobs(struct cf_queue *q, struct args *a, struct cf_error *err)
{
    int64_t lo, last;
    enum cf_status st = CF_OK;

    CF_TRY(cf_sql_exec(q->db, "CREATE TEMP TABLE gone(id INTEGER PRIMARY KEY)", err));
    CF_TRY(cf_sql_int64(q->db, "SELECT min(id) FROM job", &lo, err));
    CF_TRY(cf_sql_int64(q->db, "SELECT max(id) FROM job", &last, err));
    for (; lo <= last && st == CF_OK; lo += RANGE) {
        CF_TRY(cf_sql_begin(q->db, err));
        st = prune_range(q, a, lo, lo + RANGE - 1, err);
        st = close_range(q, a, st, err);
    }
    return st;
}

/* Prompts that no job names, into temp.orphan, and the newest job, into temp.newest: a
 * walk over all jobs, for which nobody has to wait. */
static enum cf_status note_orphans(struct cf_queue *q, struct cf_error *err)
{
    return cf_sql_exec(
        q->db,
        "DELETE FROM temp.orphan; DELETE FROM temp.newest;"
        "INSERT INTO temp.newest SELECT id, prompt_id, negative_id, recipe_id, seed,"
        " width, height FROM main.job ORDER BY id DESC LIMIT 1;"
        "INSERT INTO temp.orphan(prompt) SELECT id FROM main.prompt p WHERE id > 0"
        " AND NOT EXISTS (SELECT 1 FROM main.job j WHERE j.prompt_id = p.id)"
        " AND id NOT IN (SELECT negative_id FROM main.job)",
        err);
}

/* Jobs that came since have higher numbers, unless another prune took the newest one away
 * and its number was given again: then all is noted anew. */
static enum cf_status still_orphans(struct cf_queue *q, int64_t *lo, struct cf_error *err)
{
    int64_t lost;

    CF_TRY(
        cf_sql_int64(q->db,
                     "SELECT count(*) FROM (SELECT * FROM temp.newest EXCEPT SELECT id,"
                     " prompt_id, negative_id, recipe_id, seed, width, height FROM"
                     " main.job WHERE id = (SELECT id FROM temp.newest))",
                     &lost, err));
    if (!lost)
        return CF_OK;
    *lo = 1;
    return note_orphans(q, err);
}

static enum cf_status prune_prompts(struct cf_queue *q, struct args *a,
                                    struct cf_error *err)
{
    static const char some[] =
        "DELETE FROM main.prompt WHERE id IN (SELECT prompt FROM temp.orphan WHERE rowid"
        " BETWEEN ?1 AND ?2) AND NOT EXISTS (SELECT 1 FROM job j WHERE j.prompt_id ="
        " prompt.id) AND id NOT IN (SELECT negative_id FROM main.job WHERE id >"
        " coalesce((SELECT id FROM temp.newest), 0))";
    enum cf_status st = CF_OK;
    int64_t n, lo = 1;

    CF_TRY(cf_sql_exec(q->db,
                       "CREATE TEMP TABLE newest(id, prompt_id, negative_id, recipe_id,"
                       " seed, width, height);"
                       "CREATE TEMP TABLE orphan(prompt); BEGIN",
                       err));
    CF_TRY(cf_sql_end(q->db, note_orphans(q, err), err));
    do {
        CF_TRY(cf_sql_begin(q->db, err));
        st = still_orphans(q, &lo, err);
        if (st == CF_OK)
            st = cf_sql_int64(q->db, "SELECT max(rowid) FROM temp.orphan", &n, err);
        if (st == CF_OK)
            st = change(q, some, lo, lo + RANGE - 1, 0, &a->prompts, err);
        st = close_range(q, a, st, err);
        lo += RANGE;
    } while (st == CF_OK && lo <= n);
    return st;
}

static enum cf_status prune_workers(struct cf_queue *q, struct args *a,
                                    struct cf_error *err)
{
    CF_TRY(cf_sql_begin(q->db, err));
    return close_range(q, a,
                       change(q,
                              "DELETE FROM worker WHERE ended IS NOT NULL"
                              " AND id NOT IN (SELECT worker_id FROM attempt)"
                              " AND id NOT IN (SELECT worker_id FROM lease)"
                              " AND id NOT IN (SELECT worker_id FROM tar"
                              " WHERE worker_id IS NOT NULL)",
                              0, 0, 0, &a->workers_gone, err),
                       err);
}

/* What is left without a reference. The statements ask for themselves what the foreign
 * keys would ask once per row, by a walk over all jobs each time. */
static enum cf_status prune_orphans(struct cf_queue *q, struct args *a,
                                    struct cf_error *err)
{
    CF_TRY(cf_sql_exec(q->db, "PRAGMA foreign_keys = OFF", err));
    if (a->cancelled || a->done)
        CF_TRY(prune_prompts(q, a, err));
    return a->workers ? prune_workers(q, a, err) : CF_OK;
}

static enum cf_status set(struct args *a, int o, const char *value, struct cf_error *err)
{
    int days;

    switch (o) {
    case ATTEMPTS:
        CF_TRY(cf_parse_int(value, 0, DAYS_MAX, &days, "--attempts-older-than", err));
        a->before = cf_now_ms() - (int64_t)days * DAY_MS;
        a->history = true;
        return CF_OK;
    case CANCELLED:
        a->cancelled = true;
        return CF_OK;
    case DONE:
        a->done = true;
        return CF_OK;
    case BATCH:
        a->batch = value;
        return CF_OK;
    case WORKERS:
        a->workers = true;
        return CF_OK;
    case DRY_RUN:
        a->dry = true;
        return CF_OK;
    default:
        a->vacuum = true;
        return CF_OK;
    }
}

static enum cf_status prune(struct cf_call *call, struct args *a)
{
    struct cf_queue *q;

    if (!a->history && !a->cancelled && !a->done && !a->workers && !a->vacuum)
        return cf_fail(&call->err, CF_EUSAGE, "what to prune is missing");
    if (a->batch && !a->cancelled && !a->done)
        return cf_fail(&call->err, CF_EUSAGE, "--batch goes with --cancelled or --done");
    CF_TRY(cf_cmd_open(call, CF_QUEUE_WRITE, 0, 0));
    q = call->q;
    if (a->history || a->cancelled || a->done)
        CF_TRY(prune_jobs(q, a, &call->err));
    CF_TRY(prune_orphans(q, a, &call->err));
    if (a->vacuum && !a->dry)
        return cf_sql_exec(q->db, "VACUUM", &call->err);
    return CF_OK;
}

static int run(struct cf_call *call)
{
    struct args a = {0};
    const char *value;
    enum cf_status st = CF_OK;
    int o = 0;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        st = set(&a, o, value, &call->err);
    if (o != 0 || prune(call, &a) != CF_OK)
        return cf_cmd_end(call);
    printf("%s%" PRId64 " attempts, %" PRId64 " jobs%s, %" PRId64 " prompts, %" PRId64
           " workers\n",
           a.dry ? "would go: " : "gone: ", a.attempts, a.jobs,
           a.done ? " (done ones with their outputs' rows; files stay)" : "", a.prompts,
           a.workers_gone);
    return 0;
}

const struct cf_cmd cf_cmd_prune = {
    "prune", "",  "Delete old history, cancelled or done jobs, workers that are gone",
    options, run,
};
