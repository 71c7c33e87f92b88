/* spm_test.c - SentencePiece through its C door. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/golden.h"
#include "tests/textenc_paths.h"
#include "textenc/spm.h"
#include "textenc/tokenizer.h"

#define UNIGRAM "tests/golden/textenc/spm-unigram-t5"
#define BPE "tests/golden/textenc/spm-bpe"

static struct cf_spm *open_spm(const char *rel)
{
    struct cf_error err = {0};
    struct cf_spm *spm;
    char path[TEST_PATH];

    if (cf_spm_open(&spm, in_tree(path, rel), &err) != CF_OK)
        fail_msg("%s", err.msg);
    return spm;
}

static void ids_pieces_and_flags_are_the_references(void **state)
{
    struct cf_golden g = {0, 0, 1};
    char path[TEST_PATH];

    (void)state;
    assert_int_equal(cf_golden_textenc(&g, in_tree(path, UNIGRAM)), 6);
    assert_int_equal(cf_golden_textenc(&g, in_tree(path, BPE)), 4);
    assert_int_equal(g.failed, 0);
}

static void ids_beyond_the_room_are_counted_and_not_written(void **state)
{
    struct cf_spm *spm = open_spm(BPE "/tok.model");
    struct cf_error err = {0};
    int32_t ids[8];
    size_t n;

    (void)state;
    ids[2] = -7;
    assert_int_equal(
        cf_spm_encode(spm, "A photo of a dog", 16, true, true, ids, 2, &n, &err), CF_OK);
    assert_int_equal(n, 7);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[2], -7);
    assert_int_equal(cf_spm_encode(spm, "", 0, false, false, NULL, 0, &n, &err), CF_OK);
    assert_int_equal(n, 0);
    cf_spm_close(spm);
}

static void a_model_without_bos_says_so(void **state)
{
    struct cf_spm *spm = open_spm(UNIGRAM "/spiece.model");
    struct cf_error err = {0};
    size_t n;

    (void)state;
    assert_int_equal(cf_spm_encode(spm, "a", 1, true, false, NULL, 0, &n, &err),
                     CF_EUNSUP);
    assert_non_null(strstr(err.msg, "bos"));
    cf_spm_close(spm);
}

static void ids_outside_the_model_are_refused(void **state)
{
    struct cf_spm *spm = open_spm(BPE "/tok.model");
    const int32_t bad[] = {-1, 1500, INT32_MAX, INT32_MIN};
    size_t len;
    char *text;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct cf_error err = {0};

        assert_int_equal(cf_spm_decode(spm, &bad[i], 1, &text, &len, &err), CF_ERANGE);
        assert_null(cf_spm_piece(spm, bad[i], &len));
        assert_false(cf_spm_is_byte(spm, bad[i]) || cf_spm_is_control(spm, bad[i]) ||
                     cf_spm_is_unknown(spm, bad[i]));
        assert_true(cf_spm_score(spm, bad[i]) == 0.0f);
    }
    assert_int_equal(cf_spm_id(spm, "no such piece", 13), -1);
    assert_int_equal(cf_spm_id(spm, "<unk>", 5), 0);
    cf_spm_close(spm);
}

/* ---- damaged models ---- */

static void damaged_models_are_errors_and_not_crashes(void **state)
{
    struct cf_error err = {0};
    char path[TEST_PATH], *model;
    struct cf_spm *spm;
    size_t len;

    (void)state;
    assert_int_equal(cf_spm_open(&spm, "/nonexistent.model", &err), CF_ENOENT);
    assert_null(spm);
    err = (struct cf_error){0};
    assert_int_equal(cf_spm_open(&spm, "/", &err), CF_EFORMAT);
    err = (struct cf_error){0};
    assert_int_equal(cf_spm_open_mem(&spm, "", 0, "none", &err), CF_EFORMAT);
    assert_non_null(strstr(err.msg, "none: empty"));
    err = (struct cf_error){0};
    assert_int_equal(cf_spm_open_mem(&spm, "hello, world", 12, "text", &err), CF_EFORMAT);
    model = read_all(in_tree(path, BPE "/tok.model"), &len);
    assert_non_null(model);
    for (uint32_t i = 0; i < 60; i++) {
        size_t cut = cf_rng_u32(3, CF_RNG_TEST, 0, i, 0) % len;

        err = (struct cf_error){0};
        (void)cf_spm_open_mem(&spm, model, cut, "cut", &err);
        assert_true(spm ? err.status == CF_OK : err.status == CF_EFORMAT);
        cf_spm_close(spm);
    }
    err = (struct cf_error){0};
    assert_int_equal(cf_spm_open_mem(&spm, model, len, "whole", &err), CF_OK);
    assert_int_equal(cf_spm_size(spm), 1500);
    cf_spm_close(spm);
    assert_int_equal(
        cf_spm_open_mem(&spm, model, (size_t)CF_SPM_MAX_FILE + 1, "large", &err),
        CF_EFORMAT);
    free(model);
}

