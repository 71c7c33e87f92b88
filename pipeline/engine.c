/* engine.c - load a model once, then: texts, plan, steps, pixels. */
#include "pipeline/engine.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "models/schedule.h"
#include "weights/ahead.h"

struct cf_engine {
    struct cf_dnn *dnn;       /* borrowed */
    struct cf_packed *packed; /* borrowed; NULL: none */
    const struct cf_model *model;
    struct cf_ahead *ahead; /* from open to wake; NULL: none */
    struct cf_model *own;   /* the same; NULL: the first engine's */
    const struct cf_gen_ops *ops;
    struct cf_gen *planner; /* without weights */
    struct cf_gen *gen;     /* NULL: not in memory */
    struct cf_holding holding;
    struct cf_arena arena;
    struct cf_sizes sizes;
};

/* A plan with the model's own settings: what does not fit together in the manifest is
 * told when it is loaded, not by the first job. */
static enum cf_status try_defaults(struct cf_engine *e, struct cf_error *err)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    struct cf_gen_params params;
    enum cf_status st = CF_ENOMEM;

    cf_gen_params_default(&params);
    if (plan)
        st = e->ops->plan(e->planner, &params, 1, 1, plan, err);
    cf_free(plan);
    return st == CF_OK ? st : cf_wrap(err, "model.json: its own settings");
}

static enum cf_status open_planner(struct cf_engine *e, struct cf_error *err)
{
    const struct cf_gen_files files = {.json = e->model->json};

    return e->ops->open(&e->planner, &files, e->dnn, err);
}

/* What a wake will read: the file of packed weights, or else what is to be packed.
 * Matrices that are read in place are left to whoever runs first: they may be more than
 * there is memory. */
static enum cf_status list_ahead(const struct cf_engine *e, const struct cf_model *m,
                                 struct cf_error *err)
{
    char key[CF_DIGEST_HEX], *path = NULL;
    enum cf_status st = cf_packed_file(&path, key, e->packed, cf_dnn_level(e->dnn), m,
                                       CF_PACKED_GENERATOR, err);
    bool kept = path && access(path, R_OK) == 0;

    if (kept)
        st = cf_ahead_file(e->ahead, path, err);
    cf_free(path);
    if (kept || (st != CF_OK && st != CF_ENOENT))
        return st;
    if (!m->map)
        CF_TRY(cf_ahead_tensors(e->ahead, m->path[CF_PART_TRANSFORMER], NULL, err));
    return cf_ahead_tensors(e->ahead, m->path[CF_PART_VAE], "encoder.", err);
}

/* For an engine that will run, from before its files are compared. What goes wrong here
 * is found again by those who need the files. */
static void read_ahead(struct cf_engine *e, const char *dir)
{
    struct cf_error ignored = {0};
    struct cf_model *m = NULL;

    if (!e->packed)
        return;
    e->ahead = cf_ahead_open(&ignored);
    if (e->ahead && cf_model_open(&m, dir, CF_MODEL_TRUST, &ignored) == CF_OK &&
        list_ahead(e, m, &ignored) == CF_OK)
        cf_ahead_start(e->ahead);
    cf_model_close(m);
}

static enum cf_status load(struct cf_engine *e, const char *dir, struct cf_error *err)
{
    json_t *sizes;

    read_ahead(e, dir);
    CF_TRY(cf_model_open(&e->own, dir, CF_MODEL_QUICK, err));
    e->model = e->own;
    e->ops = cf_gen_find(e->model->generator);
    if (!e->ops)
        return cf_fail(err, CF_EUNSUP, "generator '%s' is not one this program knows",
                       e->model->generator);
    CF_TRY(cf_json_obj(e->model->json, "sizes", &sizes, "model.json", err));
    CF_TRY(cf_sizes_parse(&e->sizes, sizes, err));
    CF_TRY(cf_holding_read(&e->holding, e->model, cf_dnn_level(e->dnn), err));
    CF_TRY(open_planner(e, err));
    return try_defaults(e, err);
}

