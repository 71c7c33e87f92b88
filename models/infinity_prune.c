/* infinity_prune.c - an approximation: at fine scales only some tokens run the blocks.
 *
 * Most of a fine grid only repeats what a coarser one said. Of a scale that is pruned the
 * tokens run that stand out most, those farthest from the mean of their grid; what the
 * blocks would add to the others is taken from the last scale that ran whole, stretched:
 *
 *     out = in + blocks(in)                  of a token that runs
 *     out = in + up(out' - in')              of one that does not; ' of that scale
 *
 * Keys and values of tokens that do not run are in no cache. The head sees all tokens.
 * FastVAR, arXiv 2503.23367, "Pivotal Token Selection" and "Cached Token Restoration":
 * there tokens are chosen anew before each layer and each layer's share is stretched.
 * Chosen once per scale, those shares add up to the one difference above. */
#include "models/infinity.h"

#include <string.h>

#include "dnn/ops.h"
#include "dnn/resample.h"

static bool pruned(const struct cf_gen_state *st, int s)
{
    return s < st->plan.n_step && st->plan.step[s].prune > 0.0f;
}

static int64_t grid_tokens(const struct cf_gen_state *st, int s)
{
    return (int64_t)st->plan.step[s].h * st->plan.step[s].w;
}

/* far [n] = squared distance of each token of x [n, c] from their mean [c] */
static void distances(float *far, double *mean, const float *x, int64_t n, int c)
{
    memset(mean, 0, (size_t)c * sizeof(*mean));
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < c; k++)
            mean[k] += x[i * c + k];
    for (int k = 0; k < c; k++)
        mean[k] /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;

        for (int k = 0; k < c; k++) {
            double d = x[i * c + k] - mean[k];

            sum += d * d;
        }
        far[i] = (float)sum;
    }
}

/* kept [m] = the m tokens with the largest distance, in the order of the grid; of equal
 * ones the earlier goes first. */
static void choose(int32_t *kept, int64_t m, const float *far, int64_t n)
{
    int64_t at = 0;

    for (int64_t i = 0; i < n && at < m; i++) {
        int64_t before = 0;

        for (int64_t j = 0; j < n; j++)
            before += far[j] > far[i] || (far[j] == far[i] && j < i);
        if (before < m)
            kept[at++] = (int32_t)i;
    }
}

/* whole [rows, n, c] = x + the stretched difference: what comes out if no token runs */
static void restore(struct cf_gen_state *st, int s)
{
    const struct cf_step *to = &st->plan.step[s], *from = &st->plan.step[st->whole_scale];
    int64_t n = grid_tokens(st, s), had = grid_tokens(st, st->whole_scale);
    int c = st->gen->shape.c;

    for (int r = 0; r < st->rows; r++)
        cf_resize_bilinear(st->gen->dnn, st->whole + r * n * c, to->h, to->w,
                           st->change + r * had * c, from->h, from->w, c, st->q);
    cf_add(st->gen->dnn, st->whole, st->x, st->rows * n * c);
}

void cf_inf_prune_before(struct cf_gen_state *st, int s)
{
    int64_t n = grid_tokens(st, s), m = cf_inf_run(st, s), c = st->gen->shape.c;
    size_t token = (size_t)c * sizeof(float);

    if (!pruned(st, s)) {
        if (pruned(st, s + 1))
            memcpy(st->change, st->x, (size_t)(st->rows * n) * token);
        return;
    }
    restore(st, s);
    for (int b = 0; b < st->batch; b++) {
        distances(st->y, st->mean, st->x + b * n * c, n, (int)c);
        choose(st->kept + b * m, m, st->y, n);
    }
    /* Both halves of an image read the same input, so they keep the same tokens. Rows
     * move towards the front, onto what has moved before. */
    for (int r = 0; r < st->rows; r++)
        for (int64_t i = 0; i < m; i++)
            memmove(st->x + (r * m + i) * c,
                    st->x + (r * n + st->kept[r % st->batch * m + i]) * c, token);
}

void cf_inf_prune_after(struct cf_gen_state *st, int s)
{
    int64_t n = grid_tokens(st, s), m = cf_inf_run(st, s), c = st->gen->shape.c;
    float *x = st->x;

    if (!pruned(st, s)) {
        if (!pruned(st, s + 1))
            return;
        cf_mix(st->gen->dnn, st->change, st->x, 1.0f, st->change, -1.0f,
               st->rows * n * c);
        st->whole_scale = s;
        return;
    }
    for (int r = 0; r < st->rows; r++)
        for (int64_t i = 0; i < m; i++)
            memcpy(st->whole + (r * n + st->kept[r % st->batch * m + i]) * c,
                   x + (r * m + i) * c, (size_t)c * sizeof(float));
    st->x = st->whole;
    st->whole = x;
    cf_inf_see(st, st->x, 3, (int64_t[]){st->rows, n, c}, "sc%d.restored", s);
}
