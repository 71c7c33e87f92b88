/* ops.c - rows and chunks handed to the kernels, split over the team. */
#include "dnn/ops.h"

#include <math.h>
#include <stdatomic.h>

#include "dnn/machine.h"

/* Floats below which a second thread costs more than it brings. */
enum { GRAIN = 8192 };

/* One description for all ops; each fills what it uses. */
struct job {
    const struct cf_kern *kern;
    float *dst;
    const float *src, *src2, *mul, *add;
    int64_t dstride, sstride, rows, gstride;
    int c, heads, flag;
    float a, b;
    void (*unary)(float *, const float *, size_t);
    void (*rope)(float *, const float *, const float *, size_t);
    const int32_t *pos;
    atomic_int ok;
};

typedef void part_fn(void *arg, int64_t first, int64_t last, int thread);

/* Rows of c floats that make a grain. */
static int64_t grain_of(int64_t c)
{
    return c > 0 && c < GRAIN ? GRAIN / c : 1;
}

static void run_rows(struct cf_dnn *dnn, struct job *j, int64_t rows, int64_t c,
                     part_fn *fn)
{
    struct cf_call call;

    j->kern = &dnn->kern;
    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, rows, grain_of(c), fn, j);
    cf_call_end(&call, dnn);
}

static void norm_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        int64_t g = r / j->rows * j->gstride;

        j->kern->layernorm(j->dst + r * j->c, j->src + r * j->c, (size_t)j->c, j->a,
                           j->mul + g, j->add + g, 1.0f);
    }
}

void cf_adaln(struct cf_dnn *dnn, float *dst, const float *src, int groups, int64_t rows,
              int c, float eps, const float *scale, const float *shift, int64_t gstride)
{
    struct job j = {.dst = dst,
                    .src = src,
                    .c = c,
                    .a = eps,
                    .mul = scale,
                    .add = shift,
                    .rows = rows,
                    .gstride = gstride};

    run_rows(dnn, &j, groups * rows, c, norm_part);
}

struct join {
    const struct cf_kern *kern;
    const struct cf_join *how;
    float *dst, *x;
    const float *y;
    int64_t rows;
    int c;
};

static void join_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct join *j = arg;
    const struct cf_join *how = j->how;
    size_t c = (size_t)j->c;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        int64_t g = r / j->rows, norm = g * how->norm_stride;
        float *x = j->x + r * j->c;

        if (how->gate)
            j->kern->add_gated(x, j->y + r * j->c, how->gate + g * how->gate_stride, c);
        else
            j->kern->add(x, j->y + r * j->c, c);
        j->kern->layernorm(j->dst + r * j->c, x, c, how->eps,
                           how->mul ? how->mul + norm : NULL,
                           how->add ? how->add + norm : NULL, how->one);
    }
}

void cf_join_norm(struct cf_dnn *dnn, float *dst, float *x, const float *y, int groups,
                  int64_t rows, int c, const struct cf_join *join)
{
    struct join j = {&dnn->kern, join, dst, x, y, rows, c};
    struct cf_call call;

    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, groups * rows, grain_of(c), join_part, &j);
    cf_call_end(&call, dnn);
}

static void rms_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++)
        j->kern->rmsnorm(j->dst + r * j->dstride, j->src + r * j->sstride, (size_t)j->c,
                         j->a, j->mul);
}

void cf_rmsnorm(struct cf_dnn *dnn, float *dst, int64_t dstride, const float *src,
                int64_t sstride, int64_t rows, int c, float eps, const float *w)
{
    struct job j = {.dst = dst,
                    .src = src,
                    .c = c,
                    .a = eps,
                    .mul = w,
                    .dstride = dstride,
                    .sstride = sstride};

    run_rows(dnn, &j, rows, c, rms_part);
}

static void unary_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    j->unary(j->dst + first, j->src + first, (size_t)(last - first));
}

void cf_gelu_tanh(struct cf_dnn *dnn, float *dst, const float *src, int64_t n)
{
    struct job j = {.dst = dst, .src = src, .unary = dnn->kern.gelu};

    run_rows(dnn, &j, n, 1, unary_part);
}

void cf_silu(struct cf_dnn *dnn, float *dst, const float *src, int64_t n)
{
    struct job j = {.dst = dst, .src = src, .unary = dnn->kern.silu};

    run_rows(dnn, &j, n, 1, unary_part);
}

static void swiglu_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    j->kern->swiglu(j->dst + first, j->src + first, j->src2 + first,
                    (size_t)(last - first));
}

void cf_swiglu(struct cf_dnn *dnn, float *dst, const float *gate, const float *up,
               int64_t n)
{
    struct job j = {.dst = dst, .src = gate, .src2 = up};

    run_rows(dnn, &j, n, 1, swiglu_part);
}

