#include "pipeline/quant_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "models/schedule.h"
#include "pipeline/holding.h"
#include "textenc/textenc.h"
#include "weights/model.h"

enum { MAX_PROMPTS = 64 };

static const char *const own_prompts[] = {
    "a red apple",
    "penguin on a blue background",
    "a photo of a small wooden house beside a lake, mountains behind it, at sunrise",
    "a sign that says hello",
};
enum { OWN_PROMPTS = sizeof own_prompts / sizeof own_prompts[0] };

/* What the reference said of one prompt, scale by scale. */
struct answer {
    float *logits[CF_MAX_STEPS];
    uint8_t *bits[CF_MAX_STEPS];
};

struct reporter {
    const struct cf_report_options *o;
    struct cf_report *report;
    struct cf_dnn *dnn;
    struct answer *answer;  /* [n_prompt] */
    struct cf_text *text;   /* [n_prompt] of the model at hand */
    struct cf_model *model; /* at hand, */
    const struct cf_gen_ops *ops;
    struct cf_gen *gen;
    struct answer *current; /* of the prompt at hand */
    bool reference;         /* the first of the two models */
    bool failed;            /* memory for an answer was not there */
};

/* ---- what the probe sees ---- */

static void compare(struct cf_report_scale *s, const float *got, const float *ref,
                    int64_t n)
{
    for (int64_t i = 0; i < n; i += 2) {
        for (int j = 0; j < 2; j++) {
            double d = (double)got[i + j] - (double)ref[i + j];

            s->diff += d * d;
            s->ref += (double)ref[i + j] * (double)ref[i + j];
        }
        s->changed += (got[i + 1] > got[i]) != (ref[i + 1] > ref[i]);
        s->bits++;
    }
}

static void *kept(struct reporter *r, const void *data, size_t n, size_t size)
{
    void *copy = cf_alloc(n, size, NULL);

    r->failed |= !copy;
    return copy ? memcpy(copy, data, n * size) : NULL;
}

static void see(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim)
{
    struct reporter *r = ctx;
    char what[8];
    int64_t n = 1;
    int s, end = 0;

    if (sscanf(name, "sc%d.%7[a-z]%n", &s, what, &end) != 2 || name[end] || s < 0 ||
        s >= CF_MAX_STEPS)
        return;
    for (int i = 0; i < ndim; i++)
        n *= dim[i];
    if (strcmp(what, "logits") == 0 && f) {
        if (!r->reference)
            compare(&r->report->scale[s], f, r->current->logits[s], n);
        else if (!r->current->logits[s])
            r->current->logits[s] = kept(r, f, (size_t)n, sizeof *f);
    } else if (strcmp(what, "bits") == 0 && u8 && r->reference && !r->current->bits[s]) {
        r->current->bits[s] = kept(r, u8, (size_t)n, 1);
    }
}

/* ---- one model ---- */

static int prompts(const struct cf_report_options *o)
{
    return o->n_prompt ? o->n_prompt : OWN_PROMPTS;
}

/* The encoder is gone before the generator comes. */
static enum cf_status encode(struct reporter *r, struct cf_error *err)
{
    const char *const *word = r->o->n_prompt ? r->o->prompt : own_prompts;
    struct cf_prompt prompt[MAX_PROMPTS];
    struct cf_textenc *te = NULL;
    enum cf_status st;

    for (int i = 0; i < prompts(r->o); i++)
        prompt[i] = (struct cf_prompt){word[i], strlen(word[i])};
    st = cf_textenc_open(&te, r->dnn, json_object_get(r->model->json, "text"),
                         r->model->path[CF_PART_TEXT], r->model->path[CF_PART_VOCAB],
                         cf_holding_hold(r->model), err);
    if (st == CF_OK)
        st = cf_textenc_encode(te, prompt, prompts(r->o), r->text, err);
    cf_textenc_close(te);
    return st;
}

static enum cf_status open_generator(struct reporter *r, struct cf_error *err)
{
    const struct cf_gen_files files = {
        .json = r->model->json,
        .transformer = r->model->path[CF_PART_TRANSFORMER],
        .vae = r->model->path[CF_PART_VAE],
        .hold = cf_holding_hold(r->model),
    };

    r->ops = cf_gen_find(r->model->generator);
    if (!r->ops)
        return cf_fail(err, CF_EUNSUP, "generator \"%.60s\"", r->model->generator);
    return r->ops->open(&r->gen, &files, r->dnn, err);
}

/* As asked for, or the smallest. */
static enum cf_status choose_size(const struct reporter *r, struct cf_gen_params *p,
                                  struct cf_error *err)
{
    const json_t *json = json_object_get(r->model->json, "sizes");
    struct cf_sizes sizes;

    p->width = r->o->width;
    p->height = r->o->height;
    if (p->width)
        return CF_OK;
    CF_TRY(cf_sizes_parse(&sizes, json, err));
    cf_sizes_smallest(&sizes, &p->width, &p->height);
    return CF_OK;
}

static enum cf_status walk(struct reporter *r, const struct cf_plan *plan, int i,
                           struct cf_error *err)
{
    const struct cf_probe probe = {see, r};
    const struct cf_gen_item item = {
        .cond = &r->text[i],
        .forced = r->reference ? NULL : (const uint8_t *const *)r->answer[i].bits,
        .n_forced = r->reference ? 0 : plan->n_step,
    };
    struct cf_gen_state *state;
    struct cf_arena arena;
    enum cf_status st;

