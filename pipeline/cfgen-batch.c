/* cfgen-batch.c - the worker's command line; the work is in batch.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cli.h"
#include "base/parse.h"
#include "base/team.h"
#include "config.h"
#include "pipeline/batch.h"

enum {
    FAIL_FAST = 256,
    GRACE,
    META,
    LOG_FORMAT,
    PROGRESS,
    ATTEMPTS,
    CRASHES,
    BACKOFF,
    SIDE,
    UNSAFE,
    SHOW_VERSION
};

static const struct cf_option options[] = {
    {'d', "db", "FILE", "queue database, made by cfgen-jobs; default $CFGEN_DB"},
    {UNSAFE, "unsafe-shared-db", NULL,
     "allow a queue on a file system shared between\n"
     "machines, where only this one uses it"},
    {'m', "model", "NAME|DIR",
     "model for jobs that name none; default $CFGEN_MODEL,\n"
     "else the model that is installed with cfgen"},
    {'o', "output", "DIR", "where images go; default \"images\" beside the database"},
    {'t', "threads", "N|auto",
     "compute threads; auto: affinity mask, bounded by\n"
     "the cgroup quota, OMP_NUM_THREADS and\n"
     "SLURM_CPUS_PER_TASK"},
    {'n', "max-jobs", "N", "stop after N jobs"},
    {'c', "claim", "N|auto",
     "jobs per claim, 1..64; auto: about five seconds of\n"
     "work, at most 16"},
    {SIDE, "side-by-side", "N|auto",
     "images computed together, 1..64; auto: by memory, at\n"
     "most 8; never changes an image"},
    {ATTEMPTS, "max-attempts", "N", "tries before a job fails for good, default 3"},
    {CRASHES, "max-crashes", "N",
     "dead workers before a job counts as poison, default 5"},
    {BACKOFF, "backoff", "SECONDS", "pause before another try, doubling, default 60"},
    {FAIL_FAST, "fail-fast", "N", "stop after N failures in a row, default 5"},
    {GRACE, "grace", "SECONDS",
     "after a stop signal, finish the images at hand if they\n"
     "are predicted to end in time, default 30"},
    {META, "metadata", "full|minimal|none", "what each image tells, default full"},
    {PROGRESS, "progress", "auto|always|never",
     "a bar on a terminal, a line a minute elsewhere"},
    {LOG_FORMAT, "log-format", "text|json", "form of log lines on standard error"},
    {'q', "quiet", NULL, "errors only"},
    {'v', "verbose", NULL, "one line per image"},
    {'h', "help", NULL, "show this help"},
    {SHOW_VERSION, "version", NULL, "show the version"},
    {0, NULL, NULL, NULL},
};

struct args {
    struct cf_batch_options o;
    struct cf_log log;
    bool help, version;
};

static enum cf_status set(struct args *a, int key, const char *v, struct cf_error *err)
{
    static const char *const modes[] = {"auto", "always", "never", NULL};
    static const char *const forms[] = {"text", "json", NULL};
    struct cf_batch_options *o = &a->o;
    int n;

    switch (key) {
    case 'd':
        o->db = v;
        break;
    case UNSAFE:
        o->unsafe_shared_db = true;
        break;
    case 'm':
        o->model = v;
        break;
    case 'o':
        o->output = v;
        break;
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &o->threads, "--threads", err);
    case 'n':
        return cf_parse_int(v, 1, 2000000000, &o->max_jobs, "--max-jobs", err);
    case 'c':
        return cf_parse_auto(v, 64, &o->claim, "--claim", err);
    case SIDE:
        return cf_parse_auto(v, 64, &o->side, "--side-by-side", err);
    case ATTEMPTS:
        return cf_parse_int(v, 1, 1000, &o->retry.max_attempts, "--max-attempts", err);
    case CRASHES:
        return cf_parse_int(v, 1, 1000000, &o->retry.max_crashes, "--max-crashes", err);
    case BACKOFF:
        return cf_parse_int(v, 0, 86400, &o->retry.backoff, "--backoff", err);
    case FAIL_FAST:
        return cf_parse_int(v, 1, 1000000, &o->fail_fast, "--fail-fast", err);
    case GRACE:
        return cf_parse_int(v, 0, 86400, &o->grace, "--grace", err);
    case META:
        return cf_meta_level_parse(v, &o->meta, "--metadata", err);
    case PROGRESS:
        CF_TRY(cf_parse_word(v, modes, &n, "--progress", err));
        o->progress = (enum cf_progress_mode)n;
        break;
    case LOG_FORMAT:
        CF_TRY(cf_parse_word(v, forms, &n, "--log-format", err));
        a->log.json = n == 1;
        break;
    case 'q':
        o->quiet = true;
        a->log.level = CF_LOG_ERROR;
        break;
    case 'v':
        a->log.level = CF_LOG_DEBUG;
        break;
    case 'h':
        a->help = true;
        break;
    case SHOW_VERSION:
        a->version = true;
        break;
    default:
        return cf_fail(err, CF_EBUG, "option %d has no meaning", key);
    }
    return CF_OK;
}

static void tell(const struct args *a)
{
    if (a->version) {
        printf("cfgen-batch (cfgen) %s\n", PACKAGE_VERSION);
    } else {
        printf("Usage: cfgen-batch --db=FILE [OPTION]...\n"
               "Make the images of a queue until nothing is left.\n\n");
        cf_cli_help(options);
        printf("\nExit status: 0 all done, 1 a job failed for good, 75 stopped in good "
               "order with\nwork left; others are those of sysexits.h. See "
               "cfgen-batch(1).\n");
    }
}

static void defaults(struct args *a, struct cf_error *err)
{
    cf_log_init(&a->log);
    cf_batch_default(&a->o);
    a->o.db = getenv("CFGEN_DB");
    a->o.model = getenv("CFGEN_MODEL");
    a->o.model_path = getenv("CFGEN_MODEL_PATH");
    cf_cpu_parse(&a->o.cpu, getenv("CFGEN_CPU"), err);
}

int main(int argc, char **argv)
{
    struct cf_cli cli = {.table = options, .argc = argc, .argv = argv};
    struct cf_error err = {0};
    struct args a = {0};
    int key;

    cf_cli_start();
    defaults(&a, &err);
    while ((key = cf_cli_next(&cli, &err)) > 0)
        if (set(&a, key, cli.value, &err) != CF_OK)
            break;
    if (err.status == CF_OK && (a.help || a.version)) {
        tell(&a);
        cf_cli_flush(&err);
    } else if (err.status == CF_OK && cli.first < argc) {
        cf_fail(&err, CF_EUSAGE, "'%.80s': no operand is expected", argv[cli.first]);
    } else if (err.status == CF_OK && !a.o.db) {
        cf_fail(&err, CF_EUSAGE, "--db=FILE is missing; cfgen-jobs init makes one");
    } else if (err.status == CF_OK) {
        return cf_batch_run(&a.o, &a.log);
    }
    return err.status == CF_OK ? 0 : cf_cli_complain("cfgen-batch", &err);
}
