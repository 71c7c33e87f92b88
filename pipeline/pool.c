#include "pipeline/pool.h"

#include <string.h>

#include "base/alloc.h"
#include "base/team.h"
#include "pipeline/leader.h"

enum { AUTO_SIDE = 8 };

struct group {
    struct cf_dnn *dnn;
    struct cf_engine *engine;
    struct cf_leader *leader; /* NULL: the caller */
    struct cf_error err;
    /* the run at hand */
    const struct cf_gen_params *params;
    const struct cf_request *req;
    int n;
    struct cf_cancel *cancel;
    struct cf_plan plan;
    struct cf_result *out;
    struct cf_engine_times times;
};

struct cf_pool {
    struct cf_pool_options o;
    bool held; /* one thread a group for now */
    struct cf_topology cores;
    struct cf_groups shape;
    int n; /* groups that are open */
    struct group *group;
    struct cf_dnn_times spent; /* of machines closed before */
};

/* ---- groups ---- */

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
        struct group *g = &p->group[i];

        cf_leader_stop(g->leader);
        cf_engine_close(g->engine);
        if (g->dnn)
            add_times(&p->spent, g->dnn);
        cf_dnn_close(g->dnn);
    }
    cf_free(p->group);
    p->group = NULL;
    p->n = 0;
}

/* Led by the caller where there is one group, and in what will be forked. */
static enum cf_status start_leader(struct cf_pool *p, int i, struct cf_error *err)
{
    const struct cf_group_place *place = &p->shape.place[i];
    cpu_set_t cpus;

    if (p->held || p->n == 1)
        return CF_OK;
    CPU_ZERO(&cpus);
    for (int k = 0; k < place->cores && p->shape.bound; k++)
        CPU_OR(&cpus, &cpus, &p->cores.core[place->first + k].cpu);
    return cf_leader_start(&p->group[i].leader, p->shape.bound ? &cpus : NULL, err);
}

static enum cf_status open_groups(struct cf_pool *p, struct cf_error *err)
{
    p->group = cf_calloc((size_t)p->shape.n, sizeof *p->group, err);
    if (!p->group)
        return CF_ENOMEM;
    p->n = p->shape.n;
    for (int i = 0; i < p->n; i++) {
        const struct cf_group_place *place = &p->shape.place[i];

        CF_TRY(
            cf_dnn_open(&p->group[i].dnn, p->o.level, p->held ? 1 : place->threads, err));
        cf_dnn_settle(p->group[i].dnn, place->node);
        CF_TRY(start_leader(p, i, err));
    }
    return CF_OK;
}

/* fn on the first n groups, side by side where they have leaders; then their first
 * error. */
static enum cf_status on_groups(struct cf_pool *p, int n, void (*fn)(void *group),
                                struct cf_error *err)
{
    for (int i = 0; i < n; i++) {
        p->group[i].err = (struct cf_error){0};
        if (p->group[i].leader)
            cf_leader_begin(p->group[i].leader, fn, &p->group[i]);
        else
            fn(&p->group[i]);
    }
    for (int i = 0; i < n; i++)
        if (p->group[i].leader)
            cf_leader_wait(p->group[i].leader);
    for (int i = 0; i < n; i++)
        if (p->group[i].err.status != CF_OK)
            return cf_fail(err, p->group[i].err.status, "%s", p->group[i].err.msg);
    return CF_OK;
}

void cf_pool_hold(struct cf_pool *p)
{
    p->held = true;
}

enum cf_status cf_pool_go(struct cf_pool *p, struct cf_error *err)
{
    p->held = false;
    for (int i = 0; i < p->n; i++) {
        CF_TRY(cf_dnn_set_threads(p->group[i].dnn, p->shape.place[i].threads, err));
        CF_TRY(start_leader(p, i, err));
    }
    return CF_OK;
}

/* ---- the arrangement ---- */

/* What a text costs beside its image, by weights that are not transformed: a text has
 * some 32 tokens, an image a thousand rows, and the decoder uses a weight at each of
 * thousands of places. */
static double text_work(const struct cf_holding *h)
{
    double text = 32.0 * ((double)h->text.mapped + (double)h->text.own);
    double image = 1024.0 * ((double)h->transformer.mapped + (double)h->transformer.own) +
                   8192.0 * (double)h->plain;

    return image > 0 ? text / image : 0;
}

/* Before there is a model: damaged files are told by the engine, which compares their
 * hashes first. */
static enum cf_status arrange(struct cf_pool *p, const char *dir, double room, int most,
                              struct cf_error *err)
{
    struct cf_groups_ask ask = {.threads = p->o.threads,
                                .groups = p->o.groups,
                                .most = most,
                                .bind = p->o.bind,
                                .together = p->o.crew,
                                .room = room / 2};
    struct cf_model *model;
    struct cf_holding h;
    struct cf_team team;

    cf_groups_free(&p->shape);
    CF_TRY(cf_team_count(&team, p->o.threads, err));
    ask.rationed = team.quota > 0;
    CF_TRY(cf_model_open(&model, dir, CF_MODEL_TRUST, err));
    if (cf_holding_read(&h, model, p->o.level, NULL) == CF_OK) {
        ask.own = (double)h.transformer.own + (double)h.vae.own;
        ask.weights = ask.own + (double)h.transformer.mapped;
        ask.text_weights = (double)h.text.own + (double)h.text.mapped;
        ask.text_work = text_work(&h);
    }
    cf_model_close(model);
    return cf_groups_choose(&p->shape, &p->cores, &ask, err);
}

