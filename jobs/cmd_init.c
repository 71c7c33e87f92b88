/* cfgen-jobs init - make a queue. */
#include <stdio.h>

#include "jobs/cli.h"

static const struct cf_cmd_opt options[] = {CF_CLI_COMMON, {0}};

static int run(struct cf_cli *cli)
{
    const char *value;
    int o = cf_cli_next(cli, &value);

    if (o)
        return cf_cli_done(o);
    return cf_cli_open(cli, CF_QUEUE_CREATE, 0, 0) == CF_OK ? 0 : cf_cli_fail(cli);
}

const struct cf_cmd cf_cmd_init = {
    "init", "", "Make an empty queue; one that is there stays as it is", options, run,
};
