/* cfgen-bench - what this machine can do, and what an image gets of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cli.h"
#include "base/parse.h"
#include "base/team.h"
#include "bench/bars.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "config.h"
#include "pipeline/stop.h"

enum {
    TRIAL_CACHE = 1 << 20,
    EXIT_MISSED = 1,
    EXIT_LOAD = 3,
    ROUNDS = 9,
    QUICK_ROUNDS = 3
};

enum {
    ONLY = 256,
    MODEL,
    GEOMETRY,
    PIXELS,
    ROUND_COUNT,
    REPORT,
    PEER,
    QUICK,
    TRIAL,
    JSON,
    FORCE,
    SHOW_VERSION
};

static const struct cf_option options[] = {
    {ONLY, "only", "PART[,PART]...", "these parts alone (see below)"},
    {'m', "model", "NAME|DIR", "whose images are timed; default the one installed"},
    {GEOMETRY, "geometry", "NAME",
     "random weights of this geometry instead, made in\n"
     "$TMPDIR: infinity-125m, infinity-2b ..."},
    {'t', "threads", "N|auto", "threads, default auto"},
    {ROUND_COUNT, "rounds", "N", "timings of each case, 1..99; default 9, odd is best"},
    {PIXELS, "pixels", "N[,N]...", "sides of the images of 2b; default 256,512,1024"},
    {REPORT, "report", NULL,
     "tell what is promised and whether it holds; the model is\n"
     "infinity-125m unless one is named"},
    {PEER, "peer", "COMMAND",
     "times another program that makes the same images in\n"
     "turns with ours (image); see the manual"},
    {QUICK, "quick", NULL, "three short rounds, few rows: a look, no judgement"},
    {TRIAL, "trial", NULL, "everything once, at toy sizes: does it run?"},
    {JSON, "json", NULL, "one JSON object a line"},
    {FORCE, "force", NULL, "judge although the machine has other things to do"},
    {'h', "help", NULL, "show this help"},
    {SHOW_VERSION, "version", NULL, "show the version"},
    {0},
};

const struct cf_bench_part cf_bench_part[] = {
    {"machine", "multiply-adds and reads, the ceilings", false, cf_bench_machine},
    {"linear", "linear layers of every type of weights", false, cf_bench_linear},
    {"attention", "attention over the cache, f32 and bf16", false, cf_bench_attention},
    {"vector", "norms, activations, rotary, residuals", false, cf_bench_vector},
    {"decoder", "convolutions, and the model's decoder", false, cf_bench_decoder},
    {"transformer", "the model's transformer, scale by scale", false,
     cf_bench_transformer},
    {"image", "text features to WebP, one thread and all", false, cf_bench_image},
    {"queue", "a worker over a queue", false, cf_bench_queue},
    {"2b", "2B geometry in bf16, stage by stage (slow)", true, cf_bench_large},
};
const int cf_bench_n_part = sizeof cf_bench_part / sizeof cf_bench_part[0];

static void help(void)
{
    printf("Usage: cfgen-bench [OPTION]...\n"
           "Measure the machine, and what the parts of an image reach of it.\n\n");
    cf_cli_help(options);
    printf("\nParts:\n");
    for (int i = 0; i < cf_bench_n_part; i++)
        printf("            %-12s %s\n", cf_bench_part[i].name, cf_bench_part[i].what);
}

static enum cf_status take_parts(unsigned *parts, const char *list, struct cf_error *err)
{
    for (*parts = 0; *list;) {
        size_t n = strcspn(list, ",");
        int i = 0;

        while (i < cf_bench_n_part && (strlen(cf_bench_part[i].name) != n ||
                                       strncmp(cf_bench_part[i].name, list, n) != 0))
            i++;
        if (i == cf_bench_n_part)
            return cf_fail(err, CF_EUSAGE, "--only: unknown part '%.*s'",
                           n < 40 ? (int)n : 40, list);
        *parts |= 1u << i;
        list += n + (list[n] == ',');
    }
    return *parts ? CF_OK : cf_fail(err, CF_EUSAGE, "--only: no part is named");
}

static enum cf_status take_pixels(struct cf_bench_options *o, const char *v,
                                  struct cf_error *err)
{
    double side[CF_BENCH_PIXELS];

    CF_TRY(cf_parse_list(v, 16, CF_SIDE_MAX, side, CF_BENCH_PIXELS, &o->n_pixels,
                         "--pixels", err));
    for (int i = 0; i < o->n_pixels; i++)
        o->pixels[i] = (int)side[i];
    return CF_OK;
}

static enum cf_status take(struct cf_bench_options *o, int key, const char *v,
                           struct cf_error *err)
{
    switch (key) {
    case ONLY:
        o->named = true;
        return take_parts(&o->parts, v, err);
    case 'm':
        o->model = v;
        return CF_OK;
    case GEOMETRY:
        o->geometry = v;
        return CF_OK;
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &o->threads, "--threads", err);
    case ROUND_COUNT:
        return cf_parse_int(v, 1, CF_BENCH_ROUNDS_MAX, &o->rounds, "--rounds", err);
    case PIXELS:
        return take_pixels(o, v, err);
    case REPORT:
        o->report = true;
        return CF_OK;
    case PEER:
        o->peer = v;
        return CF_OK;
    case QUICK:
        o->quick = true;
        return CF_OK;
    case TRIAL:
        o->trial = true;
        return CF_OK;
    case JSON:
        o->json = true;
        return CF_OK;
    case FORCE:
        o->force = true;
        return CF_OK;
    case 'h':
    case SHOW_VERSION:
        return CF_OK;
    default:
        return cf_fail(err, CF_EBUG, "option %d", key);
    }
}

/* What was not said. */
static void complete(struct cf_bench_options *o)
{
    static const int pixels[] = {256, 512, 1024};

    if (o->rounds == 0)
        o->rounds = o->trial ? 1 : o->quick ? QUICK_ROUNDS : ROUNDS;
    for (int i = 0; i < cf_bench_n_part && !o->named; i++)
        o->parts |= cf_bench_part[i].asked ? 0 : 1u << i;
    if (o->n_pixels == 0) {
        memcpy(o->pixels, pixels, sizeof pixels);
        o->n_pixels = sizeof pixels / sizeof *pixels;
    }
}

