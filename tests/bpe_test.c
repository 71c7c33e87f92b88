/* bpe_test.c - Unicode, the pattern, merges, and files that are not what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tests/golden.h"
#include "tests/textenc_paths.h"
#include "textenc/bpe.h"
#include "textenc/pretok.h"
#include "textenc/unicode.h"

#define DIR "tests/golden/textenc/tok-bpe4k"

static struct cf_bpe *open_bpe(void)
{
    struct cf_error err = {0};
    struct cf_bpe *bpe;
    char path[TEST_PATH];

    if (cf_bpe_open(&bpe, in_tree(path, DIR), &err) != CF_OK)
        fail_msg("%s", err.msg);
    return bpe;
}

static uint32_t draw(uint32_t i, uint32_t j)
{
    return cf_rng_u32(11, CF_RNG_TEST, 0, i, j);
}

/* ---- goldens ---- */

static void ids_and_texts_are_the_references_in_all_three_layouts(void **state)
{
    struct cf_golden g = {0, 0, 1};
    char path[TEST_PATH];

    (void)state;
    assert_int_equal(cf_golden_textenc(&g, in_tree(path, DIR)), 12);
    assert_int_equal(g.failed, 0);
}

static void the_checker_notices_one_wrong_id(void **state)
{
    static const char line[] = "{\"text\":\"bond\",\"ids\":[65,568]}\n";
    static const char *const file[] = {"tokenizer.json", "tokenizer_config.json"};
    struct cf_golden g = {0, 0, 1};
    char from[TEST_PATH], to[TEST_PATH], dir[TEST_PATH];
    size_t len;

    (void)state;
    mkdir(in_build(dir, "bpe_wrong.tmp"), 0777);
    for (int i = 0; i < 2; i++) {
        char *text;

        in_tree(from, DIR);
        strncat(from, i ? "/tokenizer_config.json" : "/tokenizer.json", 64);
        text = read_all(from, &len);
        snprintf(to, sizeof(to), "%.4000s/%s", dir, file[i]);
        assert_int_equal(write_all(to, text, len), 0);
        free(text);
    }
    snprintf(to, sizeof(to), "%.4000s/wrong.jsonl", dir);
    assert_int_equal(write_all(to, line, sizeof(line) - 1), 0);
    assert_int_equal(cf_golden_textenc(&g, dir), 1);
    assert_int_equal(g.failed, 1);
    unlink(to);
    for (int i = 0; i < 2; i++) {
        snprintf(to, sizeof(to), "%.4000s/%s", dir, file[i]);
        unlink(to);
    }
    rmdir(dir);
}

/* ---- Unicode ---- */

static void nfc_is_that_of_utf8proc(void **state)
{
    /* letters, marks of several classes, Hangul, NUL, compositions that are excluded */
    static const int32_t pool[] = {
        'a',    'e',     0,       0x301,  0x300, 0x323,  0x327, 0x345,  0xe9,  0x1100,
        0x1161, 0x11a8,  0xac00,  0x958,  0x93c, 0x212b, 0x3a9, 0x1f71, 0x5d0, 0x5bc,
        0x5b7,  0x1d15e, 0x2f868, 0xfb1d, ' ',   0x20d0, 0x338, 0x226e};
    struct cf_error err = {0};

    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        utf8proc_uint8_t in[256], *want;
        utf8proc_ssize_t n = 0, want_n;
        uint32_t count = 1 + draw(i, 0) % 24;
        char *got;
        size_t len;

        for (uint32_t j = 1; j <= count; j++)
            n += utf8proc_encode_char(pool[draw(i, j) % (sizeof(pool) / sizeof(pool[0]))],
                                      in + n);
        want_n = utf8proc_map(in, n, &want, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        assert_true(want_n >= 0);
        assert_int_equal(cf_unicode_nfc((char *)in, (size_t)n, &got, &len, &err), CF_OK);
        assert_int_equal(len, want_n);
        assert_memory_equal(got, want, len);
        cf_free(got);
        free(want);
    }
}

