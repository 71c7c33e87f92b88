#include "pipeline/generate.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"

struct generator {
    struct cf_shift *shift;
    struct cf_queue *queue;
    struct cf_lot *lot;
    const struct cf_model *model; /* of the warnings in told */
    bool told[CF_MAX_STEPS];      /* by number of steps, which tells a class */
};

static bool stopping(const struct generator *g)
{
    return cf_shift_stopping(g->shift);
}

static void charge(struct generator *g, struct cf_slot *s, const struct cf_error *why,
                   bool suspect)
{
    s->open = false;
    cf_ledger_charge(&g->shift->ledger, g->queue, s->job, why, suspect);
}

/* ---- handing over ---- */

static struct cf_piece *make_piece(struct generator *g, struct cf_slot *s,
                                   const struct cf_request *req,
                                   const struct cf_plan *plan, struct cf_result *result,
                                   struct cf_error *err)
{
    struct cf_pool *pool = cf_loaded_pool(g->shift->loaded);
    struct cf_piece *p = cf_calloc(1, sizeof *p, err);

    if (!p)
        return NULL;
    p->webp = s->recipe.webp;
    if (cf_story_make(&p->story, cf_pool_engine(pool), cf_pool_dnn(pool), req, plan,
                      &p->webp, result, s->job->key, err) != CF_OK) {
        cf_free(p);
        return NULL;
    }
    p->image = result->image;
    result->image.rgb = NULL;
    p->job = *s->job;
    memset(s->job, 0, sizeof *s->job);
    s->open = false;
    return p;
}

static void hand_over(struct generator *g, struct cf_slot *s,
                      const struct cf_request *req, const struct cf_plan *plan,
                      struct cf_result *result, const struct cf_engine_times *times)
{
    struct cf_error err = {0};
    struct cf_piece *p = make_piece(g, s, req, plan, result, &err);

    if (!p) { /* out of memory; the job stays leased */
        cf_ledger_fatal(&g->shift->ledger, &err);
        return;
    }
    p->times = *times;
    cf_ledger_success(&g->shift->ledger);
    if (result->truncated)
        cf_log(g->shift->log, CF_LOG_WARN, "prompt cut", "job=%lld tokens_dropped=%d",
               (long long)p->job.id, result->truncated);
    atomic_fetch_add(&g->shift->pieces, 1);
    cf_belt_put(g->shift->images, p); /* ends after us */
}

/* ---- groups ---- */

static void one_by_one(struct generator *g, struct cf_slot **s, int n);

/* A running mean, so that a slow image does not make the next claim tiny. */
static void measure(struct generator *g, double ms)
{
    long long old = atomic_load(&g->shift->image_us), now = (long long)(1e3 * ms) + 1;

    cf_budget_note(&g->shift->budget, ms);
    atomic_store(&g->shift->image_us, old ? (7 * old + 3 * now) / 10 : now);
}

static void on_failure(struct generator *g, struct cf_slot **s, int n,
                       const struct cf_error *why)
{
    if (why->status == CF_ECANCEL)
        return; /* unregistering the worker gives them back */
    if (n > 1) {
        one_by_one(g, s, n);
    } else if (cf_status_environment(why->status)) {
        s[0]->open = false;
        cf_ledger_fatal(&g->shift->ledger, why);
        cf_ledger_release(&g->shift->ledger, g->queue, s[0]->job, why->msg);
    } else {
        charge(g, s[0], why, cf_status_retryable(why->status));
    }
}

/* Once per model and class of sizes, not with each image. */
static void warn_untrained(struct generator *g, const struct cf_plan *plan)
{
    const struct cf_engine *e = cf_pool_engine(cf_loaded_pool(g->shift->loaded));
    const char *class = cf_engine_untrained(e, plan);

    if (g->model != cf_engine_model(e)) {
        g->model = cf_engine_model(e);
        memset(g->told, 0, sizeof g->told);
    }
    if (class && !g->told[plan->n_step - 1]) {
        g->told[plan->n_step - 1] = true;
        cf_log(g->shift->log, CF_LOG_WARN, "the model was not trained for this size",
               "class=%s width=%d height=%d", class, plan->width, plan->height);
    }
}

