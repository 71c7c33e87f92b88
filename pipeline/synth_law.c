#include "pipeline/synth_law.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

enum { PIECE = 1024 }; /* draws made at a time */

/* Tensors whose place in the network says more than their kind. */
enum place {
    PLAIN,
    RESIDUAL, /* added to the residual stream, and not gated */
    QUERY,    /* of T5, whose scores are not divided by the root of a head's width */
    WIDE,     /* the head: deviation 2 */
    CODES,    /* reads a sum of codes, each of length 1 whatever their number */
    GATES     /* modulation: gates of blocks among it */
};

static const struct {
    const char *tail;
    enum place place;
} places[] = {
    {".ca.proj.weight", RESIDUAL},
    {".SelfAttention.o.weight", RESIDUAL},
    {".DenseReluDense.wo.weight", RESIDUAL},
    {".self_attn.o_proj.weight", RESIDUAL},
    {".mlp.down_proj.weight", RESIDUAL},
    {".SelfAttention.q.weight", QUERY},
    {"shared_ada_lin.1.weight", GATES},
    {"head_nm.ada_lin.1.weight", GATES},
    {".ada_gss", GATES},
    {"word_embed.weight", CODES},
};

static enum place place_of(const char *name)
{
    size_t len = strlen(name);

    if (strcmp(name, "head.weight") == 0)
        return WIDE;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t tail = strlen(places[i].tail);

        if (len >= tail && strcmp(name + len - tail, places[i].tail) == 0)
            return places[i].place;
    }
    return PLAIN;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static float fan_in(const struct cf_key *key)
{
    double k = 1.0;

    for (int i = 1; i < key->ndim; i++)
        k *= (double)key->dim[i];
    return (float)(1.0 / sqrt(k));
}

/* Deviation of a matrix. */
static float matrix_spread(const struct cf_key *key, int depth, int head_dim)
{
    switch (place_of(key->name)) {
    case RESIDUAL:
        return fan_in(key) / sqrtf(2.0f * (float)depth);
    case QUERY:
        return fan_in(key) / sqrtf((float)head_dim);
    case WIDE:
        return 2.0f * fan_in(key);
    case CODES:
        return 0.3f;
    case GATES:
        return 0.3f * fan_in(key);
    case PLAIN:
        break;
    }
    return fan_in(key);
}

struct cf_synth_law cf_synth_law(const struct cf_key *key, uint64_t seed, int depth,
                                 int head_dim)
{
    struct cf_synth_law law = {seed, hash(key->name), 0.0f, 0.0f};

    switch (key->kind) {
    case CF_KEY_MATRIX:
    case CF_KEY_EDGE:
        law.spread = matrix_spread(key, depth, head_dim);
        break;
    case CF_KEY_CONV:
        law.spread = fan_in(key);
        break;
    case CF_KEY_TABLE:
        law.spread = 0.5f;
        break;
    case CF_KEY_GAIN:
        law.mean = 1.0f;
        law.spread = 0.05f;
        break;
    case CF_KEY_SMALL:
        law.spread = place_of(key->name) == GATES ? 0.3f : 0.02f;
        break;
    case CF_KEY_LOG:
        law.mean = logf(4.0f);
        law.spread = 0.1f;
        break;
    }
    return law;
}

void cf_synth_fill(float *dst, const struct cf_synth_law *law, int64_t first, int64_t n)
{
    /* A sum of four bytes has mean 510 and variance 4 (256^2 - 1) / 12. */
    const float step = law->spread / sqrtf(65535.0f / 3.0f);
    uint32_t draw[PIECE];

    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t m = n - at < PIECE ? n - at : PIECE;

        cf_rng_fill(draw, (size_t)m, law->seed, CF_RNG_WEIGHT, (uint32_t)law->stream,
                    (uint32_t)(law->stream >> 32), (uint64_t)(first + at));
        for (int64_t i = 0; i < m; i++) {
            uint32_t pair = (draw[i] & 0xff00ff) + (draw[i] >> 8 & 0xff00ff);
            int32_t sum = (int32_t)((pair & 0xffff) + (pair >> 16));

            dst[at + i] = law->mean + step * (float)(sum - 510);
        }
    }
}
