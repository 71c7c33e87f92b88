/* textenc_test.c - from model.json's "text" object and a prompt to features. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "tests/textenc_paths.h"
#include "textenc/qwen2.h"
#include "textenc/textenc.h"
#include "weights/checkpoint.h"
#include "weights/model.h"

#define TIED "tests/golden/textenc/qwen2-tiny-tied"
#define BPE "tests/golden/textenc/tok-bpe4k"
#define TOK "\"tokenizer\":{\"type\":\"bpe\",\"max_tokens\":40"
#define TOK_SPECIAL TOK ",\"parse_special\":true}"

static struct cf_dnn *open_dnn(int threads)
{
    struct cf_error err = {0};
    enum cf_cpu level;
    struct cf_dnn *dnn;

    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, threads, &err), CF_OK);
    return dnn;
}

static enum cf_status open_text(struct cf_textenc **te, struct cf_dnn *dnn,
                                const char *text, struct cf_error *err)
{
    char enc[TEST_PATH], vocab[TEST_PATH];
    json_t *spec = json_loads(text, 0, NULL);
    enum cf_status st;

    assert_non_null(spec);
    st = cf_textenc_open(te, dnn, spec, in_tree(enc, TIED), in_tree(vocab, BPE),
                         CF_HOLD_PACK, err);
    json_decref(spec);
    return st;
}

static struct cf_textenc *must_open(struct cf_dnn *dnn, const char *text)
{
    struct cf_error err = {0};
    struct cf_textenc *te;

    if (open_text(&te, dnn, text, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return te;
}

static struct cf_textenc *open_shipped(struct cf_dnn *dnn)
{
    struct cf_error err = {0};
    struct cf_textenc *te;
    struct cf_model *model;
    char path[TEST_PATH];

    assert_int_equal(cf_model_open(&model, in_tree(path, "models/" CF_DEFAULT_MODEL),
                                   CF_MODEL_TRUST, &err),
                     CF_OK);
    if (cf_textenc_open(&te, dnn, json_object_get(model->json, "text"),
                        model->path[CF_PART_TEXT], model->path[CF_PART_VOCAB],
                        CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    cf_model_close(model);
    return te;
}

static void free_texts(struct cf_text *t, int n)
{
    for (int i = 0; i < n; i++)
        cf_text_free(&t[i]);
}

static enum cf_status encode_one(struct cf_textenc *te, const char *s, size_t len,
                                 struct cf_text *out, struct cf_error *err)
{
    struct cf_prompt p = {s, len};

    return cf_textenc_encode(te, &p, 1, out, err);
}

/* ---- the shipped model ---- */

