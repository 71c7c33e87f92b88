/* qwen2_test.c - hidden states against the reference, and against themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/golden.h"
#include "tests/textenc_paths.h"
#include "textenc/qwen2.h"

#define GOLDEN "tests/golden/textenc/"

static const char *const model_dir[] = {GOLDEN "qwen2-tiny-tied",
                                        GOLDEN "qwen2-tiny-sharded", GOLDEN "qwen3-tiny"};
enum { MODELS = 3, MAX_H = 64 };

static struct cf_dnn *open_dnn(int threads)
{
    struct cf_error err = {0};
    enum cf_cpu level;
    struct cf_dnn *dnn;

    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, threads, &err), CF_OK);
    return dnn;
}

static struct cf_qwen2 *open_model(struct cf_dnn *dnn, const char *rel, int layers)
{
    struct cf_error err = {0};
    struct cf_qwen2 *m;
    char path[TEST_PATH];

    if (cf_qwen2_open(&m, dnn, in_tree(path, rel), layers, CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return m;
}

static void forward(struct cf_qwen2 *m, const struct cf_qwen2_prefix *prefix,
                    const struct cf_enc_seq *seq, int n_seq, const int *taps, int n_taps,
                    float *dst)
{
    struct cf_error err = {0};

    if (cf_qwen2_forward(m, prefix, seq, n_seq, taps, n_taps, dst, &err) != CF_OK)
        fail_msg("%s", err.msg);
}

static void draw_ids(int32_t *ids, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)(cf_rng_u32(seed, CF_RNG_TEST, 0, (uint32_t)i, 0) % 300);
}

static void every_recorded_tensor_is_met(void **state)
{
    char path[TEST_PATH];

    (void)state;
    for (int i = 0; i < MODELS; i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            struct cf_golden g = {0, 0, threads};

            assert_true(cf_golden_textenc(&g, in_tree(path, model_dir[i])) >= 2);
            assert_int_equal(g.failed, 0);
        }
}

static void configs_patterns_chats_and_all_else_recorded_is_met(void **state)
{
    struct cf_golden g = {0, 0, 2};
    char path[TEST_PATH];

    (void)state;
    assert_true(cf_golden_textenc(&g, in_tree(path, GOLDEN)) >= 35);
    assert_int_equal(g.failed, 0);
}

/* ---- repeatability ---- */

enum { CROWD = 5, ROWS = 1 + 7 + 64 + 3 + 130 };
static const int crowd[CROWD] = {1, 7, 64, 3, 130};

static void neighbours_and_threads_never_change_a_bit(void **state)
{
    static float alone[ROWS * MAX_H], packed[ROWS * MAX_H];
    struct cf_enc_seq seq[CROWD];
    int32_t ids[ROWS];

    (void)state;
    draw_ids(ids, ROWS, 1);
    for (int k = 0; k < MODELS; k++)
        for (int threads = 1; threads <= 3; threads++) {
            struct cf_dnn *dnn = open_dnn(threads);
            struct cf_qwen2 *m = open_model(dnn, model_dir[k], 0);
            const int last = cf_qwen2_config(m)->layers, h = cf_qwen2_config(m)->hidden;
            int row = 0;

            for (int i = 0; i < CROWD; i++) {
                seq[i] = (struct cf_enc_seq){ids + row, NULL, crowd[i]};
                if (threads == 1)
                    forward(m, NULL, &seq[i], 1, &last, 1, alone + row * h);
                row += crowd[i];
            }
            forward(m, NULL, seq, CROWD, &last, 1, packed);
            assert_memory_equal(alone, packed, (size_t)ROWS * (size_t)h * sizeof(float));
            cf_qwen2_close(m);
            cf_dnn_close(dnn);
        }
}

static void a_prefix_computed_once_gives_the_bits_of_the_whole(void **state)
{
    enum { HEAD = 77, A = 5, B = 90 };
    static float whole[(HEAD + B) * MAX_H], with[(A + B) * MAX_H];
    int32_t ids[HEAD + A + B], again[HEAD + B];

    (void)state;
    draw_ids(ids, HEAD + A + B, 2);
    memcpy(again, ids, HEAD * sizeof(*ids));
    memcpy(again + HEAD, ids + HEAD + A, B * sizeof(*ids));
    for (int k = 0; k < MODELS; k++) {
        struct cf_dnn *dnn = open_dnn(1 + k);
        struct cf_qwen2 *m = open_model(dnn, model_dir[k], 0);
        const int last = cf_qwen2_config(m)->layers, h = cf_qwen2_config(m)->hidden;
        const struct cf_enc_seq both[2] = {{ids + HEAD, NULL, A},
                                           {ids + HEAD + A, NULL, B}};
        const struct cf_enc_seq one = {ids, NULL, HEAD + A},
                                two = {again, NULL, HEAD + B};
        struct cf_qwen2_prefix *prefix;
        struct cf_error err = {0};

        assert_int_equal(cf_qwen2_prefix_open(&prefix, m, ids, HEAD, &err), CF_OK);
        forward(m, prefix, both, 2, &last, 1, with);
        forward(m, NULL, &one, 1, &last, 1, whole);
        assert_memory_equal(whole + HEAD * h, with,
                            (size_t)A * (size_t)h * sizeof(float));
        forward(m, NULL, &two, 1, &last, 1, whole);
        assert_memory_equal(whole + HEAD * h, with + A * h,
                            (size_t)B * (size_t)h * sizeof(float));
        cf_qwen2_prefix_close(prefix);
        cf_qwen2_close(m);
        cf_dnn_close(dnn);
    }
}

