/* quant.c - a scale is tried, what it costs is summed, the cheapest is kept and refitted.
 *
 * Per row (int8) or group (4 bits): a few scales around max|w| / steps are compared by
 * their squared error; the values that the best one gives are then held fixed while the
 * scale is solved for (least squares), and the better of the two stays. Sums run in a
 * fixed order over fixed lanes, in one code for all machines, so that a file does not
 * depend on who made it. */
#include "dnn/quant.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "dnn/machine.h"

enum {
    LANES = 8,
    BLOCK = 256, /* elements whose errors are summed in floats */
};

/* Parts of the largest magnitude that become 127. */
static const float int8_part[] = {1.0f, 0.97f, 0.94f, 0.9f, 0.85f, 0.8f, 0.7f, 0.6f};
/* Steps that the largest value becomes, with its sign turned: 8 is the end that only
 * negative q reach, above it is clipped, 7 leaves that end unused. */
static const float q4_steps[] = {8.0f,  7.0f, 7.25f, 7.5f, 7.75f,
                                 8.25f, 8.5f, 8.75f, 9.0f};
enum {
    NINT8 = sizeof int8_part / sizeof int8_part[0],
    NQ4 = sizeof q4_steps / sizeof q4_steps[0],
};
#define Q4_MOST (7.0f * 65504.0f) /* beyond it a scale of 7 steps is no F16 */

struct job {
    const float *src;
    char *w, *scale;
    int64_t k;
    int group;           /* 0: int8 */
    atomic_llong broken; /* first row with a value that does not go; n: none */
};

