/* cfgen-jobs export - the manifest: which file shows what. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/detail.h"
#include "jobs/part.h"
#include "jobs/states.h"

enum { FORMAT = CF_CMD_OWN, BATCH, TIMES };
enum form { JSONL, CSV, SQLITE };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {FORMAT, "format", "NAME", "jsonl (default), csv or sqlite"},
    {'s', "state", "NAME", "jobs in this state (default: done); all is every job"},
    {BATCH, "batch", "NAME", "only jobs that came with this batch"},
    {'o', "output", "FILE", "write here, whole or not at all (default: standard output)"},
    {TIMES, "times", NULL, "also when, with what build and on what processor"},
    {0},
};

struct args {
    enum form form;
    enum cf_detail_level level;
    struct cf_pick pick;
    const char *output;
};

/* A field of RFC 4180, always in quotes. */
static void quoted(FILE *to, const char *text, size_t len)
{
    putc('"', to);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            putc('"', to);
        putc(text[i], to);
    }
    putc('"', to);
}

/* False without memory. */
static bool csv_value(FILE *to, const json_t *v)
{
    char *text;

    if (json_is_string(v)) {
        quoted(to, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (v && !json_is_null(v)) {
        text = cf_json_text(v, JSON_ENCODE_ANY | CF_DETAIL_FLAGS, NULL);
        if (!text)
            return false;
        quoted(to, text, strlen(text));
        cf_free(text);
    }
    return true;
}

/* Columns are the keys of the JSON, in their order. */
static bool csv_row(FILE *to, json_t *obj, bool names)
{
    const char *key, *comma = "";
    json_t *v;

    json_object_foreach(obj, key, v)
    {
        fputs(comma, to);
        comma = ",";
        if (names)
            fputs(key, to);
        else if (!csv_value(to, v))
            return false;
    }
    fputs("\r\n", to);
    return true;
}

static enum cf_status csv_names(FILE *to, const struct args *a, struct cf_error *err)
{
    const struct cf_detail none = {.prompt = "", .recipe = "{}"};
    json_t *obj = cf_detail_json(&none, a->level, err);

    if (!obj)
        return CF_ENOMEM;
    csv_row(to, obj, true);
    json_decref(obj);
    return CF_OK;
}

static enum cf_status csv_job(FILE *to, const struct cf_detail *d, const struct args *a,
                              struct cf_error *err)
{
    json_t *obj = cf_detail_json(d, a->level, err);
    bool whole = obj && csv_row(to, obj, false);

    json_decref(obj);
    if (!whole)
        return cf_fail(err, CF_ENOMEM, "job %" PRId64 ": no memory for its row", d->id);
    return ferror(to) ? cf_fail_errno(err, errno, "writing the jobs") : CF_OK;
}

static enum cf_status export_all(struct cf_queue *q, const struct args *a, FILE *to,
                                 struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_detail d;
    enum cf_status st;
    bool row;

    st = cf_details_pick(&it, q, &a->pick, err);
    if (st == CF_OK && a->form == CSV)
        st = csv_names(to, a, err);
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, err)) == CF_OK && row)
        st = a->form == CSV ? csv_job(to, &d, a, err)
                            : cf_detail_dump(&d, a->level, to, err);
    cf_details_close(&it);
    return st;
}

static enum cf_status text_to(struct cf_queue *q, const struct args *a, const char *path,
                              struct cf_error *err)
{
    FILE *to = fopen(path, "we");
    enum cf_status st;

    if (!to)
        return cf_fail_errno(err, errno, "%s", a->output);
    st = export_all(q, a, to, err);
    if (fclose(to) != 0 && st == CF_OK)
        st = cf_fail_errno(err, errno, "%s", a->output);
    return st;
}

/* CREATE TABLE and INSERT of the keys of the JSON, which are words of ours. */
static enum cf_status table(sqlite3 *db, const struct args *a, struct cf_sql *insert,
                            struct cf_error *err)
{
    const struct cf_detail none = {.prompt = "", .recipe = "{}"};
    json_t *obj = cf_detail_json(&none, a->level, err), *v;
    char names[1000] = "", marks[200] = "", text[1400];
    const char *key;
    size_t at = 0, mark = 0;
    enum cf_status st;

    if (!obj)
        return CF_ENOMEM;
    json_object_foreach(obj, key, v)
    {
        at +=
            (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", key);
        mark += (size_t)snprintf(marks + mark, sizeof marks - mark, mark ? ", ?" : "?");
    }
    json_decref(obj);
    /* "id" comes first. */
    snprintf(text, sizeof text, "CREATE TABLE image(id INTEGER PRIMARY KEY%s)",
             names + 2);
    st = cf_sql_exec(db, text, err);
    snprintf(text, sizeof text, "INSERT INTO image(%s) VALUES(%s)", names, marks);
    return st == CF_OK ? cf_sql_open(insert, db, text, err) : st;
}

/* Lists and objects are JSON texts. Copied: a text made here is gone before the step. */
static enum cf_status bind(struct cf_sql *s, int at, const json_t *v,
                           struct cf_error *err)
{
    char *text;
    int rc;

