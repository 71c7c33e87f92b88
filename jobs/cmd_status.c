/* cfgen-jobs status - how far it is, how fast it goes, what failed, who works. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jobs/cmd.h"
#include "jobs/report.h"
#include "jobs/states.h"

enum { JSON = CF_CMD_OWN, EXIT_CODE };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {JSON, "json", NULL, "one JSON object"},
    {EXIT_CODE, "exit-code", NULL,
     "exit 0 when drained, 75 with work left, 1 with failures"},
    {0},
};

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

static void print_left(const struct cf_report *r)
{
    if (r->eta < 0)
        return;
    printf("%-10s ", "left");
    print_duration(r->eta);
    printf(" (");
    print_duration(r->eta_low);
    printf(" to ");
    if (r->eta_high >= 0)
        print_duration(r->eta_high);
    else
        printf("who knows");
    printf(")\n");
}

static void print_stages(const struct cf_report *r)
{
    for (int i = 0; i < r->n_stage; i++) {
        printf("%-10s %12.1f ms ", i ? "" : "stages", r->stage[i].mean_ms);
        cf_cmd_print(r->stage[i].name, strlen(r->stage[i].name), SIZE_MAX);
        puts(i ? "" : ", the slowest");
    }
}

/* With the command that tries them again, to be pasted. */
static void print_cause(const char *head, const struct cf_report_cause *c,
                        const struct cf_call *call)
{
    printf("%-10s %12" PRId64 " ", head, c->n);
    cf_cmd_print(c->code, strlen(c->code), SIZE_MAX);
    printf(": cfgen-jobs retry --db=");
    cf_cmd_quote(call->db);
    printf("%s --code=", call->unsafe ? " --unsafe-shared-db" : "");
    cf_cmd_quote(c->code);
    putchar('\n');
}

static void print_worker(const char *head, const struct cf_report_worker *w)
{
    char when[CF_CLOCK_UTC];

    printf("%-10s %12" PRId64 " ", head, w->id);
    cf_cmd_print(w->host, strlen(w->host), SIZE_MAX);
    printf(" pid %" PRId64, w->pid);
    if (cf_clock_utc(when, w->started / 1000))
        printf(" since %s", when);
    printf(", %" PRId64 " jobs", w->jobs);
    if (w->life == CF_LIFE_AWAY)
        printf(", of another host: beat %" PRId64, w->beat);
    else if (w->life == CF_LIFE_GONE)
        printf(", dead: the next worker or 'cfgen-jobs reap' takes its jobs back");
    putchar('\n');
}

static void print_text(const struct cf_report *r, const struct cf_call *call)
{
    for (int i = 0; i < CF_NJOBSTATE; i++)
        if (r->counts.n[i] || i <= CF_JOB_FAILED)
            printf("%-10s %12" PRId64 "\n", cf_state_name(i), r->counts.n[i]);
    printf("%-10s %12" PRId64 "\n", "total", r->total);
    if (r->rate >= 0)
        printf("%-10s %12.2f images/min in the last ten minutes\n", "rate", r->rate);
    if (r->rate_all >= 0)
        printf("%-10s %12.2f images/min from the first to the last\n", "overall",
               r->rate_all);
    print_left(r);
    print_stages(r);
    for (int i = 0; i < r->n_cause; i++)
        print_cause(i ? "" : "failures", &r->cause[i], call);
    for (int i = 0; i < r->n_listed; i++)
        print_worker(i ? "" : "workers", &r->worker[i]);
    if (r->n_worker > r->n_listed)
        printf("%-10s and %" PRId64 " more\n", "", r->n_worker - r->n_listed);
}

static json_t *real_or_null(double v)
{
    return v >= 0 ? json_real(v) : json_null();
}

static json_t *states_json(const struct cf_report *r)
{
    json_t *o = json_object();

    for (int i = 0; i < CF_NJOBSTATE; i++)
        json_object_set_new(o, cf_state_name(i), json_integer(r->counts.n[i]));
    return o;
}

static json_t *stages_json(const struct cf_report *r)
{
    json_t *o = json_object();

    for (int i = 0; i < r->n_stage; i++)
        json_object_set_new(o, r->stage[i].name, json_real(r->stage[i].mean_ms));
    return o;
}

static json_t *causes_json(const struct cf_report *r)
{
    json_t *o = json_object();

    for (int i = 0; i < r->n_cause; i++)
        json_object_set_new(o, r->cause[i].code, json_integer(r->cause[i].n));
    return o;
}

static json_t *workers_json(const struct cf_report *r)
{
    static const char *const life[] = {"local", "away", "gone"};
    json_t *list = json_array();

    for (int i = 0; i < r->n_listed; i++) {
        const struct cf_report_worker *w = &r->worker[i];

        json_array_append_new(
            list, json_pack("{s:I s:s s:I s:I s:I s:I s:s}", "id", (json_int_t)w->id,
                            "host", w->host, "pid", (json_int_t)w->pid, "since_ms",
                            (json_int_t)w->started, "jobs", (json_int_t)w->jobs, "beat",
                            (json_int_t)w->beat, "life", life[w->life]));
    }
    return list;
}

/* What memory runs out over is missing from the object; then there is none. */
static enum cf_status print_json(const struct cf_report *r, struct cf_error *err)
{
    json_t *o = json_object();
    int bad =
        json_object_set_new(o, "states", states_json(r)) |
        json_object_set_new(o, "total", json_integer(r->total)) |
        json_object_set_new(o, "left", json_integer(r->left)) |
        json_object_set_new(o, "images_per_minute", real_or_null(r->rate)) |
        json_object_set_new(o, "images_per_minute_overall", real_or_null(r->rate_all)) |
        json_object_set_new(o, "eta_seconds", real_or_null(r->eta)) |
        json_object_set_new(o, "eta_seconds_low", real_or_null(r->eta_low)) |
        json_object_set_new(o, "eta_seconds_high", real_or_null(r->eta_high)) |
        json_object_set_new(o, "slowest_stage",
                            r->n_stage ? json_string(r->stage[0].name) : json_null()) |
        json_object_set_new(o, "stages_ms", stages_json(r)) |
        json_object_set_new(o, "failures", causes_json(r)) |
        json_object_set_new(o, "workers_alive", json_integer(r->n_worker)) |
        json_object_set_new(o, "workers", workers_json(r));

    if (!bad)
        bad = json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(o);
    if (bad && !ferror(stdout))
        return cf_fail(err, CF_ENOMEM, "no memory for the JSON");
    putchar('\n');
    return CF_OK;
}

static int drained(const struct cf_report *r)
{
    if (r->left)
        return cf_status_exit(CF_EBUSY);
    return r->counts.n[CF_JOB_FAILED] ? 1 : 0;
}

static int run(struct cf_call *call)
{
    bool json = false, exit_code = false;
    struct cf_report r;
    const char *value;
    int o;

    while ((o = cf_cmd_next(call, &value)) > 0) {
        json |= o == JSON;
        exit_code |= o == EXIT_CODE;
    }
    if (o < 0 || cf_cmd_open(call, CF_QUEUE_READ, 0, 0) != CF_OK ||
        cf_report_read(&r, call->q, &call->err) != CF_OK)
        return cf_cmd_end(call);
    if (json && print_json(&r, &call->err) != CF_OK)
        return cf_cmd_end(call);
    if (!json)
        print_text(&r, call);
    return exit_code ? drained(&r) : 0;
}

const struct cf_cmd cf_cmd_status = {
    "status", "",  "Jobs by state, speed, time left, stages, failures by cause, workers",
    options,  run,
};