static void the_shipped_model_meets_its_golden_features(void **state)
{
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(2);
    struct cf_textenc *te = open_shipped(dnn);
    struct cf_prompt prompt[16];
    struct cf_text text[16];
    struct cf_ckpt *golden;
    const struct cf_view *ids, *lens, *feat;
    json_t *meta, *list, *v;
    char path[TEST_PATH];
    double worst = 0, diff = 0, norm = 0;
    size_t i;
    int64_t row = 0;
    int n;

    (void)state;
    meta = json_load_file(in_tree(path, "tests/golden/" CF_DEFAULT_MODEL "/golden.json"),
                          0, NULL);
    list = json_object_get(meta, "prompts");
    n = (int)json_array_size(list);
    assert_in_range(n, 1, 16);
    json_array_foreach(list, i, v)
    {
        prompt[i] = (struct cf_prompt){json_string_value(v), json_string_length(v)};
    }
    assert_int_equal(cf_ckpt_open(&golden,
                                  in_tree(path, "tests/golden/" CF_DEFAULT_MODEL
                                                "/golden.safetensors"),
                                  &err),
                     CF_OK);
    ids = cf_ckpt_find(golden, "ids");
    lens = cf_ckpt_find(golden, "lens");
    feat = cf_ckpt_find(golden, "text");
    if (cf_textenc_encode(te, prompt, n, text, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_textenc_dim(te), feat->dim[1]);
    for (int p = 0; p < n; p++) {
        int32_t len;

        memcpy(&len, (const int32_t *)lens->data + p, sizeof(len));
        assert_int_equal(text[p].n, len);
        assert_int_equal(text[p].truncated, 0);
        assert_memory_equal(text[p].ids, (const int32_t *)ids->data + row,
                            (size_t)len * sizeof(int32_t));
        for (int64_t j = 0; j < (int64_t)len * text[p].dim; j++) {
            float want;
            double e;

            cf_view_floats(&want, feat, row * text[p].dim + j, 1, &err);
            e = (double)text[p].features[j] - (double)want;
            worst = fabs(e) > worst ? fabs(e) : worst;
            diff += e * e;
            norm += (double)want * (double)want;
        }
        row += len;
    }
    assert_int_equal(row, feat->dim[0]);
    print_message("# shipped features: max abs %.3g, relative L2 %.3g\n", worst,
                  sqrt(diff / norm));
    assert_true(worst <= 1e-4);
    assert_true(sqrt(diff / norm) <= 1e-5);
    free_texts(text, n);
    json_decref(meta);
    cf_ckpt_close(golden);
    cf_textenc_close(te);
    cf_dnn_close(dnn);
}

static void capitals_blanks_and_long_prompts(void **state)
{
    static const char longer[] =
        "red apple red apple red apple red apple red apple red apple red "
        "apple red apple red apple red apple red apple red apple red "
        "apple red apple red apple red apple red apple red apple";
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_textenc *te = open_shipped(dnn);
    struct cf_text a, b;

    (void)state;
    assert_int_equal(encode_one(te, "Red APPLE", 9, &a, &err), CF_OK);
    assert_int_equal(encode_one(te, "red apple", 9, &b, &err), CF_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ids, b.ids, (size_t)a.n * 4);
    cf_text_free(&a);
    cf_text_free(&b);
    assert_int_equal(encode_one(te, longer, strlen(longer), &a, &err), CF_OK);
    assert_int_equal(a.n, 31);
    assert_int_equal(a.ids[30], 2);
    assert_true(a.truncated > 0);
    cf_text_free(&a);
    assert_null(a.ids);
    assert_int_equal(encode_one(te, "", 0, &a, &err), CF_OK);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.ids[0], 2);
    cf_text_free(&a);
    assert_int_equal(encode_one(te, "a\0b", 3, &a, &err), CF_OK);
    cf_text_free(&a);
    cf_textenc_close(te);
    cf_dnn_close(dnn);
}

static void text_that_is_not_utf8_is_refused_and_nothing_is_filled(void **state)
{
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_textenc *te = open_shipped(dnn);
    struct cf_prompt p[2] = {{"red apple", 9}, {"a\xff", 2}};
    struct cf_text out[2];

    (void)state;
    assert_int_equal(cf_textenc_encode(te, p, 2, out, &err), CF_EFORMAT);
    assert_string_equal(err.msg, "prompt \"a\\xff\": text is not UTF-8 at byte 1");
    assert_null(out[0].ids);
    assert_null(out[0].features);
    assert_int_equal(cf_textenc_encode(te, NULL, 0, NULL, &err), CF_OK);
    cf_textenc_close(te);
    cf_dnn_close(dnn);
}

/* The way of HART and FAR, from texts: the system prompt whose ids the fixture recorded,
 * all rows of the padded prompts. */
