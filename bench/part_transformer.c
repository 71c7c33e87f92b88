/* The transformer alone, text features to bits, scale by scale and as a whole; one image
 * and four side by side. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "models/work.h"

enum { GROUPS = 2, SIDE_MAX = 4 };

struct group {
    struct cf_plan plan;
    struct cf_arena arena;
    struct cf_gen_item item[SIDE_MAX];
    struct cf_bench_series whole, *step; /* owned; [n_step] */
};

static enum cf_status open_group(struct group *g, const struct cf_subject *s,
                                 const struct cf_gen *gen, int batch,
                                 struct cf_error *err)
{
    struct cf_gen_params params;

    cf_gen_params_default(&params);
    CF_TRY(s->ops->plan(gen, &params, batch, s->text.n, &g->plan, err));
    for (int i = 0; i < batch; i++)
        g->item[i] = (struct cf_gen_item){.seed = (uint64_t)i, .cond = &s->text};
    g->step = cf_calloc((size_t)g->plan.n_step, sizeof *g->step, err);
    return g->step ? cf_arena_open(&g->arena, g->plan.arena_bytes, err) : CF_ENOMEM;
}

static void close_group(struct group *g)
{
    cf_arena_close(&g->arena);
    cf_free(g->step);
}

/* timed: not the first time. */
static enum cf_status run_group(struct cf_bench *b, struct group *g,
                                const struct cf_subject *s, const struct cf_gen *gen,
                                bool timed, struct cf_error *err)
{
    struct cf_gen_state *state;
    double start, before;

    cf_arena_rewind(&g->arena, 0);
    cf_bench_begin(b, &g->whole, CF_YARD_FMA, 0);
    start = before = cf_clock();
    CF_TRY(
        s->ops->begin(gen, &g->plan, g->item, &g->arena, b->cancel, NULL, &state, err));
    for (int k = 0; k < g->plan.n_step; k++) {
        double now;

        CF_TRY(s->ops->step(state, k, err));
        now = cf_clock();
        g->step[k].yards[g->whole.n] = g->whole.yards[g->whole.n];
        g->step[k].seconds[g->whole.n] = now - before;
        before = now;
    }
    if (!timed)
        return CF_OK;
    for (int k = 0; k < g->plan.n_step; k++)
        g->step[k].n++;
    cf_bench_end(b, &g->whole, CF_YARD_FMA, 0, before - start);
    return CF_OK;
}

static double flops(const struct cf_subject *s, const struct cf_gen *gen,
                    const struct cf_plan *plan, int from, int to)
{
    double sum = 0;

    for (int k = from; k < to; k++) {
        struct cf_work w = s->ops->work(gen, plan, k);

        sum += cf_work_flops(&w);
    }
    return sum;
}

static enum cf_status tell_group(struct cf_bench *b, const struct group *g,
                                 const struct cf_subject *s, const struct cf_gen *gen,
                                 struct cf_error *err)
{
    const struct cf_plan *p = &g->plan;
    struct cf_bench_result r;

    for (int k = 0; k < p->n_step && p->batch == 1; k++) {
        r = cf_bench_result(b, "%s %d x %d", s->ops->step_unit, p->step[k].h,
                            p->step[k].w);
        r.flops = flops(s, gen, p, k ? k : -1, k + 1);
        cf_bench_rate(&r, CF_YARD_FMA, &g->step[k]);
        CF_TRY(cf_bench_tell(b, &r, err));
    }
    r = cf_bench_result(b, "batch of %d", p->batch);
    r.flops = flops(s, gen, p, -1, p->n_step);
    cf_bench_rate(&r, CF_YARD_FMA, &g->whole);
    return cf_bench_tell(b, &r, err);
}

static enum cf_status rounds(struct cf_bench *b, struct group *g,
                             const struct cf_subject *s, const struct cf_gen *gen,
                             struct cf_error *err)
{
    static const int side[GROUPS] = {1, SIDE_MAX};

    for (int i = 0; i < GROUPS; i++)
        CF_TRY(open_group(&g[i], s, gen, side[i], err));
    for (int r = -1; r < b->o->rounds; r++) {
        cf_load_look(&b->load);
        for (int i = 0; i < GROUPS; i++)
            CF_TRY(run_group(b, &g[i], s, gen, r >= 0, err));
    }
    for (int i = 0; i < GROUPS; i++)
        CF_TRY(tell_group(b, &g[i], s, gen, err));
    return CF_OK;
}

enum cf_status cf_bench_transformer(struct cf_bench *b, struct cf_error *err)
{
    struct group *g = cf_calloc(GROUPS, sizeof *g, err);
    struct cf_gen_files files;
    struct cf_gen *gen = NULL;
    struct cf_subject *s;
    enum cf_status st;

    if (!g)
        return CF_ENOMEM;
    st = cf_bench_subject(b, &s, err);
    if (st == CF_OK) {
        files = cf_subject_files(s);
        st = s->ops->open(&gen, &files, b->dnn, err);
    }
    if (st == CF_OK)
        st = rounds(b, g, s, gen, err);
    for (int i = 0; i < GROUPS; i++)
        close_group(&g[i]);
    if (gen)
        s->ops->close(gen);
    cf_free(g);
    return st;
}
