/* cfgen-model hash: the numbers by which files and models are told apart. */
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "pipeline/model_cmd.h"
#include "weights/model.h"

static const struct cf_option options[] = {
    {'h', "help", NULL, "show this help"},
    {0},
};

static enum cf_status hash_model(const char *dir, struct cf_error *err)
{
    struct cf_model *m;

    CF_TRY(cf_model_open(&m, dir, CF_MODEL_TRUST, err));
    printf("%s  %s\n", m->hash, dir);
    cf_model_close(m);
    return CF_OK;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];
    int key;

    while ((key = cf_cli_next(cli, err)) > 0)
        ;
    if (key < 0)
        return CF_EUSAGE;
    if (cli->first == cli->argc)
        return cf_fail(err, CF_EUSAGE, "hash: a model directory or a file is missing");
    for (int i = cli->first; i < cli->argc; i++) {
        struct cf_error not_a_model = {0};

        if (hash_model(cli->argv[i], &not_a_model) == CF_OK)
            continue;
        if (is_dir(cli->argv[i]))
            return cf_fail(err, not_a_model.status, "hash: no model directory: %s",
                           not_a_model.msg);
        CF_TRY(cf_digest_file(cli->argv[i], hex, err));
        printf("%s  %s\n", hex, cli->argv[i]);
    }
    return CF_OK;
}

const struct cf_model_cmd cf_model_cmd_hash = {
    .name = "hash",
    .operands = "DIR|FILE...",
    .summary = "print the hash of models (of model.json) and of files",
    .options = options,
    .run = run,
};
