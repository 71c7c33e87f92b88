/* cfgen-jobs export - the manifest: which file shows what. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/detail.h"

enum { FORMAT = CF_CMD_OWN, TIMES };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {FORMAT, "format", "NAME", "jsonl (default) or csv"},
    {'s', "state", "NAME", "jobs in this state (default: done); all is every job"},
    {'o', "output", "FILE", "write here, whole or not at all (default: standard output)"},
    {TIMES, "times", NULL, "also when, with what build and on what processor"},
    {0},
};

struct args {
    bool csv;
    enum cf_detail_level level;
    int state;
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

static void csv_value(FILE *to, const json_t *v)
{
    char *text;

    if (json_is_string(v)) {
        quoted(to, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (v && !json_is_null(v)) {
        text = json_dumps(v, JSON_ENCODE_ANY | CF_DETAIL_FLAGS);
        if (text)
            quoted(to, text, strlen(text));
        free(text);
    }
}

/* Columns are the keys of the JSON, in their order. */
static void csv_row(FILE *to, json_t *obj, bool names)
{
    const char *key, *comma = "";
    json_t *v;

    json_object_foreach(obj, key, v)
    {
        fputs(comma, to);
        comma = ",";
        if (names)
            fputs(key, to);
        else
            csv_value(to, v);
    }
    fputs("\r\n", to);
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

    if (!obj)
        return CF_ENOMEM;
    csv_row(to, obj, false);
    json_decref(obj);
    return ferror(to) ? cf_fail_errno(err, errno, "writing the jobs") : CF_OK;
}

static enum cf_status export_all(struct cf_queue *q, const struct args *a, FILE *to,
                                 struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_detail d;
    enum cf_status st;
    bool row;

    st = cf_details_open(&it, q, a->state, -1, err);
    if (st == CF_OK && a->csv)
        st = csv_names(to, a, err);
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, err)) == CF_OK && row)
        st = a->csv ? csv_job(to, &d, a, err) : cf_detail_dump(&d, a->level, to, err);
    cf_details_close(&it);
    return st;
}

/* Beside the target first; then it takes its place in one step. */
static enum cf_status export_file(struct cf_queue *q, const struct args *a,
                                  struct cf_error *err)
{
    char *part = cf_format(err, "%s.XXXXXX", a->output);
    enum cf_status st = CF_OK;
    FILE *to = NULL;
    int fd = -1;

    if (!part)
        return CF_ENOMEM;
    fd = mkostemp(part, O_CLOEXEC);
    if (fd < 0 || !(to = fdopen(fd, "w"))) {
        st = errno == ENOENT ? cf_fail(err, CF_ECREAT, "%s: no such directory", a->output)
                             : cf_fail_errno(err, errno, "%s", a->output);
        if (fd >= 0)
            close(fd);
    } else {
        mode_t mask = umask(0);

        umask(mask);
        st = export_all(q, a, to, err);
        if (st == CF_OK &&
            (fchmod(fd, 0666 & ~mask) != 0 || fflush(to) != 0 || fsync(fd) != 0))
            st = cf_fail_errno(err, errno, "%s", a->output);
        if (fclose(to) != 0 && st == CF_OK)
            st = cf_fail_errno(err, errno, "%s", a->output);
        if (st == CF_OK && rename(part, a->output) != 0)
            st = cf_fail_errno(err, errno, "%s", a->output);
    }
    if (st != CF_OK && fd >= 0)
        unlink(part);
    cf_free(part);
    return st;
}

static enum cf_status set(struct args *a, int o, const char *value, struct cf_error *err)
{
    static const char *const formats[] = {"jsonl", "csv", NULL};
    int n;

    switch (o) {
    case FORMAT:
        CF_TRY(cf_parse_word(value, formats, &n, "--format", err));
        a->csv = n == 1;
        return CF_OK;
    case 's':
        a->state = cf_state_of(value);
        if (a->state < 0 && strcmp(value, "all") != 0)
            return cf_fail(err, CF_EUSAGE, "--state: there is no state '%.80s'", value);
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
    struct args a = {.state = CF_JOB_DONE};
    const char *value;
    enum cf_status st = CF_OK;
    int o = 0;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        st = set(&a, o, value, &call->err);
    if (o == 0 && cf_cmd_open(call, CF_QUEUE_READ, 0, 0) == CF_OK)
        a.output ? export_file(call->q, &a, &call->err)
                 : export_all(call->q, &a, stdout, &call->err);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_export = {
    "export", "",  "The manifest of finished jobs, the same bytes for the same results",
    options,  run,
};