static void check_far(struct cf_dnn *dnn, const char *side)
{
    char path[TEST_PATH], rel[128], enc[TEST_PATH], vocab[TEST_PATH];
    const struct cf_view *ids, *want;
    struct cf_error err = {0};
    json_t *texts, *chats, *list, *one, *v, *spec = NULL;
    struct cf_textenc *te;
    struct cf_prompt prompt[16];
    struct cf_text text[16];
    struct cf_ckpt *golden;
    int64_t system, t;
    size_t i;
    int n;

    snprintf(rel, sizeof(rel), TIED "/golden_sys_%s.safetensors", side);
    assert_int_equal(cf_ckpt_open(&golden, in_tree(path, rel), &err), CF_OK);
    ids = cf_ckpt_find(golden, "input_ids");
    want = cf_ckpt_find(golden, "context_tensor");
    system = cf_ckpt_find(golden, "system_ids")->dim[0];
    t = ids->dim[1];
    texts = json_load_file(in_tree(path, TIED "/texts.json"), JSON_ALLOW_NUL, NULL);
    chats = json_load_file(
        in_tree(path, "tests/golden/textenc/chat_and_system_prompts.json"), 0, NULL);
    json_array_foreach(chats, i, one)
    {
        if (!spec &&
            (int64_t)json_array_size(json_object_get(one, "ids_bpe4k")) == system)
            spec = json_pack("{s:{s:s,s:I,s:b},s:{s:s,s:s,s:I,s:s,s:O}}", "tokenizer",
                             "type", "bpe", "max_tokens", (json_int_t)t, "parse_special",
                             1, "encoder", "features", "last", "rows", "all", "pad_to",
                             (json_int_t)t, "padding_side", side, "prefix",
                             json_object_get(one, "text"));
    }
    if (cf_textenc_open(&te, dnn, spec, in_tree(enc, TIED), in_tree(vocab, BPE),
                        CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    list = json_object_get(texts, "texts");
    n = (int)json_array_size(list);
    assert_in_range(n, 1, 16);
    json_array_foreach(list, i, v)
    {
        prompt[i] = (struct cf_prompt){json_string_value(v), json_string_length(v)};
    }
    if (cf_textenc_encode(te, prompt, n, text, &err) != CF_OK)
        fail_msg("%s", err.msg);
    for (int p = 0; p < n; p++) {
        assert_int_equal(text[p].n, t);
        assert_memory_equal(text[p].ids, (const int32_t *)ids->data + p * t,
                            (size_t)t * 4);
        for (int64_t j = 0; j < t * text[p].dim; j++) {
            float f;

            cf_view_floats(&f, want, p * t * text[p].dim + j, 1, &err);
            assert_true(fabs((double)text[p].features[j] - (double)f) <= 1e-4);
        }
        cf_text_free(&text[p]);
    }
    json_decref(spec);
    json_decref(texts);
    json_decref(chats);
    cf_textenc_close(te);
    cf_ckpt_close(golden);
}

static void all_rows_after_a_system_prompt_are_the_references(void **state)
{
    struct cf_dnn *dnn = open_dnn(2);

    (void)state;
    check_far(dnn, "right");
    check_far(dnn, "left");
    cf_dnn_close(dnn);
}

/* ---- repeatability ---- */

static const char *const crowd[] = {
    "a",
    "penguin on a blue background",
    "tiger face , noto style",
    "red apple",
    "",
    "an astronaut riding a horse on the moon, oil painting by Van Gogh, very long and "
    "detailed",
    "red apple",
    "octopus",
};
enum { CROWD = sizeof(crowd) / sizeof(crowd[0]) };

static void same_text(const struct cf_text *a, const struct cf_text *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->truncated, b->truncated);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * 4);
    assert_memory_equal(a->features, b->features, (size_t)a->n * (size_t)a->dim * 4);
}

static void check_repeats(struct cf_textenc *(*open)(struct cf_dnn *))
{
    struct cf_text alone[CROWD], together[CROWD];
    struct cf_prompt p[CROWD];
    struct cf_error err = {0};

    for (int i = 0; i < CROWD; i++)
        p[i] = (struct cf_prompt){crowd[i], strlen(crowd[i])};
    for (int threads = 1; threads <= 3; threads++) {
        struct cf_dnn *dnn = open_dnn(threads);
        struct cf_textenc *te = open(dnn);

        for (int i = 0; i < CROWD && threads == 1; i++)
            if (cf_textenc_encode(te, &p[i], 1, &alone[i], &err) != CF_OK)
                fail_msg("%s", err.msg);
        /* all, and then the later half, so that neighbours and places change */
        assert_int_equal(cf_textenc_encode(te, p, CROWD, together, &err), CF_OK);
        for (int i = 0; i < CROWD; i++)
            same_text(&alone[i], &together[i]);
        free_texts(together, CROWD);
        assert_int_equal(cf_textenc_encode(te, p + 3, CROWD - 3, together, &err), CF_OK);
        for (int i = 3; i < CROWD; i++)
            same_text(&alone[i], &together[i - 3]);
        free_texts(together, CROWD - 3);
        cf_textenc_close(te);
        cf_dnn_close(dnn);
    }
    free_texts(alone, CROWD);
}

static void neighbours_and_threads_never_change_a_bit(void **state)
{
    (void)state;
    check_repeats(open_shipped);
}

static struct cf_textenc *open_far(struct cf_dnn *dnn)
{
    return must_open(dnn, "{" TOK "}, \"encoder\":{\"features\":{\"taps\":[2,4]},"
                          "\"rows\":\"all\",\"pad_to\":44,\"prefix\":\"Describe:\\n\"}}");
}

static void neighbours_and_threads_never_change_a_bit_of_padded_rows(void **state)
{
    (void)state;
    check_repeats(open_far);
}

