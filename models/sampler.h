/* sampler.h - one bit from two logits.
 *
 * A bit is a choice between two values with logits l0 and l1: p(1) = 1 / (1 + e^(l0 -
 * l1)). The filters of language models act on these two: top_k  1 is greedy (on a tie
 * both stay and the draw decides); 0 or >= 2 does nothing top_p  > 0 removes the less
 * likely value where its probability <= 1 - top_p; on an exact tie with top_p <= 0.5 the
 * value 1 stays; 0 does nothing With top_p = 0.97 a bit whose minority value has at most
 * 3 % becomes certain.
 *
 * The draw is u(seed, step, token, bit) of base/rng.h, so a bit depends on its logits and
 * its address alone, never on threads, order or the images beside it.
 * Infinity, arXiv 2412.04431; sample_with_top_k_top_p_also_inplace_modifying_logits_. */
#ifndef CF_MODELS_SAMPLER_H
#define CF_MODELS_SAMPLER_H

#include <stdint.h>

/* Probability of 1 after the filters; exactly 0 or 1 where one value was removed. */
float cf_sample_prob(float l0, float l1, int top_k, float top_p);

/* bits [n, dv] out; logits [n, dv, 2], value 0 first. One draw per bit. */
void cf_sample_bits(uint8_t *bits, const float *logits, int64_t n, int dv, int top_k,
                    float top_p, uint64_t seed, uint32_t step);

#endif