static void padding_on_the_right_is_never_seen(void **state)
{
    enum { N = 9, T = 40 };
    static float padded[T * MAX_H], alone[N * MAX_H];
    uint8_t mask[T] = {0};
    int32_t ids[T];

    (void)state;
    draw_ids(ids, T, 3);
    memset(mask, 1, N);
    for (int k = 0; k < MODELS; k++) {
        struct cf_dnn *dnn = open_dnn(1);
        struct cf_qwen2 *m = open_model(dnn, model_dir[k], 0);
        const int last = cf_qwen2_config(m)->layers, h = cf_qwen2_config(m)->hidden;
        const struct cf_enc_seq a = {ids, mask, T}, b = {ids, NULL, N};

        forward(m, NULL, &a, 1, &last, 1, padded);
        forward(m, NULL, &b, 1, &last, 1, alone);
        assert_memory_equal(padded, alone, (size_t)N * (size_t)h * sizeof(float));
        cf_qwen2_close(m);
        cf_dnn_close(dnn);
    }
}

/* ---- taps and layers ---- */

static void taps_stand_side_by_side_and_layers_above_are_not_needed(void **state)
{
    enum { N = 6 };
    static float three[N * 3 * MAX_H], one[N * MAX_H];
    static const int taps[3] = {2, 0, 1};
    int32_t ids[N];
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_qwen2 *part = open_model(dnn, model_dir[0], 2);
    struct cf_qwen2 *whole = open_model(dnn, model_dir[0], 0);
    const size_t h = (size_t)cf_qwen2_config(part)->hidden;
    const struct cf_enc_seq seq = {ids, NULL, N};
    const int last = 4, pre = CF_ENC_PRE_NORM;
    struct cf_error err = {0};

    (void)state;
    draw_ids(ids, N, 4);
    forward(part, NULL, &seq, 1, taps, 3, three);
    for (size_t t = 0; t < 3; t++) {
        forward(whole, NULL, &seq, 1, &taps[t], 1, one);
        for (size_t r = 0; r < N; r++)
            assert_memory_equal(three + (r * 3 + t) * h, one + r * h, h * sizeof(float));
    }
    assert_int_equal(cf_qwen2_forward(part, NULL, &seq, 1, &last, 1, one, &err),
                     CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_forward(part, NULL, &seq, 1, &pre, 1, one, &err),
                     CF_ERANGE);
    cf_qwen2_close(part);
    cf_qwen2_close(whole);
    cf_dnn_close(dnn);
}

static void a_flag_stops_the_forward_and_leaves_the_model_usable(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_qwen2 *m = open_model(dnn, model_dir[0], 0);
    const int32_t ids[2] = {1, 2};
    const struct cf_enc_seq seq = {ids, NULL, 2};
    struct cf_cancel cancel = {0};
    struct cf_error err = {0};
    float dst[2 * MAX_H];
    const int last = 4;

    (void)state;
    cf_qwen2_cancel(m, &cancel);
    cf_cancel_set(&cancel);
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_ECANCEL);
    cf_qwen2_cancel(m, NULL);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_OK);
    cf_qwen2_close(m);
    cf_dnn_close(dnn);
}

/* ---- refusals ---- */

static void ids_and_lengths_out_of_range_are_named(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_qwen2 *m = open_model(dnn, model_dir[0], 0);
    int32_t ids[2] = {1, 4096};
    struct cf_enc_seq seq = {ids, NULL, 2};
    struct cf_qwen2_prefix *prefix;
    struct cf_error err = {0};
    const int last = 4;
    float dst[2 * MAX_H];

    (void)state;
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_ERANGE);
    assert_string_equal(err.msg, "prompt 0: id 4096 at 1, expected 0..4095");
    ids[1] = -1;
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_ERANGE);
    seq.n = 0;
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 0, &last, 1, dst, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_prefix_open(&prefix, m, ids, 2, &err), CF_ERANGE);
    assert_null(prefix);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_prefix_open(&prefix, m, ids, 0, &err), CF_ERANGE);
    cf_qwen2_close(m);
    cf_dnn_close(dnn);
}

/* The tied model's config with one key changed, against its own weights. */
static void refuse_changed(struct cf_dnn *dnn, const char *key, json_t *value,
                           const char *word)
{
    char config[TEST_PATH], path[TEST_PATH], weights[TEST_PATH];
    struct cf_error err = {0};
    struct cf_qwen2 *m;
    json_t *c =
        json_load_file(in_tree(path, GOLDEN "qwen2-tiny-tied/config.json"), 0, NULL);

    json_object_set_new(c, key, value);
    assert_int_equal(json_dump_file(c, in_build(config, "qwen2_config.tmp"), 0), 0);
    json_decref(c);
    assert_int_not_equal(
        cf_qwen2_open_pair(&m, dnn, config,
                           in_tree(weights, GOLDEN "qwen2-tiny-tied/model.safetensors"),
                           0, CF_HOLD_PACK, &err),
        CF_OK);
    assert_null(m);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not name %s", err.msg, word);
    unlink(config);
}

