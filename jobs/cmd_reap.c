/* cfgen-jobs reap and check - what to do after something went wrong. */
#include <stdio.h>

#include "jobs/cli.h"
#include "jobs/self.h"

enum { WORKER = 256, MAX_CRASHES };

static const struct cf_cmd_opt reap_options[] = {
    CF_CLI_COMMON,
    {WORKER, "worker", "ID", "by force those of this worker, dead or not"},
    {MAX_CRASHES, "max-crashes", "N", "a job fails after N crashes (default: 5)"},
    {0},
};

static enum cf_status take_back(struct cf_cli *cli, int64_t worker,
                                const struct cf_retry *retry, struct cf_reaped *n)
{
    struct cf_self self;
    enum cf_status st;

    CF_TRY(cf_cli_open(cli, CF_QUEUE_WRITE, 0, 0));
    if (worker)
        return cf_queue_reap_worker(cli->q, worker, retry, n, &cli->err);
    CF_TRY(cf_self_open(&self, NULL, NULL, NULL, &cli->err));
    st = cf_queue_reap(cli->q, &self.worker, retry, n, &cli->err);
    cf_self_close(&self);
    return st;
}

static int reap(struct cf_cli *cli)
{
    enum cf_status st = CF_OK;
    struct cf_retry retry;
    int64_t worker = 0, crashes;
    const char *value;
    struct cf_reaped n = {0};
    int o = 0;

    cf_retry_default(&retry);
    crashes = retry.max_crashes;
    while (st == CF_OK && (o = cf_cli_next(cli, &value)) > 0)
        st = o == WORKER
                 ? cf_cli_int(value, "worker", 1, INT64_MAX, &worker, &cli->err)
                 : cf_cli_int(value, "max-crashes", 1, 1000000, &crashes, &cli->err);
    if (st == CF_OK && o < 0)
        return cf_cli_done(o);
    retry.max_crashes = (int)crashes;
    if (st != CF_OK || take_back(cli, worker, &retry, &n) != CF_OK)
        return cf_cli_fail(cli);
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

static const struct cf_cmd_opt check_options[] = {CF_CLI_COMMON, {0}};

static int check(struct cf_cli *cli)
{
    const char *value;
    int o = cf_cli_next(cli, &value);

    if (o)
        return cf_cli_done(o);
    if (cf_cli_open(cli, CF_QUEUE_READ, 0, 0) != CF_OK ||
        cf_queue_check(cli->q, &cli->err) != CF_OK)
        return cf_cli_fail(cli);
    puts("sound");
    return 0;
}

const struct cf_cmd cf_cmd_check = {
    "check",       "",    "Prove that the file is whole and its tables agree",
    check_options, check,
};
