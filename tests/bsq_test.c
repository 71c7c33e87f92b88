/* bsq_test.c - the quantizer: bits to latents and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "models/bsq.h"

static struct cf_dnn *dnn;

static float noise(uint32_t i)
{
    return cf_rng_uniform(5, CF_RNG_TEST, 0, i, 0) - 0.5f;
}

static void encode_is_the_inverse_of_decode(void **state)
{
    (void)state;
    for (int d = 1; d <= CF_BSQ_MAX_BITS; d++) {
        uint64_t code[9], back[9];
        float z[9 * CF_BSQ_MAX_BITS];
        struct cf_error err = {0};

        for (uint32_t i = 0; i < 9; i++) {
            code[i] = (uint64_t)cf_rng_u32(1, CF_RNG_TEST, 0, i, 0) << 32 |
                      cf_rng_u32(1, CF_RNG_TEST, 0, i, 1);
            code[i] &= UINT64_MAX >> (64 - d);
        }
        cf_bsq_decode(z, code, 9, d);
        assert_true(z[0] == 1.0f / sqrtf((float)d) || z[0] == -1.0f / sqrtf((float)d));
        assert_int_equal(cf_bsq_encode(back, z, 9, d, &err), CF_OK);
        assert_memory_equal(code, back, sizeof(code));
    }
}

static void zero_is_minus_and_nan_is_told_by_place(void **state)
{
    float f[6] = {0.0f, -0.0f, 1.0f, -1.0f, 1e-30f, NAN};
    struct cf_error err = {0};
    uint64_t code[3];

    (void)state;
    assert_int_equal(cf_bsq_encode(code, f, 2, 2, &err), CF_OK);
    assert_int_equal(code[0], 0);
    assert_int_equal(code[1], 1);
    assert_int_equal(cf_bsq_encode(code, f, 3, 2, &err), CF_ENUMERIC);
    assert_non_null(strstr(err.msg, "token 2, channel 1"));
    err.status = CF_OK;
    assert_int_equal(cf_bsq_encode(code, f, 1, 65, &err), CF_ERANGE);
}

static void bytes_and_codes_convert_both_ways(void **state)
{
    uint64_t code[2] = {UINT64_C(0x8000000000000001), 5}, back[2];
    uint8_t bits[128];

    (void)state;
    cf_bsq_to_bytes(bits, code, 2, 64);
    assert_int_equal(bits[0], 1);
    assert_int_equal(bits[1], 0);
    assert_int_equal(bits[63], 1);
    assert_int_equal(bits[66], 1);
    cf_bsq_from_bytes(back, bits, 2, 64);
    assert_memory_equal(code, back, sizeof(code));
}

static void a_patch_token_is_packed_channel_row_column(void **state)
{
    enum { D = 3, H = 2, W = 3 };
    struct cf_scale s = {H, W};
    uint8_t bits[H * W * 4 * D] = {0}, back[H * W * 4 * D];
    uint64_t code[4 * H * W];

    (void)state;
    /* token (1, 2), channel 2, dy 1, dx 0 */
    bits[(1 * W + 2) * 4 * D + 2 * 4 + 1 * 2 + 0] = 1;
    cf_bsq_pack(code, bits, s, D, 1);
    for (int i = 0; i < 4 * H * W; i++)
        assert_int_equal(code[i], i == 3 * (2 * W) + 4 ? 1 << 2 : 0);
    cf_bsq_unpack(back, code, s, D, 1);
    assert_memory_equal(bits, back, sizeof(bits));
}

