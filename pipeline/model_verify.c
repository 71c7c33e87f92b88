/* cfgen-model verify: every file, every tensor, and one image. */
#include <stdio.h>

#include "base/parse.h"
#include "base/team.h"
#include "pipeline/model_cmd.h"
#include "pipeline/packed.h"
#include "pipeline/selfcheck.h"

static const struct cf_option options[] = {
    {'t', "threads", "N|auto", "compute threads, default auto"},
    {'h', "help", NULL, "show this help"},
    {0},
};

static void print_check(void *ctx, const char *name, const char *found)
{
    const char *dir = ctx;

    printf("%s: %-8s ok, %s\n", dir, name, found);
    fflush(stdout); /* the next check may take minutes */
}

/* Packed weights that lie beside the model. */
static enum cf_status verify_packed(const struct cf_model *m, char *dir,
                                    struct cf_error *err)
{
    char found[64];
    int n;

    if (cf_packed_check(&n, m, err) != CF_OK)
        return cf_wrap(err, "packed weights, which may be removed");
    snprintf(found, sizeof found, "%d file%s of packed weights", n, n == 1 ? "" : "s");
    if (n)
        print_check(dir, "packed", found);
    return CF_OK;
}

static enum cf_status verify(char *dir, struct cf_dnn *dnn, struct cf_error *err)
{
    enum cf_status status;
    struct cf_model *m;
    char found[160];

    if (cf_model_open(&m, dir, CF_MODEL_FULL, err) != CF_OK)
        return cf_wrap(err, "hashes");
    snprintf(found, sizeof found, "every part is that of model.json; hash %.12s",
             m->hash);
    print_check(dir, "hashes", found);
    status = verify_packed(m, dir, err);
    if (status == CF_OK)
        status = cf_selfcheck(m, dnn, print_check, dir, err);
    cf_model_close(m);
    return status;
}

/* A model that fails does not keep the next one from being looked at; why it failed is in
 * its own line, among those of its checks. */
static enum cf_status verify_all(struct cf_cli *cli, struct cf_dnn *dnn,
                                 struct cf_error *err)
{
    enum cf_status first = CF_OK;
    int failed = 0;

    for (int i = cli->first; i < cli->argc; i++) {
        struct cf_error own = {0};

        if (verify(cli->argv[i], dnn, &own) == CF_OK)
            continue;
        first = failed++ ? first : own.status;
        printf("%s: FAILED, %s\n", cli->argv[i], own.msg);
    }
    if (!failed)
        return CF_OK;
    return cf_fail(err, first, "verify: %d of %d models failed", failed,
                   cli->argc - cli->first);
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    struct cf_dnn *dnn = NULL;
    struct cf_team team;
    enum cf_status status;
    int key, threads = 0;

    while ((key = cf_cli_next(cli, err)) > 0)
        if (key == 't')
            CF_TRY(cf_parse_auto(cli->value, CF_MAX_THREADS, &threads, "--threads", err));
    if (key < 0)
        return CF_EUSAGE;
    if (cli->first == cli->argc)
        return cf_fail(err, CF_EUSAGE, "verify: a model directory is missing");
    CF_TRY(cf_team_count(&team, threads, err));
    CF_TRY(cf_dnn_open(&dnn, CF_CPU_AUTO, team.threads, err));
    status = verify_all(cli, dnn, err);
    cf_dnn_close(dnn);
    return status;
}

const struct cf_model_cmd cf_model_cmd_verify = {
    .name = "verify",
    .operands = "DIR...",
    .summary = "check hashes, every weight and one small image of models",
    .options = options,
    .run = run,
};
