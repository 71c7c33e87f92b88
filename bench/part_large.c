/* A large model, by default random weights of the 2B geometry in bf16: seconds of every
 * stage of one image at several sizes, against the arithmetic of the plan. An image takes
 * from seconds to many minutes, so there is one round of each, and the yardstick is laid
 * on between the stages. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "models/work.h"

struct run {
    struct cf_bench *b;
    const struct cf_subject *s;
    struct cf_gen *gen;
    struct cf_plan plan;
    struct cf_arena arena;
    struct cf_gen_item item;
    struct cf_gen_state *state;
    double seconds,
        peak; /* of the transformer; operations that the peak would have done */
};

static enum cf_status stage(struct run *run, int k, const char *name,
                            enum cf_status (*work)(struct run *run, int k,
                                                   struct cf_error *err),
                            struct cf_error *err)
{
    struct cf_work flops = run->s->ops->work(run->gen, &run->plan, k);
    struct cf_bench_series s = {0};
    struct cf_bench_result r =
        cf_bench_result(run->b, "%d x %d: %s", run->plan.width, run->plan.height, name);
    double start;

    cf_load_look(&run->b->load);
    cf_bench_begin(run->b, &s, CF_YARD_FMA, 0);
    start = cf_clock();
    CF_TRY(work(run, k, err));
    cf_bench_end(run->b, &s, CF_YARD_FMA, 0, cf_clock() - start);
    r.flops = cf_work_flops(&flops);
    cf_bench_rate(&r, CF_YARD_FMA, &s);
    run->seconds += r.seconds;
    run->peak += s.seconds[0] * s.yards[0];
    return cf_bench_tell(run->b, &r, err);
}

static enum cf_status begin(struct run *run, int k, struct cf_error *err)
{
    (void)k;
    cf_arena_rewind(&run->arena, 0);
    return run->s->ops->begin(run->gen, &run->plan, &run->item, &run->arena,
                              run->b->cancel, NULL, &run->state, err);
}

static enum cf_status step(struct run *run, int k, struct cf_error *err)
{
    return run->s->ops->step(run->state, k, err);
}

static enum cf_status decode(struct run *run, int k, struct cf_error *err)
{
    size_t stride = 3 * (size_t)run->plan.width;
    struct cf_image image = {.rgb = cf_alloc((size_t)run->plan.height, stride, err),
                             .w = run->plan.width,
                             .h = run->plan.height,
                             .stride = stride};
    enum cf_status st = CF_ENOMEM;

    (void)k;
    if (image.rgb)
        st = run->s->ops->decode(run->state, 0, &image, err);
    cf_free(image.rgb);
    return st;
}

static enum cf_status tell_sum(struct run *run, const char *name, int from, int to,
                               struct cf_error *err)
{
    struct cf_bench_result r =
        cf_bench_result(run->b, "%d x %d: %s", run->plan.width, run->plan.height, name);

    for (int k = from; k <= to; k++) {
        struct cf_work flops = run->s->ops->work(run->gen, &run->plan, k);

        r.flops += cf_work_flops(&flops);
    }
    r.seconds = run->seconds;
    r.of_peak = r.flops / run->peak;
    return cf_bench_tell(run->b, &r, err);
}

static enum cf_status stages(struct run *run, struct cf_error *err)
{
    int n = run->plan.n_step;

    CF_TRY(begin(run, -1, err)); /* pages of the weights come in */
    CF_TRY(step(run, 0, err));
    CF_TRY(stage(run, -1, "text", begin, err));
    for (int k = 0; k < n; k++) {
        char name[48];

        snprintf(name, sizeof name, "%s %d x %d", run->s->ops->step_unit,
                 run->plan.step[k].h, run->plan.step[k].w);
        CF_TRY(stage(run, k, name, step, err));
    }
    CF_TRY(tell_sum(run, "transformer", -1, n - 1, err));
    CF_TRY(stage(run, n, "decoder", decode, err));
    return tell_sum(run, "image", -1, n, err);
}

static enum cf_status one_size(struct cf_bench *b, const struct cf_subject *s,
                               struct cf_gen *gen, int side, struct cf_error *err)
{
    struct run *run = cf_calloc(1, sizeof *run, err);
    struct cf_gen_params params;
    enum cf_status st;

    if (!run)
        return CF_ENOMEM;
    run->b = b;
    run->s = s;
    run->gen = gen;
    run->item.cond = &s->text;
    cf_gen_params_default(&params);
    params.width = params.height = side;
    st = s->ops->plan(gen, &params, 1, s->text.n, &run->plan, err);
    if (st == CF_OK)
        st = cf_arena_open(&run->arena, run->plan.arena_bytes, err);
    if (st == CF_OK)
        st = stages(run, err);
    cf_arena_close(&run->arena);
    cf_free(run);
    return st;
}

enum cf_status cf_bench_large(struct cf_bench *b, struct cf_error *err)
{
    const struct cf_bench_options *o = b->o;
    const char *geometry = o->geometry || o->model ? o->geometry : "infinity-2b";
    struct cf_gen_files files;
    struct cf_gen *gen = NULL;
    struct cf_subject *s;
    enum cf_status st;

    CF_TRY(cf_subject_open(&s, o->model, geometry, b->dnn, err));
    files = cf_subject_files(s);
    st = s->ops->open(&gen, &files, b->dnn, err);
    for (int i = 0; i < o->n_pixels && st == CF_OK; i++)
        st = one_size(b, s, gen, o->pixels[i], err);
    if (gen)
        s->ops->close(gen);
    cf_subject_close(s);
    return st;
}