static void white_space_is_the_list_of_the_reference(void **state)
{
    static const int32_t space[] = {0x09,   0x0b,   0x0c,   0x20,   0x85,
                                    0xa0,   0x1680, 0x2000, 0x200a, 0x2028,
                                    0x2029, 0x202f, 0x205f, 0x3000};
    static const int32_t rest[] = {0x1c, 0x1f, 0x180e, 0x200b, 0xfeff, 0x301, 0, '!'};

    (void)state;
    for (size_t i = 0; i < sizeof(space) / sizeof(space[0]); i++)
        assert_int_equal(cf_unicode_class(space[i]), CF_U_SPACE);
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
        assert_int_equal(cf_unicode_class(rest[i]), CF_U_REST);
    assert_int_equal(cf_unicode_class('\r'), CF_U_NEWLINE);
    assert_int_equal(cf_unicode_class(0xb2), CF_U_NUMBER);
    assert_int_equal(cf_unicode_class(0x2160), CF_U_NUMBER);
    assert_int_equal(cf_unicode_class(0x4e00), CF_U_LETTER);
}

static void lower_case_goes_by_code_point(void **state)
{
    struct cf_error err = {0};
    size_t len;
    char *s;

    (void)state;
    assert_int_equal(cf_unicode_lower("A\0\xc3\x89Z", 5, &s, &len, &err), CF_OK);
    assert_int_equal(len, 5);
    assert_memory_equal(s, "a\0\xc3\xa9z", 6);
    cf_free(s);
    assert_int_equal(cf_unicode_lower("\xff", 1, &s, &len, &err), CF_EFORMAT);
}

static void the_pattern_cuts_where_the_reference_does(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } first[] = {
        {"'dog", 2}, {"'REs", 3}, {"'\xc5\xbf-", 3}, {"'x", 2},        {"12", 1},
        {" 12", 1},  {"  a", 1},  {"   ", 3},        {" \n \nx", 4},   {"!!\r\nx", 4},
        {"\ta", 2},  {"\na", 1},  {" !a", 2},        {"a\xcc\x81", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        assert_int_equal(cf_pretok_next(first[i].text, strlen(first[i].text)),
                         first[i].n);
    assert_int_equal(cf_pretok_next("", 0), 0);
}

/* ---- hostile text ---- */

static void any_bytes_come_back_as_their_repaired_normal_form(void **state)
{
    struct cf_bpe *bpe = open_bpe();
    struct cf_error err = {0};

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        char raw[96], *text, *nfc, *back;
        size_t n = draw(i, 0) % sizeof(raw), len, nfc_len, back_len, count;
        bool mostly_text = draw(i, 1) & 1;
        int32_t ids[1024];

        for (uint32_t j = 0; j < n; j++)
            raw[j] = (char)(mostly_text && draw(i, 2 * j + 3) % 8
                                ? ' ' + draw(i, 2 * j + 4) % 95
                                : draw(i, 2 * j + 4) % 256);
        assert_int_equal(cf_utf8_repair(raw, n, &text, &len, &err), CF_OK);
        assert_int_equal(cf_unicode_nfc(text, len, &nfc, &nfc_len, &err), CF_OK);
        assert_int_equal(cf_bpe_encode(bpe, text, len, i & 2, ids, 1024, &count, &err),
                         CF_OK);
        assert_true(count <= 1024);
        assert_int_equal(cf_bpe_decode(bpe, ids, count, false, &back, &back_len, &err),
                         CF_OK);
        assert_int_equal(back_len, nfc_len);
        assert_memory_equal(back, nfc, nfc_len);
        cf_free(text);
        cf_free(nfc);
        cf_free(back);
    }
    cf_bpe_close(bpe);
}

/* A megabyte in one piece; quadratic work would take hours. */
static void encode_long(const struct cf_bpe *bpe, const char *s, size_t len)
{
    struct cf_error err = {0};
    clock_t begin = clock();
    size_t n;

    assert_int_equal(cf_bpe_encode(bpe, s, len, true, NULL, 0, &n, &err), CF_OK);
    assert_in_range(n, 1, len);
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 30);
}

static void a_word_of_a_megabyte_costs_n_log_n(void **state)
{
    enum { N = 1 << 20 };
    struct cf_bpe *bpe = open_bpe();
    char *s = malloc(N);

    (void)state;
    memset(s, 'a', N);
    encode_long(bpe, s, N);
    for (uint32_t i = 0; i < N; i++)
        s[i] = (char)('a' + draw(i, 77) % 26);
    encode_long(bpe, s, N);
    for (uint32_t i = 0; i + 1 < N;
         i += 2) /* marks of two classes in turn, one long run */
        memcpy(s + i, i % 4 ? "\xcc\x81" : "\xcc\xa3", 2);
    encode_long(bpe, s, N);
    memset(s, ' ', N);
    encode_long(bpe, s, N);
    free(s);
    cf_bpe_close(bpe);
}