/* 'h' or SHOW_VERSION: that is asked for; 0: to work. */
static int read_options(struct cf_bench_options *o, int argc, char **argv,
                        struct cf_error *err)
{
    struct cf_cli cli = {.table = options, .argc = argc, .argv = argv};
    int key;

    while ((key = cf_cli_next(&cli, err)) > 0) {
        if (key == 'h' || key == SHOW_VERSION)
            return key;
        if (take(o, key, cli.value, err) != CF_OK)
            return 0;
    }
    if (key == 0 && cli.first < argc)
        cf_fail(err, CF_EUSAGE, "unexpected argument '%.80s'", argv[cli.first]);
    if (key == 0 && o->model && o->geometry)
        cf_fail(err, CF_EUSAGE, "--model and --geometry: one of them");
    complete(o);
    return 0;
}

const char *cf_bench_geometry(const struct cf_bench_options *o)
{
    return o->report && !o->model && !o->geometry ? "infinity-125m" : o->geometry;
}

enum cf_status cf_bench_subject(struct cf_bench *b, struct cf_subject **subject,
                                struct cf_error *err)
{
    enum cf_status st = CF_OK;

    if (!b->subject)
        st = cf_subject_open(&b->subject, b->o->model, cf_bench_geometry(b->o), b->dnn,
                             err);
    *subject = b->subject;
    return st;
}

static enum cf_status open_bench(struct cf_bench *b, struct cf_error *err)
{
    struct cf_team team;
    enum cf_cpu level;