enum cf_status cf_pool_open(struct cf_pool **pool, const struct cf_pool_options *o,
                            struct cf_error *err)
{
    struct cf_pool *p = cf_calloc(1, sizeof *p, err);

    if (!p)
        return CF_ENOMEM;
    p->o = *o;
    if (cf_topology_read(&p->cores, err) != CF_OK) {
        cf_pool_close(p);
        return CF_ENOMEM;
    }
    *pool = p;
    return CF_OK;
}

void cf_pool_close(struct cf_pool *p)
{
    if (!p)
        return;
    close_groups(p);
    cf_groups_free(&p->shape);
    cf_topology_free(&p->cores);
    cf_free(p);
}

/* ---- the model ---- */

static void wake_engine(void *arg)
{
    struct group *g = arg;

    cf_engine_wake(g->engine, &g->err);
}

static enum cf_status open_all(struct cf_pool *p, const char *dir, double room, int most,
                               struct cf_error *err)
{
    close_groups(p);
    if (arrange(p, dir, room, most, err) != CF_OK)
        return cf_wrap(err, "model %s", dir);
    CF_TRY(open_groups(p, err));
    CF_TRY(cf_engine_open(&p->group[0].engine, p->group[0].dnn, dir, p->o.packed, err));
    for (int i = 1; i < p->n; i++)
        CF_TRY(cf_engine_open_beside(&p->group[i].engine, p->group[i].dnn,
                                     p->group[0].engine, err));
    return CF_OK;
}

/* Images of the model's own size that fit side by side in half of what the weights
 * leave. */
static int images_that_fit(const struct cf_pool *p, double room)
{
    const struct cf_holding *h = cf_engine_holding(cf_pool_engine(p));
    double own = (double)h->transformer.own + (double)h->vae.own,
           mapped = (double)h->transformer.mapped + (double)h->vae.mapped,
           text = (double)h->text.own + (double)h->text.mapped;
    struct cf_gen_params params;

    cf_gen_params_default(&params);
    return cf_pool_side(p, &params, 0, p->n,
                        (room - own * cf_pool_copies(p) - mapped - text) / 2);
}

enum cf_status cf_pool_load(struct cf_pool *p, const char *dir, double room,
                            struct cf_error *err)
{
    int n;

    CF_TRY(open_all(p, dir, room, 0, err));
    n = p->o.groups ? p->n : images_that_fit(p, room);
    return n < p->n ? open_all(p, dir, room, n, err) : CF_OK;
}

enum cf_status cf_pool_wake(struct cf_pool *p, struct cf_error *err)
{
    return on_groups(p, p->n, wake_engine, err);
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
    return p->n ? p->group[0].dnn : NULL;
}

int cf_pool_groups(const struct cf_pool *p)
{
    return p->n;
}

int cf_pool_encoder(const struct cf_pool *p)
{
    return p->shape.encoder;
}

bool cf_pool_beside(const struct cf_pool *p)
{
    return p->shape.beside;
}

int cf_pool_copies(const struct cf_pool *p)
{
    return p->shape.place[p->shape.n - 1].node + 1;
}

const char *cf_pool_why(const struct cf_pool *p)
{
    return p->shape.why;
}

struct cf_dnn_times cf_pool_times(const struct cf_pool *p)
{
    struct cf_dnn_times sum = p->spent;

    for (int i = 0; i < p->n; i++)
        if (p->group[i].dnn)
            add_times(&sum, p->group[i].dnn);
    return sum;
}

/* ---- running ---- */

static void run_group(void *arg)
{
    struct group *g = arg;

    cf_engine_run(g->engine, g->params, g->req, g->n, g->cancel, &g->plan, g->out,
                  &g->times, &g->err);
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
    enum cf_status st;

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
    }
    st = on_groups(p, groups, run_group, err);
    for (int i = 0; i < groups; i++)
        slowest(times, &p->group[i].times);
    if (st == CF_OK) {
        *plan = p->group[0].plan;
        return CF_OK;
    }
    for (int i = 0; i < n; i++)
        cf_result_free(&out[i]);
    return st;
}

/* ---- side by side ---- */

/* Rows of a product until which it waits for its weights more than for arithmetic. */
enum { FULL_ROWS = 64 };

/* What an image costs beside n-1 others, in rows: a step with few costs as much as one
 * with FULL_ROWS. */
static double rows_each(const struct cf_plan *plan, int n)
{
    double sum = 0;

    for (int i = 0; i < plan->n_step; i++) {
        const struct cf_step *s = &plan->step[i];
        double rows = (double)n * s->h * s->w * (s->guidance == 1 ? 1 : 2);

        sum += rows > FULL_ROWS ? rows : FULL_ROWS;
    }
    return sum / n;
}

/* So many that AUTO_SIDE would spare each less than 2 % more. */
static int auto_side(const struct cf_plan *plan)
{
    int n = 1;

    while (n < AUTO_SIDE && rows_each(plan, n) > 1.02 * rows_each(plan, AUTO_SIDE))
        n *= 2;
    return n;
}

int cf_pool_side(const struct cf_pool *p, const struct cf_gen_params *params, int asked,
                 int want, double room)
{
    struct cf_engine *e = cf_pool_engine(p);
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, NULL);
    int n = asked ? asked : p->n;

    if (plan && !asked && cf_engine_plan(e, params, 1, plan, NULL) == CF_OK)
        n = p->n * auto_side(plan);
    n = n < want ? n : want;
    while (plan && !asked && n > 1 && cf_engine_plan(e, params, n, plan, NULL) == CF_OK &&
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