static void ids_beyond_the_room_are_counted_and_not_written(void **state)
{
    struct cf_bpe *bpe = open_bpe();
    struct cf_error err = {0};
    int32_t all[64], some[64];
    size_t n, m;

    (void)state;
    assert_int_equal(cf_bpe_encode(bpe, "a photo of a dog", 16, false, all, 64, &n, &err),
                     CF_OK);
    assert_in_range(n, 4, 16);
    some[3] = -7;
    assert_int_equal(cf_bpe_encode(bpe, "a photo of a dog", 16, false, some, 3, &m, &err),
                     CF_OK);
    assert_int_equal(m, n);
    assert_memory_equal(all, some, 3 * sizeof(int32_t));
    assert_int_equal(some[3], -7);
    assert_int_equal(cf_bpe_encode(bpe, "\xff", 1, false, all, 64, &n, &err), CF_EFORMAT);
    cf_bpe_close(bpe);
}

static void ids_that_are_no_tokens_are_named(void **state)
{
    static const int32_t bad[] = {-1, 4026, INT32_MAX};
    struct cf_bpe *bpe = open_bpe();
    char *text;
    size_t len;

    (void)state;
    assert_int_equal(cf_bpe_size(bpe), 4026);
    for (int i = 0; i < 3; i++) {
        struct cf_error err = {0};

        assert_int_equal(cf_bpe_decode(bpe, &bad[i], 1, false, &text, &len, &err),
                         CF_ERANGE);
    }
    cf_bpe_close(bpe);
}

static void roles_come_from_the_config_beside_the_tokenizer(void **state)
{
    struct cf_bpe *bpe = open_bpe();

    (void)state;
    assert_int_equal(cf_bpe_pad(bpe), 4000);
    assert_int_equal(cf_bpe_eos(bpe), 4002);
    assert_int_equal(cf_bpe_bos(bpe), -1);
    assert_false(cf_bpe_pad_left(bpe));
    assert_int_equal(cf_bpe_id(bpe, "<think>", 7), 4024);
    assert_int_equal(cf_bpe_id(bpe, "no such token", 13), -1);
    cf_bpe_close(bpe);
}

/* ---- hostile files ---- */

static json_t *good_tokenizer(void)
{
    char path[TEST_PATH];
    json_t *t = json_load_file(in_tree(path, DIR "/tokenizer.json"), 0, NULL);

    assert_non_null(t);
    return t;
}

/* Opens the changed tree, which is used up. */
static enum cf_status open_changed(json_t *t, struct cf_error *err)
{
    char path[TEST_PATH];
    enum cf_status st;
    struct cf_bpe *bpe;

    assert_int_equal(json_dump_file(t, in_build(path, "bpe_changed.tmp"), 0), 0);
    json_decref(t);
    st = cf_bpe_open(&bpe, path, err);
    assert_true(st == CF_OK ? bpe != NULL : bpe == NULL);
    cf_bpe_close(bpe);
    unlink(path);
    return st;
}

static void refuse(json_t *t, enum cf_status want, const char *word)
{
    struct cf_error err = {0};

    assert_int_equal(open_changed(t, &err), want);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not name %s", err.msg, word);
}

static json_t *at(json_t *t, const char *a, const char *b)
{
    json_t *v = json_object_get(t, a);

    v = b ? json_object_get(v, b) : v;
    assert_non_null(v);
    return v;
}

static json_t *split_of(json_t *t)
{
    return json_array_get(at(t, "pre_tokenizer", "pretokenizers"), 0);
}