static void flips_hit_the_asked_share_and_repeat(void **state)
{
    enum { N = 1000, D = 20 };
    static uint64_t a[N], b[N];
    double flipped = 0.0;

    (void)state;
    memset(a, 0, sizeof(a));
    cf_bsq_flip(a, N, D, 0.0f, 1, 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(a[i], 0);
    cf_bsq_flip(a, N, D, 0.3f, 1, 2);
    for (int i = 0; i < N; i++)
        flipped += __builtin_popcountll(a[i]);
    assert_true(fabs(flipped / (N * D) - 0.3) < 0.02);
    memset(b, 0, sizeof(b));
    cf_bsq_flip(b, N, D, 0.3f, 1, 2);
    assert_memory_equal(a, b, sizeof(a));
    cf_bsq_flip(b, N, D, 0.3f, 1, 3); /* another step, other bits */
    assert_memory_not_equal(a, b, sizeof(a));
    memset(b, 0, sizeof(b));
    cf_bsq_flip(b, N, D, 1.0f, 1, 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(b[i], (1 << D) - 1);
}

static void the_full_scale_is_added_without_resampling(void **state)
{
    enum { D = 4, H = 3, W = 5 };
    struct cf_scale full = {H, W};
    float sum[H * W * D] = {0}, *work = calloc(cf_bsq_work(full, D), sizeof(float));
    uint64_t code[H * W];

    (void)state;
    for (uint32_t i = 0; i < H * W; i++)
        code[i] = cf_rng_u32(2, CF_RNG_TEST, 0, i, 0) & 15;
    cf_bsq_add_scale(dnn, sum, full, code, full, D, work);
    for (int i = 0; i < H * W * D; i++)
        assert_true(sum[i] == ((code[i / D] >> (i % D) & 1) ? 0.5f : -0.5f));
    free(work);
}

/* What the multi-scale code is for: each scale comes nearer to the latent. */
static void every_scale_brings_the_sum_nearer(void **state)
{
    enum { D = 16, H = 8, W = 8 };
    static const struct cf_scale scale[] = {{1, 1}, {2, 2}, {4, 4}, {6, 6}, {8, 8}};
    struct cf_scale full = {H, W};
    float latent[H * W * D], sum[H * W * D] = {0};
    float *work = calloc(cf_bsq_work(full, D), sizeof(float));
    struct cf_error err = {0};
    uint64_t code[H * W];
    double before = INFINITY;

    (void)state;
    for (int i = 0; i < H * W * D; i++)
        latent[i] = 8.0f * noise((uint32_t)i % D) + 4.0f * noise((uint32_t)i);
    for (int s = 0; s < 5; s++) {
        double off = 0.0;

        assert_int_equal(
            cf_bsq_residual(dnn, code, latent, sum, full, scale[s], D, work, &err),
            CF_OK);
        cf_bsq_add_scale(dnn, sum, full, code, scale[s], D, work);
        for (int i = 0; i < H * W * D; i++)
            off += (latent[i] - sum[i]) * (latent[i] - sum[i]);
        if (s != 0)
            assert_true(off < before);
        before = off;
    }
    free(work);
}

/* Repair: flip a coarse scale, and the residual of the next ones undoes most of it. */
static void later_scales_repair_flipped_bits(void **state)
{
    enum { D = 8, N = 8 * 8 * D };
    static const struct cf_scale scale[] = {{1, 1}, {2, 2}, {4, 4},
                                            {8, 8}, {8, 8}, {8, 8}};
    struct cf_scale full = {8, 8};
    float latent[N], *work = calloc(cf_bsq_work(full, D), sizeof(float));
    double off[2] = {0.0, 0.0}, hurt = 0.0;
    struct cf_error err = {0};
    uint64_t code[64];

    (void)state;
    for (int i = 0; i < N; i++)
        latent[i] = 1.5f * noise((uint32_t)i);
    for (int flips = 0; flips < 2; flips++) {
        float sum[N] = {0};

        for (int s = 0; s < 6; s++) {
            assert_int_equal(
                cf_bsq_residual(dnn, code, latent, sum, full, scale[s], D, work, &err),
                CF_OK);
            if (flips && s == 0)
                cf_bsq_flip(code, 1, D, 1.0f, 3, 0);
            cf_bsq_add_scale(dnn, sum, full, code, scale[s], D, work);
            for (int i = 0; flips && s == 0 && i < N; i++)
                hurt += (latent[i] - sum[i]) * (latent[i] - sum[i]);
        }
        for (int i = 0; i < N; i++)
            off[flips] += (latent[i] - sum[i]) * (latent[i] - sum[i]);
    }
    assert_true(off[1] < 0.5 * hurt);
    assert_true(off[1] < 2.0 * off[0]);
    free(work);
}

static int open_dnn(void **state)
{
    struct cf_error err = {0};

    (void)state;
    return cf_dnn_open(&dnn, CF_CPU_AUTO, 2, &err);
}

static int close_dnn(void **state)
{
    (void)state;
    cf_dnn_close(dnn);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_is_the_inverse_of_decode),
        cmocka_unit_test(zero_is_minus_and_nan_is_told_by_place),
        cmocka_unit_test(bytes_and_codes_convert_both_ways),
        cmocka_unit_test(a_patch_token_is_packed_channel_row_column),
        cmocka_unit_test(flips_hit_the_asked_share_and_repeat),
        cmocka_unit_test(the_full_scale_is_added_without_resampling),
        cmocka_unit_test(every_scale_brings_the_sum_nearer),
        cmocka_unit_test(later_scales_repair_flipped_bits),
    };

    return cmocka_run_group_tests_name("bsq", tests, open_dnn, close_dnn);
}
