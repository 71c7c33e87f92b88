#include "pipeline/pool.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

enum { AUTO_SIDE = 8 };

struct group {
    struct cf_dnn *dnn;
    struct cf_engine *engine;
    /* the run at hand */
    const struct cf_gen_params *params;
    const struct cf_request *req;
    int n;
    struct cf_cancel *cancel;
    struct cf_plan plan;
    struct cf_result *out;
    struct cf_engine_times times;
    struct cf_error err;
    pthread_t thread;
    bool running;
};

struct cf_pool {
    enum cf_cpu level;
    int threads, n;           /* threads in all; groups */
    bool held;                /* one thread a group for now */
    struct cf_packed *packed; /* borrowed */
    struct group *group;
    struct cf_dnn_times spent; /* of machines closed before */
};

static void add_times(struct cf_dnn_times *sum, const struct cf_dnn *dnn)
{
    struct cf_dnn_times t = cf_dnn_times(dnn);

    sum->linear += t.linear;
    sum->attn += t.attn;
    sum->conv += t.conv;
    sum->other += t.other;
}

static void close_groups(struct cf_pool *p)
{
    for (int i = p->group ? p->n : 0; i-- > 0;) { /* the first owns the model */
        cf_engine_close(p->group[i].engine);
        if (p->group[i].dnn)
            add_times(&p->spent, p->group[i].dnn);
        cf_dnn_close(p->group[i].dnn);
    }
    cf_free(p->group);
    p->group = NULL;
    p->n = 0;
}

/* n groups of equal numbers of threads. */
static enum cf_status open_groups(struct cf_pool *p, int n, struct cf_error *err)
{
    close_groups(p);
    p->group = cf_calloc((size_t)n, sizeof *p->group, err);
    if (!p->group)
        return CF_ENOMEM;
    p->n = n;
    for (int i = 0; i < n; i++)
        CF_TRY(
            cf_dnn_open(&p->group[i].dnn, p->level, p->held ? 1 : p->threads / n, err));
    return CF_OK;
}

void cf_pool_hold(struct cf_pool *p)
{
    p->held = true;
}

enum cf_status cf_pool_go(struct cf_pool *p, struct cf_error *err)
{
    p->held = false;
    for (int i = 0; i < p->n; i++)
        CF_TRY(cf_dnn_set_threads(p->group[i].dnn, p->threads / p->n, err));
    return CF_OK;
}

enum cf_status cf_pool_open(struct cf_pool **pool, enum cf_cpu level, int threads,
                            struct cf_packed *packed, struct cf_error *err)
{
    struct cf_pool *p = cf_calloc(1, sizeof *p, err);

    if (!p)
        return CF_ENOMEM;
    p->level = level;
    p->threads = threads;
    p->packed = packed;
    if (open_groups(p, 1, err) != CF_OK) {
        cf_pool_close(p);
        return err ? err->status : CF_EBUG;
    }
    *pool = p;
    return CF_OK;
}

void cf_pool_close(struct cf_pool *p)
{
    if (p)
        close_groups(p);
    cf_free(p);
}

/* How many groups a model will have, before there is one. Damaged files are told by the
 * engine, which compares their hashes first. */
static enum cf_status count_groups(int *groups, const char *dir, int threads, double room,
                                   struct cf_error *err)
{
    struct cf_model *model;
    struct cf_holding h;

    *groups = 1;
    CF_TRY(cf_model_open(&model, dir, CF_MODEL_TRUST, err));
    if (!model->map && cf_holding_read(&h, model, NULL) == CF_OK &&
        h.file_bytes <= CF_POOL_SMALL)
        *groups = threads;
    cf_model_close(model);
    while (*groups > 1 && *groups * (double)(h.transformer.own + h.vae.own) > room / 2)
        *groups /= 2;
    return CF_OK;
}

enum cf_status cf_pool_load(struct cf_pool *p, const char *dir, double room,
                            struct cf_error *err)
{
    int groups;

    close_groups(p);
    if (count_groups(&groups, dir, p->threads, room, err) != CF_OK)
        return cf_wrap(err, "model %s", dir);
    CF_TRY(open_groups(p, groups, err));
    CF_TRY(cf_engine_open(&p->group[0].engine, p->group[0].dnn, dir, p->packed, err));
    for (int i = 1; i < p->n; i++)
        CF_TRY(cf_engine_open_beside(&p->group[i].engine, p->group[i].dnn,
                                     p->group[0].engine, err));
    return CF_OK;
}