static void components_of_another_tokenizer_are_refused(void **state)
{
    static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    json_t *t = good_tokenizer();

    (void)state;
    json_object_set_new(at(t, "normalizer", NULL), "type", json_string("NFKC"));
    refuse(t, CF_EUNSUP, "NFKC");
    t = good_tokenizer();
    json_object_set_new(t, "normalizer", json_null());
    refuse(t, CF_EFORMAT, "normalizer");
    t = good_tokenizer();
    json_object_set_new(json_object_get(split_of(t), "pattern"), "Regex",
                        json_string("\\s+"));
    refuse(t, CF_EUNSUP, "\\s+");
    t = good_tokenizer();
    json_object_set_new(split_of(t), "behavior", json_string("Removed"));
    refuse(t, CF_EUNSUP, "Removed");
    t = good_tokenizer();
    json_object_set_new(at(t, "model", NULL), "type", json_string("Unigram"));
    refuse(t, CF_EUNSUP, "Unigram");
    t = good_tokenizer();
    json_object_set_new(t, "post_processor",
                        json_pack("{s:s}", "type", "TemplateProcessing"));
    refuse(t, CF_EUNSUP, "TemplateProcessing");
    for (int i = 0; i < 3; i++) {
        t = good_tokenizer();
        json_object_set_new(at(t, "model", NULL), off[i], json_true());
        refuse(t, CF_EUNSUP, off[i]);
    }
    t = good_tokenizer();
    json_object_set_new(at(t, "model", NULL), "dropout", json_real(0.1));
    refuse(t, CF_EUNSUP, "dropout");
}

static json_t *added(json_t *t, size_t i)
{
    return json_array_get(at(t, "added_tokens", NULL), i);
}

static void vocabularies_that_contradict_themselves_are_refused(void **state)
{
    json_t *t = good_tokenizer();

    (void)state;
    json_object_set_new(at(t, "model", "vocab"), "\"", json_integer(0));
    refuse(t, CF_EFORMAT, "twice");
    t = good_tokenizer();
    json_object_set_new(at(t, "model", "vocab"), "zzzzzzzz", json_integer(1 << 30));
    refuse(t, CF_EFORMAT, "1073741824");
    t = good_tokenizer();
    json_object_set_new(at(t, "model", "vocab"), "zzzzzzzz", json_integer(-1));
    refuse(t, CF_EFORMAT, "-1");
    t = good_tokenizer();
    json_object_set_new(at(t, "model", "vocab"), "\xe4\xb8\x80", json_integer(4500));
    refuse(t, CF_EFORMAT, "byte-level");
    t = good_tokenizer();
    json_object_set_new(at(t, "model", "vocab"), "zzzzzzzz", json_string("7"));
    refuse(t, CF_EFORMAT, "zzzzzzzz");
    t = good_tokenizer();
    json_object_del(at(t, "model", "vocab"), "!");
    refuse(t, CF_EFORMAT, "0x21");
    t = good_tokenizer();
    json_array_append_new(at(t, "model", "merges"), json_string("zq qz zz"));
    refuse(t, CF_EFORMAT, "merge 3744");
    t = good_tokenizer();
    json_array_append_new(at(t, "model", "merges"), json_pack("[s,s]", "!", "zzzzzzz"));
    refuse(t, CF_EFORMAT, "zzzzzzz");
    t = good_tokenizer();
    json_array_append_new(at(t, "model", "merges"), json_pack("[s,s]", "!", "~"));
    refuse(t, CF_EFORMAT, "no token");
    t = good_tokenizer();
    json_array_append(at(t, "model", "merges"),
                      json_array_get(at(t, "model", "merges"), 0));
    refuse(t, CF_EFORMAT, "repeats");
    t = good_tokenizer();
    json_array_append_new(at(t, "model", "merges"), json_integer(3));
    refuse(t, CF_EFORMAT, "expected");
}

static void added_tokens_that_we_cannot_honour_are_refused(void **state)
{
    json_t *t = good_tokenizer();

    (void)state;
    json_object_set_new(added(t, 3), "lstrip", json_true());
    refuse(t, CF_EUNSUP, "lstrip");
    t = good_tokenizer();
    json_object_set_new(added(t, 3), "id", json_integer(4000));
    refuse(t, CF_EFORMAT, "twice");
    t = good_tokenizer();
    json_object_set_new(added(t, 3), "id", json_integer(40));
    refuse(t, CF_EFORMAT, "of another");
    t = good_tokenizer();
    json_object_set_new(added(t, 3), "content", json_string(""));
    refuse(t, CF_EFORMAT, "bad id");
    t = good_tokenizer();
    json_object_set_new(added(t, 3), "content", json_string("<|endoftext|>"));
    refuse(t, CF_EFORMAT, "twice");
    t = good_tokenizer();
    json_object_del(added(t, 3), "special");
    refuse(t, CF_EFORMAT, "special");
}