/* Where the feed does not encode, the texts of the whole lot come first: all slots for
 * the model in memory. What fails here is found out again by the group it belongs to. */
static void encode_lot(struct generator *g, const struct cf_slot *first)
{
    struct cf_lot *lot = g->lot;
    struct cf_slot *slot[CF_LOT_MAX];
    struct cf_error why = {0};
    double t0 = 1e3 * cf_clock();
    int n = 0;

    for (int i = 0; i < lot->jobs.n; i++)
        if (lot->slot[i].open &&
            cf_settings_same_model(&first->recipe, &lot->slot[i].recipe))
            slot[n++] = &lot->slot[i];
    if (cf_slots_need(slot, n))
        cf_loaded_encode(g->shift->loaded, slot, n, &why);
    lot->encode_ms += (1e3 * cf_clock() - t0) / lot->jobs.n;
}

/* Texts that the feed did not encode, then all of the group; times: of one image. */
static enum cf_status work(struct generator *g, struct cf_slot *const *s, int n,
                           struct cf_request *req, struct cf_plan *plan,
                           struct cf_result *result, struct cf_engine_times *times,
                           struct cf_error *err)
{
    struct cf_shift *shift = g->shift;
    double t0, encode;

    if (!cf_loaded_beside(shift->loaded))
        encode_lot(g, s[0]);
    t0 = 1e3 * cf_clock();
    CF_TRY(cf_loaded_encode(shift->loaded, s, n, err));
    encode = g->lot->encode_ms + (1e3 * cf_clock() - t0) / n;
    for (int i = 0; i < n; i++)
        req[i] = cf_slot_request(s[i]);
    t0 = 1e3 * cf_clock();
    CF_TRY(cf_loaded_fit(shift->loaded, &s[0]->recipe.params, req, n, err));
    CF_TRY(cf_pool_run(cf_loaded_pool(shift->loaded), &s[0]->recipe.params, req, n,
                       &shift->stop.cancel, plan, result, times, err));
    *times = (struct cf_engine_times){encode, times->generate / n, times->decode / n};
    warn_untrained(g, plan);
    measure(g, (1e3 * cf_clock() - t0) / n);
    return CF_OK;
}

/* The images whose scales a group keeps, read; a job whose image cannot be read fails and
 * leaves the group. How many are left. */
static int read_inits(struct generator *g, struct cf_slot **s, int n)
{
    struct cf_engine *e = cf_pool_engine(cf_loaded_pool(g->shift->loaded));
    struct cf_error why = {0};
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, &why);
    int m = 0;

    for (int i = 0; i < n; i++) {
        struct cf_settings *r = &s[i]->recipe;
        enum cf_status st = plan ? CF_OK : CF_ENOMEM;

        if (r->keep && st == CF_OK)
            st = cf_engine_plan(e, &r->params, 1, plan, &why);
        if (r->keep && st == CF_OK)
            st = cf_variation_read(&s[i]->init, g->shift->dir, r->init, r->init_sha256,
                                   plan->width, plan->height, &why);
        if (st == CF_OK)
            s[m++] = s[i];
        else
            on_failure(g, &s[i], 1, &why);
        why = (struct cf_error){0};
    }
    cf_free(plan);
    return m;
}

