/* groupnorm.c - statistics over a whole image, summed in an order that only the image's
 * size decides.
 *
 * The pixels are cut into chunks whose number depends on (pixels, c). Each chunk gives
 * sums per channel, in double; chunks are added in order, then channels to their group.
 * The norm is then y = x * mul[c] + add[c]. */
#include <assert.h>
#include <math.h>

#include "dnn/machine.h"
#include "dnn/ops.h"

enum { CHUNKS = 64 };

struct norm {
    const struct cf_kern *kern;
    const float *src;
    int64_t pixels, chunk; /* pixels of a chunk */
    int c;
    double *sum;      /* [chunks, 2, c]: sums, then squares */
    float *mul, *add; /* [c] */
};

struct apply {
    const struct cf_kern *kern;
    float *dst;
    const float *src, *mul, *add;
    int c, silu;
};

static void moments_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct norm *g = arg;

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        int64_t at = i * g->chunk,
                end = at + g->chunk < g->pixels ? at + g->chunk : g->pixels;
        double *sum = g->sum + i * 2 * g->c;

        for (int k = 0; k < 2 * g->c; k++)
            sum[k] = 0;
        if (at < end)
            g->kern->moments(sum, sum + g->c, g->src + at * g->c, (size_t)(end - at),
                             (size_t)g->c, (size_t)g->c);
    }
}

static void apply_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct apply *a = arg;

    (void)thread;
    for (int64_t p = first; p < last; p++)
        a->kern->affine(a->dst + p * a->c, a->src + p * a->c, a->mul, a->add, a->silu,
                        (size_t)a->c);
}

/* mul and add of every channel from the sums of chunk 0, into which all were added. */
static void finish(struct norm *g, int groups, float eps, const float *gamma,
                   const float *beta)
{
    int per = g->c / groups;
    double n = (double)g->pixels * per;

    for (int i = 0; i < groups; i++) {
        double sum = 0, sq = 0, mean, var, scale;

        for (int k = i * per; k < (i + 1) * per; k++) {
            sum += g->sum[k];
            sq += g->sum[g->c + k];
        }
        mean = sum / n;
        var = sq / n - mean * mean;
        scale = 1.0 / sqrt((var > 0 || isnan(var) ? var : 0) + eps);
        for (int k = i * per; k < (i + 1) * per; k++) {
            g->mul[k] = (float)(gamma[k] * scale);
            g->add[k] = (float)(beta[k] - mean * gamma[k] * scale);
        }
    }
}

void cf_groupnorm_stats(struct cf_dnn *dnn, float *mul, float *add, const float *src,
                        int64_t pixels, int c, int groups, float eps, const float *gamma,
                        const float *beta)
{
    struct norm g = {
        .kern = &dnn->kern, .src = src, .pixels = pixels, .c = c, .mul = mul, .add = add};
    int64_t chunks = CF_SHARED_SCRATCH / (16 * (int64_t)c);
    struct cf_call call;

    assert(c <= CF_GROUPNORM_MAX);
    if (pixels < 1)
        return;
    cf_call_begin(&call, dnn, &dnn->times.other);
    if (chunks > CHUNKS)
        chunks = CHUNKS;
    g.chunk = (pixels + chunks - 1) / chunks;
    g.sum = (double *)(void *)dnn->shared;
    cf_split(dnn, chunks, g.chunk * c < 4096 ? chunks : 1, moments_part, &g);
    for (int64_t i = 1; i < chunks; i++)
        for (int k = 0; k < 2 * c; k++)
            g.sum[k] += g.sum[i * 2 * c + k];
    finish(&g, groups, eps, gamma, beta);
    cf_call_end(&call, dnn);
}

void cf_groupnorm_apply(struct cf_dnn *dnn, float *dst, const float *src, int64_t pixels,
                        int c, const float *mul, const float *add, int silu)
{
    struct apply a = {&dnn->kern, dst, src, mul, add, c, silu};
    struct cf_call call;

    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, pixels, c < 8192 ? 8192 / c : 1, apply_part, &a);
    cf_call_end(&call, dnn);
}
