#include "models/bsq.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "dnn/ops.h"
#include "dnn/resample.h"

enum cf_status cf_bsq_encode(uint64_t *code, const float *f, int64_t n, int d,
                             struct cf_error *err)
{
    if (d < 1 || d > CF_BSQ_MAX_BITS)
        return cf_fail(err, CF_ERANGE, "bsq: %d bits per token, expected 1..%d", d,
                       CF_BSQ_MAX_BITS);

    for (int64_t i = 0; i < n; i++) {
        const float *v = f + i * d;
        uint64_t token = 0;

        for (int c = 0; c < d; c++) {
            if (isnan(v[c]))
                return cf_fail(err, CF_ENUMERIC, "bsq: NaN at token %lld, channel %d",
                               (long long)i, c);
            token |= (uint64_t)(v[c] > 0.0f) << c;
        }
        code[i] = token;
    }
    return CF_OK;
}

void cf_bsq_decode(float *z, const uint64_t *code, int64_t n, int d)
{
    const float s = 1.0f / sqrtf((float)d);

    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < d; c++)
            z[i * d + c] = (code[i] >> c & 1) ? s : -s;
}

void cf_bsq_flip(uint64_t *code, int64_t n, int d, float p, uint64_t seed, uint32_t step)
{
    if (!(p > 0.0f))
        return;
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < d; c++) {
            float u = cf_rng_uniform(seed, CF_RNG_FLIP, step, (uint32_t)i, (uint32_t)c);

            code[i] ^= (uint64_t)(u < p) << c;
        }
}

void cf_bsq_to_bytes(uint8_t *bits, const uint64_t *code, int64_t n, int d)
{
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < d; c++)
            bits[i * d + c] = code[i] >> c & 1;
}

void cf_bsq_from_bytes(uint64_t *code, const uint8_t *bits, int64_t n, int d)
{
    for (int64_t i = 0; i < n; i++) {
        code[i] = 0;
        for (int c = 0; c < d; c++)
            code[i] |= (uint64_t)(bits[i * d + c] != 0) << c;
    }
}

/* Position of the tokenizer that part q (dy*2 + dx) of token i covers. */
static int64_t position(int64_t i, int q, struct cf_scale s)
{
    int64_t y = i / s.w, x = i % s.w;

    return (2 * y + q / 2) * (2 * (int64_t)s.w) + 2 * x + q % 2;
}

void cf_bsq_pack(uint64_t *code, const uint8_t *bits, struct cf_scale s, int d,
                 int patchify)
{
    int64_t n = (int64_t)s.h * s.w;

    if (!patchify) {
        cf_bsq_from_bytes(code, bits, n, d);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int q = 0; q < 4; q++) {
            uint64_t token = 0;

            for (int c = 0; c < d; c++)
                token |= (uint64_t)(bits[(i * d + c) * 4 + q] != 0) << c;
            code[position(i, q, s)] = token;
        }
}

void cf_bsq_unpack(uint8_t *bits, const uint64_t *code, struct cf_scale s, int d,
                   int patchify)
{
    int64_t n = (int64_t)s.h * s.w;

    if (!patchify) {
        cf_bsq_to_bytes(bits, code, n, d);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int q = 0; q < 4; q++)
            for (int c = 0; c < d; c++)
                bits[(i * d + c) * 4 + q] = code[position(i, q, s)] >> c & 1;
}

static size_t floats(struct cf_scale full, int d)
{
    return (size_t)full.h * (size_t)full.w * (size_t)d;
}

size_t cf_bsq_work(struct cf_scale full, int d)
{
    return 3 * floats(full, d); /* a grid, its stretched form, rows of the resampler */
}

void cf_bsq_add_scale(struct cf_dnn *dnn, float *sum, struct cf_scale full,
                      const uint64_t *code, struct cf_scale s, int d, float *work)
{
    size_t n = floats(full, d);
    float *z = work, *up = work + n, *rows = work + 2 * n;

    cf_bsq_decode(z, code, (int64_t)s.h * s.w, d);
    if (s.h == full.h && s.w == full.w)
        up = z;
    else
        cf_resize_bilinear(dnn, up, full.h, full.w, z, s.h, s.w, d, rows);
    cf_add(dnn, sum, up, (int64_t)n);
}

void cf_bsq_input(struct cf_dnn *dnn, float *tok, const float *sum, struct cf_scale full,
                  struct cf_scale s, int d, int patchify, float *work)
{
    size_t n = floats(full, d);
    float *fine = patchify ? work : tok, *rows = work + 2 * n;
    int f = patchify ? 2 : 1;

    cf_resize_bilinear(dnn, fine, s.h * f, s.w * f, sum, full.h, full.w, d, rows);
    if (patchify)
        cf_pixel_unshuffle(tok, fine, s.h, s.w, d, 2);
}

enum cf_status cf_bsq_residual(struct cf_dnn *dnn, uint64_t *code, const float *latent,
                               const float *sum, struct cf_scale full, struct cf_scale s,
                               int d, float *work, struct cf_error *err)
{
    size_t n = floats(full, d);
    float *missing = work, *grid = work + n, *rows = work + 2 * n;

    cf_mix(dnn, missing, latent, 1.0f, sum, -1.0f, (int64_t)n);
    cf_resize_area(dnn, grid, s.h, s.w, missing, full.h, full.w, d, rows);
    return cf_bsq_encode(code, grid, (int64_t)s.h * s.w, d, err);
}