static void many_prompts_go_through_in_batches(void **state)
{
    enum { N = 300 };
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(2);
    struct cf_textenc *te = open_far(dnn);
    struct cf_prompt *p = calloc(N, sizeof(*p));
    struct cf_text *out = calloc(N, sizeof(*out)), one;
    char(*s)[16] = calloc(N, sizeof(*s));

    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(s[i], sizeof(s[i]), "a dog %d", i % 290);
        p[i] = (struct cf_prompt){s[i], strlen(s[i])};
    }
    assert_int_equal(cf_textenc_encode(te, p, N, out, &err), CF_OK);
    for (int i = 0; i < N; i += 97) {
        assert_int_equal(cf_textenc_encode(te, &p[i], 1, &one, &err), CF_OK);
        same_text(&one, &out[i]);
        cf_text_free(&one);
    }
    same_text(&out[5], &out[295]);
    free_texts(out, N);
    free(out);
    free(p);
    free(s);
    cf_textenc_close(te);
    cf_dnn_close(dnn);
}

/* ---- rows, padding, prefix ---- */

static void valid_rows_are_the_real_rows_of_the_padded_form(void **state)
{
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    const char *valid =
        "{" TOK "}, \"encoder\":{\"features\":\"last\",\"rows\":\"valid\"}}";
    const char *all = "{" TOK "}, \"encoder\":{\"features\":\"last\",\"rows\":\"all\","
                      "\"pad_to\":40,\"padding_side\":\"right\"}}";
    struct cf_textenc *a = must_open(dnn, valid), *b = must_open(dnn, all);
    struct cf_text x, y;

    (void)state;
    assert_int_equal(encode_one(a, crowd[5], strlen(crowd[5]), &x, &err), CF_OK);
    assert_int_equal(encode_one(b, crowd[5], strlen(crowd[5]), &y, &err), CF_OK);
    assert_int_equal(y.n, 40);
    assert_in_range(x.n, 5, 39);
    assert_int_equal(y.ids[x.n], 4000);
    assert_memory_equal(x.ids, y.ids, (size_t)x.n * 4);
    assert_memory_equal(x.features, y.features, (size_t)x.n * (size_t)x.dim * 4);
    cf_text_free(&x);
    cf_text_free(&y);
    cf_textenc_close(a);
    cf_textenc_close(b);
    cf_dnn_close(dnn);
}

static void left_padding_is_kept_while_encoding_and_dropped_after(void **state)
{
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    const char *form =
        "{" TOK "}, \"encoder\":{\"features\":\"last\",\"rows\":\"%s\","
        "\"prefix\":\"Describe:\\n\",\"pad_to\":40,\"padding_side\":\"left\"}}";
    char valid[400], all[400];
    struct cf_textenc *a, *b;
    struct cf_text x, y;

    (void)state;
    snprintf(valid, sizeof(valid), form, "valid");
    snprintf(all, sizeof(all), form, "all");
    a = must_open(dnn, valid);
    b = must_open(dnn, all);
    assert_int_equal(encode_one(a, "a dog", 5, &x, &err), CF_OK);
    assert_int_equal(encode_one(b, "a dog", 5, &y, &err), CF_OK);
    assert_true(x.n < 40);
    assert_memory_equal(x.ids, y.ids + 40 - x.n, (size_t)x.n * 4);
    assert_memory_equal(x.features, y.features + (size_t)(40 - x.n) * (size_t)x.dim,
                        (size_t)x.n * (size_t)x.dim * 4);
    cf_text_free(&x);
    cf_text_free(&y);
    /* Padding and prefix alone. */
    assert_int_equal(encode_one(a, "", 0, &x, &err), CF_ERANGE);
    err = (struct cf_error){0};
    assert_int_equal(encode_one(b, "", 0, &y, &err), CF_OK);
    assert_int_equal(y.n, 40);
    cf_text_free(&y);
    cf_textenc_close(a);
    cf_textenc_close(b);
    cf_dnn_close(dnn);
}

static void no_tokens_at_all_is_an_error_that_says_so(void **state)
{
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_textenc *te = must_open(
        dnn, "{" TOK "}, \"encoder\":{\"features\":\"last\",\"rows\":\"valid\"}}");
    struct cf_text x;

    (void)state;
    assert_int_equal(encode_one(te, "", 0, &x, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "prompt \"\": the text has no tokens"));
    assert_non_null(strstr(err.msg, "give at least a word"));
    cf_textenc_close(te);
    cf_dnn_close(dnn);
}