/* ---- any text, any thread ---- */

static void any_bytes_are_encoded_and_decoded(void **state)
{
    struct cf_spm *spm[2] = {open_spm(UNIGRAM "/spiece.model"),
                             open_spm(BPE "/tok.model")};
    struct cf_error err = {0};

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        size_t len = cf_rng_u32(5, CF_RNG_TEST, 0, i, 0) % 100, n, back;
        int32_t ids[1024];
        char raw[100], *text;

        for (uint32_t j = 0; j < len; j++)
            raw[j] = (char)cf_rng_u32(5, CF_RNG_TEST, 0, i, j + 1);
        assert_int_equal(
            cf_spm_encode(spm[i & 1], raw, len, false, true, ids, 1024, &n, &err), CF_OK);
        assert_true(n <= 1024);
        assert_int_equal(cf_spm_decode(spm[i & 1], ids, n, &text, &back, &err), CF_OK);
        cf_free(text);
    }
    cf_spm_close(spm[0]);
    cf_spm_close(spm[1]);
}

static void *encode_often(void *arg)
{
    static const char text[] = "a photo of a corgi wearing sunglasses";
    struct cf_error err = {0};
    int32_t first[64], ids[64];
    size_t n, m;

    (void)cf_spm_encode(arg, text, sizeof(text) - 1, false, true, first, 64, &n, &err);
    for (int i = 0; i < 2000 && err.status == CF_OK; i++) {
        (void)cf_spm_encode(arg, text, sizeof(text) - 1, false, true, ids, 64, &m, &err);
        if (m != n || memcmp(ids, first, n * sizeof(*ids)) != 0)
            return arg;
    }
    return err.status == CF_OK ? NULL : arg;
}

static void threads_share_one_model(void **state)
{
    struct cf_spm *spm = open_spm(UNIGRAM "/spiece.model");
    pthread_t t[3];
    void *bad;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, encode_often, spm), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    cf_spm_close(spm);
}

/* ---- the common face ---- */

static void one_face_over_both_tokenizers(void **state)
{
    char path[TEST_PATH], *text;
    struct cf_error err = {0};
    struct cf_tok *tok;
    int32_t *ids;
    size_t n, len;

    (void)state;
    assert_int_equal(
        cf_tok_open(&tok, "sentencepiece", in_tree(path, BPE "/tok.model"), &err), CF_OK);
    assert_int_equal(cf_tok_encode(tok, "A photo of a dog", 16, CF_TOK_BOS | CF_TOK_EOS,
                                   &ids, &n, &err),
                     CF_OK);
    assert_int_equal(n, 7);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[6], 2);
    assert_int_equal(cf_tok_decode(tok, ids, n, true, &text, &len, &err), CF_OK);
    assert_string_equal(text, "A photo of a dog");
    cf_free(text);
    cf_free(ids);
    assert_int_equal(cf_tok_encode(tok, "a", 1, CF_TOK_SPECIAL, &ids, &n, &err),
                     CF_EUNSUP);
    assert_int_equal(cf_tok_id(tok, CF_TOK_PAD_ID), -1);
    cf_tok_close(tok);
    err = (struct cf_error){0};
    assert_int_equal(
        cf_tok_open(&tok, "bpe", in_tree(path, "tests/golden/textenc/tok-bpe4k"), &err),
        CF_OK);
    assert_int_equal(cf_tok_encode(tok, "bond", 4, CF_TOK_EOS, &ids, &n, &err), CF_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[0], 65);
    assert_int_equal(ids[1], 567);
    assert_int_equal(ids[2], 4002);
    cf_free(ids);
    /* more ids than bytes / 2 + 16: the second try has the room */
    assert_int_equal(cf_tok_encode(tok, "1234567890123456789012345678901234567890", 40, 0,
                                   &ids, &n, &err),
                     CF_OK);
    assert_int_equal(n, 40);
    cf_free(ids);
    cf_tok_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_pieces_and_flags_are_the_references),
        cmocka_unit_test(ids_beyond_the_room_are_counted_and_not_written),
        cmocka_unit_test(a_model_without_bos_says_so),
        cmocka_unit_test(ids_outside_the_model_are_refused),
        cmocka_unit_test(damaged_models_are_errors_and_not_crashes),
        cmocka_unit_test(any_bytes_are_encoded_and_decoded),
        cmocka_unit_test(threads_share_one_model),
        cmocka_unit_test(one_face_over_both_tokenizers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
