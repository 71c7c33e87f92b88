/* textenc_hold_test.c - the encoders over weights of every type, packed and read in
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/retype.h"
#include "tests/textenc_paths.h"
#include "tests/weights_util.h"
#include "textenc/encoder.h"
#include "weights/safetensors.h"

#define GOLDEN "tests/golden/textenc/"

static const struct {
    const char *name;
    int hidden, layers;
    double most[CF_NWTYPE]; /* relative L2 error of features; twice what was seen */
} model[] = {{"t5-tiny", 48, 4, {1e-5, 3e-3, 2e-2, 9e-2, 0.32}},
             {"qwen2-tiny-tied", 64, 4, {1e-5, 2e-3, 1.2e-2, 5e-2, 0.7}},
             {"qwen3-tiny", 48, 5, {1e-5, 1e-5, 2e-2, 6e-2, 6e-2}}};
enum { MODELS = 3, MAX_H = 64 };

static char *dir; /* temporary: a directory for each model and type */

static struct cf_dnn *open_dnn(int threads)
{
    struct cf_error err = {0};
    enum cf_cpu level;
    struct cf_dnn *dnn;

    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, threads, &err), CF_OK);
    return dnn;
}

static struct cf_encoder *open_path(struct cf_dnn *dnn, const char *path,
                                    enum cf_hold hold)
{
    struct cf_error err = {0};
    struct cf_encoder *e;

    if (cf_encoder_open(&e, dnn, path, 0, hold, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return e;
}

/* A file with the matrices of model k as type, its config.json beside it. Static: good
 * until the next call. */
static const char *typed(int k, enum cf_wtype type)
{
    static char file[TEST_PATH];
    char source[TEST_PATH];
    unsigned char *config;
    size_t n;

    snprintf(source, sizeof(source), GOLDEN "%s/config.json", model[k].name);
    config = util_read(util_src(source), &n);
    util_write(util_path(dir, "config.json"), config, n);
    free(config);
    snprintf(source, sizeof(source), GOLDEN "%s/model.safetensors", model[k].name);
    snprintf(file, sizeof(file), "%s/%s-%s.safetensors", dir, model[k].name,
             cf_wtype_name(type));
    if (access(file, F_OK) != 0)
        util_retype(file, util_src(source), type);
    return file;
}

enum { CROWD = 3, ROWS = 1 + 7 + 41 };
static const int crowd[CROWD] = {1, 7, 41};

/* Features of all prompts, dst [ROWS, hidden]; together or one by one. */
static void encode(struct cf_encoder *e, int layers, int together, float *dst)
{
    const int h = cf_encoder_shape(e).hidden;
    struct cf_enc_seq seq[CROWD];
    struct cf_error err = {0};
    int32_t ids[ROWS];
    int row = 0;

    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)(cf_rng_u32(3, CF_RNG_TEST, 0, (uint32_t)i, 0) % 300);
    for (int i = 0; i < CROWD; i++) {
        seq[i] = (struct cf_enc_seq){ids + row, NULL, crowd[i]};
        if (!together &&
            cf_encoder_forward(e, &seq[i], 1, &layers, 1, dst + row * h, &err) != CF_OK)
            fail_msg("%s", err.msg);
        row += crowd[i];
    }
    if (together && cf_encoder_forward(e, seq, CROWD, &layers, 1, dst, &err) != CF_OK)
        fail_msg("%s", err.msg);
}

static double apart(const float *a, const float *b, int n)
{
    double off = 0.0, all = 0.0;

    for (int i = 0; i < n; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)a[i] * a[i];
    }
    return sqrt(off / all);
}

static void mapped_floats_give_what_packed_ones_give(void **state)
{
    static float a[ROWS * MAX_H], b[ROWS * MAX_H];
    struct cf_dnn *dnn = open_dnn(2);

    (void)state;
    for (int k = 0; k < MODELS; k++)
        for (int type = CF_W_F32; type <= CF_W_BF16; type++) {
            const char *file = typed(k, (enum cf_wtype)type);
            struct cf_encoder *pack = open_path(dnn, file, CF_HOLD_PACK);
            struct cf_encoder *map = open_path(dnn, file, CF_HOLD_MAP);

            encode(pack, model[k].layers, 1, a);
            encode(map, model[k].layers, 1, b);
            assert_true(apart(a, b, ROWS * model[k].hidden) < 1e-5);
            cf_encoder_close(map);
            cf_encoder_close(pack);
        }
    cf_dnn_close(dnn);
}

/* Against the f32 model packed, which meets the recorded features. */
static void the_error_of_each_type_is_bounded(void **state)
{
    static float exact[ROWS * MAX_H], got[ROWS * MAX_H];
    struct cf_dnn *dnn = open_dnn(1);

    (void)state;
    for (int k = 0; k < MODELS; k++) {
        struct cf_encoder *e = open_path(dnn, typed(k, CF_W_F32), CF_HOLD_PACK);

        encode(e, model[k].layers, 1, exact);
        cf_encoder_close(e);
        for (int type = CF_W_F32; type < CF_NWTYPE; type++) {
            double off;

            e = open_path(dnn, typed(k, (enum cf_wtype)type), CF_HOLD_MAP);
            encode(e, model[k].layers, 1, got);
            off = apart(exact, got, ROWS * model[k].hidden);
            print_message("# %s %s: features off by %.2g\n", model[k].name,
                          cf_wtype_name((enum cf_wtype)type), off);
            assert_true(off < model[k].most[type]);
            /* They were read as that type; one of the files is of F16. */
            assert_true(type <= CF_W_F16 || off > 0.0);
            cf_encoder_close(e);
        }
    }
    cf_dnn_close(dnn);
}

