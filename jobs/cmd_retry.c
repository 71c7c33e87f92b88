/* cfgen-jobs retry - failed jobs are given a new start. */
#include <inttypes.h>
#include <stdio.h>

#include "jobs/cli.h"
#include "jobs/db.h"

enum { FAILED = 256, CODE };

static const struct cf_cmd_opt options[] = {
    CF_CLI_COMMON,
    {FAILED, "failed", NULL, "all failed jobs"},
    {CODE, "code", "NAME", "the failed jobs with this code (status lists them)"},
    {0},
};

/* By the code of the last attempt, as status counts them. NULL: all. */
static enum cf_status retry_failed(struct cf_queue *q, const char *code, int *n,
                                   struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db,
                     "UPDATE job SET state = 0, attempts = 0, crashes = 0 WHERE state = 3"
                     " AND (?1 IS NULL OR ?1 = coalesce((SELECT a.code FROM attempt a"
                     " WHERE a.job_id = job.id ORDER BY a.n DESC LIMIT 1), 'UNKNOWN'))",
                     err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, code);
        st = cf_sql_run(&s, n, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status state_of(struct cf_queue *q, int64_t id, int *state,
                               struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    st = cf_sql_open(&s, q->db, "SELECT state FROM job WHERE id = ?1", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && !row)
        st = cf_fail(err, CF_ENOENT, "there is no job %" PRId64, id);
    if (st == CF_OK)
        *state = (int)cf_sql_col_int(&s, 0);
    cf_sql_close(&s);
    return st;
}

static enum cf_status run_for(struct cf_queue *q, const char *text, int64_t id,
                              struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, text, err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* A ready job stays as it is; a running or done one is refused. */
static enum cf_status retry_one(struct cf_queue *q, const char *text, int *n,
                                struct cf_error *err)
{
    int64_t id;
    int state = 0;

    CF_TRY(cf_cli_int(text, "job", 1, INT64_MAX, &id, err));
    CF_TRY(state_of(q, id, &state, err));
    if (state == CF_JOB_READY)
        return CF_OK;
    if (state == CF_JOB_RUNNING || state == CF_JOB_DONE)
        return cf_fail(err, CF_EUSAGE, "job %" PRId64 " is %s, not failed", id,
                       cf_state_name(state));
    CF_TRY(run_for(q, "DELETE FROM delay WHERE job_id = ?1", id, err));
    CF_TRY(run_for(q, "UPDATE job SET state = 0, attempts = 0, crashes = 0 WHERE id = ?1",
                   id, err));
    (*n)++;
    return CF_OK;
}

static enum cf_status retry(struct cf_cli *cli, bool failed, const char *code, int *n)
{
    enum cf_status st;

    CF_TRY(cf_cli_open(cli, CF_QUEUE_WRITE, failed || code ? 0 : 1,
                       failed || code ? 0 : -1));
    CF_TRY(cf_sql_begin(cli->q->db, &cli->err));
    st = failed || code ? retry_failed(cli->q, code, n, &cli->err) : CF_OK;
    for (int i = cli->first; i < cli->argc && st == CF_OK; i++)
        st = retry_one(cli->q, cli->argv[i], n, &cli->err);
    return cf_sql_end(cli->q->db, st, &cli->err);
}

static int run(struct cf_cli *cli)
{
    const char *value, *code = NULL;
    bool failed = false;
    int o, n = 0;

    while ((o = cf_cli_next(cli, &value)) > 0) {
        failed |= o == FAILED;
        if (o == CODE)
            code = value;
    }
    if (o < 0)
        return cf_cli_done(o);
    if (failed && code)
        return cf_cli_usage(cli, "--failed and --code exclude each other");
    if (retry(cli, failed, code, &n) != CF_OK)
        return cf_cli_fail(cli);
    printf("%d jobs are ready again\n", n);
    return 0;
}

const struct cf_cmd cf_cmd_retry = {
    "retry", "[ID...]", "Make failed, delayed, cancelled or held jobs ready again",
    options, run,
};