/* To nearest, ties to even, for |x| < 2^22. */
static inline float nearest(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

static inline float clamped(float x, float lo, float hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

static float inverse(float scale)
{
    return fabsf(scale) < FLT_MIN ? 0.0f : 1.0f / scale;
}

static float sum_lanes(const float lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Sum of (x - q scale)^2 with q = x / scale rounded into lo .. hi. */
static double cost(const float *x, int64_t n, float scale, float lo, float hi)
{
    const float inv = inverse(scale);
    double sum = 0.0;

    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t end = n - at < BLOCK ? n : at + BLOCK;
        float lane[LANES] = {0};
        int64_t i = at;

        for (; i + LANES <= end; i += LANES) {
            for (int l = 0; l < LANES; l++) {
                float q = nearest(clamped(x[i + l] * inv, lo, hi));
                float e = x[i + l] - q * scale;

                lane[l] += e * e;
            }
        }
        for (int l = 0; i < end; i++, l++) {
            float e = x[i] - nearest(clamped(x[i] * inv, lo, hi)) * scale;

            lane[l] += e * e;
        }
        sum += (double)sum_lanes(lane);
    }
    return sum;
}

/* The scale that fits x best where q stays what scale makes of it. */
static float refit(const float *x, int64_t n, float scale, float lo, float hi)
{
    const float inv = inverse(scale);
    double xq = 0.0, qq = 0.0;

    for (int64_t i = 0; i < n; i++) {
        double q = (double)nearest(clamped(x[i] * inv, lo, hi));

        xq += (double)x[i] * q;
        qq += q * q;
    }
    return qq > 0.0 ? (float)(xq / qq) : scale;
}

/* The cheapest of scale[0 .. n_scale-1], the first among equals. */
static float cheapest(const float *x, int64_t n, const float *scale, int n_scale,
                      float lo, float hi)
{
    float best = scale[0];
    double least = cost(x, n, best, lo, hi);

    for (int i = 1; i < n_scale; i++) {
        double c = cost(x, n, scale[i], lo, hi);

        if (c < least) {
            least = c;
            best = scale[i];
        }
    }
    return best;
}

/* The value of largest magnitude, with its sign; NaN where one is not finite. */
static float largest(const float *x, int64_t n)
{
    float top = 0.0f, sum = 0.0f;

    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * 0.0f;
        if (fabsf(x[i]) > fabsf(top))
            top = x[i];
    }
    return sum == 0.0f ? top : NAN;
}

static bool int8_row(int8_t *q, char *scale_at, const float *x, int64_t k)
{
    const float top = fabsf(largest(x, k));
    float scale[NINT8], pair[2], inv;

    if (isnan(top))
        return false;
    for (int i = 0; i < NINT8; i++)
        scale[i] = top * int8_part[i] / 127.0f;
    pair[0] = cheapest(x, k, scale, NINT8, -127.0f, 127.0f);
    pair[1] = refit(x, k, pair[0], -127.0f, 127.0f);
    pair[0] = cheapest(x, k, pair, 2, -127.0f, 127.0f);
    inv = inverse(pair[0]);
    if (inv == 0.0f)
        pair[0] = 0.0f;
    memcpy(scale_at, &pair[0], sizeof pair[0]);
    for (int64_t i = 0; i < k; i++)
        q[i] = (int8_t)nearest(clamped(x[i] * inv, -127.0f, 127.0f));
    return true;
}

/* What is left of floats in a file of F16. */
static void through_f16(float *f, int n)
{
    uint16_t half[NQ4];
    const struct cf_view v = {half, CF_F16, 1, {n}};

    (void)cf_floats_store(half, CF_F16, f, n, NULL); /* F16 is a type of floats */
    (void)cf_view_floats(f, &v, 0, n, NULL);
}

static bool q4_group(uint8_t *q, char *scale_at, const float *x, int group)
{
    const float top = largest(x, group);
    float scale[NQ4], pair[2], inv;

    if (isnan(top) || fabsf(top) > Q4_MOST)
        return false;
    for (int i = 0; i < NQ4; i++)
        scale[i] = -top / q4_steps[i];
    through_f16(scale, NQ4);
    pair[0] = cheapest(x, group, scale, NQ4, -8.0f, 7.0f);
    pair[1] = refit(x, group, pair[0], -8.0f, 7.0f);
    through_f16(&pair[1], 1);
    pair[0] = cheapest(x, group, pair, 2, -8.0f, 7.0f);
    (void)cf_floats_store(scale_at, CF_F16, pair, 1, NULL);
    inv = inverse(pair[0]);
    for (int at = 0; at < group; at += 32) {
        for (int j = 0; j < 16; j++) {
            float low = nearest(clamped(x[at + j] * inv, -8.0f, 7.0f));
            float high = nearest(clamped(x[at + j + 16] * inv, -8.0f, 7.0f));

            *q++ = (uint8_t)((int)low + 8 + ((int)high + 8) * 16);
        }
    }
    return true;
}

static bool quantize_row(const struct job *j, int64_t r)
{
    const float *x = j->src + r * j->k;
    bool ok = true;

    if (!j->group)
        return int8_row((int8_t *)j->w + r * j->k, j->scale + r * 4, x, j->k);
    for (int64_t at = 0; at < j->k && ok; at += j->group)
        ok = q4_group((uint8_t *)j->w + (r * j->k + at) / 2,
                      j->scale + (r * j->k + at) / j->group * 2, x + at, j->group);
    return ok;
}

static void rows_part(void *arg, int64_t first, int64_t last, int thread)
{
    struct job *j = arg;

    (void)thread;
    for (int64_t r = first; r < last; r++) {
        long long seen = atomic_load(&j->broken);

        if (quantize_row(j, r))
            continue;
        while (r < seen && !atomic_compare_exchange_weak(&j->broken, &seen, r))
            ;
    }
}

/* The value in row r that did not go. */
static enum cf_status explain(const struct job *j, int64_t r, struct cf_error *err)
{
    for (int64_t i = 0; i < j->k; i++) {
        float x = j->src[r * j->k + i];

        if (!isfinite(x))
            return cf_fail(err, CF_ENUMERIC, "row %lld, column %lld: %g is not finite",
                           (long long)r, (long long)i, (double)x);
        if (j->group && fabsf(x) > Q4_MOST)
            return cf_fail(err, CF_ERANGE,
                           "row %lld, column %lld: %g, 4 bits with F16 scales reach %g",
                           (long long)r, (long long)i, (double)x, (double)Q4_MOST);
    }
    return cf_fail(err, CF_EBUG, "row %lld: fits after all", (long long)r);
}

enum cf_status cf_quantize(struct cf_dnn *dnn, void *w, void *scale, enum cf_wtype type,
                           int group, const float *src, int64_t n, int64_t k,
                           struct cf_error *err)
{
    struct job j = {.src = src, .w = w, .scale = scale, .k = k};
    struct cf_call call;

    if (type != CF_W_I8 && type != CF_W_Q4)
        return cf_fail(err, CF_EUNSUP, "weight type %s, expected int8 or 4bit",
                       cf_wtype_name(type));
    if (type == CF_W_Q4 && ((group != 32 && group != 64) || k % group))
        return cf_fail(err, CF_ERANGE,
                       "%lld columns in groups of %d, expected groups of 32 or 64 that "
                       "divide them",
                       (long long)k, group);
    j.group = type == CF_W_Q4 ? group : 0;
    atomic_init(&j.broken, n);
    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, n, 1, rows_part, &j);
    cf_call_end(&call, dnn);
    return atomic_load(&j.broken) < n ? explain(&j, atomic_load(&j.broken), err) : CF_OK;
}