static void geglu_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    j->kern->gelu(j->dst + first, j->src + first, (size_t)(last - first));
    for (int64_t i = first; i < last; i++)
        j->dst[i] *= j->src2[i];
}

void cf_geglu(struct cf_dnn *dnn, float *dst, const float *gate, const float *up,
              int64_t n)
{
    struct job j = {.dst = dst, .src = gate, .src2 = up};

    run_rows(dnn, &j, n, 1, geglu_part);
}

static void add_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    j->kern->add(j->dst + first, j->src + first, (size_t)(last - first));
}

void cf_add(struct cf_dnn *dnn, float *x, const float *y, int64_t n)
{
    struct job j = {.dst = x, .src = y};

    run_rows(dnn, &j, n, 1, add_part);
}

static void add_gated_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++)
        j->kern->add_gated(j->dst + r * j->c, j->src + r * j->c,
                           j->mul + r / j->rows * j->gstride, (size_t)j->c);
}

void cf_add_gated(struct cf_dnn *dnn, float *x, const float *y, int groups, int64_t rows,
                  int c, const float *gamma, int64_t gstride)
{
    struct job j = {
        .dst = x, .src = y, .rows = rows, .c = c, .mul = gamma, .gstride = gstride};

    run_rows(dnn, &j, groups * rows, c, add_gated_part);
}

static void add_row_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++)
        j->kern->add(j->dst + r * j->c, j->src, (size_t)j->c);
}

void cf_add_row(struct cf_dnn *dnn, float *x, const float *v, int64_t rows, int c)
{
    struct job j = {.dst = x, .src = v, .c = c};

    run_rows(dnn, &j, rows, c, add_row_part);
}

static void mix_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    j->kern->mix(j->dst + first, j->src + first, j->a, j->src2 + first, j->b,
                 (size_t)(last - first));
}

void cf_mix(struct cf_dnn *dnn, float *dst, const float *x, float a, const float *y,
            float b, int64_t n)
{
    struct job j = {.dst = dst, .src = x, .src2 = y, .a = a, .b = b};

    run_rows(dnn, &j, n, 1, mix_part);
}

/* Head by head: the second half of the work finds the head in the first cache. */
static void l2norm_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;
    size_t hd = (size_t)j->c;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        int64_t at = (j->pos ? j->pos[r] : r) * (int64_t)(hd / 2);

        for (int h = 0; h < j->heads; h++) {
            float *x = j->dst + r * j->dstride + (int64_t)h * j->c;

            j->kern->l2norm(x, hd, j->src ? j->src[h] : 1.0f);
            if (j->mul)
                j->kern->rope_pairs(x, j->mul + at, j->add + at, hd);
        }
    }
}

void cf_l2norm_heads(struct cf_dnn *dnn, float *x, int64_t rows, int64_t stride,
                     int heads, int hd, const float *mul, const float *cs,
                     const float *sn, const int32_t *pos)
{
    struct job j = {.dst = x,
                    .src = mul,
                    .dstride = stride,
                    .heads = heads,
                    .c = hd,
                    .mul = cs,
                    .add = sn,
                    .pos = pos};

    run_rows(dnn, &j, rows, (int64_t)heads * hd, l2norm_part);
}

static void rope_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        int64_t at = (j->pos ? j->pos[r] : r) * (int64_t)(j->c / 2);

        for (int h = 0; h < j->heads; h++)
            j->rope(j->dst + r * j->dstride + (int64_t)h * j->c, j->mul + at, j->add + at,
                    (size_t)j->c);
    }
}

void cf_rope(struct cf_dnn *dnn, float *x, int64_t rows, int64_t stride, int heads,
             int hd, const float *cs, const float *sn, const int32_t *pos,
             int interleaved)
{
    struct job j = {.dst = x,
                    .dstride = stride,
                    .heads = heads,
                    .c = hd,
                    .mul = cs,
                    .add = sn,
                    .pos = pos,
                    .rope = interleaved ? dnn->kern.rope_pairs : dnn->kern.rope_halves};

    run_rows(dnn, &j, rows, (int64_t)heads * hd, rope_part);
}

static void finite_part(void *arg, int64_t first, int64_t last, int thread)
{
    struct job *j = arg;

    (void)thread;
    if (!j->kern->finite(j->src + first, (size_t)(last - first)))
        atomic_store(&j->ok, 0);
}

int cf_all_finite(struct cf_dnn *dnn, const float *x, int64_t n)
{
    struct job j = {.src = x};

    atomic_init(&j.ok, 1);
    run_rows(dnn, &j, n, 1, finite_part);
    return atomic_load(&j.ok);
}
