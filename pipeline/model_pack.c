/* cfgen-model pack: weights packed ahead of time, for runs with --pack-cache. */
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "base/team.h"
#include "pipeline/engine.h"
#include "pipeline/model_cmd.h"
#include "pipeline/packed.h"
#include "pipeline/texts.h"

enum { CACHE = 256 };

static const struct cf_option options[] = {
    {CACHE, "pack-cache", "auto|DIR", "where: beside the model (default), or in DIR"},
    {'t', "threads", "N|auto", "compute threads, default auto"},
    {'h', "help", NULL, "show this help"},
    {0},
};

struct pack {
    const char *cache;
    int threads;
    const char *dir; /* of the model at hand */
};

static void tell(void *ctx, enum cf_log_level level, const char *what, const char *path,
                 const char *why)
{
    struct pack *p = ctx;

    (void)level;
    if (why) {
        fprintf(stderr, "cfgen-model: %s: %s\n", what, why);
        return;
    }
    cf_cli_put(p->dir);
    printf(": %s, ", what);
    cf_cli_put(path);
    printf("\n");
    fflush(stdout); /* the next part may take a while */
}

/* Both parts come into memory once, and so into their files. */
static enum cf_status open_parts(struct pack *p, struct cf_dnn *dnn,
                                 struct cf_packed *packed, struct cf_error *err)
{
    struct cf_texts *texts = NULL;
    struct cf_engine *e;
    enum cf_status st;

    CF_TRY(cf_engine_open(&e, dnn, p->dir, packed, err));
    st = cf_engine_wake(e, err);
    if (st == CF_OK) {
        cf_engine_rest(e);
        st = cf_texts_open(&texts,
                           &(struct cf_texts_options){
                               .packed = packed,
                               .dnn = dnn,
                               .model = cf_engine_model(e),
                               .dim = cf_engine_text_dim(e),
                           },
                           err);
    }
    cf_texts_close(texts);
    cf_engine_close(e);
    return st;
}

static enum cf_status pack(struct pack *p, struct cf_dnn *dnn, struct cf_error *err)
{
    struct cf_packed *packed;
    enum cf_status st;

    CF_TRY(cf_packed_open(&packed,
                          &(struct cf_packed_options){
                              .threads = p->threads,
                              .cache = p->cache,
                              .tell = tell,
                              .ctx = p,
                          },
                          err));
    st = open_parts(p, dnn, packed, err);
    if (st == CF_OK)
        st = cf_packed_lost(packed, err);
    cf_packed_close(packed);
    return st;
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    struct pack p = {.cache = "auto"};
    struct cf_dnn *dnn = NULL;
    struct cf_team team;
    enum cf_status st = CF_OK;
    enum cf_cpu level;
    int key, threads = 0;

    CF_TRY(cf_cpu_parse(&level, getenv("CFGEN_CPU"), err));
    while ((key = cf_cli_next(cli, err)) > 0) {
        if (key == 't')
            CF_TRY(cf_parse_auto(cli->value, CF_MAX_THREADS, &threads, "--threads", err));
        if (key == CACHE)
            CF_TRY(cf_packed_parse(&p.cache, cli->value, "--pack-cache", err));
    }
    if (key < 0)
        return CF_EUSAGE;
    if (cli->first == cli->argc)
        return cf_fail(err, CF_EUSAGE, "pack: a model directory is missing");
    CF_TRY(cf_team_count(&team, threads, err));
    p.threads = team.threads;
    CF_TRY(cf_dnn_open(&dnn, level, team.threads, err));
    for (int i = cli->first; i < cli->argc && st == CF_OK; i++) {
        p.dir = cli->argv[i];
        st = pack(&p, dnn, err);
    }
    cf_dnn_close(dnn);
    return st;
}

const struct cf_model_cmd cf_model_cmd_pack = {
    .name = "pack",
    .operands = "DIR...",
    .summary = "keep the packed weights of models for runs with --pack-cache",
    .options = options,
    .run = run,
};
