/* cfgen-jobs add - prompts from files into jobs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "jobs/adder.h"
#include "jobs/cli.h"
#include "jobs/import.h"

enum { REPORT_MAX = 20, RECIPE_BYTES = 1 << 20, RECIPE_VALUES = 4096 };

enum {
    FORMAT = 256,
    COLUMN,
    SEED,
    SIZE,
    PRIORITY,
    NEGATIVE,
    CFG,
    TAU,
    TOP_K,
    TOP_P,
    RECIPE,
    BATCH,
    LIMIT,
    STRICT,
};

static const struct cf_cmd_opt options[] = {
    CF_CLI_COMMON,
    {FORMAT, "format", "NAME", "csv, tsv, jsonl, text or auto (default)"},
    {COLUMN, "column", "NAME", "the column that holds the prompt (default: prompt)"},
    {'s', "seed", "N", "seed of rows that name none (default: 0)"},
    {SEED, "seeds", "LIST", "seeds, one job each: 1,5,9 or 0..99:10"},
    {SIZE, "size", "WxH", "pixels (default: the model's own)"},
    {'p', "priority", "N", "higher is sooner (default: 0)"},
    {NEGATIVE, "negative", "TEXT", "negative prompt of rows that name none"},
    {CFG, "cfg", "LIST", "guidance: one number, or one per step"},
    {TAU, "tau", "LIST", "temperature: one number, or one per step"},
    {TOP_K, "top-k", "N", "sample from the N likeliest; 0 is off"},
    {TOP_P, "top-p", "P", "sample from the likeliest share P; 0 is off"},
    {RECIPE, "recipe", "FILE", "JSON of all that changes pixels; options lie over it"},
    {BATCH, "batch-name", "NAME", "name kept with the jobs of this import"},
    {'n', "limit", "N", "read at most N rows of each file"},
    {STRICT, "strict", NULL, "stop at the first bad row"},
    {0},
};

struct args {
    struct cf_import how;
    struct cf_seeds seeds;
    json_t *recipe;  /* of the file */
    json_t *changes; /* of the options */
    int reported;
};

static enum cf_status set_format(struct args *a, const char *name, struct cf_error *err)
{
    static const char *const known[] = {"auto", "csv", "tsv", "jsonl", "text"};

    for (int i = 0; i < 5; i++)
        if (strcmp(name, known[i]) == 0) {
            a->how.format = (enum cf_format)i;
            return CF_OK;
        }
    return cf_fail(err, CF_EUSAGE,
                   "format \"%s\", expected auto, csv, tsv, jsonl or text", name);
}

static enum cf_status set_seeds(struct args *a, const char *text, bool one,
                                struct cf_error *err)
{
    struct cf_error why = {0};

    cf_seeds_free(&a->seeds);
    if (cf_seeds_parse(&a->seeds, text, strlen(text), &why) != CF_OK)
        return cf_fail(err, CF_EUSAGE, "%s", why.msg);
    if (one && a->seeds.n != 1)
        return cf_fail(err, CF_EUSAGE, "--seed takes one number; --seeds takes many");
    return CF_OK;
}

static enum cf_status set_size(struct args *a, const char *text, struct cf_error *err)
{
    char *end, *last;
    long w = strtol(text, &end, 10), h;

    if (end != text && (*end == 'x' || *end == 'X')) {
        h = strtol(end + 1, &last, 10);
        if (last != end + 1 && !*last && w > 0 && h > 0 && w <= CF_SIDE_MAX &&
            h <= CF_SIDE_MAX) {
            a->how.width = (int)w;
            a->how.height = (int)h;
            return CF_OK;
        }
    }
    return cf_fail(err, CF_EUSAGE, "size \"%s\", expected WxH with sides of 1..%d", text,
                   CF_SIDE_MAX);
}

/* A recipe's key from an option: a JSON number, or several with commas between. */
static enum cf_status set_key(struct args *a, const char *key, const char *text,
                              struct cf_error *err)
{
    bool list = strchr(text, ',') != NULL;
    char buf[4096];
    json_t *v;
    int n;

    n = snprintf(buf, sizeof buf, list ? "[%s]" : "%s", text);
    v = n < (int)sizeof buf ? json_loads(buf, JSON_DECODE_ANY, NULL) : NULL;
    if (!json_is_number(v) && !json_is_array(v)) {
        json_decref(v);
        return cf_fail(err, CF_EUSAGE, "%s is \"%.60s\", expected numbers", key, text);
    }
    if (!a->changes)
        a->changes = json_object();
    if (!a->changes || json_object_set_new(a->changes, key, v) != 0)
        return cf_fail(err, CF_ENOMEM, "no memory");
    return CF_OK;
}

