/* t5_test.c - T5's hidden states against the reference, and against themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/golden.h"
#include "tests/textenc_paths.h"
#include "tests/weights_util.h"
#include "textenc/encoder.h"
#include "textenc/t5.h"

#define TINY "tests/golden/textenc/t5-tiny"
enum { H = 48, L = 4 }; /* of TINY */

static struct cf_dnn *open_dnn(int threads)
{
    struct cf_error err = {0};
    enum cf_cpu level;
    struct cf_dnn *dnn;

    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, threads, &err), CF_OK);
    return dnn;
}

static struct cf_encoder *open_encoder(struct cf_dnn *dnn, const char *path, int layers)
{
    struct cf_error err = {0};
    struct cf_encoder *e;

    if (cf_encoder_open(&e, dnn, path, layers, CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_encoder_shape(e).family, CF_FAMILY_T5);
    return e;
}

static struct cf_encoder *open_tiny(struct cf_dnn *dnn, int layers)
{
    char path[TEST_PATH];

    return open_encoder(dnn, in_tree(path, TINY), layers);
}

static void forward(struct cf_encoder *e, const struct cf_enc_seq *seq, int n_seq,
                    const int *taps, int n_taps, float *dst)
{
    struct cf_error err = {0};

    if (cf_encoder_forward(e, seq, n_seq, taps, n_taps, dst, &err) != CF_OK)
        fail_msg("%s", err.msg);
}

static void draw_ids(int32_t *ids, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)(cf_rng_u32(seed, CF_RNG_TEST, 0, (uint32_t)i, 0) % 2000);
}

static void every_recorded_tensor_is_met(void **state)
{
    char path[TEST_PATH];

    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        struct cf_golden g = {0, 0, threads};

        assert_true(cf_golden_textenc(&g, in_tree(path, TINY)) >= 2);
        assert_int_equal(g.failed, 0);
    }
}

/* ---- relative positions ---- */

