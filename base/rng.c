#include "base/rng.h"

#include <string.h>

#include <Random123/philox.h>

uint32_t cf_rng_u32(uint64_t seed, enum cf_rng_stream stream, uint32_t step,
                    uint32_t token, uint32_t bit)
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t ctr = {{bit / 4, token, step, (uint32_t)stream}};

    return philox4x32(ctr, key).v[bit % 4];
}

void cf_rng_fill(uint32_t *dst, size_t n, uint64_t seed, enum cf_rng_stream stream,
                 uint32_t step, uint32_t token, uint64_t bit)
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};

    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t ctr = {
            {(uint32_t)((bit + i) / 4), token, step, (uint32_t)stream}};
        philox4x32_ctr_t four = philox4x32(ctr, key);

        memcpy(dst + i, four.v, (n - i < 4 ? n - i : 4) * sizeof *dst);
    }
}

float cf_rng_uniform(uint64_t seed, enum cf_rng_stream stream, uint32_t step,
                     uint32_t token, uint32_t bit)
{
    return (float)(cf_rng_u32(seed, stream, step, token, bit) >> 8) * 0x1p-24f;
}
