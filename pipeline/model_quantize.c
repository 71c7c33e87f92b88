/* cfgen-model quantize: a model again, its matrices in another type. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/team.h"
#include "pipeline/convert_out.h"
#include "pipeline/model_cmd.h"
#include "pipeline/quant_report.h"
#include "pipeline/requant.h"

enum { DTYPE = 256, TEXT_DTYPE, GROUP, HOLD, NAME, FORCE, REPORT, CARD, SIZE, PROMPT };
enum { MAX_PROMPTS = 16 };

static const struct cf_option options[] = {
    {DTYPE, "dtype", "TYPE",
     "of the transformer's matrices: f32, f16, bf16, int8,\n"
     "4bit; required"},
    {TEXT_DTYPE, "text-dtype", "TYPE",
     "of the text encoder's matrices, or keep (default)"},
    {GROUP, "group", "32|64", "columns that share a scale in 4bit, default 32"},
    {HOLD, "hold", "pack|map",
     "pack: floats are widened in memory, for small models;\n"
     "map: read where they lie; default as IN, and map for\n"
     "int8 and 4bit"},
    {NAME, "name", "NAME", "of the new model; default the old one's and the type"},
    {FORCE, "force", NULL, "replace a model that is at OUT"},
    {REPORT, "report", NULL,
     "run both models on a few prompts and tell the error\n"
     "of the logits and the share of greedy bits that\n"
     "change, against f32"},
    {CARD, "card", NULL, "the report, also at the end of OUT/MODEL_CARD.md"},
    {SIZE, "size", "WxH", "of the report's images; default the smallest"},
    {PROMPT, "prompt", "TEXT", "for the report, up to 16 times; default four"},
    {'t', "threads", "N|auto", "compute threads, default auto"},
    {'h', "help", NULL, "show this help"},
    {0},
};

struct args {
    struct cf_requant_options o;
    struct cf_report_options report;
    const char *prompt[MAX_PROMPTS];
    int group, threads;
    bool dtype, wants_report, card;
};

static enum cf_status take(struct args *a, int key, const char *v, struct cf_error *err)
{
    static const char *const hold[] = {"pack", "map", NULL};

    switch (key) {
    case DTYPE:
        a->dtype = true;
        return cf_wtype_parse(&a->o.type.type, v, err);
    case TEXT_DTYPE:
        a->o.text_type.keep = strcmp(v, "keep") == 0;
        return a->o.text_type.keep ? CF_OK : cf_wtype_parse(&a->o.text_type.type, v, err);
    case GROUP:
        return cf_group_parse(&a->group, v, err);
    case HOLD:
        return cf_parse_word(v, hold, &a->o.hold, "--hold", err);
    case NAME:
        a->o.name = v;
        return CF_OK;
    case FORCE:
        a->o.force = true;
        return CF_OK;
    case REPORT:
        a->wants_report = true;
        return CF_OK;
    case CARD:
        a->card = a->wants_report = true;
        return CF_OK;
    case SIZE:
        return cf_parse_size(v, &a->report.width, &a->report.height, "--size", err);
    case PROMPT:
        if (a->report.n_prompt == MAX_PROMPTS)
            return cf_fail(err, CF_EUSAGE, "--prompt: more than %d", MAX_PROMPTS);
        a->prompt[a->report.n_prompt++] = v;
        return CF_OK;
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &a->threads, "--threads", err);
    default:
        return CF_OK;
    }
}

/* *text: the section for the card, fresh; NULL when none was asked for. */
static enum cf_status report(char **text, const struct args *a,
                             const struct cf_requant *q, struct cf_dnn *dnn,
                             struct cf_error *err)
{
    struct cf_report *r;
    enum cf_status st;
    char type[40];

    *text = NULL;
    if (!a->wants_report)
        return CF_OK;
    r = cf_alloc(1, sizeof *r, err);
    st = r ? cf_report_run(r, q->in->dir, cf_out_dir(q->out), &a->report, dnn, err)
           : CF_ENOMEM;
    if (st == CF_OK) {
        *text = cf_report_text(r, cf_requant_type_name(type, &a->o.type), err);
        st = *text ? CF_OK : CF_ENOMEM;
    }
    cf_free(r);
    return st;
}

static enum cf_status work(const struct args *a, const char *in, const char *dir,
                           struct cf_dnn *dnn, struct cf_error *err)
{
    struct cf_requant q;
    char *text = NULL;
    enum cf_status st = cf_requant_write(&q, &a->o, in, dir, dnn, err);

    if (st == CF_OK)
        st = report(&text, a, &q, dnn, err);
    if (st == CF_OK)
        st = cf_requant_publish(&q, a->card ? text : NULL, err);
    cf_requant_close(&q);
    if (st == CF_OK && text)
        printf("%s", text);
    cf_free(text);
    return st;
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    struct args a = {.o = {.hold = -1, .text_type = {.keep = true}},
                     .group = CF_GROUP_DEFAULT};
    struct cf_dnn *dnn = NULL;
    struct cf_team team;
    enum cf_status st;
    int key;

    while ((key = cf_cli_next(cli, err)) > 0)
        CF_TRY(take(&a, key, cli->value, err));
    if (key < 0)
        return CF_EUSAGE;
    if (!a.dtype)
        return cf_fail(err, CF_EUSAGE, "quantize: --dtype is missing");
    if (cli->argc - cli->first != 2)
        return cf_fail(err, CF_EUSAGE, "quantize: %d operands, expected two directories",
                       cli->argc - cli->first);
    a.o.type.group = a.o.text_type.group = a.group;
    a.report.prompt = a.prompt;
    cf_out_signals();
    CF_TRY(cf_team_count(&team, a.threads, err));
    CF_TRY(cf_dnn_open(&dnn, CF_CPU_AUTO, team.threads, err));
    st = work(&a, cli->argv[cli->first], cli->argv[cli->first + 1], dnn, err);
    cf_dnn_close(dnn);
    return st;
}

const struct cf_model_cmd cf_model_cmd_quantize = {
    .name = "quantize",
    .operands = "--dtype=TYPE IN OUT",
    .summary = "make a model again with its matrices in another type",
    .options = options,
    .run = run,
};
