/* cfgen-jobs init - make a queue. */

#include "jobs/cmd.h"

static const struct cf_option options[] = {CF_CMD_COMMON, {0}};

static int run(struct cf_call *call)
{
    const char *value;

    if (cf_cmd_next(call, &value) == 0)
        cf_cmd_open(call, CF_QUEUE_CREATE, 0, 0);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_init = {
    "init", "", "Make an empty queue; one that is there stays as it is", options, run,
};
