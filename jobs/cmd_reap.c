/* cfgen-jobs reap and check - what to do after something went wrong. */
#include <stdio.h>

#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/self.h"

enum { WORKER = CF_CMD_OWN, MAX_CRASHES };

static const struct cf_option reap_options[] = {
    CF_CMD_COMMON,
    {WORKER, "worker", "ID", "by force those of this worker, dead or not"},
    {MAX_CRASHES, "max-crashes", "N", "a job fails after N crashes (default: 5)"},
    {0},
};

static enum cf_status take_back(struct cf_call *call, int64_t worker,
                                const struct cf_retry *retry, struct cf_reaped *n)
{
    struct cf_self self;
    enum cf_status st;

    CF_TRY(cf_cmd_open(call, CF_QUEUE_WRITE, 0, 0));
    if (worker)
        return cf_queue_reap_worker(call->q, worker, retry, n, &call->err);
    CF_TRY(cf_self_open(&self, NULL, NULL, NULL, &call->err));
    st = cf_queue_reap(call->q, &self.worker, retry, n, &call->err);
    cf_self_close(&self);
    return st;
}

static int reap(struct cf_call *call)
{
    enum cf_status st = CF_OK;
    struct cf_retry retry;
    int64_t worker = 0;
    const char *value;
    struct cf_reaped n = {0};
    int o = 0;

    cf_retry_default(&retry);
    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        st = o == WORKER
                 ? cf_parse_i64(value, 1, INT64_MAX, &worker, "--worker", &call->err)
                 : cf_parse_int(value, 1, 1000000, &retry.max_crashes, "--max-crashes",
                                &call->err);
    if (o != 0 || take_back(call, worker, &retry, &n) != CF_OK)
        return cf_cmd_end(call);
    printf("%d jobs came back\n", n.jobs - n.failed);
    if (n.failed)
        printf("%d failed for good: too many workers died over them (CRASH_LOOP)\n",
               n.failed);
    return 0;
}

const struct cf_cmd cf_cmd_reap = {
    "reap",       "",   "Take back the jobs of workers of this host that died",
    reap_options, reap,
};

static const struct cf_option check_options[] = {CF_CMD_COMMON, {0}};

static int check(struct cf_call *call)
{
    const char *value;

    if (cf_cmd_next(call, &value) == 0 &&
        cf_cmd_open(call, CF_QUEUE_READ, 0, 0) == CF_OK &&
        cf_queue_check(call->q, &call->err) == CF_OK)
        puts("sound");
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_check = {
    "check",       "",    "Prove that the file is whole and its tables agree",
    check_options, check,
};