enum cf_status cf_pool_wake(struct cf_pool *p, struct cf_error *err)
{
    for (int i = 0; i < p->n; i++)
        CF_TRY(cf_engine_wake(p->group[i].engine, err));
    return CF_OK;
}

void cf_pool_rest(struct cf_pool *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->group[i].engine)
            cf_engine_rest(p->group[i].engine);
}

struct cf_engine *cf_pool_engine(const struct cf_pool *p)
{
    return p->n ? p->group[0].engine : NULL;
}

struct cf_dnn *cf_pool_dnn(const struct cf_pool *p)
{
    return p->group[0].dnn;
}

int cf_pool_groups(const struct cf_pool *p)
{
    return p->n;
}

struct cf_dnn_times cf_pool_times(const struct cf_pool *p)
{
    struct cf_dnn_times sum = p->spent;

    for (int i = 0; i < p->n; i++)
        if (p->group[i].dnn)
            add_times(&sum, p->group[i].dnn);
    return sum;
}

static void *run_group(void *arg)
{
    struct group *g = arg;

    cf_engine_run(g->engine, g->params, g->req, g->n, g->cancel, &g->plan, g->out,
                  &g->times, &g->err);
    return NULL;
}

/* The slowest of each, since groups run side by side. */
static void slowest(struct cf_engine_times *t, const struct cf_engine_times *g)
{
    t->encode = g->encode > t->encode ? g->encode : t->encode;
    t->generate = g->generate > t->generate ? g->generate : t->generate;
    t->decode = g->decode > t->decode ? g->decode : t->decode;
}

enum cf_status cf_pool_run(struct cf_pool *p, const struct cf_gen_params *params,
                           const struct cf_request *req, int n, struct cf_cancel *cancel,
                           struct cf_plan *plan, struct cf_result *out,
                           struct cf_engine_times *times, struct cf_error *err)
{
    int groups = p->n < n ? p->n : n;
    const struct cf_error *why = NULL;

    memset(times, 0, sizeof *times);
    for (int i = 0; i < groups; i++) {
        struct group *g = &p->group[i];
        int first = (int)((int64_t)n * i / groups),
            end = (int)((int64_t)n * (i + 1) / groups);

        g->params = params;
        g->req = req + first;
        g->n = end - first;
        g->cancel = cancel;
        g->out = out + first;
        g->err = (struct cf_error){0};
        g->running = i > 0 && pthread_create(&g->thread, NULL, run_group, g) == 0;
    }
    /* Ours, and those for which there was no thread. */
    for (int i = 0; i < groups; i++)
        if (!p->group[i].running)
            run_group(&p->group[i]);
    for (int i = 0; i < groups; i++) {
        struct group *g = &p->group[i];

        if (g->running)
            pthread_join(g->thread, NULL);
        if (g->err.status != CF_OK && !why)
            why = &g->err;
        slowest(times, &g->times);
    }
    if (!why) {
        *plan = p->group[0].plan;
        return CF_OK;
    }
    for (int i = 0; i < n; i++)
        cf_result_free(&out[i]);
    return cf_fail(err, why->status, "%s", why->msg);
}

int cf_pool_side(const struct cf_pool *p, const struct cf_gen_params *params, int asked,
                 int want, double room)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, NULL);
    int n = asked ? asked : AUTO_SIDE * p->n;

    n = n < want ? n : want;
    while (plan && !asked && n > 1 &&
           cf_engine_plan(cf_pool_engine(p), params, n, plan, NULL) == CF_OK &&
           (double)plan->arena_bytes > room)
        n /= 2;
    cf_free(plan);
    return n < 1 ? 1 : n;
}

enum cf_status cf_pool_plan(struct cf_pool *p, const struct cf_gen_params *params,
                            const struct cf_request *req, int n, struct cf_plan *plan,
                            int *groups, struct cf_error *err)
{
    *groups = p->n < n ? p->n : n;
    return cf_engine_plan_for(cf_pool_engine(p), params, req, n,
                              (n + *groups - 1) / *groups, plan, err);
}
