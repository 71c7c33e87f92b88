/* cfgen-jobs status - how far it is, how fast it goes, what failed. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/cli.h"
#include "jobs/db.h"

enum { JSON = 256, EXIT_CODE };

static const struct cf_cmd_opt options[] = {
    CF_CLI_COMMON,
    {JSON, "json", NULL, "one JSON object"},
    {EXIT_CODE, "exit-code", NULL,
     "exit 0 when drained, 75 with work left, 1 with failures"},
    {0},
};

enum { FAILURES_MAX = 32, RECENT_MS = 600 * 1000 };

struct failure {
    char code[32];
    int64_t n;
};

struct report {
    struct cf_counts counts;
    int64_t total, left;
    int64_t recent;               /* outputs of the last ten minutes */
    double rate_recent, rate_all; /* images a minute; negative: not known */
    double eta;                   /* seconds; negative: not known */
    int64_t first, last;          /* end of the first and last output, ms */
    struct failure failure[FAILURES_MAX];
    int n_failure;
};

static enum cf_status read_rate(struct cf_queue *q, struct report *r,
                                struct cf_error *err)
{
    int64_t now = cf_now_ms(), span, oldest;
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    r->rate_recent = r->rate_all = r->eta = -1;
    CF_TRY(cf_sql_int64(q->db, "SELECT min(ended) FROM output", &r->first, err));
    CF_TRY(cf_sql_int64(q->db, "SELECT max(ended) FROM output", &r->last, err));
    st = cf_sql_open(
        &s, q->db,
        "SELECT count(*), min(ended) FROM output WHERE ended BETWEEN ?1 AND ?2", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, now - RECENT_MS);
        cf_sql_int(&s, 2, now);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row) {
        r->recent = cf_sql_col_int(&s, 0);
        oldest = cf_sql_col_int(&s, 1);
        /* In the first ten minutes the clock starts with the first image. */
        span = r->first >= oldest ? now - oldest : RECENT_MS;
        if (r->recent > 1 && span > 0)
            r->rate_recent =
                (double)(r->recent - (r->first >= oldest)) * 60000 / (double)span;
    }
    cf_sql_close(&s);
    if (r->counts.n[CF_JOB_DONE] > 1 && r->last > r->first)
        r->rate_all =
            (double)(r->counts.n[CF_JOB_DONE] - 1) * 60000 / (double)(r->last - r->first);
    if (r->left && r->rate_recent > 0)
        r->eta = (double)r->left * 60 / r->rate_recent;
    return st;
}

/* By the last attempt of each failed job. */
static enum cf_status read_failures(struct cf_queue *q, struct report *r,
                                    struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, q->db,
                     "SELECT coalesce((SELECT a.code FROM attempt a WHERE a.job_id = j.id"
                     " ORDER BY a.n DESC LIMIT 1), 'UNKNOWN') AS code, count(*)"
                     " FROM job j WHERE j.state = 3 GROUP BY code ORDER BY 2 DESC, 1",
                     err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row &&
           r->n_failure < FAILURES_MAX) {
        struct failure *f = &r->failure[r->n_failure++];

        snprintf(f->code, sizeof f->code, "%s", cf_sql_col_text(&s, 0, NULL));
        f->n = cf_sql_col_int(&s, 1);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status read_report(struct cf_queue *q, struct report *r,
                                  struct cf_error *err)
{
    CF_TRY(cf_queue_counts(q, &r->counts, err));
    for (int i = 0; i < CF_NJOBSTATE; i++)
        r->total += r->counts.n[i];
    r->left = r->counts.n[CF_JOB_READY] + r->counts.n[CF_JOB_RUNNING] +
              r->counts.n[CF_JOB_DELAYED];
    CF_TRY(read_rate(q, r, err));
    return read_failures(q, r, err);
}

static void print_duration(double seconds)
{
    int64_t s = (int64_t)seconds;

    if (s >= 86400)
        printf("%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        printf("%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        printf("%" PRId64 " min", s / 60);
    else
        printf("%" PRId64 " s", s);
}

static void print_failure(const char *head, const struct failure *f)
{
    printf("%-10s %12" PRId64 " ", head, f->n);
    cf_cli_print(f->code, strlen(f->code), SIZE_MAX);
    printf(": cfgen-jobs retry --code=");
    cf_cli_print(f->code, strlen(f->code), SIZE_MAX);
    putchar('\n');
}

static void print_text(const struct report *r)
{
    for (int i = 0; i < CF_NJOBSTATE; i++)
        if (r->counts.n[i] || i <= CF_JOB_FAILED)
            printf("%-10s %12" PRId64 "\n", cf_state_name(i), r->counts.n[i]);
    printf("%-10s %12" PRId64 "\n", "total", r->total);
    if (r->rate_recent >= 0)
        printf("%-10s %12.2f images/min in the last ten minutes\n", "rate",
               r->rate_recent);
    if (r->rate_all >= 0)
        printf("%-10s %12.2f images/min from the first to the last\n", "overall",
               r->rate_all);
    if (r->eta >= 0) {
        printf("%-10s ", "left");
        print_duration(r->eta);
        putchar('\n');
    }
    for (int i = 0; i < r->n_failure; i++)
        print_failure(i ? "" : "failures", &r->failure[i]);
}

static json_t *real_or_null(double v)
{
    return v >= 0 ? json_real(v) : json_null();
}

static void print_json(const struct report *r)
{
    json_t *obj = json_object(), *states = json_object(), *failed = json_object();

    for (int i = 0; i < CF_NJOBSTATE; i++)
        json_object_set_new(states, cf_state_name(i), json_integer(r->counts.n[i]));
    for (int i = 0; i < r->n_failure; i++)
        json_object_set_new(failed, r->failure[i].code, json_integer(r->failure[i].n));
    json_object_set_new(obj, "states", states);
    json_object_set_new(obj, "total", json_integer(r->total));
    json_object_set_new(obj, "left", json_integer(r->left));
    json_object_set_new(obj, "images_per_minute", real_or_null(r->rate_recent));
    json_object_set_new(obj, "images_per_minute_overall", real_or_null(r->rate_all));
    json_object_set_new(obj, "eta_seconds", real_or_null(r->eta));
    json_object_set_new(obj, "failures", failed);
    json_dumpf(obj, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(obj);
}

static int drained(const struct report *r)
{
    if (r->left)
        return cf_status_exit(CF_EBUSY);
    return r->counts.n[CF_JOB_FAILED] ? 1 : 0;
}

static int run(struct cf_cli *cli)
{
    bool json = false, exit_code = false;
    struct report r = {0};
    const char *value;
    int o;

    while ((o = cf_cli_next(cli, &value)) > 0) {
        json |= o == JSON;
        exit_code |= o == EXIT_CODE;
    }
    if (o < 0)
        return cf_cli_done(o);
    if (cf_cli_open(cli, CF_QUEUE_READ, 0, 0) != CF_OK ||
        read_report(cli->q, &r, &cli->err) != CF_OK)
        return cf_cli_fail(cli);
    (json ? print_json : print_text)(&r);
    return exit_code ? drained(&r) : 0;
}

const struct cf_cmd cf_cmd_status = {
    "status", "", "Jobs by state, speed, time left, failures by cause", options, run,
};