static void buckets_begin_where_the_reference_has_them(void **state)
{
    static const int first[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
    enum { STARTS = sizeof(first) / sizeof(first[0]) };

    (void)state;
    assert_int_equal(cf_t5_bucket(0, 32, 128), 0);
    for (int i = 0; i < STARTS; i++) {
        assert_int_equal(cf_t5_bucket(first[i], 32, 128), 17 + i);
        assert_int_equal(cf_t5_bucket(-first[i], 32, 128), 1 + i);
        if (i > 0)
            assert_int_equal(cf_t5_bucket(first[i] - 1, 32, 128), 16 + i);
    }
}

static void a_bucket_is_always_a_row_of_the_table(void **state)
{
    static const int buckets[] = {4, 5, 6, 7, 32, 4096}, most[] = {2, 2, 3, 200, 9, 1025};
    static const int64_t far[] = {INT64_C(1) << 40, CF_ENC_MAX_LEN, 1000, 77};

    (void)state;
    for (int i = 0; i < 6; i++) {
        int before = -1;

        for (int64_t r = 1; r < 3000; r++) {
            int ahead = cf_t5_bucket(r, buckets[i], most[i]);
            int behind = cf_t5_bucket(-r, buckets[i], most[i]);

            assert_in_range(ahead, buckets[i] / 2, buckets[i] / 2 * 2 - 1);
            assert_int_equal(ahead - buckets[i] / 2, behind);
            assert_true(ahead >= before);
            before = ahead;
        }
        for (int j = 0; j < 4; j++)
            assert_in_range(cf_t5_bucket(far[j], buckets[i], most[i]), 0, buckets[i] - 1);
    }
}

/* ---- repeatability ---- */

enum { CROWD = 5, ROWS = 1 + 7 + 64 + 3 + 330 };
static const int crowd[CROWD] = {1, 7, 64, 3, 330};

static void neighbours_and_threads_never_change_a_bit(void **state)
{
    static float alone[ROWS * H], packed[ROWS * H];
    struct cf_enc_seq seq[CROWD];
    const int last = L;
    int32_t ids[ROWS];

    (void)state;
    draw_ids(ids, ROWS, 1);
    for (int threads = 1; threads <= 3; threads++) {
        struct cf_dnn *dnn = open_dnn(threads);
        struct cf_encoder *e = open_tiny(dnn, 0);
        int row = 0;

        /* One by one the table of distances grows; then it is longer than most need. */
        for (int i = 0; i < CROWD; i++) {
            seq[i] = (struct cf_enc_seq){ids + row, NULL, crowd[i]};
            if (threads == 1)
                forward(e, &seq[i], 1, &last, 1, alone + row * H);
            row += crowd[i];
        }
        for (int again = 0; again < 2; again++) {
            memset(packed, 0, sizeof(packed));
            forward(e, seq, CROWD, &last, 1, packed);
            assert_memory_equal(alone, packed, sizeof(alone));
        }
        cf_encoder_close(e);
        cf_dnn_close(dnn);
    }
}

static void padding_on_the_right_is_never_seen(void **state)
{
    enum { N = 9, T = 140 };
    static float padded[T * H], alone[N * H];
    struct cf_dnn *dnn = open_dnn(2);
    struct cf_encoder *e = open_tiny(dnn, 0);
    uint8_t mask[T] = {0};
    const int last = L;
    int32_t ids[T];

    (void)state;
    draw_ids(ids, T, 3);
    memset(mask, 1, N);
    forward(e, &(struct cf_enc_seq){ids, mask, T}, 1, &last, 1, padded);
    forward(e, &(struct cf_enc_seq){ids, NULL, N}, 1, &last, 1, alone);
    assert_memory_equal(padded, alone, sizeof(alone));
    cf_encoder_close(e);
    cf_dnn_close(dnn);
}

/* ---- taps and layers ---- */

static void taps_stand_side_by_side_and_blocks_above_are_not_needed(void **state)
{
    enum { N = 6 };
    static float three[N * 3 * H], one[N * H], pre[N * H];
    static const int taps[3] = {2, 0, 1};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_encoder *part = open_tiny(dnn, 2), *whole = open_tiny(dnn, 0);
    const int last = L, unnormed = CF_ENC_PRE_NORM;
    int32_t ids[N];
    const struct cf_enc_seq seq = {ids, NULL, N};
    struct cf_error err = {0};

    (void)state;
    draw_ids(ids, N, 4);
    forward(part, &seq, 1, taps, 3, three);
    for (size_t t = 0; t < 3; t++) {
        forward(whole, &seq, 1, &taps[t], 1, one);
        for (size_t r = 0; r < N; r++)
            assert_memory_equal(three + (r * 3 + t) * H, one + r * H, H * sizeof(float));
    }
    forward(whole, &seq, 1, &last, 1, one);
    forward(whole, &seq, 1, &unnormed, 1, pre);
    assert_memory_not_equal(one, pre, sizeof(one));
    assert_int_equal(cf_encoder_forward(part, &seq, 1, &last, 1, one, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_forward(part, &seq, 1, &unnormed, 1, one, &err),
                     CF_ERANGE);
    cf_encoder_close(part);
    cf_encoder_close(whole);
    cf_dnn_close(dnn);
}

/* ---- models made here: V 20, d_model 12, 3 heads, d_ff 20, 2 blocks ---- */

struct made {
    int d_kv;          /* as the file says */
    int real;          /* channels of a head that are not 0 */
    const char *embed; /* its name */
    bool decoder;      /* tensors of a decoder too */
    bool nan;          /* in the embedding of id 7 */
};

struct writer {
    json_t *header;
    float *data;
    size_t n, cap;
};

/* [rows, cols] drawn by name and place. Of rows (or columns) in heads of d_kv, those past
 * `real` are 0, and the others are what they are where d_kv is real. */
static void put(struct writer *w, const struct made *m, const char *name, int rows,
                int cols, char heads)
{
    size_t at = w->n, count = (size_t)rows * (size_t)cols;
    uint32_t seed = 5;

    for (const char *s = name; *s; s++)
        seed = seed * 31 + (uint8_t)*s;
    assert_int_equal(cf_grow(&w->data, &w->cap, at + count, sizeof(float), NULL), CF_OK);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) {
            int k = heads == 'r' ? r : heads == 'c' ? c : 0, place = k % m->d_kv;
            int packed = heads ? k / m->d_kv * m->real + place : 0;
            uint32_t x =
                cf_rng_u32(seed, CF_RNG_TEST, 0, (uint32_t)(heads == 'r' ? packed : r),
                           (uint32_t)(heads == 'c' ? packed : c));

            w->data[w->n++] = heads && place >= m->real
                                  ? 0
                                  : (float)(x >> 8) * 0x1p-24f - (cols > 1 ? 0.5f : 0);
        }
    json_object_set_new(
        w->header, name,
        cols > 1 || heads
            ? json_pack("{s:s,s:[ii],s:[II]}", "dtype", "F32", "shape", rows, cols,
                        "data_offsets", (json_int_t)at * 4, (json_int_t)w->n * 4)
            : json_pack("{s:s,s:[i],s:[II]}", "dtype", "F32", "shape", rows,
                        "data_offsets", (json_int_t)at * 4, (json_int_t)w->n * 4));
}

static void put_block(struct writer *w, const struct made *m, int i)
{
    static const struct {
        const char *name;
        int rows, cols; /* 0: heads * d_kv */
        char heads;
    } t[] = {{"0.SelfAttention.q.weight", 0, 12, 'r'},
             {"0.SelfAttention.k.weight", 0, 12, 'r'},
             {"0.SelfAttention.v.weight", 0, 12, 'r'},
             {"0.SelfAttention.o.weight", 12, 0, 'c'},
             {"0.layer_norm.weight", 12, 1, 0},
             {"1.layer_norm.weight", 12, 1, 0},
             {"1.DenseReluDense.wi_0.weight", 20, 12, 0},
             {"1.DenseReluDense.wi_1.weight", 20, 12, 0},
             {"1.DenseReluDense.wo.weight", 12, 20, 0}};
    char name[128];

    for (size_t k = 0; k < sizeof(t) / sizeof(t[0]); k++) {
        snprintf(name, sizeof(name), "encoder.block.%d.layer.%s", i, t[k].name);
        put(w, m, name, t[k].rows ? t[k].rows : 3 * m->d_kv,
            t[k].cols ? t[k].cols : 3 * m->d_kv, t[k].heads);
    }
}

static void write_model(const char *dir, const struct made *m)
{
    struct writer w = {json_object(), NULL, 0, 0};
    char config[400], *header, *file;
    size_t len;

    put(&w, m, "x.embed", 20, 12, 0); /* drawn the same whatever its name */
    if (m->nan)
        memset(w.data + 7 * 12, 0xff, 4);
    json_object_set(w.header, m->embed, json_object_get(w.header, "x.embed"));
    json_object_del(w.header, "x.embed");
    put(&w, m, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 8,
        3, 0);
    put(&w, m, "encoder.final_layer_norm.weight", 12, 1, 0);
    for (int i = 0; i < 2; i++)
        put_block(&w, m, i);
    if (m->decoder) {
        put(&w, m, "decoder.block.0.layer.0.SelfAttention.q.weight", 5, 7, 0);
        put(&w, m, "decoder.embed_tokens.weight", 3, 2, 0);
        put(&w, m, "lm_head.weight", 20, 12, 0);
    }
    header = json_dumps(w.header, JSON_COMPACT);
    len = strlen(header);
    file = malloc(8 + len + w.n * 4);
    for (int i = 0; i < 8; i++)
        file[i] = (char)(i < 4 ? len >> 8 * i & 0xff : 0);
    memcpy(file + 8, header, len);
    memcpy(file + 8 + len, w.data, w.n * 4);
    util_write(util_path(dir, "model.safetensors"), file, 8 + len + w.n * 4);
    snprintf(config, sizeof(config),
             "{\"model_type\":\"t5\",\"d_model\":12,\"d_kv\":%d,\"num_heads\":3,"
             "\"d_ff\":20,\"num_layers\":2,\"vocab_size\":20,"
             "\"layer_norm_epsilon\":1e-6,\"relative_attention_num_buckets\":8,"
             "\"relative_attention_max_distance\":20,"
             "\"feed_forward_proj\":\"gated-gelu\"}",
             m->d_kv);
    util_write_text(util_path(dir, "config.json"), config);
    free(file);
    free(header);
    cf_free(w.data);
    json_decref(w.header);
}

enum { MADE_N = 17 };
static const int32_t made_ids[MADE_N] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 19};