static void weights_that_do_not_fit_the_config_are_named(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_error err = {0};
    struct cf_qwen2 *m;
    char path[TEST_PATH];

    (void)state;
    refuse_changed(dnn, "num_hidden_layers", json_integer(5), "layers.4.");
    refuse_changed(dnn, "vocab_size", json_integer(4097), "embed_tokens.weight");
    refuse_changed(dnn, "intermediate_size", json_integer(161), "gate_proj.weight");
    refuse_changed(dnn, "num_key_value_heads", json_integer(4), "k_proj");
    refuse_changed(dnn, "model_type", json_string("qwen3"), "head_dim");
    refuse_changed(dnn, "layer_types", json_pack("[s]", "sliding_attention"),
                   "layer_types");
    refuse_changed(dnn, "text_config", json_integer(3), "text_config");
    refuse_changed(dnn, "quantization_config", json_pack("{s:i}", "bits", 4), "quantiz");
    refuse_changed(dnn, "rope_scaling", json_pack("{s:f}", "factor", 4.0),
                   "rope_scaling");
    refuse_changed(dnn, "rope_parameters", json_pack("{s:s}", "rope_type", "yarn"),
                   "yarn");
    assert_int_equal(cf_qwen2_open(&m, dnn, in_tree(path, GOLDEN "qwen2-tiny-tied"), 5,
                                   CF_HOLD_PACK, &err),
                     CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_qwen2_open(&m, dnn, "/nonexistent", 0, CF_HOLD_PACK, &err),
                     CF_ENOENT);
    cf_dnn_close(dnn);
}

static void a_directory_a_file_and_an_index_open_alike(void **state)
{
    static const char *const rel[] = {GOLDEN "qwen2-tiny-sharded", GOLDEN
                                      "qwen2-tiny-sharded/model.safetensors.index.json"};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_qwen2 *m;

    (void)state;
    for (int i = 0; i < 2; i++) {
        m = open_model(dnn, rel[i], 0);
        assert_int_equal(cf_qwen2_config(m)->layers, 6);
        cf_qwen2_close(m);
    }
    m = open_model(dnn, GOLDEN "qwen2-tiny-tied/model.safetensors", 0);
    cf_qwen2_close(m);
    cf_dnn_close(dnn);
}

/* A copy of the tied model whose embedding of id 7 is NaN. */
static void a_weight_that_is_no_number_is_an_error(void **state)
{
    char path[TEST_PATH], config[TEST_PATH], copy[TEST_PATH];
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_error err = {0};
    struct cf_enc_seq seq = {(int32_t[]){6, 7}, NULL, 2};
    struct cf_qwen2 *m;
    const int last = 4;
    float dst[2 * MAX_H];
    char *file;
    size_t len, head, at;
    json_t *header;

    (void)state;
    file = read_all(in_tree(path, GOLDEN "qwen2-tiny-tied/model.safetensors"), &len);
    head = (size_t)cf_load_u64(file);
    header = json_loadb(file + 8, head, 0, NULL);
    at = (size_t)json_integer_value(json_array_get(
        json_object_get(json_object_get(header, "model.embed_tokens.weight"),
                        "data_offsets"),
        0));
    json_decref(header);
    memset(file + 8 + head + at + 7 * 64 * 4, 0xff, 4);
    assert_int_equal(write_all(in_build(copy, "qwen2_nan.tmp.safetensors"), file, len),
                     0);
    free(file);
    if (cf_qwen2_open_pair(&m, dnn, in_tree(config, GOLDEN "qwen2-tiny-tied/config.json"),
                           copy, 0, CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err),
                     CF_ENUMERIC);
    err = (struct cf_error){0};
    seq.n = 1;
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &last, 1, dst, &err), CF_OK);
    cf_qwen2_close(m);
    cf_dnn_close(dnn);
    unlink(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_tensor_is_met),
        cmocka_unit_test(configs_patterns_chats_and_all_else_recorded_is_met),
        cmocka_unit_test(neighbours_and_threads_never_change_a_bit),
        cmocka_unit_test(a_prefix_computed_once_gives_the_bits_of_the_whole),
        cmocka_unit_test(padding_on_the_right_is_never_seen),
        cmocka_unit_test(taps_stand_side_by_side_and_layers_above_are_not_needed),
        cmocka_unit_test(a_flag_stops_the_forward_and_leaves_the_model_usable),
        cmocka_unit_test(ids_and_lengths_out_of_range_are_named),
        cmocka_unit_test(weights_that_do_not_fit_the_config_are_named),
        cmocka_unit_test(a_directory_a_file_and_an_index_open_alike),
        cmocka_unit_test(a_weight_that_is_no_number_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
