/* cfgen-batch.c - the worker's command line; the work is in batch.c. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cli.h"
#include "base/duration.h"
#include "base/parse.h"
#include "base/team.h"
#include "config.h"
#include "pipeline/crew.h"
#include "pipeline/launch.h"
#include "pipeline/finish.h"
#include "pipeline/packed.h"
#include "pipeline/settings.h"

enum {
    FAIL_FAST = 256,
    GRACE,
    META,
    LOG_FORMAT,
    PROGRESS,
    ATTEMPTS,
    CRASHES,
    BACKOFF,
    GROUPS,
    BIND,
    SIDE,
    MEMORY,
    ENCODER,
    KV_TYPE,
    UNSAFE,
    SHARD,
    RESULTS,
    LAYOUT,
    PER_TAR,
    WHERE,
    WAIT,
    CACHE,
    CACHE_SIZE,
    PACK_CACHE,
    STOP_STATUS,
    INTERVAL,
    LOG_PROMPTS,
    WORKERS,
    TIME_LIMIT,
    EXCLUSIVE,
    DRY_RUN,
    STATUS_FILE,
    LOG_FILE,
    SHOW_VERSION
};

static const struct cf_option options[] = {
    {'d', "db", "FILE", "queue database, made by cfgen-jobs; default $CFGEN_DB"},
    {UNSAFE, "unsafe-shared-db", NULL,
     "allow a queue on a file system shared between\n"
     "machines, where only this one uses it"},
    {SHARD, "shard", "I|I/N|auto",
     "work on shard I of the plan --db, made by\n"
     "cfgen-jobs plan; auto: the index that Slurm, MPI, PBS,\n"
     "LSF, SGE or HyperQueue gave this process"},
    {RESULTS, "results", "FILE", "results of the shard; default beside the plan"},
    {'m', "model", "NAME|DIR",
     "model for jobs that name none; default $CFGEN_MODEL,\n"
     "else the model that is installed with cfgen"},
    {'o', "output", "DIR", "where images go; default \"images\" beside the database"},
    {LAYOUT, "layout", "files|tar|auto",
     "one file an image, or many in tars; auto: tars above\n"
     "100000 jobs of queue or plan; kept for good"},
    {PER_TAR, "samples-per-shard", "N", "images in a full tar, 1..10000, default 10000"},
    {'t', "threads", "N|auto",
     "compute threads; auto: one a core of the affinity\n"
     "mask, bounded by the cgroup quota, OMP_NUM_THREADS\n"
     "and SLURM_CPUS_PER_TASK"},
    {GROUPS, "groups", "N|auto",
     "groups that share out the threads, each with images\n"
     "of its own; auto: by cores, caches and model; never\n"
     "changes an image"},
    {BIND, "bind", "auto|none|cores",
     "hold each group's threads to its cores; auto: where\n"
     "there are several NUMA nodes and all cores are ours"},
    {WORKERS, "workers", "N",
     "processes that share one loaded model, each with its\n"
     "part of the threads and processors; default 1"},
    {WHERE, "where", "KEY=VALUE",
     "only jobs with this batch, tag, recipe or key; again:\n"
     "all must hold"},
    {'n', "max-jobs", "N", "stop after N jobs"},
    {TIME_LIMIT, "time-limit", "TIME",
     "claim only what is expected to end in time: 90, 90m,\n"
     "2h, M:SS, H:MM:SS, D-HH:MM:SS, UNLIMITED, as squeue\n"
     "-h -o %L prints it"},
    {EXCLUSIVE, "exclusive", NULL,
     "leave with 0 where another worker of this host is at\n"
     "work on the queue"},
    {DRY_RUN, "dry-run", NULL,
     "open everything, tell jobs, time, memory and disk, and\n"
     "change nothing; one JSON object with --log-format=json"},
    {WAIT, "wait", "SECONDS",
     "when nothing is left, look for new jobs so long,\n"
     "default 0"},
    {'c', "claim", "N|auto",
     "jobs per claim, 1..64; auto: about five seconds of\n"
     "work, at most 16"},
    {SIDE, "side-by-side", "N|auto",
     "images computed together, 1..64; auto: by memory, at\n"
     "most 8; never changes an image"},
    {MEMORY, "memory", "BYTES[K|M|G]|auto",
     "what this process may take; auto: physical memory,\n"
     "cgroup or Slurm, less a sixteenth"},
    {ENCODER, "encoder", "auto|keep|release",
     "the text encoder stays in memory, or leaves when a\n"
     "claim is encoded; auto: as memory allows; never\n"
     "changes an image"},
    {KV_TYPE, "kv-type", "f32|bf16",
     "of kept keys and values, for jobs that name none;\n"
     "default the model's own"},
    {CACHE, "embed-cache", "DIR",
     "keep encoded prompts in DIR/embed.sqlite for later\n"
     "runs; never changes an image"},
    {CACHE_SIZE, "embed-cache-size", "BYTES[K|M|G]", "bound of that file, default 1G"},
    {PACK_CACHE, "pack-cache", "auto|DIR|off",
     "keep packed weights for later runs, beside the model or\n"
     "in DIR; default $CFGEN_PACK_CACHE, else off; never\n"
     "changes an image"},
    {ATTEMPTS, "max-attempts", "N", "tries before a job fails for good, default 3"},
    {CRASHES, "max-crashes", "N",
     "dead workers before a job counts as poison, default 5"},
    {BACKOFF, "backoff", "SECONDS", "pause before another try, doubling, default 60"},
    {FAIL_FAST, "fail-fast", "N", "stop after N failures in a row, default 5"},
    {GRACE, "grace", "SECONDS",
     "after a stop signal, finish the images at hand if they\n"
     "are predicted to end in time, default 30"},
    {STOP_STATUS, "stop-status", "N",
     "exit status when stopped with work left, 0..255,\n"
     "default 75"},
    {META, "metadata", "full|minimal|none", "what each image tells, default full"},
    {PROGRESS, "progress", "auto|always|never",
     "a bar on a terminal, a line a minute elsewhere"},
    {INTERVAL, "progress-interval", "SECONDS", "between these lines, default 60"},
    {STATUS_FILE, "status-file", "FILE",
     "how the run stands, as JSON, replaced every 10 s"},
    {LOG_FILE, "log-file", "FILE",
     "append log lines to FILE; errors go to standard error\n"
     "as well"},
    {LOG_PROMPTS, "log-prompts", NULL, "lines about an image also tell its prompt"},
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
    const char *log_file;
    bool help, version;
};

static enum cf_status add_where(struct cf_batch_options *o, const char *v,
                                struct cf_error *err)
{
    if (o->n_where == CF_BATCH_WHERE)
        return cf_fail(err, CF_EUSAGE, "--where: more than %d conditions",
                       CF_BATCH_WHERE);
    o->where[o->n_where++] = v;
    return CF_OK;
}

/* What failures lead to, and what may be in memory. */
static enum cf_status set_limit(struct cf_batch_options *o, int key, const char *v,
                                struct cf_error *err)
{
    switch (key) {
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
    case GROUPS:
        return cf_parse_auto(v, CF_MAX_THREADS, &o->groups, "--groups", err);
    case BIND:
        return cf_bind_parse(v, &o->bind, err);
    case MEMORY:
        return cf_room_parse(v, &o->memory, err);
    case ENCODER:
        return cf_encoder_mode_parse(v, &o->encoder, err);
    case KV_TYPE:
        return cf_kv_parse(v, &o->kv_type, "--kv-type", err);
    case CACHE:
        o->cache = v;
        return CF_OK;
    case PACK_CACHE:
        return cf_packed_parse(&o->pack_cache, v, "--pack-cache", err);
    case CACHE_SIZE:
        return cf_parse_bytes(v, 1 << 20, INT64_MAX, &o->cache_bytes,
                              "--embed-cache-size", err);
    default:
        return cf_fail(err, CF_EBUG, "option %d has no meaning", key);
    }
}

