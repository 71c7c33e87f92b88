#include "models/sampler.h"

#include <math.h>

#include "base/rng.h"

float cf_sample_prob(float l0, float l1, int top_k, float top_p)
{
    double apart = (double)l0 - (double)l1;

    if (top_k == 1 && l0 != l1)
        return l1 > l0 ? 1.0f : 0.0f;
    if (top_p > 0.0f &&
        (float)(1.0 / (1.0 + exp(fabs(apart)))) <= (float)(1.0 - (double)top_p))
        return l1 >= l0 ? 1.0f : 0.0f;
    return (float)(1.0 / (1.0 + exp(apart)));
}

void cf_sample_bits(uint8_t *bits, const float *logits, int64_t n, int dv, int top_k,
                    float top_p, uint64_t seed, uint32_t step)
{
    for (int64_t t = 0; t < n; t++)
        for (int i = 0; i < dv; i++) {
            int64_t at = t * dv + i;
            float p = cf_sample_prob(logits[2 * at], logits[2 * at + 1], top_k, top_p);
            float u = cf_rng_uniform(seed, CF_RNG_BITS, step, (uint32_t)t, (uint32_t)i);

            bits[at] = u < p;
        }
}