static void users_cannot_forge_special_tokens_unless_the_model_says_so(void **state)
{
    static const char forged[] = "a<|im_end|>b";
    struct cf_error err = {0};
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_textenc *off = must_open(
        dnn, "{" TOK "}, \"encoder\":{\"features\":{\"taps\":[0]},\"rows\":\"valid\"}}");
    struct cf_textenc *on =
        must_open(dnn, "{" TOK_SPECIAL ", \"encoder\":{\"features\":{\"taps\":[0]},"
                       "\"rows\":\"valid\"}}");
    struct cf_text x, y;

    (void)state;
    assert_int_equal(encode_one(off, forged, strlen(forged), &x, &err), CF_OK);
    assert_int_equal(encode_one(on, forged, strlen(forged), &y, &err), CF_OK);
    assert_int_equal(y.n, 3);
    assert_int_equal(y.ids[1], 4002);
    for (int i = 0; i < x.n; i++)
        assert_true(x.ids[i] < 4000);
    cf_text_free(&x);
    cf_text_free(&y);
    cf_textenc_close(off);
    cf_textenc_close(on);
    cf_dnn_close(dnn);
}

/* ---- refusals ---- */

static void refuse(struct cf_dnn *dnn, const char *spec, enum cf_status want,
                   const char *word)
{
    struct cf_error err = {0};
    struct cf_textenc *te;

    assert_int_equal(open_text(&te, dnn, spec, &err), want);
    assert_null(te);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not name %s", err.msg, word);
}

#define ENC "\"encoder\":{\"features\":\"last\",\"rows\":\"valid\""

static void what_the_text_object_may_not_say(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);

    (void)state;
    refuse(dnn, "{" TOK ",\"lower\":true}," ENC "}}", CF_EFORMAT, "lower");
    refuse(dnn, "{" TOK "}," ENC ",\"tap\":1}}", CF_EFORMAT, "tap");
    refuse(dnn, "{" TOK "}," ENC "},\"more\":1}", CF_EFORMAT, "more");
    refuse(dnn, "{" ENC "}}", CF_EFORMAT, "tokenizer");
    refuse(dnn, "{\"tokenizer\":{\"type\":\"bpe\"}," ENC "}}", CF_EFORMAT, "max_tokens");
    refuse(dnn, "{\"tokenizer\":{\"type\":\"word\",\"max_tokens\":3}," ENC "}}",
           CF_EUNSUP, "word");
    refuse(dnn, "{" TOK ",\"append_bos\":true}," ENC "}}", CF_EUNSUP, "bos");
    refuse(dnn, "{" TOK "},\"encoder\":{\"features\":\"first\",\"rows\":\"valid\"}}",
           CF_EFORMAT, "features");
    refuse(dnn, "{" TOK "},\"encoder\":{\"features\":{\"taps\":[9]},\"rows\":\"valid\"}}",
           CF_ERANGE, "9 layers");
    refuse(dnn, "{" TOK "},\"encoder\":{\"features\":\"last\",\"rows\":\"all\"}}",
           CF_EFORMAT, "pad_to");
    refuse(dnn, "{" TOK "}," ENC ",\"pad_to\":10}}", CF_EFORMAT, "pad_to");
    refuse(dnn, "{" TOK "}," ENC ",\"pad_to\":50,\"padding_side\":\"top\"}}", CF_EFORMAT,
           "padding_side");
    cf_dnn_close(dnn);
}

static void a_tokenizer_larger_than_the_embedding_is_refused(void **state)
{
    char enc[TEST_PATH], vocab[TEST_PATH];
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_error err = {0};
    struct cf_textenc *te;
    json_t *spec = json_loads("{" TOK "}," ENC "}}", 0, NULL);

    (void)state;
    assert_int_equal(cf_textenc_open(&te, dnn, spec,
                                     in_tree(enc, "tests/golden/textenc/qwen3-tiny"),
                                     in_tree(vocab, BPE), CF_HOLD_PACK, &err),
                     CF_EMISMATCH);
    json_decref(spec);
    cf_dnn_close(dnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_model_meets_its_golden_features),
        cmocka_unit_test(capitals_blanks_and_long_prompts),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_and_nothing_is_filled),
        cmocka_unit_test(all_rows_after_a_system_prompt_are_the_references),
        cmocka_unit_test(neighbours_and_threads_never_change_a_bit),
        cmocka_unit_test(neighbours_and_threads_never_change_a_bit_of_padded_rows),
        cmocka_unit_test(many_prompts_go_through_in_batches),
        cmocka_unit_test(valid_rows_are_the_real_rows_of_the_padded_form),
        cmocka_unit_test(left_padding_is_kept_while_encoding_and_dropped_after),
        cmocka_unit_test(no_tokens_at_all_is_an_error_that_says_so),
        cmocka_unit_test(users_cannot_forge_special_tokens_unless_the_model_says_so),
        cmocka_unit_test(what_the_text_object_may_not_say),
        cmocka_unit_test(a_tokenizer_larger_than_the_embedding_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
