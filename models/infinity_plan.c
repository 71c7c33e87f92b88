/* infinity_plan.c - sizes, defaults and memory of a group of images, before any work. */
#include "models/infinity.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "weights/config.h"

enum { MAX_BATCH = 4096 };

/* ---- the "sampling" object ---- */

static enum cf_status parse_list(float *out, int *n, const json_t *json, const char *key,
                                 double lo, double hi, const char *where,
                                 struct cf_error *err)
{
    double v[CF_MAX_SCALES];

    if (json_is_array(json_object_get(json, key))) {
        CF_TRY(cf_config_nums(json, key, lo, hi, v, CF_MAX_SCALES, n, where, err));
    } else {
        CF_TRY(cf_json_num(json, key, lo, hi, v, where, err));
        *n = 1;
    }
    for (int i = 0; i < *n; i++)
        out[i] = (float)v[i];
    return CF_OK;
}

/* 0: on logits; -k: after block depth - k. */
static enum cf_status check_insert(const int *insert, int n, int depth,
                                   struct cf_error *err)
{
    for (int i = 0; i < n; i++)
        if (insert[i] > 0 || insert[i] <= -depth)
            return cf_fail(err, CF_ERANGE, "cfg_insertion_layer %d, expected %d..0",
                           insert[i], 1 - depth);
    return CF_OK;
}

enum cf_status cf_inf_defaults_parse(struct cf_inf_defaults *d, const json_t *json,
                                     const struct cf_inf_shape *shape,
                                     struct cf_error *err)
{
    static const char where[] = "model.json: sampling";
    static const char *const kv_types[] = {"f32", "bf16"};
    double top_p;
    int kv = 0;

    memset(d, 0, sizeof(*d));
    CF_TRY(cf_config_only(json, where, err, "cfg", "tau", "top_k", "top_p",
                          "cfg_insertion_layer", "kv_type", NULL));
    CF_TRY(parse_list(d->cfg, &d->n_cfg, json, "cfg", 0.0, 1000.0, where, err));
    CF_TRY(parse_list(d->tau, &d->n_tau, json, "tau", 1e-4, 1000.0, where, err));
    CF_TRY(cf_config_int(json, "top_k", 0, 1 << 30, &d->top_k, where, err));
    CF_TRY(cf_json_num(json, "top_p", 0.0, 1.0, &top_p, where, err));
    CF_TRY(cf_config_ints(json, "cfg_insertion_layer", -1024, 0, d->insert, CF_MAX_INSERT,
                          &d->n_insert, where, err));
    d->top_p = (float)top_p;
    if (json_object_get(json, "kv_type"))
        CF_TRY(cf_config_choice(json, "kv_type", kv_types, 2, &kv, where, err));
    d->kv = kv ? CF_BF16 : CF_F32;
    if (check_insert(d->insert, d->n_insert, shape->depth, err) != CF_OK)
        return cf_wrap(err, "%s", where);
    return CF_OK;
}

/* ---- parameters ---- */

/* A value per step from what was asked for, else from the model's defaults: one for all
 * steps, or a list; a default list may be longer than this size needs. */
static enum cf_status per_step(float *v, int *n, const float *def, int n_def, int n_step,
                               double lo, double hi, const char *what,
                               struct cf_error *err)
{
    if (*n < 0 || *n > CF_MAX_STEPS || (*n > 1 && *n != n_step))
        return cf_fail(err, CF_ERANGE, "%s: %d values, expected 1 or %d", what, *n,
                       n_step);
    if (*n == 0) {
        if (n_def > 1 && n_def < n_step)
            return cf_fail(err, CF_ERANGE,
                           "%s: the model has defaults for %d steps, this size has %d",
                           what, n_def, n_step);
        *n = n_def == 1 ? 1 : n_step;
        memcpy(v, def, (size_t)*n * sizeof(*v));
    }
    for (int i = *n; i < n_step; i++)
        v[i] = v[0];
    *n = n_step;
    for (int i = 0; i < n_step; i++)
        if (!(v[i] >= lo && v[i] <= hi))
            return cf_fail(err, CF_ERANGE, "%s: %g at step %d, expected %g..%g", what,
                           (double)v[i], i, lo, hi);
    return CF_OK;
}

