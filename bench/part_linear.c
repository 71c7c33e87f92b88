/* Linear layers: every way to hold weights, at every number of rows. Few rows read the
 * weights and are measured by the read bandwidth; for that, layers of equal size take
 * turns, more than the last cache holds, as they do in a forward pass. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "dnn/layer.h"
#include "models/geometry.h"

enum {
    GROUP = 64,
    MEMORY_ROWS = 2, /* up to so many rows the read bandwidth is the limit */
    SETS = 8,
    ROWS = 8,
    COPIES_MAX = 4096,
    WIDEST = 8192,
    MOST = 4096,
    TRIAL_ROWS = 8,
    SHAPES = 16,
};

/* One way to hold the weights of one shape: as many layers as the caches cannot hold. */
struct set {
    struct cf_bench *b;
    const char *name;
    enum cf_wtype type;
    enum cf_hold hold;
    int k, n, copies, at;
    struct cf_linear **layer; /* [copies] */
    char *weights;            /* [copies] matrices where they are mapped */
    void *scale;
    const float *src;
    float *dst;
};

struct job {
    struct set *set;
    int m;
};

static enum cf_status run(void *arg, struct cf_error *err)
{
    const struct job *job = arg;
    struct set *s = job->set;

    s->at = (s->at + 1) % s->copies;
    return cf_linear_run(s->layer[s->at], s->dst, s->src, job->m, err);
}

/* Small numbers of the type: their values change no time. */
static enum cf_status fill(void *w, enum cf_wtype type, size_t count,
                           struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
    float row[256];

    for (int i = 0; i < 256; i++)
        row[i] = (float)(i % 251) * 0.008f - 1.0f;
    if (type >= CF_W_I8) {
        for (size_t i = 0; i < (type == CF_W_Q4 ? count / 2 : count); i++)
            ((unsigned char *)w)[i] = (unsigned char)(i * 37 + i / 251);
        return CF_OK;
    }
    for (size_t i = 0; i < count; i += 256)
        CF_TRY(cf_floats_store((char *)w + i * cf_dtype_size(dtype[type]), dtype[type],
                               row, count - i < 256 ? (int64_t)(count - i) : 256, err));
    return CF_OK;
}

static enum cf_status fill_scale(struct set *s, struct cf_error *err)
{
    size_t n = (size_t)s->n * (s->type == CF_W_Q4 ? (size_t)s->k / GROUP : 1);

    if (s->type < CF_W_I8)
        return CF_OK;
    s->scale = cf_alloc(n, sizeof(float), err);
    if (!s->scale)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (s->type == CF_W_I8)
            ((float *)s->scale)[i] = 0.01f;
        else
            ((uint16_t *)s->scale)[i] = 0x211f; /* 0.01 */
    }
    return CF_OK;
}

static void close_set(struct set *s)
{
    for (int i = 0; s->layer && i < s->copies; i++)
        cf_linear_close(s->layer[i]);
    cf_free(s->layer);
    cf_free(s->weights);
    cf_free(s->scale);
    *s = (struct set){0};
}

static enum cf_status open_set(struct set *s, struct cf_error *err)
{
    size_t count = (size_t)s->k * (size_t)s->n, one, kept;
    struct cf_weight w = {.type = s->type, .n = s->n, .k = s->k};

    w.group = s->type == CF_W_Q4 ? GROUP : 0;
    one = cf_weight_bytes(s->type, s->n, s->k, w.group);
    s->copies = cf_machine_copies(&s->b->machine, one);
    if (s->copies > COPIES_MAX)
        s->copies = COPIES_MAX;
    kept = s->hold == CF_HOLD_MAP ? (size_t)s->copies : 1;
    s->layer = cf_calloc((size_t)s->copies, sizeof(struct cf_linear *), err);
    s->weights = cf_alloc(kept, one, err);
    if (!s->layer || !s->weights)
        return CF_ENOMEM;
    CF_TRY(fill_scale(s, err));
    CF_TRY(fill(s->weights, s->type, count, err));
    for (size_t i = 1; i < kept; i++)
        memcpy(s->weights + i * one, s->weights, one);
    for (int i = 0; i < s->copies; i++) {
        w.w = s->weights + (kept > 1 ? (size_t)i * one : 0);
        w.scale = s->scale;
        CF_TRY(cf_linear_open(&s->layer[i], s->b->dnn, &w, NULL, s->hold, err));
    }
    return CF_OK;
}

static enum cf_status add_case(struct cf_bench *b, struct job *job, int against,
                               struct cf_error *err)
{
    struct set *s = job->set;
    struct cf_bench_case *c = cf_bench_add(b, err, "%s %d->%d, %d row%s", s->name, s->k,
                                           s->n, job->m, job->m > 1 ? "s" : "");
    bool memory = job->m <= MEMORY_ROWS;

    if (!c)
        return CF_ENOMEM;
    c->run = run;
    c->arg = job;
    c->against = against;
    c->yard = memory ? CF_YARD_READ : CF_YARD_FMA;
    c->flops = 2.0 * job->m * s->k * s->n;
    if (memory)
        c->bytes =
            (double)cf_weight_bytes(s->type, s->n, s->k, s->type == CF_W_Q4 ? GROUP : 0);
    return CF_OK;
}