static enum cf_status run_held(const struct made *m, enum cf_hold hold, float *dst,
                               struct cf_error *err)
{
    char *dir = util_mkdir();
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_encoder *e = NULL;
    const int last = 2;
    enum cf_status st;

    write_model(dir, m);
    st = cf_encoder_open(&e, dnn, dir, 0, hold, err);
    if (st == CF_OK)
        st = cf_encoder_forward(e, &(struct cf_enc_seq){made_ids, NULL, MADE_N}, 1, &last,
                                1, dst, err);
    cf_encoder_close(e);
    cf_dnn_close(dnn);
    util_rmdir(dir);
    return st;
}

static enum cf_status run_made(const struct made *m, float *dst, struct cf_error *err)
{
    return run_held(m, CF_HOLD_PACK, dst, err);
}

static void must_run(const struct made *m, float *dst)
{
    struct cf_error err = {0};

    if (run_made(m, dst, &err) != CF_OK)
        fail_msg("%s", err.msg);
}

static void heads_of_any_width_are_those_of_a_wider_one_with_zeros(void **state)
{
    static const int real[] = {1, 2, 3, 5, 6, 7, 10};
    float a[MADE_N * 12], b[MADE_N * 12];

    (void)state;
    for (int i = 0; i < 7; i++) {
        struct made m = {real[i], real[i], "shared.weight", false, false};

        must_run(&m, a);
        m.d_kv = (real[i] + 3) / 4 * 4;
        must_run(&m, b);
        assert_memory_equal(a, b, sizeof(a));
    }
}