/* Approximations, which count from the last step back. */
static enum cf_status resolve_shortcuts(struct cf_gen_params *p, int n_step,
                                        struct cf_error *err)
{
    if (p->cfg_skip < 0 || p->cfg_skip >= n_step)
        return cf_fail(err, CF_ERANGE,
                       "cfg_skip: the last %d scales of %d, expected 0..%d; cfg 1 is no "
                       "guidance at all",
                       p->cfg_skip, n_step, n_step - 1);
    for (int s = n_step - p->cfg_skip; s < n_step; s++)
        p->guidance[s] = 1.0f;
    if (p->n_prune < 0 || p->n_prune >= n_step)
        return cf_fail(err, CF_ERANGE,
                       "prune_tokens: the last %d scales of %d, expected up to %d: the "
                       "first has nothing to be filled in from",
                       p->n_prune, n_step, n_step - 1);
    for (int i = 0; i < p->n_prune; i++)
        if (!(p->prune[i] >= 0.0f && p->prune[i] <= 1.0f))
            return cf_fail(err, CF_ERANGE, "prune_tokens: %g, expected 0..1",
                           (double)p->prune[i]);
    return CF_OK;
}

static enum cf_status resolve(struct cf_gen_params *p, const struct cf_gen *gen,
                              int n_step, struct cf_error *err)
{
    const struct cf_inf_defaults *d = &gen->defaults;
    int but_last = p->n_flip == 1;
    const float none = 0.0f;

    CF_TRY(per_step(p->guidance, &p->n_guidance, d->cfg, d->n_cfg, n_step, 0.0, 1000.0,
                    "cfg (guidance)", err));
    CF_TRY(per_step(p->temperature, &p->n_temperature, d->tau, d->n_tau, n_step, 1e-4,
                    1000.0, "tau (temperature)", err));
    CF_TRY(per_step(p->flip, &p->n_flip, &none, 1, n_step, 0.0, 1.0, "flip_bits", err));
    if (but_last)
        p->flip[n_step - 1] = 0.0f;
    CF_TRY(resolve_shortcuts(p, n_step, err));
    if (p->n_insert < 0 || p->n_insert > CF_MAX_INSERT)
        return cf_fail(err, CF_ERANGE,
                       "cfg_insertion_layer: %d values, expected up to %d", p->n_insert,
                       CF_MAX_INSERT);
    if (p->n_insert == 0) {
        p->n_insert = d->n_insert;
        memcpy(p->insert, d->insert, sizeof(p->insert));
    }
    CF_TRY(check_insert(p->insert, p->n_insert, gen->shape.depth, err));
    if (p->top_k < -1)
        return cf_fail(err, CF_ERANGE, "top_k %d, expected 0 or more", p->top_k);
    if (p->top_k == -1)
        p->top_k = d->top_k;
    if (!(p->top_p <= 1.0f))
        return cf_fail(err, CF_ERANGE, "top_p %g, expected 0..1", (double)p->top_p);
    if (p->top_p < 0.0f)
        p->top_p = d->top_p;
    if (p->kv_type == -1)
        p->kv_type = (int)d->kv;
    if (p->kv_type != CF_F32 && p->kv_type != CF_BF16)
        return cf_fail(err, CF_ERANGE, "kv_type: %s, expected F32 or BF16",
                       p->kv_type >= 0 && p->kv_type < CF_NDTYPE
                           ? cf_dtype_name((enum cf_dtype)p->kv_type)
                           : "unknown");
    return CF_OK;
}

/* ---- memory ---- */

static enum cf_status cut(struct cf_arena *a, void *out, int64_t n, int64_t rows,
                          int64_t width, size_t size, struct cf_error *err)
{
    size_t count;

    if (!cf_mul_size((size_t)n, (size_t)rows, &count) ||
        !cf_mul_size(count, (size_t)width, &count))
        return cf_fail(err, CF_ENOMEM, "memory: %lld x %lld x %lld elements wanted",
                       (long long)n, (long long)rows, (long long)width);
    return cf_arena_get(a, out, count, size, err);
}