    CF_TRY(cf_team_count(&team, b->o->threads, err));
    b->threads = team.threads;
    b->sample = b->o->trial ? 0 : b->o->quick ? 2e-3 : 10e-3;
    CF_TRY(cf_cpu_parse(&level, getenv("CFGEN_CPU"), err));
    CF_TRY(cf_dnn_open(&b->dnn, level, b->threads, err));
    CF_TRY(cf_dnn_open(&b->one, level, 1, err));
    return cf_machine_open(&b->machine, b->o->trial ? TRIAL_CACHE : 0, err);
}

static void close_bench(struct cf_bench *b)
{
    cf_subject_close(b->subject);
    cf_machine_close(&b->machine);
    cf_dnn_close(b->dnn);
    cf_dnn_close(b->one);
    cf_load_end(&b->load);
    cf_free(b->list);
    cf_free(b->result);
}

/* Before minutes are spent: is anybody else at work? */
static enum cf_status look_around(struct cf_bench *b, bool *quiet, struct cf_error *err)
{
    const struct timespec moment = {.tv_nsec = 400 * 1000 * 1000};
    struct cf_load_verdict v;

    CF_TRY(cf_load_start(&b->load, err));
    nanosleep(&moment, NULL);
    cf_load_look(&b->load);
    cf_load_judge(&v, &b->load);
    *quiet = v.quiet || b->o->force;
    return CF_OK;
}

static enum cf_status run_parts(struct cf_bench *b, struct cf_error *err)
{
    for (int i = 0; i < cf_bench_n_part; i++) {
        if (!(b->o->parts >> i & 1))
            continue;
        b->part = cf_bench_part[i].name;
        CF_TRY(cf_bench_part[i].run(b, err));
    }
    return CF_OK;
}

/* *exit: the status of the program where nothing fails. */
static enum cf_status work(struct cf_bench *b, int *exit, struct cf_error *err)
{
    struct cf_load_verdict v;
    bool judged;
    int missed = 0;

    CF_TRY(look_around(b, &judged, err));
    if (judged) {
        CF_TRY(open_bench(b, err));
        cf_tell_head(b);
        CF_TRY(run_parts(b, err));
        cf_load_judge(&v, &b->load);
        judged = v.quiet || b->o->force;
        if (b->o->report)
            missed = cf_bars_tell(b, judged && b->o->rounds >= ROUNDS);
    }
    cf_tell_load(b, judged);
    *exit = judged ? missed > 0 ? EXIT_MISSED : 0 : EXIT_LOAD;
    return CF_OK;
}

/* Signals are waited for, so that what was made in $TMPDIR goes. */
static int run(const struct cf_bench_options *o, struct cf_error *err)
{
    struct cf_bench *b = cf_calloc(1, sizeof *b, err);
    struct cf_stop *stop = cf_calloc(1, sizeof *stop, err);
    int exit = 0;

    if (b && stop && cf_stop_start(stop, 0, NULL, NULL, err) == CF_OK) {
        b->o = o;
        b->cancel = &stop->claims;
        work(b, &exit, err);
        close_bench(b);
        cf_stop_end(stop);
    }
    cf_free(stop);
    cf_free(b);
    return exit;
}

int main(int argc, char **argv)
{
    struct cf_bench_options o = {0};
    struct cf_error err = {0};
    int key, exit = 0;

    cf_cli_start();
    key = read_options(&o, argc, argv, &err);
    if (key == 'h')
        help();
    else if (key == SHOW_VERSION)
        printf("cfgen-bench (cfgen) %s\n", PACKAGE_VERSION);
    else if (err.status == CF_OK)
        exit = run(&o, &err);
    cf_cli_flush(&err);
    if (err.status != CF_OK)
        return cf_cli_complain("cfgen-bench", &err);
    if (exit == EXIT_LOAD)
        fprintf(stderr, "cfgen-bench: the machine has other things to do, so nothing is "
                        "judged; --force does it all the same\n");
    return exit;
}