static enum cf_status set(struct args *a, int o, const char *value, struct cf_error *err)
{
    int64_t v = 0;

    switch (o) {
    case FORMAT:
        return set_format(a, value, err);
    case COLUMN:
        a->how.column = value;
        return CF_OK;
    case 's':
        return set_seeds(a, value, true, err);
    case SEED:
        return set_seeds(a, value, false, err);
    case SIZE:
        return set_size(a, value, err);
    case 'p':
        CF_TRY(cf_cli_int(value, "priority", -1000000, 1000000, &v, err));
        a->how.priority = (int)v;
        return CF_OK;
    case NEGATIVE:
        a->how.negative = value;
        return CF_OK;
    case CFG:
        return set_key(a, "cfg", value, err);
    case TAU:
        return set_key(a, "tau", value, err);
    case TOP_K:
        return set_key(a, "top_k", value, err);
    case TOP_P:
        return set_key(a, "top_p", value, err);
    case RECIPE:
        json_decref(a->recipe);
        a->recipe = cf_json_load(value, RECIPE_BYTES, RECIPE_VALUES, err);
        return a->recipe ? CF_OK : err->status;
    case BATCH:
        a->how.batch = value;
        return CF_OK;
    case 'n':
        return cf_cli_int(value, "limit", 1, INT64_MAX, &a->how.limit, err);
    default:
        a->how.strict = true;
        return CF_OK;
    }
}

static void report(void *ctx, const char *path, int64_t line, const char *why)
{
    struct args *a = ctx;
    struct cf_error text = {0};

    if (a->reported++ >= REPORT_MAX)
        return;
    cf_fail(&text, CF_EFORMAT, "%s:%" PRId64 ": %s", path, line, why);
    fprintf(stderr, "cfgen-jobs add: %s\n", text.msg);
}

/* The recipe file with the options over it, checked before any file is read. */
static enum cf_status finish_recipe(struct args *a, struct cf_error *err)
{
    if (!a->recipe && a->changes)
        a->recipe = json_incref(a->changes);
    else if (a->changes && !json_is_object(a->recipe))
        return cf_fail(err, CF_EFORMAT, "recipe: not a JSON object");
    else if (a->changes && json_object_update(a->recipe, a->changes) != 0)
        return cf_fail(err, CF_ENOMEM, "no memory");
    a->how.recipe = a->recipe;
    return CF_OK;
}

static int add_files(struct cf_cli *cli, struct args *a)
{
    struct cf_imported sum = {0};
    enum cf_status st = CF_OK;

    for (int i = cli->first; i < cli->argc && st == CF_OK; i++) {
        struct cf_imported n;

        st = cf_import_file(cli->q, cli->argv[i], &a->how, &n, &cli->err);
        sum.rows += n.rows;
        sum.bad += n.bad;
        sum.added += n.added;
        sum.present += n.present;
    }
    if (a->reported > REPORT_MAX)
        fprintf(stderr, "cfgen-jobs add: and %d more bad rows\n",
                a->reported - REPORT_MAX);
    if (st != CF_OK)
        return cf_cli_fail(cli);
    printf("%" PRId64 " jobs added, %" PRId64 " were there already; %" PRId64
           " rows read, %" PRId64 " skipped\n",
           sum.added, sum.present, sum.rows, sum.bad);
    return sum.bad ? cf_status_exit(CF_EFORMAT) : 0;
}

static int run(struct cf_cli *cli)
{
    struct args a = {0};
    const char *value;
    int o, status;

    a.how.bad = report;
    a.how.ctx = &a;
    a.how.seed = &a.seeds;
    while ((o = cf_cli_next(cli, &value)) > 0 && set(&a, o, value, &cli->err) == CF_OK)
        ;
    if (o < 0)
        status = cf_cli_done(o);
    else if (o > 0 || finish_recipe(&a, &cli->err) != CF_OK ||
             cf_cli_open(cli, CF_QUEUE_WRITE, 1, -1) != CF_OK)
        status = cf_cli_fail(cli);
    else
        status = add_files(cli, &a);
    cf_seeds_free(&a.seeds);
    json_decref(a.recipe);
    json_decref(a.changes);
    return status;
}

const struct cf_cmd cf_cmd_add = {
    "add",
    "FILE...",
    "Read prompts from files (- is standard input) and add a job for each seed",
    options,
    run,
};