enum cf_status cf_engine_wake(struct cf_engine *e, struct cf_error *err)
{
    const struct cf_gen_files files = {
        .json = e->model->json,
        .transformer = e->model->path[CF_PART_TRANSFORMER],
        .vae = e->model->path[CF_PART_VAE],
        .hold = cf_holding_hold(e->model),
    };

    enum cf_status st;

    if (e->gen)
        return CF_OK;
    st = cf_packed_begin(e->packed, e->dnn, e->model, CF_PACKED_GENERATOR, err);
    if (st == CF_OK) {
        st = e->ops->open(&e->gen, &files, e->dnn, err);
        cf_packed_end(e->packed, e->dnn, e->model, CF_PACKED_GENERATOR, st == CF_OK);
    }
    cf_ahead_close(e->ahead);
    e->ahead = NULL;
    return st == CF_OK ? st : cf_wrap(err, "model %s", e->model->dir);
}

void cf_engine_rest(struct cf_engine *e)
{
    cf_arena_close(&e->arena);
    if (!e->gen)
        return;
    if (cf_holding_hold(e->model) == CF_HOLD_MAP) {
        e->ops->rest(e->gen);
    } else {
        e->ops->close(e->gen);
        e->gen = NULL;
    }
}

enum cf_status cf_engine_open(struct cf_engine **engine, struct cf_dnn *dnn,
                              const char *dir, struct cf_packed *packed,
                              struct cf_error *err)
{
    struct cf_engine *e = cf_calloc(1, sizeof *e, err);

    if (!e)
        return CF_ENOMEM;
    e->dnn = dnn;
    e->packed = packed;
    if (load(e, dir, err) != CF_OK) {
        cf_engine_close(e);
        return cf_wrap(err, "model %s", dir);
    }
    *engine = e;
    return CF_OK;
}

enum cf_status cf_engine_open_beside(struct cf_engine **engine, struct cf_dnn *dnn,
                                     const struct cf_engine *first, struct cf_error *err)
{
    struct cf_engine *e = cf_calloc(1, sizeof *e, err);

    if (!e)
        return CF_ENOMEM;
    e->dnn = dnn;
    e->packed = first->packed;
    e->model = first->model;
    e->ops = first->ops;
    e->holding = first->holding;
    e->sizes = first->sizes;
    if (open_planner(e, err) != CF_OK) {
        cf_engine_close(e);
        return cf_wrap(err, "model %s", first->model->dir);
    }
    *engine = e;
    return CF_OK;
}

void cf_engine_close(struct cf_engine *e)
{
    if (!e)
        return;
    if (e->ops) {
        e->ops->close(e->gen);
        e->ops->close(e->planner);
    }
    cf_ahead_close(e->ahead);
    cf_model_close(e->own);
    cf_arena_close(&e->arena);
    cf_free(e);
}

struct cf_packed *cf_engine_packed(const struct cf_engine *e)
{
    return e->packed;
}

const struct cf_model *cf_engine_model(const struct cf_engine *e)
{
    return e->model;
}

const char *cf_engine_untrained(const struct cf_engine *e, const struct cf_plan *plan)
{
    return cf_sizes_untrained(&e->sizes, plan->n_step);
}

int cf_engine_text_dim(const struct cf_engine *e)
{
    return e->ops->text_dim(e->planner);
}

const struct cf_holding *cf_engine_holding(const struct cf_engine *e)
{
    return &e->holding;
}

void cf_result_free(struct cf_result *r)
{
    cf_free(r->image.rgb);
    memset(r, 0, sizeof *r);
}

static int longest(const struct cf_request *req, int n)
{
    int max = 1;

    for (int i = 0; i < n; i++) {
        if (req[i].cond->n > max)
            max = req[i].cond->n;
        if (req[i].avoid && req[i].avoid->n > max)
            max = req[i].avoid->n;
    }
    return max;
}

