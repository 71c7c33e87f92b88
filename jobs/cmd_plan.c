/* cfgen-jobs plan - a queue as shards for many nodes. */
#include <inttypes.h>
#include <stdio.h>

#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/shard.h"

enum { SHARDS = CF_CMD_OWN };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {SHARDS, "shards", "N", "how many shards; more than nodes, so that none waits"},
    {'o', "out", "PLAN", "the file to make"},
    {0},
};

static void tell(const struct cf_call *call, const char *out,
                 const struct cf_plan_info *p)
{
    printf("%" PRId64 " jobs in %d shards of %" PRId64 " to %" PRId64 " jobs: ", p->jobs,
           p->shards, p->smallest, p->largest);
    cf_cmd_quote(out);
    printf("\nnext, as an array of tasks 0-%d: cfgen-batch --db=", p->shards - 1);
    cf_cmd_quote(out);
    printf(" --shard=auto\nthen: cfgen-jobs merge%s --db=",
           call->unsafe ? " --unsafe-shared-db" : "");
    cf_cmd_quote(call->db);
    printf(" RESULT...\n");
}

static int run(struct cf_call *call)
{
    const char *value, *out = NULL;
    enum cf_status st = CF_OK;
    struct cf_plan_info info;
    int shards = 0, o = 0;
    int64_t jobs;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        if (o == SHARDS)
            st = cf_parse_int(value, 1, CF_SHARDS_MAX, &shards, "--shards", &call->err);
        else
            out = value;
    if (o != 0 || st != CF_OK)
        return cf_cmd_end(call);
    if (!shards || !out || !*out)
        cf_fail(&call->err, CF_EUSAGE, "%s is missing", shards ? "--out" : "--shards");
    else if (cf_cmd_open(call, CF_QUEUE_WRITE, 0, 0) == CF_OK &&
             cf_plan_write(call->q, out, shards, &jobs, &call->err) == CF_OK &&
             cf_plan_read(out, &info, &call->err) == CF_OK)
        tell(call, out, &info);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_plan = {
    "plan",  "",  "Copy the jobs that wait into a plan of shards for many nodes",
    options, run,
};