static void heads_of_any_width_run_beside_mapped_matrices(void **state)
{
    float a[MADE_N * 12], b[MADE_N * 12];

    (void)state;
    for (int real = 1; real <= 9; real++) {
        struct made m = {real, real, "shared.weight", false, false};
        struct cf_error err = {0};

        must_run(&m, a);
        if (run_held(&m, CF_HOLD_MAP, b, &err) != CF_OK)
            fail_msg("%s", err.msg);
        for (int i = 0; i < MADE_N * 12; i++)
            assert_true(fabsf(a[i] - b[i]) < 1e-5f);
    }
}

static void the_embedding_has_two_names_and_the_decoder_is_skipped(void **state)
{
    struct made m = {8, 8, "shared.weight", false, false};
    float a[MADE_N * 12], b[MADE_N * 12];
    struct cf_error err = {0};

    (void)state;
    must_run(&m, a);
    m.embed = "encoder.embed_tokens.weight";
    m.decoder = true;
    must_run(&m, b);
    assert_memory_equal(a, b, sizeof(a));
    m.embed = "decoder.embed_tokens.weight";
    m.decoder = false;
    assert_int_equal(run_made(&m, a, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "shared.weight"));
}

static void a_weight_that_is_no_number_is_an_error(void **state)
{
    struct made m = {4, 4, "shared.weight", false, true};
    float dst[MADE_N * 12];
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(run_made(&m, dst, &err), CF_ENUMERIC);
}

/* ---- interruptions ---- */

static void a_flag_stops_the_forward_and_leaves_the_model_usable(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_encoder *e = open_tiny(dnn, 0);
    const int32_t ids[2] = {1, 2};
    const struct cf_enc_seq seq = {ids, NULL, 2};
    struct cf_cancel cancel = {0};
    struct cf_error err = {0};
    float dst[2 * H];
    const int last = L;

    (void)state;
    cf_encoder_cancel(e, &cancel);
    cf_cancel_set(&cancel);
    assert_int_equal(cf_encoder_forward(e, &seq, 1, &last, 1, dst, &err), CF_ECANCEL);
    cf_encoder_cancel(e, NULL);
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_forward(e, &seq, 1, &last, 1, dst, &err), CF_OK);
    cf_encoder_close(e);
    cf_dnn_close(dnn);
}

/* ---- refusals ---- */