static void neighbours_and_threads_never_change_a_bit(void **state)
{
    static float alone[ROWS * MAX_H], packed[ROWS * MAX_H];

    (void)state;
    for (int k = 0; k < MODELS; k++)
        for (int type = CF_W_F32; type < CF_NWTYPE; type++)
            for (int threads = 1; threads <= 3; threads++) {
                struct cf_dnn *dnn = open_dnn(threads);
                struct cf_encoder *e =
                    open_path(dnn, typed(k, (enum cf_wtype)type), CF_HOLD_MAP);

                if (threads == 1)
                    encode(e, model[k].layers, 0, alone);
                encode(e, model[k].layers, 1, packed);
                assert_memory_equal(alone, packed,
                                    (size_t)(ROWS * model[k].hidden) * sizeof(float));
                cf_encoder_close(e);
                cf_dnn_close(dnn);
            }
}

static void a_mapped_file_may_be_removed(void **state)
{
    static float before[ROWS * MAX_H], after[ROWS * MAX_H];
    struct cf_dnn *dnn = open_dnn(1);

    (void)state;
    for (int k = 0; k < MODELS; k++) {
        const char *file = typed(k, CF_W_I8);
        struct cf_encoder *e = open_path(dnn, file, CF_HOLD_MAP);

        encode(e, model[k].layers, 1, before);
        assert_int_equal(unlink(file), 0);
        encode(e, model[k].layers, 1, after);
        assert_memory_equal(before, after, sizeof(before));
        cf_encoder_close(e);
    }
    cf_dnn_close(dnn);
}

static void what_is_held_is_told(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);

    (void)state;
    for (int k = 0; k < MODELS; k++) {
        struct cf_encoder *pack = open_path(dnn, typed(k, CF_W_BF16), CF_HOLD_PACK);
        struct cf_encoder *map = open_path(dnn, typed(k, CF_W_BF16), CF_HOLD_MAP);
        struct cf_held a = cf_encoder_held(pack), b = cf_encoder_held(map);

        assert_int_equal(a.mapped, 0);
        assert_true(b.mapped > 0 && b.own > 0);
        assert_int_equal(a.own - b.own, 2 * b.mapped); /* two bytes packed as four */
        cf_encoder_close(map);
        cf_encoder_close(pack);
    }
    cf_dnn_close(dnn);
}

/* Features of real T5 weights pass what half precision can say between the blocks. */
static void the_residual_stream_is_f32_whatever_the_weights_are(void **state)
{
    static float exact[ROWS * MAX_H], got[ROWS * MAX_H];
    struct cf_dnn *dnn = open_dnn(1);
    char big[TEST_PATH], small[TEST_PATH];
    struct cf_encoder *e;
    unsigned char *bytes;
    struct cf_st *st;
    float top = 0.0f;
    size_t n;

    (void)state;
    typed(0, CF_W_F32); /* and its config.json */
    snprintf(big, sizeof(big), "%s/big.safetensors", dir);
    snprintf(small, sizeof(small), "%s/big-half.safetensors", dir);
    bytes = util_read(util_src(GOLDEN "t5-tiny/model.safetensors"), &n);
    assert_int_equal(cf_st_parse(&st, bytes, n, "t5", NULL), CF_OK);
    for (int i = 0; i < cf_st_count(st); i++) {
        const struct cf_view *v = cf_st_view(st, i);
        unsigned char *at = bytes + ((const unsigned char *)v->data - bytes);

        if (!strstr(cf_st_name(st, i), ".wo.weight"))
            continue;
        for (int64_t j = 0; j < cf_view_count(v); j++, at += 4) {
            float x;

            memcpy(&x, at, 4);
            x *= 1e5f;
            memcpy(at, &x, 4);
        }
    }
    cf_st_close(st);
    util_write(big, bytes, n);
    free(bytes);

    e = open_path(dnn, big, CF_HOLD_PACK);
    encode(e, CF_ENC_PRE_NORM, 1, exact);
    cf_encoder_close(e);
    for (int i = 0; i < ROWS * 48; i++)
        top = fmaxf(top, fabsf(exact[i]));
    assert_true(top > 65504.0f); /* more than a half-precision number holds */
    for (int type = CF_W_F16; type <= CF_W_BF16; type++) {
        util_retype(small, big, (enum cf_wtype)type);
        e = open_path(dnn, small, CF_HOLD_MAP);
        encode(e, CF_ENC_PRE_NORM, 1, got);
        assert_true(apart(exact, got, ROWS * 48) < (type == CF_W_F16 ? 3e-3 : 2e-2));
        cf_encoder_close(e);
    }
    cf_dnn_close(dnn);
}

static int make_dir(void **state)
{
    (void)state;
    dir = util_mkdir();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    util_rmdir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped_floats_give_what_packed_ones_give),
        cmocka_unit_test(the_error_of_each_type_is_bounded),
        cmocka_unit_test(neighbours_and_threads_never_change_a_bit),
        cmocka_unit_test(a_mapped_file_may_be_removed),
        cmocka_unit_test(what_is_held_is_told),
        cmocka_unit_test(the_residual_stream_is_f32_whatever_the_weights_are),
    };

    return cmocka_run_group_tests_name("encoder weights", tests, make_dir, remove_dir);
}