static void the_longest_added_token_wins(void **state)
{
    char path[TEST_PATH];
    json_t *t = good_tokenizer();
    struct cf_error err = {0};
    struct cf_bpe *bpe;
    int32_t ids[8];
    size_t n;

    (void)state;
    json_array_append_new(at(t, "added_tokens", NULL),
                          json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", 4100,
                                    "content", "<think>ing", "special", 0, "lstrip", 0,
                                    "rstrip", 0, "normalized", 0, "single_word", 0));
    assert_int_equal(json_dump_file(t, in_build(path, "bpe_longest.tmp"), 0), 0);
    json_decref(t);
    if (cf_bpe_open(&bpe, path, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_bpe_encode(bpe, "<think>ing<think>", 17, true, ids, 8, &n, &err),
                     CF_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 4100);
    assert_int_equal(ids[1], 4024);
    assert_int_equal(cf_bpe_size(bpe), 4101);
    cf_bpe_close(bpe);
    unlink(path);
}

/* name in dir is cut at many places; opening gives an error or a smaller tokenizer. */
static void cut(const char *name, bool always_fails)
{
    static const char *const all[] = {"tokenizer.json", "vocab.json", "merges.txt",
                                      "tokenizer_config.json"};
    const bool slow = strcmp(name, "tokenizer.json") != 0;
    char dir[TEST_PATH], path[TEST_PATH], from[TEST_PATH], *text = NULL;
    size_t len = 0, n;

    mkdir(in_build(dir, "bpe_cut.tmp"), 0777);
    for (int i = slow; i < (slow ? 4 : 1); i++) {
        char rel[128], *s;

        snprintf(rel, sizeof(rel), DIR "/%s", all[i]);
        s = read_all(in_tree(from, rel), &n);
        snprintf(path, sizeof(path), "%.4000s/%s", dir, all[i]);
        assert_int_equal(write_all(path, s, n), 0);
        if (strcmp(all[i], name) == 0) {
            text = s;
            len = n;
        } else
            free(s);
    }
    snprintf(path, sizeof(path), "%.4000s/%s", dir, name);
    for (uint32_t i = 0; i < 40; i++) {
        struct cf_error err = {0};
        struct cf_bpe *bpe;
        enum cf_status st;

        assert_int_equal(write_all(path, text, i ? draw(i, 5) % len : 0), 0);
        st = cf_bpe_open(&bpe, dir, &err);
        assert_true(st != CF_OK || !always_fails);
        assert_int_equal(st, err.status);
        cf_bpe_close(bpe);
    }
    free(text);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%.4000s/%s", dir, all[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void truncated_files_are_errors_and_not_crashes(void **state)
{
    (void)state;
    cut("tokenizer.json", true);
    cut("vocab.json", true);
    cut("tokenizer_config.json", true);
    cut("merges.txt", false); /* whole lines are whole merges */
}

static void what_is_not_there_is_named(void **state)
{
    struct cf_error err = {0};
    struct cf_bpe *bpe;

    (void)state;
    assert_int_equal(cf_bpe_open(&bpe, "/nonexistent/tokenizer.json", &err), CF_ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/tokenizer.json"));
    assert_null(bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_texts_are_the_references_in_all_three_layouts),
        cmocka_unit_test(the_checker_notices_one_wrong_id),
        cmocka_unit_test(nfc_is_that_of_utf8proc),
        cmocka_unit_test(white_space_is_the_list_of_the_reference),
        cmocka_unit_test(lower_case_goes_by_code_point),
        cmocka_unit_test(the_pattern_cuts_where_the_reference_does),
        cmocka_unit_test(any_bytes_come_back_as_their_repaired_normal_form),
        cmocka_unit_test(a_word_of_a_megabyte_costs_n_log_n),
        cmocka_unit_test(ids_beyond_the_room_are_counted_and_not_written),
        cmocka_unit_test(ids_that_are_no_tokens_are_named),
        cmocka_unit_test(roles_come_from_the_config_beside_the_tokenizer),
        cmocka_unit_test(components_of_another_tokenizer_are_refused),
        cmocka_unit_test(vocabularies_that_contradict_themselves_are_refused),
        cmocka_unit_test(added_tokens_that_we_cannot_honour_are_refused),
        cmocka_unit_test(the_longest_added_token_wins),
        cmocka_unit_test(truncated_files_are_errors_and_not_crashes),
        cmocka_unit_test(what_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