    if (json_is_string(v)) {
        cf_sql_text(s, at, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        cf_sql_int(s, at, json_integer_value(v));
    } else if (json_is_null(v)) {
        cf_sql_text(s, at, NULL, 0);
    } else {
        text = cf_json_text(v, JSON_ENCODE_ANY | CF_DETAIL_FLAGS, NULL);
        rc = text ? sqlite3_bind_text(s->stmt, at, text, -1, SQLITE_TRANSIENT)
                  : SQLITE_NOMEM;
        cf_free(text);
        if (rc != SQLITE_OK)
            return cf_sql_fail(s->db, rc, "export", err);
    }
    return CF_OK;
}

static enum cf_status insert_job(struct cf_sql *insert, const struct cf_detail *d,
                                 const struct args *a, struct cf_error *err)
{
    json_t *obj = cf_detail_json(d, a->level, err), *v;
    enum cf_status st = obj ? CF_OK : CF_ENOMEM;
    const char *key;
    int at = 0;

    json_object_foreach(obj, key, v)
    {
        if (st == CF_OK)
            st = bind(insert, ++at, v, err);
    }
    if (st == CF_OK)
        st = cf_sql_run(insert, NULL, err);
    json_decref(obj);
    return st;
}

static enum cf_status insert_all(struct cf_queue *q, const struct args *a, sqlite3 *db,
                                 struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_sql insert = {0};
    struct cf_detail d;
    enum cf_status st;
    bool row;

    st = table(db, a, &insert, err);
    if (st == CF_OK)
        st = cf_details_pick(&it, q, &a->pick, err);
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, err)) == CF_OK && row)
        st = insert_job(&insert, &d, a, err);
    cf_details_close(&it);
    cf_sql_close(&insert);
    return st;
}

/* Nobody else sees the file before it is whole, so it needs no journal. */
static enum cf_status sqlite_to(struct cf_queue *q, const struct args *a,
                                const char *path, struct cf_error *err)
{
    sqlite3 *db = NULL;
    enum cf_status st;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

    st = rc == SQLITE_OK
             ? cf_sql_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", err)
             : cf_sql_fail(db, rc, "export", err);
    if (st == CF_OK)
        st = cf_sql_begin(db, err);
    if (st == CF_OK)
        st = cf_sql_end(db, insert_all(q, a, db, err), err);
    sqlite3_close(db);
    return st;
}

static enum cf_status export_file(struct cf_queue *q, const struct args *a,
                                  struct cf_error *err)
{
    struct cf_part part = {0};
    enum cf_status st = cf_part_open(&part, a->output, NULL, err);

    if (st == CF_OK)
        st = a->form == SQLITE ? sqlite_to(q, a, part.path, err)
                               : text_to(q, a, part.path, err);
    if (st == CF_OK)
        st = cf_part_keep(&part, err);
    cf_part_drop(&part);
    return st;
}

static enum cf_status set(struct args *a, int o, const char *value, struct cf_error *err)
{
    static const char *const formats[] = {"jsonl", "csv", "sqlite", NULL};
    int n;

    switch (o) {
    case FORMAT:
        CF_TRY(cf_parse_word(value, formats, &n, "--format", err));
        a->form = (enum form)n;
        return CF_OK;
    case 's':
        a->pick.state = cf_state_of(value);
        if (a->pick.state < 0 && strcmp(value, "all") != 0)
            return cf_fail(err, CF_EUSAGE, "--state: there is no state '%.80s'", value);
        return CF_OK;
    case BATCH:
        a->pick.batch = value;
        return CF_OK;
    case 'o':
        a->output = value;
        return CF_OK;
    default:
        a->level = CF_DETAIL_TIMES;
        return CF_OK;
    }
}

static int run(struct cf_call *call)
{
    struct args a = {.pick = {.state = CF_JOB_DONE, .limit = -1}};
    const char *value;
    enum cf_status st = CF_OK;
    int o = 0;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        st = set(&a, o, value, &call->err);
    if (o == 0 && a.form == SQLITE && !a.output)
        cf_fail(&call->err, CF_EUSAGE, "--format=sqlite needs --output");
    else if (o == 0 && cf_cmd_open(call, CF_QUEUE_READ, 0, 0) == CF_OK)
        a.output ? export_file(call->q, &a, &call->err)
                 : export_all(call->q, &a, stdout, &call->err);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_export = {
    "export", "",  "The manifest of finished jobs, the same bytes for the same results",
    options,  run,
};