    r->current = &r->answer[i];
    CF_TRY(cf_arena_open(&arena, plan->arena_bytes, err));
    st = r->ops->begin(r->gen, plan, &item, &arena, NULL, &probe, &state, err);
    for (int k = 0; k < plan->n_step && st == CF_OK; k++)
        st = r->ops->step(state, k, err);
    cf_arena_close(&arena);
    if (st == CF_OK && r->failed)
        st = cf_fail(err, CF_ENOMEM, "logits of the reference");
    return st;
}

static enum cf_status note_plan(struct reporter *r, const struct cf_plan *plan,
                                struct cf_error *err)
{
    struct cf_report *t = r->report;

    if (!r->reference && (t->n_scale != plan->n_step || t->width != plan->width ||
                          t->height != plan->height))
        return cf_fail(err, CF_EMISMATCH,
                       "%d scales to %dx%d, the reference has %d to %dx%d: not the same "
                       "geometry",
                       plan->n_step, plan->width, plan->height, t->n_scale, t->width,
                       t->height);
    t->n_scale = plan->n_step;
    t->width = plan->width;
    t->height = plan->height;
    for (int k = 0; k < plan->n_step; k++) {
        t->scale[k].h = plan->step[k].h;
        t->scale[k].w = plan->step[k].w;
    }
    return CF_OK;
}

static enum cf_status walk_all(struct reporter *r, struct cf_plan *plan,
                               struct cf_error *err)
{
    struct cf_gen_params params;

    cf_gen_params_default(&params);
    params.top_k = 1;
    CF_TRY(choose_size(r, &params, err));
    for (int i = 0; i < prompts(r->o); i++) {
        CF_TRY(r->ops->plan(r->gen, &params, 1, r->text[i].n, plan, err));
        CF_TRY(note_plan(r, plan, err));
        CF_TRY(walk(r, plan, i, err));
    }
    return CF_OK;
}

static enum cf_status try_model(struct reporter *r, const char *dir, struct cf_error *err)
{
    struct cf_plan *plan;
    enum cf_status st;

    CF_TRY(cf_model_open(&r->model, dir, CF_MODEL_TRUST, err));
    CF_TRY(encode(r, err));
    CF_TRY(open_generator(r, err));
    plan = cf_alloc(1, sizeof *plan, err);
    st = plan ? walk_all(r, plan, err) : CF_ENOMEM;
    cf_free(plan);
    return st;
}

static void leave_model(struct reporter *r)
{
    for (int i = 0; r->text && i < prompts(r->o); i++)
        cf_text_free(&r->text[i]);
    if (r->ops)
        r->ops->close(r->gen);
    cf_model_close(r->model);
    r->gen = NULL;
    r->model = NULL;
}

/* ---- both ---- */

enum cf_status cf_report_run(struct cf_report *report, const char *reference,
                             const char *other, const struct cf_report_options *o,
                             struct cf_dnn *dnn, struct cf_error *err)
{
    struct reporter r = {.o = o, .report = report, .dnn = dnn, .reference = true};
    const int n = prompts(o);
    enum cf_status st = CF_ENOMEM;

    *report = (struct cf_report){.prompts = n};
    if (n > MAX_PROMPTS)
        return cf_fail(err, CF_ERANGE, "%d prompts, expected at most %d", n, MAX_PROMPTS);
    r.answer = cf_calloc((size_t)n, sizeof *r.answer, err);
    r.text = cf_calloc((size_t)n, sizeof *r.text, err);
    if (r.answer && r.text)
        st = try_model(&r, reference, err);
    leave_model(&r);
    r.reference = false;
    if (st == CF_OK)
        st = try_model(&r, other, err);
    leave_model(&r);
    for (int i = 0; r.answer && i < n; i++) {
        for (int k = 0; k < CF_MAX_STEPS; k++) {
            cf_free(r.answer[i].logits[k]);
            cf_free(r.answer[i].bits[k]);
        }
    }
    cf_free(r.answer);
    cf_free(r.text);
    return st;
}

/* so_far and one line of the table; so_far is freed. */
static char *add_line(char *so_far, const char *label, const struct cf_report_scale *s,
                      struct cf_error *err)
{
    const double l2 = s->ref > 0.0 ? sqrt(s->diff / s->ref) : 0.0;
    const double changed = s->bits ? (double)s->changed / (double)s->bits : 0.0;
    char *all = NULL;

    if (so_far)
        all = cf_format(err, "%s| %-5s | %3dx%-3d | %12.5f | %17.3f %% |\n", so_far,
                        label, s->h, s->w, l2, 100.0 * changed);
    cf_free(so_far);
    return all;
}

char *cf_report_text(const struct cf_report *t, const char *type, struct cf_error *err)
{
    struct cf_report_scale all = {.h = t->scale[t->n_scale - 1].h,
                                  .w = t->scale[t->n_scale - 1].w};
    char *text = cf_format(err,
                           "## Matrices in %s against f32\n\n"
                           "%d prompts at %dx%d, sampled greedily; every scale is fed "
                           "the bits that f32 chose.\n\n"
                           "| scale | grid    | logits, L2   | greedy bits changed |\n"
                           "| ----- | ------- | ------------ | ------------------- |\n",
                           type, t->prompts, t->width, t->height);

    for (int k = 0; k < t->n_scale; k++) {
        char label[16];

        snprintf(label, sizeof label, "%d", k + 1);
        text = add_line(text, label, &t->scale[k], err);
        all.diff += t->scale[k].diff;
        all.ref += t->scale[k].ref;
        all.changed += t->scale[k].changed;
        all.bits += t->scale[k].bits;
    }
    return add_line(text, "all", &all, err);
}