/* Which jobs, from where, to where. */
static enum cf_status set_work(struct cf_batch_options *o, int key, const char *v,
                               struct cf_error *err)
{
    switch (key) {
    case SHARD:
        o->shard = v;
        return CF_OK;
    case RESULTS:
        o->results = v;
        return CF_OK;
    case LAYOUT:
        return cf_layout_parse(v, &o->layout, "--layout", err);
    case PER_TAR:
        return cf_parse_int(v, 1, 10000, &o->per_tar, "--samples-per-shard", err);
    case WHERE:
        return add_where(o, v, err);
    case WAIT:
        return cf_parse_int(v, 0, 100000000, &o->wait, "--wait", err);
    case STOP_STATUS:
        return cf_parse_int(v, 0, 255, &o->stop_status, "--stop-status", err);
    case INTERVAL:
        return cf_parse_int(v, 1, 1000000, &o->progress_interval, "--progress-interval",
                            err);
    case LOG_PROMPTS:
        o->log_prompts = true;
        return CF_OK;
    case WORKERS:
        return cf_parse_int(v, 1, CF_CREW_MAX, &o->workers, "--workers", err);
    case TIME_LIMIT:
        return cf_parse_duration(v, &o->time_limit, "--time-limit", err);
    case EXCLUSIVE:
        o->exclusive = true;
        return CF_OK;
    case DRY_RUN:
        o->dry_run = true;
        return CF_OK;
    case STATUS_FILE:
        o->status_file = v;
        return CF_OK;
    default:
        return set_limit(o, key, v, err);
    }
}

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
    case LOG_FILE:
        a->log_file = v;
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
        return set_work(o, key, v, err);
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
    a->o.pack_cache = getenv("CFGEN_PACK_CACHE");
    cf_cpu_parse(&a->o.cpu, getenv("CFGEN_CPU"), err);
    cf_finish_date(err);
}

int main(int argc, char **argv)
{
    struct cf_cli cli = {.table = options, .argc = argc, .argv = argv};
    struct cf_error err = {0};
    struct args a = {0};
    int key;

    cf_team_calm(argv);
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
    } else if (err.status == CF_OK && a.o.results && !a.o.shard) {
        cf_fail(&err, CF_EUSAGE, "--results=FILE needs --shard");
    } else if (err.status == CF_OK &&
               (!a.log_file || cf_log_open(&a.log, a.log_file, &err) == CF_OK)) {
        return cf_launch(&a.o, &a.log);
    }
    return err.status == CF_OK ? 0 : cf_cli_complain("cfgen-batch", &err);
}
