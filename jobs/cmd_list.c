/* cfgen-jobs list and show - jobs for eyes and for programs. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/db.h"
#include "jobs/detail.h"
#include "jobs/states.h"

enum { JSON = CF_CMD_OWN, BATCH, CODE, PROMPT_SHOWN = 60 };

static const struct cf_option list_options[] = {
    CF_CMD_COMMON,
    {'s', "state", "NAME", "only jobs in this state: ready, running, done, failed, ..."},
    {BATCH, "batch", "NAME", "only jobs that came with this batch"},
    {CODE, "code", "NAME", "only jobs that failed with this code"},
    {'n', "limit", "N", "at most N jobs (default: 100; 0 is all)"},
    {JSON, "json", NULL, "one JSON object a line, texts exact"},
    {0},
};

static void list_line(const struct cf_detail *d)
{
    printf("%8" PRId64 "  %-9s %20" PRIu64 "  ", d->id, cf_state_name(d->state), d->seed);
    if (d->width)
        printf("%5dx%-5d  ", d->width, d->height);
    else
        printf("%11s  ", "-");
    cf_cmd_print(d->prompt, d->prompt_len, PROMPT_SHOWN);
    putchar('\n');
}

static enum cf_status set_filter(struct cf_pick *f, int o, const char *value,
                                 struct cf_error *err)
{
    switch (o) {
    case 'n':
        CF_TRY(cf_parse_i64(value, 0, INT64_MAX, &f->limit, "--limit", err));
        f->limit = f->limit ? f->limit : -1;
        return CF_OK;
    case 's':
        f->state = cf_state_of(value);
        if (f->state < 0)
            return cf_fail(err, CF_EUSAGE, "--state: there is no state '%.80s'", value);
        return CF_OK;
    case BATCH:
        f->batch = value;
        return CF_OK;
    case CODE:
        f->code = value;
        return CF_OK;
    default:
        return CF_OK;
    }
}

static int list(struct cf_call *call)
{
    struct cf_pick f = {.state = -1, .limit = 100};
    struct cf_details it;
    struct cf_detail d;
    const char *value;
    bool json = false, row = true;
    enum cf_status st = CF_OK;
    int o = 0;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0) {
        json |= o == JSON;
        st = set_filter(&f, o, value, &call->err);
    }
    if (o != 0 || cf_cmd_open(call, CF_QUEUE_READ, 0, 0) != CF_OK)
        return cf_cmd_end(call);
    st = cf_details_pick(&it, call->q, &f, &call->err);
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, &call->err)) == CF_OK &&
           row) {
        if (!json)
            list_line(&d);
        else
            st = cf_detail_dump(&d, CF_DETAIL_ALL, stdout, &call->err);
    }
    cf_details_close(&it);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_list = {
    "list", "", "Jobs, one a line, oldest first", list_options, list,
};

static const struct cf_option show_options[] = {
    CF_CMD_COMMON,
    {JSON, "json", NULL, "one JSON object, texts exact"},
    {0},
};

static void field(const char *name, const char *text)
{
    if (!text)
        return;
    printf("%-12s ", name);
    cf_cmd_print(text, strlen(text), SIZE_MAX);
    putchar('\n');
}

static const char *stamp(char buf[CF_CLOCK_UTC], int64_t ms)
{
    if (!cf_clock_utc(buf, ms / 1000))
        snprintf(buf, CF_CLOCK_UTC, "%" PRId64, ms);
    return buf;
}

static void show_text(const struct cf_detail *d)
{
    char when[CF_CLOCK_UTC];

    printf("%-12s %" PRId64 "\n", "job", d->id);
    field("state", cf_state_name(d->state));
    field("key", d->key);
    field("user key", d->user_key);
    field("prompt", d->prompt);
    field("negative", d->negative);
    printf("%-12s %" PRIu64 "\n", "seed", d->seed);
    if (d->width)
        printf("%-12s %dx%d\n", "size", d->width, d->height);
    field("recipe", d->recipe);
    printf("%-12s %d\n", "priority", d->priority);
    printf("%-12s %d charged, %d crashes, %d released\n", "attempts", d->attempts,
           d->crashes, d->releases);
    field("batch", d->batch && *d->batch ? d->batch : NULL);
    field("extra", d->extra);
    if (!d->path)
        return;
    field("file", d->path);
    if (d->offset)
        printf("%-12s byte %" PRId64 " of that tar\n", "", d->offset);
    printf("%-12s %" PRId64 " bytes, %dx%d\n", "", d->bytes, d->out_width, d->out_height);
    field("file hash", d->file_sha256);
    field("pixel hash", d->pixel_sha256);
    field("model", d->model_sha256);
    field("build", d->build);
    printf("%-12s %s, %d threads\n", "processor", d->isa, d->threads);
    field("ended", stamp(when, d->ended));
    field("stages (ms)", d->stage_ms);
    field("note", d->note);
}

/* The history, one line an attempt. */
static enum cf_status show_attempts(struct cf_call *call, int64_t id, json_t *into)
{
    enum cf_status st;
    struct cf_sql s;
    char when[CF_CLOCK_UTC];
    bool row;

