/* rng.h - random numbers by address, not by order.
 *
 * A draw is a pure function of (seed, step, token, bit): Philox4x32-10 of Salmon et al.,
 * "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), taken from Random123. The key
 * is the seed; the counter is (bit / 4, token, step, stream); word bit % 4 is the draw.
 * So a bit of an image never depends on threads, on its neighbours in a batch or on how
 * many draws were made before. */
#ifndef CF_BASE_RNG_H
#define CF_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a draw is for, so that two uses of one address never meet. */
enum cf_rng_stream {
    CF_RNG_BITS = 0,
    CF_RNG_FLIP = 1,
    CF_RNG_TEST = 2,
    CF_RNG_WEIGHT = 3 /* step and token: the tensor's name */
};

/* 32 random bits. */
uint32_t cf_rng_u32(uint64_t seed, enum cf_rng_stream stream, uint32_t step,
                    uint32_t token, uint32_t bit);

/* The draws bit .. bit + n - 1 of one token; bit is a multiple of 4. */
void cf_rng_fill(uint32_t *dst, size_t n, uint64_t seed, enum cf_rng_stream stream,
                 uint32_t step, uint32_t token, uint64_t bit);

/* Uniform in [0, 1), a multiple of 2^-24. */
float cf_rng_uniform(uint64_t seed, enum cf_rng_stream stream, uint32_t step,
                     uint32_t token, uint32_t bit);

#endif