static void ids_and_lengths_out_of_range_are_named(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_encoder *e = open_tiny(dnn, 0);
    int32_t ids[2] = {1, 2112};
    struct cf_enc_seq seq = {ids, NULL, 2};
    struct cf_error err = {0};
    const int last = L;
    float dst[2 * H];

    (void)state;
    assert_int_equal(cf_encoder_forward(e, &seq, 1, &last, 1, dst, &err), CF_ERANGE);
    assert_string_equal(err.msg, "prompt 0: id 2112 at 1, expected 0..2111");
    seq.n = 0;
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_forward(e, &seq, 1, &last, 1, dst, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_forward(e, &seq, 0, &last, 1, dst, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_prefix(e, ids, 1, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "T5"));
    cf_encoder_close(e);
    cf_dnn_close(dnn);
}

/* TINY's config with one key changed (removed where value is NULL), its own weights. */
static void refuse_changed(struct cf_dnn *dnn, const char *key, json_t *value,
                           const char *word)
{
    char config[TEST_PATH], path[TEST_PATH], weights[TEST_PATH];
    struct cf_error err = {0};
    struct cf_t5 *m;
    json_t *c = json_load_file(in_tree(path, TINY "/config.json"), 0, NULL);

    if (value)
        json_object_set_new(c, key, value);
    else
        json_object_del(c, key);
    assert_int_equal(json_dump_file(c, in_build(config, "t5_config.tmp"), 0), 0);
    json_decref(c);
    assert_int_not_equal(
        cf_t5_open_pair(&m, dnn, config, in_tree(weights, TINY), 0, CF_HOLD_PACK, &err),
        CF_OK);
    assert_null(m);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not name %s", err.msg, word);
    remove(config);
}

static void weights_and_configs_that_do_not_fit_are_named(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_error err = {0};
    struct cf_encoder *e;
    char path[TEST_PATH];

    (void)state;
    refuse_changed(dnn, "num_layers", json_integer(5), "encoder.block.4.layer.0.");
    refuse_changed(dnn, "vocab_size", json_integer(2113), "shared.weight");
    refuse_changed(dnn, "d_ff", json_integer(97), "wi_0.weight");
    refuse_changed(dnn, "d_kv", json_integer(15), "SelfAttention.q.weight");
    refuse_changed(dnn, "num_heads", json_integer(4), "relative_attention_bias");
    refuse_changed(dnn, "relative_attention_num_buckets", json_integer(16),
                   "relative_attention_bias");
    refuse_changed(dnn, "relative_attention_num_buckets", json_integer(3), "num_buckets");
    refuse_changed(dnn, "relative_attention_max_distance", json_integer(8),
                   "max_distance 8");
    refuse_changed(dnn, "feed_forward_proj", json_string("relu"), "relu");
    refuse_changed(dnn, "feed_forward_proj", json_string("gated-silu"), "gated-silu");
    refuse_changed(dnn, "feed_forward_proj", NULL, "feed_forward_proj");
    refuse_changed(dnn, "dense_act_fn", json_string("gelu"), "dense_act_fn");
    refuse_changed(dnn, "is_gated_act", json_false(), "is_gated_act");
    refuse_changed(dnn, "model_type", json_string("umt5"), "umt5");
    refuse_changed(dnn, "quantization_config", json_object(), "quantiz");
    refuse_changed(dnn, "d_model", NULL, "d_model");
    assert_int_equal(cf_encoder_open(&e, dnn, in_tree(path, TINY), 5, CF_HOLD_PACK, &err),
                     CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(cf_encoder_open(&e, dnn, "/nonexistent", 0, CF_HOLD_PACK, &err),
                     CF_ENOENT);
    assert_null(e);
    cf_dnn_close(dnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_tensor_is_met),
        cmocka_unit_test(buckets_begin_where_the_reference_has_them),
        cmocka_unit_test(a_bucket_is_always_a_row_of_the_table),
        cmocka_unit_test(neighbours_and_threads_never_change_a_bit),
        cmocka_unit_test(padding_on_the_right_is_never_seen),
        cmocka_unit_test(taps_stand_side_by_side_and_blocks_above_are_not_needed),
        cmocka_unit_test(heads_of_any_width_are_those_of_a_wider_one_with_zeros),
        cmocka_unit_test(heads_of_any_width_run_beside_mapped_matrices),
        cmocka_unit_test(the_embedding_has_two_names_and_the_decoder_is_skipped),
        cmocka_unit_test(a_weight_that_is_no_number_is_an_error),
        cmocka_unit_test(a_flag_stops_the_forward_and_leaves_the_model_usable),
        cmocka_unit_test(ids_and_lengths_out_of_range_are_named),
        cmocka_unit_test(weights_and_configs_that_do_not_fit_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
