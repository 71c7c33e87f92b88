/* The decoder: its convolutions one by one, at the sizes they have for 256 x 256 pixels,
 * and the whole of the model's own, by the arithmetic of the plain algorithm. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "dnn/layer.h"
#include "models/work.h"

enum { SIDE = 256 };

static const struct shape {
    int in, out, k, side;
    int twice; /* the picture is doubled first, to side x side */
} shapes[] = {
    {32, 512, 3, 16, 0},   {512, 512, 3, 16, 0},  {512, 512, 3, 32, 0},
    {512, 512, 3, 64, 0},  {512, 512, 3, 64, 1},  {512, 512, 3, 128, 1},
    {512, 256, 3, 128, 0}, {512, 256, 1, 128, 0}, {256, 256, 3, 128, 0},
    {256, 256, 3, 256, 1}, {256, 128, 3, 256, 0}, {256, 128, 1, 256, 0},
    {128, 128, 3, 256, 0}, {128, 3, 3, 256, 0},
};
enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    TRIAL = 32,
    WAYS = CF_CONV_TAPS + 1,
    LARGEST = 256 * 256 * 256
};

struct conv_job {
    struct cf_conv *conv; /* owned */
    struct cf_conv_pass pass;
    float *dst;
    float *work; /* owned; NULL: a picture as it is, whole */
    int side;
};

static enum cf_status run_conv(void *arg, struct cf_error *err)
{
    struct conv_job *j = arg;

    if (j->work)
        return cf_conv_rows(j->conv, j->dst, NULL, &j->pass, 0, j->side, j->work, err);
    return cf_conv_run(j->conv, j->dst, j->pass.src, j->side, j->side, err);
}

static struct shape smaller(struct shape s)
{
    s.in = s.in < TRIAL ? s.in : TRIAL;
    s.out = s.out < TRIAL ? s.out : TRIAL;
    s.side = s.side < TRIAL ? s.side : TRIAL;
    return s;
}

/* How the decoder does it. */
static enum cf_conv_how chosen(const struct cf_bench *b, struct shape s)
{
    struct cf_conv_use use = {
        .in = s.in, .out = s.out, .twice = s.twice, .small = s.side <= SIDE / 16};

    return s.k == 3 ? cf_conv_best(cf_dnn_level(b->dnn), use) : CF_CONV_DIRECT;
}

/* Whether there is this way at all. */
static bool possible(struct shape s, enum cf_conv_how how)
{
    return how == CF_CONV_DIRECT || (s.k == 3 && (how != CF_CONV_PHASES || s.twice) &&
                                     (how != CF_CONV_TAPS || (s.out <= 3 && !s.twice)));
}

/* beside: how many cases before is that of the decoder, 0 for that one itself. */
static enum cf_status add_conv(struct cf_bench *b, struct conv_job *j, struct shape shape,
                               enum cf_conv_how how, int beside, struct cf_error *err)
{
    static const char *const name[] = {"direct", "Winograd 2x2", "Winograd 4x4",
                                       "Winograd of phases", "taps"};
    int pad = shape.k / 2;
    struct cf_conv_shape s = {
        .stride = 1, .top = pad, .left = pad, .bottom = pad, .right = pad};
    struct cf_view v = {.data = j->pass.src,
                        .dtype = CF_F32,
                        .ndim = 4,
                        .dim = {shape.out, shape.in, shape.k, shape.k}};
    struct cf_bench_case *c;

    CF_TRY(cf_conv_open_as(&j->conv, b->dnn, &v, NULL, s, how, err));
    j->side = shape.side;
    if (how == CF_CONV_PHASES) {
        j->pass.h = j->pass.w = shape.side / 2;
        j->pass.twice = 1;
        j->work = cf_alloc(
            cf_conv_work(b->dnn, how, shape.in, shape.out, &j->pass, shape.side, 0),
            sizeof *j->work, err);
        if (!j->work)
            return CF_ENOMEM;
    }
    c = cf_bench_add(b, err, "%dx%d %d->%d, %d x %d%s, %s%s", shape.k, shape.k, shape.in,
                     shape.out, shape.side, shape.side, shape.twice ? " doubled" : "",
                     beside ? "by " : "", name[how]);
    if (!c)
        return CF_ENOMEM;
    c->run = run_conv;
    c->arg = j;
    c->flops = 2.0 * shape.k * shape.k * shape.in * shape.out * shape.side * shape.side;
    c->yard = CF_YARD_FMA;
    if (beside)
        c->against = b->n_case - 1 - beside;
    return CF_OK;
}