    st = cf_sql_open(
        &s, call->q->db,
        "SELECT a.n, a.started, a.ended, a.outcome, a.code, a.message, w.host,"
        " w.pid, w.id FROM attempt a JOIN worker w ON w.id = a.worker_id"
        " WHERE a.job_id = ?1 ORDER BY a.n",
        &call->err);
    if (st == CF_OK)
        cf_sql_int(&s, 1, id);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, &call->err)) == CF_OK && row) {
        const char *outcome = cf_sql_col_text(&s, 3, NULL), *code, *message;

        code = cf_sql_col_text(&s, 4, NULL);
        message = cf_sql_col_text(&s, 5, NULL);
        stamp(when, cf_sql_col_int(&s, 1));
        if (into) {
            json_array_append_new(
                into,
                json_pack("{s:I s:s s:s s:s? s:s? s:I s:s s:I}", "n",
                          (json_int_t)cf_sql_col_int(&s, 0), "started", when, "outcome",
                          outcome ? outcome : "running", "code", code, "message", message,
                          "worker", (json_int_t)cf_sql_col_int(&s, 8), "host",
                          cf_sql_col_text(&s, 6, NULL), "pid",
                          (json_int_t)cf_sql_col_int(&s, 7)));
            continue;
        }
        printf("attempt %-4" PRId64 " %s worker %" PRId64 " %s%s%s%s",
               cf_sql_col_int(&s, 0), when, cf_sql_col_int(&s, 8),
               outcome ? outcome : "running", code ? " " : "", code ? code : "",
               message ? ": " : "");
        if (message)
            cf_cmd_print(message, strlen(message), SIZE_MAX);
        putchar('\n');
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status show_json(struct cf_call *call, const struct cf_detail *d)
{
    json_t *obj = cf_detail_json(d, CF_DETAIL_ALL, &call->err), *history = json_array();
    enum cf_status st = obj ? show_attempts(call, d->id, history) : call->err.status;

    if (st == CF_OK && (json_object_set(obj, "history", history) != 0 ||
                        json_dumpf(obj, stdout, CF_DETAIL_FLAGS) != 0))
        st = cf_fail(&call->err, ferror(stdout) ? CF_EIO : CF_ENOMEM, "standard output");
    if (st == CF_OK)
        putchar('\n');
    json_decref(history);
    json_decref(obj);
    return st;
}

static int show(struct cf_call *call)
{
    struct cf_details it = {0};
    struct cf_detail d;
    const char *value;
    bool json = false, row;
    enum cf_status st;
    int64_t id = 0;
    int o;

    while ((o = cf_cmd_next(call, &value)) > 0)
        json |= o == JSON;
    if (o < 0)
        return cf_cmd_end(call);
    st = cf_cmd_open(call, CF_QUEUE_READ, 1, 1);
    if (st == CF_OK)
        st = cf_parse_i64(call->operand[0], 1, INT64_MAX, &id, "job", &call->err);
    if (st == CF_OK)
        st = cf_details_one(&it, call->q, id, &call->err);
    if (st == CF_OK)
        st = cf_details_next(&it, &d, &row, &call->err);
    if (st == CF_OK && !row)
        st = cf_fail(&call->err, CF_ENOENT, "there is no job %" PRId64, id);
    if (st == CF_OK && json) {
        show_json(call, &d);
    } else if (st == CF_OK) {
        show_text(&d);
        show_attempts(call, id, NULL);
    }
    cf_details_close(&it);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_show = {
    "show", "ID", "All that is known of one job, with its history", show_options, show,
};