struct shape {
    int k, n;
    bool all; /* ways to hold weights; else the first alone */
};

static const struct {
    const char *name;
    enum cf_wtype type;
    enum cf_hold hold;
} way[] = {
    {"f32", CF_W_F32, CF_HOLD_PACK},
    {"f32 mapped", CF_W_F32, CF_HOLD_MAP},
    {"f32 by oneDNN", CF_W_F32, CF_HOLD_ONEDNN},
    {"f16 mapped", CF_W_F16, CF_HOLD_MAP},
    {"bf16 mapped", CF_W_BF16, CF_HOLD_MAP},
    {"int8", CF_W_I8, CF_HOLD_MAP},
    {"4bit", CF_W_Q4, CF_HOLD_MAP},
};
enum { WAYS = sizeof way / sizeof *way };

/* Rows in the outer loop: what is compared stands side by side. */
static enum cf_status measure_shape(struct cf_bench *b, const struct shape *shape,
                                    const float *src, float *dst, struct cf_error *err)
{
    static const int rows[ROWS] = {1, 2, 8, 32, 128, 512, 2048, 4096};
    int ways = shape->all ? WAYS : 1, n = b->o->trial ? 3 : b->o->quick ? 6 : ROWS;
    struct job job[WAYS * ROWS], *j = job;
    struct set set[WAYS] = {0};
    enum cf_status st = CF_OK;

    for (int i = 0; i < ways && st == CF_OK; i++) {
        set[i] = (struct set){.b = b,
                              .name = way[i].name,
                              .type = way[i].type,
                              .hold = way[i].hold,
                              .k = shape->k,
                              .n = shape->n,
                              .src = src,
                              .dst = dst};
        st = open_set(&set[i], err);
    }
    for (int r = 0; r < n && st == CF_OK; r++) {
        int first = b->n_case;

        for (int i = 0; i < ways && st == CF_OK; i++, j++) {
            *j = (struct job){&set[i], rows[r]};
            st = add_case(b, j, i ? first : -1, err);
        }
    }
    if (st == CF_OK)
        st = cf_bench_measure(b, err);
    for (int i = 0; i < ways; i++)
        close_set(&set[i]);
    return st;
}

/* Width and MLP of the model that is asked for. */
static enum cf_status model_shape(struct cf_bench *b, struct cf_inf_shape *shape,
                                  struct cf_error *err)
{
    const struct cf_geometry *g;
    struct cf_subject *s;
    json_t *inf;

    if (cf_bench_geometry(b->o)) {
        CF_TRY(cf_geometry_find(&g, cf_bench_geometry(b->o), err));
        *shape = g->shape;
        return CF_OK;
    }
    CF_TRY(cf_bench_subject(b, &s, err));
    CF_TRY(cf_json_obj(s->model->json, "infinity", &inf, "model.json", err));
    return cf_inf_parse(shape, inf, err);
}

static bool known(const struct shape *list, int n, int k, int to)
{
    for (int i = 0; i < n; i++)
        if (list[i].k == k && list[i].n == to)
            return true;
    return false;
}

static void add_shape(struct shape *list, int *n, int k, int to)
{
    if (k <= WIDEST && to <= WIDEST && !known(list, *n, k, to))
        list[(*n)++] = (struct shape){k, to, false};
}

static enum cf_status measure_all(struct cf_bench *b, const float *src, float *dst,
                                  struct cf_error *err)
{
    struct shape shape[SHAPES] = {
        {2048, 8192, true}, {8192, 2048, false}, {2048, 2048, false}, {768, 3072, false},
        {3072, 768, false}, {768, 768, false},   {2048, 64, false},   {64, 64, false},
    };
    int n = 8;
    struct cf_inf_shape model;

    CF_TRY(model_shape(b, &model, err));
    add_shape(shape, &n, model.c, model.c);
    add_shape(shape, &n, model.c, model.mlp);
    add_shape(shape, &n, model.mlp, model.c);
    for (int i = 0; i < n; i++) {
        if (b->o->trial)
            shape[i] = (struct shape){64, shape[i].n > 1024 ? 256 : 64, shape[i].all};
        CF_TRY(measure_shape(b, &shape[i], src, dst, err));
    }
    return CF_OK;
}

enum cf_status cf_bench_linear(struct cf_bench *b, struct cf_error *err)
{
    size_t n = (size_t)WIDEST * (b->o->trial ? TRIAL_ROWS : MOST);
    float *src = cf_alloc(n, sizeof *src, err), *dst = cf_alloc(n, sizeof *dst, err);
    enum cf_status st = src && dst ? CF_OK : CF_ENOMEM;

    for (size_t i = 0; st == CF_OK && i < n; i++)
        src[i] = (float)(i % 251) * 0.008f - 1.0f;
    if (st == CF_OK)
        st = measure_all(b, src, dst, err);
    cf_free(src);
    cf_free(dst);
    return st;
}
