/* cfgen-jobs retry, cancel, hold and release - jobs moved to another state by hand.
 *
 * Running and done jobs are never moved: the first belong to a worker, the second have
 * their image. */
#include <inttypes.h>
#include <stdio.h>

#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/db.h"
#include "jobs/states.h"

enum { ALL = CF_CMD_OWN, FAILED, CODE };

#define BIT(state) (1u << (state))

struct move {
    unsigned from; /* states it applies to, as bits */
    int to;
    bool again;       /* a new start: attempts and crashes are forgotten */
    const char *told; /* printed with the number of jobs */
};

struct which {
    bool all;         /* all jobs in bulk */
    unsigned bulk;    /* states of those */
    const char *code; /* and only with this code of failure; NULL: any */
};

#define MOVE                                                                             \
    "UPDATE job SET state = ?1, attempts = iif(?2, 0, attempts),"                        \
    " crashes = iif(?2, 0, crashes) WHERE "

/* With the state as a literal the index of failed jobs is used. */
static enum cf_status move_bulk(struct cf_queue *q, const struct move *m,
                                const struct which *w, int *n, struct cf_error *err)
{
    static const char by_code[] =
        MOVE "state = 3 AND (?4 IS NULL OR"
             " id IN (SELECT job_id FROM failure WHERE code = ?4))";
    static const char by_state[] = MOVE "(?3 >> state) & 1";
    bool failed = w->bulk == BIT(CF_JOB_FAILED);
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, failed ? by_code : by_state, err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, m->to);
        cf_sql_int(&s, 2, m->again);
        if (failed)
            cf_sql_str(&s, 4, w->code);
        else
            cf_sql_int(&s, 3, w->bulk);
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

static enum cf_status move_one(struct cf_queue *q, const struct move *m, const char *text,
                               int *n, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int state = 0;
    int64_t id;

    CF_TRY(cf_parse_i64(text, 1, INT64_MAX, &id, "job", err));
    CF_TRY(state_of(q, id, &state, err));
    if (state == m->to)
        return CF_OK;
    if (!(m->from & BIT(state)))
        return cf_fail(err, CF_EUSAGE,
                       "job %" PRId64 " is %s: that cannot be done with it", id,
                       cf_state_name(state));
    st = cf_sql_open(&s, q->db, MOVE "id = ?3", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, m->to);
        cf_sql_int(&s, 2, m->again);
        cf_sql_int(&s, 3, id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    *n += st == CF_OK;
    return st;
}

/* All in one transaction: a wrong operand leaves everything as it was. */
static enum cf_status move(struct cf_call *call, const struct move *m,
                           const struct which *w, int *n)
{
    enum cf_status st = CF_OK;

    CF_TRY(cf_cmd_open(call, CF_QUEUE_WRITE, w->all ? 0 : 1, w->all ? 0 : -1));
    CF_TRY(cf_sql_begin(call->q->db, &call->err));
    if (w->all)
        st = move_bulk(call->q, m, w, n, &call->err);
    for (int i = 0; i < call->n && st == CF_OK; i++)
        st = move_one(call->q, m, call->operand[i], n, &call->err);
    if (st == CF_OK)
        st = cf_sql_exec(call->q->db,
                         "DELETE FROM delay WHERE job_id NOT IN"
                         " (SELECT id FROM job WHERE state = 4)",
                         &call->err);
    return cf_sql_end(call->q->db, st, &call->err);
}

static int run(struct cf_call *call, const struct move *m)
{
    struct which w = {.bulk = m->from};
    const char *value;
    int o, n = 0;

    while ((o = cf_cmd_next(call, &value)) > 0) {
        if (o != ALL)
            w.bulk = BIT(CF_JOB_FAILED);
        if (o == CODE)
            w.code = value;
        w.all = true;
    }
    if (o < 0 || move(call, m, &w, &n) != CF_OK)
        return cf_cmd_end(call);
    printf("%d jobs %s\n", n, m->told);
    return 0;
}

static const struct cf_option retry_options[] = {
    CF_CMD_COMMON,
    {FAILED, "failed", NULL, "all failed jobs"},
    {CODE, "code", "NAME", "the failed jobs with this code (status tells them)"},
    {0},
};

static const struct cf_option all_options[] = {
    CF_CMD_COMMON,
    {ALL, "all", NULL, "all jobs that it can be done with"},
    {0},
};

static int retry(struct cf_call *call)
{
    static const struct move m = {BIT(CF_JOB_FAILED) | BIT(CF_JOB_DELAYED) |
                                      BIT(CF_JOB_CANCELLED) | BIT(CF_JOB_HELD),
                                  CF_JOB_READY, true, "are ready again"};

    return run(call, &m);
}

static int cancel(struct cf_call *call)
{
    static const struct move m = {BIT(CF_JOB_READY) | BIT(CF_JOB_DELAYED) |
                                      BIT(CF_JOB_HELD) | BIT(CF_JOB_FAILED),
                                  CF_JOB_CANCELLED, false, "are cancelled"};

    return run(call, &m);
}

static int hold(struct cf_call *call)
{
    static const struct move m = {BIT(CF_JOB_READY) | BIT(CF_JOB_DELAYED), CF_JOB_HELD,
                                  false, "are held"};

    return run(call, &m);
}

static int release(struct cf_call *call)
{
    static const struct move m = {BIT(CF_JOB_HELD), CF_JOB_READY, false,
                                  "are ready again"};

    return run(call, &m);
}

const struct cf_cmd cf_cmd_retry = {
    "retry",       "[ID...]", "Give failed, delayed, cancelled or held jobs a new start",
    retry_options, retry,
};
const struct cf_cmd cf_cmd_cancel = {
    "cancel",    "[ID...]", "Take jobs that do not run out of the queue",
    all_options, cancel,
};
const struct cf_cmd cf_cmd_hold = {
    "hold", "[ID...]", "Keep ready or delayed jobs from being started", all_options, hold,
};
const struct cf_cmd cf_cmd_release = {
    "release", "[ID...]", "Let held jobs go on", all_options, release,
};
