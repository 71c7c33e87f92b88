/* t5_prompt_test.c - from prompts through SentencePiece to T5's features. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tests/textenc_paths.h"
#include "textenc/textenc.h"

#define TINY "tests/golden/textenc/t5-tiny"
#define SPM "tests/golden/textenc/spm-unigram-t5/"

static struct cf_dnn *open_dnn(int threads)
{
    struct cf_error err = {0};
    enum cf_cpu level;
    struct cf_dnn *dnn;

    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, threads, &err), CF_OK);
    return dnn;
}

static enum cf_status open_t5(struct cf_textenc **te, struct cf_dnn *dnn, int max_tokens,
                              const char *encoder, struct cf_error *err)
{
    char enc[TEST_PATH], vocab[TEST_PATH];
    json_t *spec = json_pack("{s:{s:s,s:i,s:b},s:o}", "tokenizer", "type",
                             "sentencepiece", "max_tokens", max_tokens, "append_eos", 1,
                             "encoder", json_loads(encoder, 0, NULL));
    enum cf_status st;

    assert_non_null(spec);
    st = cf_textenc_open(te, dnn, spec, in_tree(enc, TINY),
                         in_tree(vocab, SPM "spiece.model"), CF_HOLD_PACK, err);
    json_decref(spec);
    return st;
}

static enum cf_status encode_one(struct cf_textenc *te, const char *s, size_t len,
                                 struct cf_text *out, struct cf_error *err)
{
    struct cf_prompt p = {s, len};

    return cf_textenc_encode(te, &p, 1, out, err);
}

/* Valid rows are ids as transformers pads them, up to the first pad, and the features are
 * those of the padded form. */
static void t5_prompts_are_cut_and_ended_as_the_reference_does(void **state)
{
    struct cf_dnn *dnn = open_dnn(2);
    struct cf_error err = {0};
    char path[TEST_PATH];
    json_t *root = json_load_file(in_tree(path, SPM "hf_t5_padded.json"), 0, NULL);
    json_t *want = json_object_get(json_object_get(root, "max_length_32"), "input_ids");
    struct cf_textenc *valid, *all;
    struct cf_text x, y;
    json_t *text;
    size_t at;

    (void)state;
    assert_int_equal(
        open_t5(&valid, dnn, 31, "{\"features\":\"last\",\"rows\":\"valid\"}", &err),
        CF_OK);
    assert_int_equal(open_t5(&all, dnn, 31,
                             "{\"features\":\"last\",\"rows\":\"all\",\"pad_to\":32}",
                             &err),
                     CF_OK);
    assert_true(json_array_size(want) > 0);
    json_array_foreach(json_object_get(root, "texts"), at, text)
    {
        const json_t *ids = json_array_get(want, at);
        const char *s = json_string_value(text);

        assert_int_equal(encode_one(valid, s, strlen(s), &x, &err), CF_OK);
        assert_int_equal(encode_one(all, s, strlen(s), &y, &err), CF_OK);
        assert_int_equal(y.n, 32);
        assert_int_equal(x.ids[x.n - 1], 1);
        for (int i = 0; i < 32; i++)
            assert_int_equal(i < x.n ? x.ids[i] : 0,
                             json_integer_value(json_array_get(ids, (size_t)i)));
        assert_memory_equal(x.ids, y.ids, (size_t)x.n * sizeof(int32_t));
        assert_memory_equal(x.features, y.features,
                            (size_t)x.n * (size_t)x.dim * sizeof(float));
        cf_text_free(&x);
        cf_text_free(&y);
    }
    json_decref(root);
    assert_int_equal(encode_one(valid, "", 0, &x, &err), CF_OK);
    assert_int_equal(x.n, 1); /* eos alone */
    assert_int_equal(x.ids[0], 1);
    cf_text_free(&x);
    cf_textenc_close(valid);
    cf_textenc_close(all);
    cf_dnn_close(dnn);
}

static void t5_takes_taps_but_no_prefix(void **state)
{
    struct cf_dnn *dnn = open_dnn(1);
    struct cf_error err = {0};
    struct cf_textenc *te;

    (void)state;
    assert_int_equal(
        open_t5(&te, dnn, 31, "{\"features\":{\"taps\":[1,4]},\"rows\":\"valid\"}", &err),
        CF_OK);
    assert_int_equal(cf_textenc_dim(te), 96);
    cf_textenc_close(te);
    assert_int_equal(open_t5(&te, dnn, 31,
                             "{\"features\":\"last\",\"rows\":\"valid\","
                             "\"prefix\":\"Describe: \"}",
                             &err),
                     CF_EUNSUP);
    assert_null(te);
    assert_non_null(strstr(err.msg, "prefix"));
    cf_dnn_close(dnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t5_prompts_are_cut_and_ended_as_the_reference_does),
        cmocka_unit_test(t5_takes_taps_but_no_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