static void shapes(struct cf_gen_state *st, const struct cf_gen *gen,
                   const struct cf_plan *plan)
{
    int f = gen->shape.patchify ? 2 : 1, last[2] = {plan->n_step - 1, -1};

    memset(&st->sched, 0, sizeof(st->sched));
    st->gen = gen;
    st->plan = *plan;
    st->batch = plan->batch;
    st->sched.n = plan->n_step;
    st->sched.rope = (struct cf_scale){plan->rope_h, plan->rope_w};
    st->n_max = st->n_work = st->n_change = st->run_at[0] = 0;
    /* From the last scale back: the unconditional half runs up to the last one that is
     * guided. */
    for (int s = plan->n_step - 1; s >= 0; s--) {
        const struct cf_step *step = &plan->step[s];
        int64_t n = (int64_t)step->h * step->w;

        st->sched.scale[s] = (struct cf_scale){step->h, step->w};
        if (step->guidance != 1.0f && last[1] < 0)
            last[1] = s;
        st->rows = last[1] < 0 ? plan->batch : 2 * plan->batch;
        st->n_max = n > st->n_max ? n : st->n_max;
        st->n_work = st->rows * n > st->n_work ? st->rows * n : st->n_work;
        if (s + 1 < plan->n_step && step[1].prune > 0.0f && step->prune == 0.0f &&
            st->rows * n > st->n_change)
            st->n_change = st->rows * n;
    }
    st->n_all = cf_schedule_tokens(&st->sched, plan->n_step);
    for (int s = 0; s < plan->n_step; s++) {
        int64_t n = (int64_t)plan->step[s].h * plan->step[s].w;

        st->run_at[s + 1] =
            st->run_at[s] + n - (int64_t)((double)plan->step[s].prune * (double)n);
    }
    for (int half = 0; half < 2 && last[half] >= 0; half++) {
        st->n_kept[half] = cf_kv_blocks(st->run_at[last[half]]);
        st->n_cache[half] = (gen->shape.depth - 1) * st->n_kept[half] +
                            cf_kv_blocks(st->run_at[last[half] + 1]);
    }
    st->full.h = plan->step[plan->n_step - 1].h * f;
    st->full.w = plan->step[plan->n_step - 1].w * f;
}

/* x and what follows it, and before that, on the same memory, the text. */
static enum cf_status carve_scratch(struct cf_gen_state *st, struct cf_arena *a,
                                    struct cf_error *err)
{
    const struct cf_inf_shape *s = &st->gen->shape;
    int64_t rows = st->rows, n = st->n_work, t = rows * st->plan.n_text_max;
    int64_t wide = n < CF_INF_ROWS ? n : CF_INF_ROWS;
    int64_t positions = (int64_t)st->full.h * st->full.w;
    size_t f = sizeof(float), mark = cf_arena_mark(a);

    CF_TRY(cut(a, &st->text, t, s->text, 1, f, err));
    CF_TRY(cut(a, &st->text_kv, t, 2 * s->c, 1, f, err));
    CF_TRY(cut(a, &st->text_a, t, s->c, 1, f, err));
    CF_TRY(cut(a, &st->text_ca, t, s->c, 1, f, err));
    CF_TRY(cut(a, &st->pooled, rows, s->c, 1, f, err));
    cf_arena_rewind(a, mark);

    CF_TRY(cut(a, &st->x, n, s->c, 1, f, err));
    CF_TRY(cut(a, &st->y, n, s->c, 1, f, err));
    CF_TRY(cut(a, &st->q, n, s->c, 1, f, err));
    CF_TRY(cut(a, &st->att, n, s->c, 1, f, err));
    CF_TRY(cut(a, &st->wide, wide, s->mlp > 2 * s->c ? s->mlp : 2 * s->c, 1, f, err));
    CF_TRY(cut(a, &st->tok, st->batch, st->n_max, s->dv, f, err));
    CF_TRY(cut(a, &st->logits, n, 2 * s->dv, 1, f, err));
    CF_TRY(cut(a, &st->bits, st->n_max, s->dv, 1, 1, err));
    CF_TRY(cut(a, &st->code, st->batch, positions, 1, sizeof(uint64_t), err));
    return cf_arena_get(a, &st->work, cf_bsq_work(st->full, s->bits), f, err);
}

enum cf_status cf_inf_carve(struct cf_gen_state *st, const struct cf_gen *gen,
                            const struct cf_plan *plan, struct cf_arena *a,
                            struct cf_error *err)
{
    const struct cf_inf_shape *s = &gen->shape;
    int64_t texts, block;
    size_t f = sizeof(float);

    shapes(st, gen, plan);
    texts = st->rows * cf_kv_blocks(plan->n_text_max);
    block = cf_inf_kv_bytes(st, 1);