/* The arena grows to the largest plan seen and stays. */
static enum cf_status ready_arena(struct cf_engine *e, size_t bytes, struct cf_error *err)
{
    if (e->arena.size < bytes) {
        cf_arena_close(&e->arena);
        CF_TRY(cf_arena_open(&e->arena, bytes, err));
    }
    cf_arena_rewind(&e->arena, 0);
    return CF_OK;
}

/* Bits of the kept scales of each request that brings an image. */
struct forced {
    uint8_t *bits;
    size_t *offset;
    const uint8_t **scale; /* [n_step] */
};

static bool keeps(const struct cf_request *req)
{
    return req->init && req->keep > 0;
}

bool cf_engine_inits(const struct cf_request *req, int n)
{
    for (int i = 0; i < n; i++)
        if (keeps(&req[i]))
            return true;
    return false;
}

static enum cf_status force(struct cf_engine *e, const struct cf_plan *plan,
                            const struct cf_request *req, struct forced *f,
                            struct cf_gen_item *item, struct cf_error *err)
{
    if (!keeps(req))
        return CF_OK;
    if (req->keep > plan->n_step)
        return cf_fail(err, CF_ERANGE, "keep %d scales: this size has %d", req->keep,
                       plan->n_step);
    CF_TRY(e->ops->encode(e->gen, plan, req->init, &f->bits, &f->offset, err));
    f->scale = cf_alloc((size_t)plan->n_step, sizeof *f->scale, err);
    if (!f->scale)
        return CF_ENOMEM;
    for (int s = 0; s < plan->n_step; s++)
        f->scale[s] = f->bits + f->offset[s];
    item->forced = f->scale;
    item->n_forced = req->keep;
    return CF_OK;
}

/* Image i of the group as it stands, into fresh pixels. */
static enum cf_status decode(struct cf_engine *e, struct cf_gen_state *state,
                             const struct cf_plan *plan, int i, struct cf_image *image,
                             struct cf_error *err)
{
    size_t stride = 3 * (size_t)plan->width;

    *image = (struct cf_image){
        .rgb = cf_alloc((size_t)plan->height, stride, err),
        .w = plan->width,
        .h = plan->height,
        .stride = stride,
    };
    return image->rgb ? e->ops->decode(state, i, image, err) : CF_ENOMEM;
}

static enum cf_status pixels(struct cf_engine *e, struct cf_gen_state *state,
                             const struct cf_plan *plan, int i, struct cf_result *out,
                             struct cf_error *err)
{
    CF_TRY(decode(e, state, plan, i, &out->image, err));
    return cf_digest_mem(out->image.rgb, out->image.stride * (size_t)plan->height,
                         out->pixel_sha256, err);
}

/* After step k, to those who asked; the last one is shown when it is finished. */
static enum cf_status preview(struct cf_engine *e, struct cf_gen_state *state,
                              const struct cf_plan *plan, const struct cf_request *req,
                              int k, struct cf_error *err)
{
    enum cf_status st = CF_OK;

    for (int i = 0; i < plan->batch && st == CF_OK && k + 1 < plan->n_step; i++) {
        struct cf_image image = {0};

        if (!req[i].preview)
            continue;
        st = decode(e, state, plan, i, &image, err);
        if (st == CF_OK)
            st = req[i].preview->show(req[i].preview->ctx, k, &image, err);
        cf_free(image.rgb);
    }
    return st;
}

/* All of them, coarse to fine; who asked is told of each. */
static enum cf_status run_steps(struct cf_engine *e, struct cf_gen_state *state,
                                const struct cf_plan *plan, const struct cf_request *req,
                                struct cf_cancel *cancel, struct cf_error *err)
{
    for (int k = 0; k < plan->n_step; k++) {
        double t0 = 1e3 * cf_clock(), ms;

        cf_fault_point("scale", k);
        CF_TRY(cf_cancel_check(cancel, err));
        CF_TRY(e->ops->step(state, k, err));
        ms = 1e3 * cf_clock() - t0;
        for (int i = 0; i < plan->batch; i++)
            if (req[i].watch)
                req[i].watch->step(plan, k, ms);
        CF_TRY(preview(e, state, plan, req, k, err));
    }
    return CF_OK;
}

