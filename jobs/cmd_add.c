/* cfgen-jobs add - prompts from files into jobs. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/utf8.h"
#include "jobs/cmd.h"
#include "jobs/import.h"

enum { REPORT_MAX = 20, RECIPE_BYTES = 1 << 20, RECIPE_VALUES = 4096 };

enum {
    FORMAT = CF_CMD_OWN,
    COLUMN,
    SEED,
    SIZE,
    PRIORITY,
    NEGATIVE,
    CFG,
    TAU,
    TOP_K,
    TOP_P,
    INSERT,
    FLIP,
    CFG_SKIP,
    PRUNE,
    QUALITY,
    LOSSLESS,
    METHOD,
    STRICT_SIZE,
    KV_TYPE,
    POSITIVE,
    INIT,
    KEEP,
    MODEL,
    RECIPE,
    BATCH,
    LIMIT,
    STRICT,
};

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {FORMAT, "format", "NAME", "csv, tsv, jsonl, text or auto (default)"},
    {COLUMN, "column", "NAME", "the column that holds the prompt (default: prompt)"},
    {'s', "seed", "N", "seed of rows that name none (default: 0)"},
    {SEED, "seeds", "LIST", "seeds, one job each: 1,5,9 or 0..99:10"},
    {SIZE, "size", "WxH|W:H|CLASS|W:H@CLASS",
     "pixels, or a ratio and a class of pixels, such as\n"
     "0.25M, that the model has (default: its own size)"},
    {'p', "priority", "N", "higher is sooner (default: 0)"},
    {NEGATIVE, "negative", "TEXT", "negative prompt of rows that name none"},
    {CFG, "cfg", "LIST", "guidance: one number, or one per step"},
    {TAU, "tau", "LIST", "temperature: one number, or one per step"},
    {TOP_K, "top-k", "N", "sample from the N likeliest; 0 is off"},
    {TOP_P, "top-p", "P", "sample from the likeliest share P; 0 is off"},
    {INSERT, "cfg-insertion-layer", "LIST",
     "where guidance mixes: 0 the logits, -K after\n"
     "block depth-K"},
    {FLIP, "flip-bits", "LIST", "inject wrong bits with this probability"},
    {CFG_SKIP, "cfg-skip", "N", "approximate: no guidance at the last N scales"},
    {PRUNE, "prune-tokens", "LIST",
     "approximate: leave out this share of the tokens of\n"
     "the last scale, or of as many last scales"},
    {QUALITY, "quality", "Q", "WebP quality 0..100 (default: 90)"},
    {LOSSLESS, "lossless", NULL, "WebP without loss"},
    {METHOD, "method", "N", "WebP effort 0..6 (default: 4)"},
    {STRICT_SIZE, "strict-size", NULL, "refuse a size that the model does not name"},
    {KV_TYPE, "kv-type", "f32|bf16",
     "of kept keys and values (default: that of the worker)"},
    {POSITIVE, "positive-prompt", NULL,
     "where a prompt names people, add the reference's\n"
     "sentence about good-looking faces"},
    {INIT, "init-image", "FILE", "WebP image of any size ..."},
    {KEEP, "keep-scales", "N", "... whose first N scales are kept"},
    {MODEL, "model", "NAME", "model (default: that of the worker)"},
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
    const char *init;
    int reported;
};

static enum cf_status set_format(struct args *a, const char *name, struct cf_error *err)
{
    static const char *const known[] = {"auto", "csv", "tsv", "jsonl", "text", NULL};
    int n;

    CF_TRY(cf_parse_word(name, known, &n, "--format", err));
    a->how.format = (enum cf_format)n;
    return CF_OK;
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

/* Options that are keys of the recipe. What a key may hold is checked with the recipe. */
static const struct recipe_key {
    int option;
    const char *key;
    enum { NUMBERS, LIST, YES, TEXT } takes;
} recipe_key[] = {
    {CFG, "cfg", NUMBERS},
    {TAU, "tau", NUMBERS},
    {TOP_K, "top_k", NUMBERS},
    {TOP_P, "top_p", NUMBERS},
    {FLIP, "flip_bits", NUMBERS},
    {CFG_SKIP, "cfg_skip", NUMBERS},
    {PRUNE, "prune_tokens", NUMBERS},
    {INSERT, "cfg_insertion_layer", LIST},
    {QUALITY, "quality", NUMBERS},
    {METHOD, "method", NUMBERS},
    {LOSSLESS, "lossless", YES},
    {STRICT_SIZE, "strict_size", YES},
    {MODEL, "model", TEXT},
    {KV_TYPE, "kv_type", TEXT},
    {POSITIVE, "positive_prompt", YES},
    {KEEP, "keep_scales", NUMBERS},
    {SIZE, "size", TEXT},
};

/* A list, or else the one value between the commas that are not there. */
static json_t *numbers(const char *text, bool list, struct cf_error *why)
{
    char *json = cf_format(why, "[%s]", text);
    json_t *all =
        json ? cf_json_parse(json, strlen(json), RECIPE_VALUES, "value", why) : NULL;
    json_t *v = list ? all : json_array_size(all) == 1 ? json_array_get(all, 0) : NULL;

    v = json_is_number(v) || json_array_size(v) > 0 ? json_incref(v) : NULL;
    json_decref(all);
    cf_free(json);
    return v;
}

/* NUMBERS is a JSON number, or several with commas between; LIST is a list of them also
 * where it is only one. NULL with CF_EUSAGE or CF_ENOMEM. */