    CF_TRY(cut(a, &st->item, st->batch, 1, 1, sizeof(st->item[0]), err));
    CF_TRY(
        cut(a, &st->sum, st->batch, (int64_t)st->full.h * st->full.w, s->bits, f, err));
    st->mark = cf_arena_mark(a);
    CF_TRY(cut(a, &st->text_n, st->rows, 1, 1, sizeof(int), err));
    CF_TRY(cut(a, &st->text_at, st->rows, 1, 1, sizeof(int64_t), err));
    CF_TRY(cut(a, &st->cond, st->rows, s->c, 1, f, err));
    CF_TRY(cut(a, &st->ada, st->rows, 6, s->c, f, err));
    CF_TRY(cut(a, &st->head_ada, st->rows, 2, s->c, f, err));
    CF_TRY(cut(a, &st->cross, s->depth, texts, block, 1, err));
    CF_TRY(cut(a, &st->kv, st->batch, st->n_cache[0] + st->n_cache[1], block, 1, err));
    CF_TRY(cut(a, &st->cs, st->n_all, s->hd / 2, 1, f, err));
    CF_TRY(cut(a, &st->sn, st->n_all, s->hd / 2, 1, f, err));
    CF_TRY(cut(a, &st->seq, st->rows, 1, 1, sizeof(st->seq[0]), err));
    CF_TRY(cut(a, &st->mod, st->rows, 6, s->c, f, err));
    if (st->n_change > 0) {
        CF_TRY(cut(a, &st->kept, st->batch, st->n_max, 1, sizeof(st->kept[0]), err));
        CF_TRY(cut(a, &st->change, st->n_change, s->c, 1, f, err));
        CF_TRY(cut(a, &st->whole, st->n_work, s->c, 1, f, err));
        CF_TRY(cut(a, &st->mean, s->c, 1, 1, sizeof(st->mean[0]), err));
    }
    return carve_scratch(st, a, err);
}

/* The same cuts as begin and decode make, on an arena that only counts. */
static enum cf_status measure(const struct cf_gen *gen, struct cf_plan *plan,
                              struct cf_error *err)
{
    struct cf_gen_state st = {0}, *at;
    const float *pixels;
    struct cf_arena a;

    shapes(&st, gen, plan);
    if (st.rows * st.n_max > INT_MAX || (int64_t)st.rows * plan->n_text_max > INT_MAX)
        return cf_fail(err, CF_ERANGE, "batch of %d: too many tokens at once",
                       plan->batch);
    cf_arena_measure(&a);
    CF_TRY(cf_arena_get(&a, &at, 1, sizeof(st), err));
    CF_TRY(cf_inf_carve(&st, gen, plan, &a, err));
    cf_arena_rewind(&a, st.mark);
    CF_TRY(cf_vae_decode(gen->vae, &pixels, NULL, st.full.h, st.full.w, &a, NULL, err));
    plan->arena_bytes = a.high;
    return cf_inf_encode_bytes(gen, plan, &plan->encode_bytes, err);
}

enum cf_status cf_inf_plan(const struct cf_gen *gen, const struct cf_gen_params *params,
                           int batch, int n_text_max, struct cf_plan *plan,
                           struct cf_error *err)
{
    const struct cf_scale *last;
    struct cf_schedule sched;

    memset(plan, 0, sizeof(*plan));
    if (batch < 1 || batch > MAX_BATCH)
        return cf_fail(err, CF_ERANGE, "batch of %d, expected 1..%d", batch, MAX_BATCH);
    if (n_text_max < 1 || n_text_max > gen->shape.text_max)
        return cf_fail(err, CF_ERANGE, "text of %d rows, the model takes 1..%d",
                       n_text_max, gen->shape.text_max);
    CF_TRY(cf_schedule_pick(&sched, &gen->sizes, params->width, params->height, gen->px,
                            params->strict_size, plan->note, sizeof(plan->note), err));
    if (sched.n > gen->w.n_level)
        return cf_fail(err, CF_EMISMATCH, "schedule of %d scales, lvl_embed has %d rows",
                       sched.n, gen->w.n_level);
    last = &sched.scale[sched.n - 1];
    plan->params = *params;
    plan->n_step = sched.n;
    plan->batch = batch;
    plan->rope_h = sched.rope.h;
    plan->rope_w = sched.rope.w;
    plan->n_text_max = n_text_max;
    plan->params.width = plan->width = last->w * gen->px;
    plan->params.height = plan->height = last->h * gen->px;
    CF_TRY(resolve(&plan->params, gen, sched.n, err));
    for (int s = 0; s < sched.n; s++)
        plan->step[s] = (struct cf_step){.h = sched.scale[s].h,
                                         .w = sched.scale[s].w,
                                         .guidance = plan->params.guidance[s],
                                         .temperature = plan->params.temperature[s],
                                         .flip = plan->params.flip[s]};
    for (int i = 0; i < plan->params.n_prune; i++)
        plan->step[sched.n - plan->params.n_prune + i].prune = plan->params.prune[i];
    return measure(gen, plan, err);
}