enum cf_status cf_engine_plan(struct cf_engine *e, const struct cf_gen_params *params,
                              int batch, struct cf_plan *plan, struct cf_error *err)
{
    return e->ops->plan(e->planner, params, batch, 1, plan, err);
}

enum cf_status cf_engine_plan_for(struct cf_engine *e, const struct cf_gen_params *params,
                                  const struct cf_request *req, int n, int batch,
                                  struct cf_plan *plan, struct cf_error *err)
{
    return e->ops->plan(e->planner, params, batch, longest(req, n), plan, err);
}

struct cf_work cf_engine_work(const struct cf_engine *e, const struct cf_plan *plan,
                              int step)
{
    return e->ops->work(e->planner, plan, step);
}

enum cf_status cf_engine_run(struct cf_engine *e, const struct cf_gen_params *params,
                             const struct cf_request *req, int n,
                             struct cf_cancel *cancel, struct cf_plan *plan,
                             struct cf_result *out, struct cf_engine_times *times,
                             struct cf_error *err)
{
    struct cf_gen_item *item = cf_calloc((size_t)n, sizeof *item, err);
    struct forced *forced = cf_calloc((size_t)n, sizeof *forced, err);
    double t0 = 1e3 * cf_clock(), t1 = t0;
    struct cf_gen_state *state;
    enum cf_status st = CF_ENOMEM;

    memset(out, 0, (size_t)n * sizeof *out);
    cf_dnn_begin(e->dnn);
    if (!item || !forced)
        goto out;
    for (int i = 0; i < n; i++)
        item[i] = (struct cf_gen_item){
            .seed = req[i].seed, .cond = req[i].cond, .negative = req[i].avoid};
    /* Sizes, schedule and bytes first: what cannot be done fails before any work. */
    if ((st = cf_engine_wake(e, err)) != CF_OK ||
        (st = e->ops->plan(e->gen, params, n, longest(req, n), plan, err)) != CF_OK)
        goto out;
    /* Images are encoded in memory of their own: that and the arena take turns. */
    if (cf_engine_inits(req, n))
        cf_arena_close(&e->arena);
    for (int i = 0; i < n && st == CF_OK; i++)
        st = force(e, plan, &req[i], &forced[i], &item[i], err);
    if (st != CF_OK || (st = ready_arena(e, plan->arena_bytes, err)) != CF_OK ||
        (st = e->ops->begin(e->gen, plan, item, &e->arena, cancel, NULL, &state, err)) !=
            CF_OK)
        goto out;
    st = run_steps(e, state, plan, req, cancel, err);
    t1 = 1e3 * cf_clock();
    cf_fault_point("decode", 0);
    for (int i = 0; i < n && st == CF_OK; i++)
        if ((st = cf_cancel_check(cancel, err)) == CF_OK) {
            out[i].truncated = item[i].cond->truncated;
            st = pixels(e, state, plan, i, &out[i], err);
            if (st == CF_OK && req[i].preview)
                st = req[i].preview->show(req[i].preview->ctx, plan->n_step - 1,
                                          &out[i].image, err);
        }
out:
    cf_dnn_end(e->dnn);
    for (int i = 0; i < n; i++) {
        if (req[i].watch && req[i].watch->end)
            req[i].watch->end();
        if (st != CF_OK)
            cf_result_free(&out[i]);
    }
    if (times)
        *times = (struct cf_engine_times){0, t1 - t0, 1e3 * cf_clock() - t1};
    for (int i = 0; forced && i < n; i++) {
        cf_free(forced[i].bits);
        cf_free(forced[i].offset);
        cf_free(forced[i].scale);
    }
    cf_free(forced);
    cf_free(item);
    return st;
}
