/* textenc_nomem_test.c - memory that runs out at any place is an error, not a leak.
 *
 * Our own allocations (--wrap=aligned_alloc) fail one after the other until everything
 * succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/nomem.h"
#include "tests/textenc_paths.h"
#include "textenc/bpe.h"
#include "textenc/qwen2.h"
#include "textenc/textenc.h"

#define TIED "tests/golden/textenc/qwen2-tiny-tied"
#define BPE "tests/golden/textenc/tok-bpe4k"
#define T5 "tests/golden/textenc/t5-tiny"
#define T5_TOK "tests/golden/textenc/spm-unigram-t5/spiece.model"

static struct cf_dnn *dnn;
static enum cf_hold hold; /* opened while memory lasts */

static enum cf_status open_and_use_bpe(struct cf_error *err)
{
    static const char text[] =
        "A cafe\xcc\x81 <|im_end|> it's\n\n12\xcc\xa3\xcc\x81\xcc\xa3";
    struct cf_bpe *bpe;
    char path[TEST_PATH], *back = NULL;
    int32_t ids[64];
    size_t n, len;

    if (cf_bpe_open(&bpe, in_tree(path, BPE), err) != CF_OK)
        return err->status;
    if (cf_bpe_encode(bpe, text, sizeof(text) - 1, true, ids, 64, &n, err) == CF_OK)
        (void)cf_bpe_decode(bpe, ids, n, false, &back, &len, err);
    cf_free(back);
    cf_bpe_close(bpe);
    return err->status;
}

static enum cf_status open_slow_bpe(struct cf_error *err)
{
    char path[TEST_PATH];
    struct cf_bpe *bpe;

    (void)cf_bpe_open(&bpe, in_tree(path, BPE "/vocab.json"), err);
    cf_bpe_close(bpe);
    return err->status;
}

static enum cf_status open_and_encode(const char *spec, const char *encoder,
                                      const char *tokenizer, struct cf_error *err)
{
    struct cf_prompt p[3] = {{"A dog", 5}, {"a cat", 5}, {"a dog", 5}};
    char enc[TEST_PATH], vocab[TEST_PATH];
    struct cf_text out[3];
    struct cf_textenc *te;
    json_t *obj = json_loads(spec, 0, NULL);

    if (cf_textenc_open(&te, dnn, obj, in_tree(enc, encoder), in_tree(vocab, tokenizer),
                        hold, err) == CF_OK) {
        if (cf_textenc_encode(te, p, 3, out, err) == CF_OK)
            for (int i = 0; i < 3; i++)
                cf_text_free(&out[i]);
        else
            for (int i = 0; i < 3; i++)
                assert_null(out[i].features);
    }
    cf_textenc_close(te);
    json_decref(obj);
    return err->status;
}

static enum cf_status use_qwen2(struct cf_error *err)
{
    return open_and_encode(
        "{\"tokenizer\":{\"type\":\"bpe\",\"max_tokens\":20,\"lowercase\":true},"
        "\"encoder\":{\"features\":{\"taps\":[1,2]},\"rows\":\"all\",\"pad_to\":24,"
        "\"prefix\":\"Say:\\n\"}}",
        TIED, BPE, err);
}

static enum cf_status use_t5(struct cf_error *err)
{
    return open_and_encode("{\"tokenizer\":{\"type\":\"sentencepiece\","
                           "\"max_tokens\":20,\"append_eos\":true},"
                           "\"encoder\":{\"features\":\"last\",\"rows\":\"valid\"}}",
                           T5, T5_TOK, err);
}

static void a_tokenizer_opens_and_runs_or_says_that_memory_is_out(void **state)
{
    (void)state;
    each_allocation_fails(open_and_use_bpe, 1);
    each_allocation_fails(open_slow_bpe, 1);
}

static void an_encoder_opens_and_runs_or_says_that_memory_is_out(void **state)
{
    struct cf_error err = {0};
    enum cf_cpu level;

    (void)state;
    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, 1, &err), CF_OK);
    for (hold = CF_HOLD_PACK; hold <= CF_HOLD_MAP; hold++) {
        each_allocation_fails(use_qwen2, 1);
        each_allocation_fails(use_t5, 1);
    }
    cf_dnn_close(dnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokenizer_opens_and_runs_or_says_that_memory_is_out),
        cmocka_unit_test(an_encoder_opens_and_runs_or_says_that_memory_is_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