/* n jobs with equal settings, side by side. */
static void run_group(struct generator *g, struct cf_slot **s, int n)
{
    struct cf_shift *shift = g->shift;
    struct cf_request req[CF_LOT_MAX];
    struct cf_result result[CF_LOT_MAX];
    struct cf_engine_times times = {0};
    struct cf_error why = {0};
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, &why);

    for (int i = 0; i < n; i++)
        cf_fault_point("job", s[i]->job->id);
    atomic_store(&shift->stop.busy_until,
                 cf_clock_ms() + n * atomic_load(&shift->image_us) / 1000);
    n = read_inits(g, s, n);
    if (plan && n && work(g, s, n, req, plan, result, &times, &why) == CF_OK) {
        for (int i = 0; i < n; i++) {
            hand_over(g, s[i], &req[i], plan, &result[i], &times);
            cf_result_free(&result[i]);
        }
    }
    for (int i = 0; i < n; i++)
        cf_variation_free(&s[i]->init);
    if (n && why.status != CF_OK)
        on_failure(g, s, n, &why);
    atomic_store(&shift->stop.busy_until, 0);
    cf_free(plan);
}

/* After a failure of the group: each alone, so that a bad job fails alone and a group
 * that was too large for the memory still gets done. */
static void one_by_one(struct generator *g, struct cf_slot **s, int n)
{
    for (int i = 0; i < n && cf_ledger_status(&g->shift->ledger, NULL) == CF_OK; i++)
        run_group(g, &s[i], 1);
}

/* A size by name becomes that of the model in memory; false where it has none such. */
static bool ready_size(struct generator *g, struct cf_slot *s)
{
    const struct cf_engine *e = cf_pool_engine(cf_loaded_pool(g->shift->loaded));
    struct cf_error why = {0};

    if (cf_settings_size(&s->recipe, cf_engine_model(e), &why) == CF_OK)
        return true;
    charge(g, s, &why, false);
    return false;
}

/* Whether b may run beside a, which is ready to. */
static bool goes_with(struct generator *g, const struct cf_slot *a, struct cf_slot *b)
{
    return cf_settings_same_model(&a->recipe, &b->recipe) && ready_size(g, b) &&
           cf_settings_same_group(&a->recipe, &b->recipe);
}

/* Slots from first on that go with it, in the order of the lot. */
static int gather(struct generator *g, int first, struct cf_slot **group)
{
    struct cf_slot *slot = g->lot->slot;
    const bool in_order = g->shift->in_tars;
    int n = g->lot->jobs.n, m = 0;
    int side =
        cf_pool_side(cf_loaded_pool(g->shift->loaded), &slot[first].recipe.params,
                     g->shift->o->side, n - first, cf_loaded_space(g->shift->loaded));

    for (int j = first; j < n && m < side; j++) {
        if (!slot[j].open)
            continue;
        if (goes_with(g, &slot[first], &slot[j]))
            group[m++] = &slot[j];
        else if (in_order)
            break;
    }
    return m;
}

/* False where the slot's model cannot be had. */
static bool ready_model(struct generator *g, struct cf_slot *s)
{
    struct cf_shift *shift = g->shift;
    struct cf_error why = {0};

    if (cf_shift_model(shift, s->recipe.model, &why) == CF_OK)
        return true;
    if (cf_status_environment(why.status))
        cf_ledger_fatal(&shift->ledger, &why);
    else
        charge(g, s, &why, true);
    return false;
}

static void run_lot(struct generator *g)
{
    for (int i = 0; i < g->lot->jobs.n && !stopping(g); i++) {
        struct cf_slot *group[CF_LOT_MAX];

        if (g->lot->slot[i].open && ready_model(g, &g->lot->slot[i]) &&
            ready_size(g, &g->lot->slot[i]))
            run_group(g, group, gather(g, i, group));
    }
}

void cf_generate(struct cf_shift *shift, struct cf_queue *q)
{
    struct generator g = {.shift = shift, .queue = q};
    double t0 = cf_clock();
    bool end;

    while ((g.lot = cf_belt_take(shift->lots, -1, &end))) {
        atomic_fetch_add(&shift->wait_us, (long long)(1e6 * (cf_clock() - t0)));
        run_lot(&g);
        cf_lot_free(g.lot);
        t0 = cf_clock();
    }
}