static json_t *recipe_value(const struct recipe_key *k, const char *text,
                            struct cf_error *err)
{
    struct cf_error why = {0};
    json_t *v = NULL;

    if (k->takes == TEXT && !cf_utf8_valid(text, strlen(text), NULL)) {
        cf_fail(err, CF_EUSAGE, "%s: found '%.80s', expected UTF-8", k->key, text);
    } else if (k->takes == YES || k->takes == TEXT) {
        v = k->takes == YES ? json_true() : json_string(text);
        if (!v)
            cf_fail(err, CF_ENOMEM, "no memory");
    } else {
        v = numbers(text, k->takes == LIST || strchr(text, ',') != NULL, &why);
        if (why.status == CF_ENOMEM)
            cf_fail(err, CF_ENOMEM, "%s: %s", k->key, why.msg);
        else if (!v)
            cf_fail(err, CF_EUSAGE, "%s: found '%.80s', expected numbers", k->key, text);
    }
    return v;
}

static enum cf_status set_recipe(struct args *a, int option, const char *value,
                                 struct cf_error *err)
{
    const struct recipe_key *k = recipe_key;
    json_t *v;

    while (k->option != option)
        k++;
    v = recipe_value(k, value, err);
    if (!v)
        return err->status;
    if (!a->changes)
        a->changes = json_object();
    if (json_object_set_new(a->changes, k->key, v) != 0)
        return cf_fail(err, CF_ENOMEM, "no memory");
    return CF_OK;
}

static enum cf_status set(struct args *a, int o, const char *value, struct cf_error *err)
{
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
        CF_TRY(
            cf_parse_size_or_name(value, &a->how.width, &a->how.height, "--size", err));
        return a->how.width ? CF_OK : set_recipe(a, SIZE, value, err);
    case INIT:
        a->init = value;
        return CF_OK;
    case 'p':
        return cf_parse_int(value, -1000000, 1000000, &a->how.priority, "--priority",
                            err);
    case NEGATIVE:
        a->how.negative = value;
        return CF_OK;
    case RECIPE:
        json_decref(a->recipe);
        a->recipe = cf_json_load(value, RECIPE_BYTES, RECIPE_VALUES, err);
        return a->recipe ? CF_OK : err->status;
    case BATCH:
        a->how.batch = value;
        return CF_OK;
    case 'n':
        return cf_parse_i64(value, 1, INT64_MAX, &a->how.limit, "--limit", err);
    case STRICT:
        a->how.strict = true;
        return CF_OK;
    default:
        return set_recipe(a, o, value, err);
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

static enum cf_status change(struct args *a, const char *key, const char *text,
                             struct cf_error *err)
{
    if (!a->changes)
        a->changes = json_object();
    return json_object_set_new(a->changes, key, json_string(text)) == 0
               ? CF_OK
               : cf_fail(err, CF_ENOMEM, "no memory");
}

/* The initial image, named from here: as its place from the database's directory, and
 * with its hash, so that the job is what it was when it was added. */
static enum cf_status set_init(struct cf_call *call, struct args *a)
{
    struct cf_error *err = &call->err;
    char real[PATH_MAX], hex[CF_DIGEST_HEX];
    const char *dir, *path = real;
    size_t n;

    if (!a->init)
        return CF_OK;
    if (!realpath(a->init, real))
        return cf_fail_errno(err, errno, "--init-image: %s", a->init);
    if (cf_digest_file(real, hex, err) != CF_OK)
        return cf_wrap(err, "--init-image");
    dir = cf_queue_dir(call->q);
    n = strlen(dir);
    if (strncmp(real, dir, n) == 0 && real[n] == '/')
        path = real + n + 1;
    if (!cf_utf8_valid(path, strlen(path), NULL))
        return cf_fail(err, CF_EUSAGE,
                       "--init-image: %.200s: a name in UTF-8 is expected", path);
    CF_TRY(change(a, "init_image", path, err));
    return change(a, "init_sha256", hex, err);
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

static int add_files(struct cf_call *call, struct args *a)
{
    struct cf_imported sum = {0};
    enum cf_status st = CF_OK;

    for (int i = 0; i < call->n && st == CF_OK; i++) {
        struct cf_imported n;

        st = cf_import_file(call->q, call->operand[i], &a->how, &n, &call->err);
        sum.rows += n.rows;
        sum.bad += n.bad;
        sum.added += n.added;
        sum.present += n.present;
    }
    if (a->reported > REPORT_MAX)
        fprintf(stderr, "cfgen-jobs add: and %d more bad rows\n",
                a->reported - REPORT_MAX);
    if (st != CF_OK)
        return cf_cmd_end(call);
    printf("%" PRId64 " jobs added, %" PRId64 " were there already; %" PRId64
           " rows read, %" PRId64 " skipped\n",
           sum.added, sum.present, sum.rows, sum.bad);
    return sum.bad ? cf_status_exit(CF_EFORMAT) : 0;
}

static int run(struct cf_call *call)
{
    struct args a = {0};
    const char *value;
    int o, status;

    a.how.bad = report;
    a.how.ctx = &a;
    a.how.seed = &a.seeds;
    while ((o = cf_cmd_next(call, &value)) > 0 && set(&a, o, value, &call->err) == CF_OK)
        ;
    if (o != 0 || cf_cmd_open(call, CF_QUEUE_WRITE, 1, -1) != CF_OK ||
        set_init(call, &a) != CF_OK || finish_recipe(&a, &call->err) != CF_OK)
        status = cf_cmd_end(call);
    else
        status = add_files(call, &a);
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