/* As the decoder would, and where there is a choice every other way beside it. */
static enum cf_status measure_shape(struct cf_bench *b, struct shape shape,
                                    const float *src, float *dst, struct cf_error *err)
{
    enum cf_conv_how best = chosen(b, shape);
    struct conv_job job[WAYS] = {0};
    enum cf_status st = CF_OK;
    int n = 0;

    for (int way = -1; st == CF_OK && way < WAYS; way++) {
        enum cf_conv_how how = way < 0 ? best : (enum cf_conv_how)way;

        if (way >= 0 && (how == best || !possible(shape, how)))
            continue;
        job[n] = (struct conv_job){.pass.src = src, .dst = dst};
        st = add_conv(b, &job[n], shape, how, n, err);
        n++;
    }
    if (st == CF_OK)
        st = cf_bench_measure(b, err);
    for (int i = 0; i < WAYS; i++) {
        cf_conv_close(job[i].conv);
        cf_free(job[i].work);
    }
    return st;
}

static enum cf_status convolutions(struct cf_bench *b, struct cf_error *err)
{
    float *src = cf_alloc(LARGEST, sizeof *src, err);
    float *dst = cf_alloc(LARGEST, sizeof *dst, err);
    enum cf_status st = src && dst ? CF_OK : CF_ENOMEM;

    for (size_t i = 0; st == CF_OK && i < LARGEST; i++)
        src[i] = (float)(i % 251) * 0.008f - 1.0f;
    for (int i = 0; st == CF_OK && i < SHAPES; i++)
        st =
            measure_shape(b, b->o->trial ? smaller(shapes[i]) : shapes[i], src, dst, err);
    cf_free(src);
    cf_free(dst);
    return st;
}

struct whole {
    struct cf_vae *vae;
    struct cf_arena arena;
    float *latent;
    int side; /* of the latent */
};

static enum cf_status run_whole(void *arg, struct cf_error *err)
{
    struct whole *w = arg;
    const float *pixels;

    cf_arena_rewind(&w->arena, 0);
    return cf_vae_decode(w->vae, &pixels, w->latent, w->side, w->side, &w->arena, NULL,
                         err);
}

/* What the first decoding adds to the memory of the process. */
static enum cf_status tell_memory(struct cf_bench *b, struct whole *w, size_t bytes,
                                  struct cf_error *err)
{
    struct cf_bench_result r = cf_bench_result(b, "memory of %d x %d", SIDE, SIDE);
    struct cf_bench_result largest = cf_bench_result(b, "largest activation");
    double before = cf_machine_resident();
    bool known = cf_machine_resident_reset();

    CF_TRY(cf_arena_open(&w->arena, bytes, err));
    CF_TRY(run_whole(w, err));
    r.mib = (cf_machine_resident_peak() - before) / (1 << 20);
    largest.mib = cf_vae_largest(w->vae, w->side, w->side) * sizeof(float) / (1 << 20);
    r.speed = r.mib / largest.mib;
    memcpy(r.against, largest.name, sizeof r.against);
    CF_TRY(cf_bench_tell(b, &largest, err));
    return known ? cf_bench_tell(b, &r, err) : CF_OK;
}

static enum cf_status measure_whole(struct cf_bench *b, struct whole *w, int bits,
                                    struct cf_error *err)
{
    size_t n = (size_t)w->side * (size_t)w->side * (size_t)bits;
    struct cf_bench_case *c;
    struct cf_arena measure;
    const float *pixels;

    w->latent = cf_alloc(n, sizeof *w->latent, err);
    if (!w->latent)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++)
        w->latent[i] = (float)(i % 251) * 0.008f - 1.0f;
    cf_arena_measure(&measure);
    CF_TRY(cf_vae_decode(w->vae, &pixels, NULL, w->side, w->side, &measure, NULL, err));
    CF_TRY(tell_memory(b, w, measure.high, err));
    c = cf_bench_add(b, err, "whole, %d x %d", SIDE, SIDE);
    if (!c)
        return CF_ENOMEM;
    c->run = run_whole;
    c->arg = w;
    c->flops = cf_vae_work(w->vae, w->side, w->side);
    c->yard = CF_YARD_FMA;
    return cf_bench_measure(b, err);
}

static enum cf_status whole(struct cf_bench *b, struct cf_error *err)
{
    struct cf_subject *s;
    struct whole w = {0};
    enum cf_status st;

    CF_TRY(cf_bench_subject(b, &s, err));
    CF_TRY(cf_vae_open(&w.vae, &s->vae, s->model->path[CF_PART_VAE], b->dnn, err));
    w.side = SIDE / s->vae.patch;
    st = measure_whole(b, &w, s->vae.bits, err);
    cf_vae_close(w.vae);
    cf_arena_close(&w.arena);
    cf_free(w.latent);
    return st;
}

enum cf_status cf_bench_decoder(struct cf_bench *b, struct cf_error *err)
{
    CF_TRY(whole(b, err));
    return convolutions(b, err);
}
