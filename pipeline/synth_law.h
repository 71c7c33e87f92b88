/* synth_law.h - random weights under which a network of any size stays alive.
 *
 * A layer that is fed numbers of variance 1 gives back about that, for a matrix [n, k] is
 * drawn with variance 1 / k; norms are near 1, shifts and biases near 0. What goes into a
 * residual stream is gated by modulation of about 0.4, or drawn smaller by the root of
 * the depth, so that the stream is of order 1 behind forty blocks and most of it is
 * theirs. The head is drawn twice as wide, so that its logits have a deviation of 2: bits
 * are neither coins nor certain.
 *
 * Value i of a tensor is a pure function of (seed, name, i): a sum of four bytes of
 * Philox, near enough to a normal distribution for what quantization does to it.
 * Geometry, type, threads and the tensors beside it do not change it. */
#ifndef CF_PIPELINE_SYNTH_LAW_H
#define CF_PIPELINE_SYNTH_LAW_H

#include "weights/keys.h"

struct cf_synth_law {
    uint64_t seed, stream; /* of the generator */
    float mean, spread;    /* standard deviation */
};

/* What a key is drawn from. depth: blocks of the network that it belongs to; head_dim:
 * width of a head where scores are not divided by its root (T5), else 1. */
struct cf_synth_law cf_synth_law(const struct cf_key *key, uint64_t seed, int depth,
                                 int head_dim);

/* Values first .. first + n - 1; first is a multiple of 4. */
void cf_synth_fill(float *dst, const struct cf_synth_law *law, int64_t first, int64_t n);

#endif
