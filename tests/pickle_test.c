/* pickle_test.c - the machine of pickles: what it reads, what it bounds. The refusals
 * that need a whole file are in tests/golden/pth/bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/weights_util.h"
#include "weights/flatten.h"
#include "weights/pickle.h"

/* A literal with its inner NULs. */
#define B(s) s, sizeof(s) - 1

/* Exactly n bytes on the heap: the sanitizer sees a read past them. */
static struct cf_pickle *parse(const char *s, size_t n, void **bytes,
                               struct cf_error *err)
{
    struct cf_pickle *p;

    *bytes = malloc(n ? n : 1);
    assert_non_null(*bytes);
    memcpy(*bytes, s, n);
    assert_true((cf_pickle_parse(&p, *bytes, n, "f", err) == CF_OK) == (p != NULL));
    return p;
}

static struct cf_pickle *good(const char *s, size_t n, void **bytes)
{
    struct cf_error err = {0};
    struct cf_pickle *p = parse(s, n, bytes, &err);

    if (!p)
        fail_msg("%s", err.msg);
    return p;
}

static void refused(const char *s, size_t n, enum cf_status status, const char *part)
{
    struct cf_error err = {0};
    void *bytes;

    if (parse(s, n, &bytes, &err))
        fail_msg("read, expected \"%s\"", part);
    free(bytes);
    if (!strstr(err.msg, part) || strncmp(err.msg, "f: ", 3) != 0)
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
    assert_int_equal(err.status, status);
}

/* The value as text, in Python's manner: dictionaries in braces and so on. */
static void show(char *out, const struct cf_pickle *p, uint32_t value)
{
    static const char *const brackets[][2] = {[CF_PICKLE_LIST] = {"[", "]"},
                                              [CF_PICKLE_TUPLE] = {"(", ")"},
                                              [CF_PICKLE_DICT] = {"{", "}"}};
    enum cf_pickle_kind kind = cf_pickle_kind(p, value);
    uint32_t at = 0, key = 0, item;
    const char *s;
    size_t len;

    out += strlen(out);
    switch (kind) {
    case CF_PICKLE_INT:
        sprintf(out, "%lld", (long long)cf_pickle_int(p, value));
        break;
    case CF_PICKLE_TEXT:
        s = cf_pickle_text(p, value, &len);
        sprintf(out, "'%.*s'", (int)len, s);
        break;
    case CF_PICKLE_LIST:
    case CF_PICKLE_TUPLE:
    case CF_PICKLE_DICT:
        strcat(out, brackets[kind][0]);
        while (cf_pickle_next(p, value, &at, &key, &item)) {
            if (kind == CF_PICKLE_DICT) {
                show(out, p, key);
                strcat(out, ":");
            }
            show(out, p, item);
            strcat(out, " ");
        }
        strcat(out, brackets[kind][1]);
        break;
    default:
        strcpy(out, kind == CF_PICKLE_NONE    ? "None"
                    : kind == CF_PICKLE_BOOL  ? "bool"
                    : kind == CF_PICKLE_FLOAT ? "float"
                                              : "other");
    }
}

static void is(const char *s, size_t n, const char *want)
{
    char out[400] = "";
    void *bytes;
    struct cf_pickle *p = good(s, n, &bytes);

    show(out, p, cf_pickle_root(p));
    assert_string_equal(out, want);
    cf_pickle_close(p);
    free(bytes);
}

static void scalars_are_what_pickletools_says(void **state)
{
    (void)state;
    is(B("\x80\x02N."), "None");
    is(B("\x80\x02\x88."), "bool");
    is(B("\x80\x02G\x3f\xf8\0\0\0\0\0\0."), "float");
    is(B("\x80\x02K\xff."), "255");
    is(B("\x80\x02M\xff\xff."), "65535");
    is(B("\x80\x02J\xff\xff\xff\xff."), "-1");
    is(B("\x80\x02\x8a\x00."), "0");
    is(B("\x80\x02\x8a\x01\xff."), "-1");
    is(B("\x80\x02\x8a\x02\xff\x00."), "255");
    is(B("\x80\x02\x8a\x08\0\0\0\0\0\0\0\x80."), "-9223372036854775808");
    is(B("\x80\x02\x8b\x01\0\0\0\x80."), "-128");
    is(B("\x80\x02\x8a\x09\0\0\0\0\0\0\0\x80\0."), "other");
    is(B("\x80\x02X\x02\0\0\0\xc3\xa9."), "'\xc3\xa9'");
    is(B("\x80\x04\x8c\x01x."), "'x'");
    is(B("\x80\x04\x8d\x01\0\0\0\0\0\0\0x."), "'x'");
    is(B("\x80\x02U\x01x."), "'x'");
    is(B("\x80\x02T\x01\0\0\0x."), "'x'");
    is(B("\x80\x02U\x01\xff."), "other");
    is(B("\x80\x03"
         "C\x01x."),
       "other");
    is(B("\x80\x03"
         "B\x01\0\0\0x."),
       "other");
    is(B("\x80\x04\x8e\x01\0\0\0\0\0\0\0x."), "other");
}

static void containers_keep_the_order_of_their_items(void **state)
{
    (void)state;
    is(B("\x80\x02]."), "[]");
    is(B("\x80\x02](K\1K\2eK\3a."), "[1 2 3 ]");
    is(B("\x80\x02)."), "()");
    is(B("\x80\x02K\1\x85."), "(1 )");
    is(B("\x80\x02K\1K\2\x86."), "(1 2 )");
    is(B("\x80\x02K\1K\2K\3\x87."), "(1 2 3 )");
    is(B("\x80\x02(K\1K\2K\3K\4t."), "(1 2 3 4 )");
    is(B("\x80\x02(K\1l."), "[1 ]");
    is(B("\x80\x02(K\1K\2"
         "d."),
       "{1:2 }");
    is(B("\x80\x02}(K\1K\2K\3K\4uK\5K\6s."), "{1:2 3:4 5:6 }");
    is(B("\x80\x02}(u."), "{}");
}

static void the_memo_gives_what_was_put(void **state)
{
    (void)state;
    is(B("\x80\x02K\7q\5"
         "0h\5."),
       "7");
    is(B("\x80\x02K\7r\0\1\0\0"
         "0j\0\1\0\0."),
       "7");
    is(B("\x80\x04\x8c\1a\x94\x8c\1b\x94h\0\x87."), "('a' 'b' 'a' )");
}

static void a_list_in_the_memo_is_one_list(void **state)
{
    (void)state;
    is(B("\x80\x02]q\0h\0K\1a\x86."), "([1 ] [1 ] )");
}

static void the_stack_is_kept_apart_by_marks(void **state)
{
    (void)state;
    is(B("\x80\x02K\1(K\2K\3"
         "1."),
       "1");
    is(B("\x80\x02K\1K\2"
         "0."),
       "1");
    is(B("\x80\x02K\1"
         "2\x86."),
       "(1 1 )");
    refused(B("\x80\x02K\1(0."), CF_EFORMAT, "empty stack");
    refused(B("\x80\x02K\1(\x85."), CF_EFORMAT, "more values than there are");
    refused(B("\x80\x02](K\1a."), CF_EFORMAT, "an item without its container");
    refused(B("\x80\x02]((e."), CF_EFORMAT, "no list");
    refused(B("\x80\x02K\1("), CF_EFORMAT, "ends within");
    refused(B("\x80\x02K\1(."), CF_EFORMAT, "empty stack");
}

static void only_lists_and_dictionaries_take_items(void **state)
{
    (void)state;
    refused(B("\x80\x02)(K\1e."), CF_EFORMAT, "no list");
    refused(B("\x80\x02}K\1a."), CF_EFORMAT, "no list");
    refused(B("\x80\x02](K\1K\2u."), CF_EFORMAT, "no dictionary");
    refused(B("\x80\x02K\1(K\1K\2u."), CF_EFORMAT, "no dictionary");
}

static void the_calls_of_the_closed_list_give_data(void **state)
{
    (void)state;
    is(B("\x80\x02"
         "ccollections\nOrderedDict\n)RK\1K\2s."),
       "{1:2 }");
    is(B("\x80\x02"
         "ccollections\nOrderedDict\n)R}K\1K\2sb."),
       "{}");
    is(B("\x80\x02"
         "ctorch\nSize\n(K\1K\2t\x85R."),
       "(1 2 )");
    is(B("\x80\x02"
         "ctorch\ndevice\nX\3\0\0\0cpu\x85R."),
       "other");
    is(B("\x80\x04\x8c\5torch\x8c\7float16\x93."), "other");
    refused(B("\x80\x02"
              "ccollections\nOrderedDict\n](e\x85R."),
            CF_EFORMAT, "OrderedDict with arguments");
    refused(B("\x80\x02"
              "ctorch\nFloatStorage\n)R."),
            CF_EFORMAT, "no function");
    refused(B("\x80\x02"
              "ccollections\nOrderedDict\n]R."),
            CF_EFORMAT, "no tuple");
}

static void every_other_global_is_refused_by_name(void **state)
{
    (void)state;
    refused(B("\x80\x02"
              "cposix\nsystem\n."),
            CF_EUNSUP, "posix.system");
    refused(B("\x80\x02"
              "cargparse\nNamespace\n."),
            CF_EUNSUP, "argparse.Namespace");
    refused(B("\x80\x02"
              "ccollections\nOrderedDic\n."),
            CF_EUNSUP, "collections.OrderedDic,");
    refused(B("\x80\x02"
              "ccollections\nOrderedDict2\n."),
            CF_EUNSUP, "collections.OrderedDict2");
    refused(B("\x80\x04\x8c\0\x8c\0\x93."), CF_EUNSUP, "refers to .");
    refused(B("\x80\x04K\1\x8c\1x\x93."), CF_EFORMAT, "no text");
    refused(B("\x80\x02"
              "cposix\nsystem"),
            CF_EFORMAT, "without an end");
}

/* A typed tensor as torch 2 writes it for types without a storage class. */
static void a_tensor_of_bytes_has_the_type_that_is_said(void **state)
{
    static const char text[] =
        "\x80\x02"
        "ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\n"
        "UntypedStorage\nX\1\0\0\0007X\3\0\0\0cpuK\xctQK\2K\3\x85K\1\x85\x89"
        "ccollections\nOrderedDict\n)Rctorch\nint16\ntR.";
    const struct cf_pickle_tensor *t;
    struct cf_pickle *p;
    void *bytes;

    (void)state;
    p = good(B(text), &bytes);
    assert_int_equal(cf_pickle_kind(p, cf_pickle_root(p)), CF_PICKLE_TENSOR);
    t = cf_pickle_tensor(p, cf_pickle_root(p));
    assert_int_equal(t->view.dtype, CF_I16);
    assert_int_equal(t->view.ndim, 1);
    assert_int_equal(t->view.dim[0], 3);
    assert_int_equal(t->stride[0], 1);
    assert_int_equal(t->offset, 2);
    assert_int_equal(t->bytes, 12);
    assert_int_equal(t->key_len, 1);
    assert_int_equal(*t->key, '7');
    cf_pickle_close(p);
    free(bytes);
}

/* head, then times * middle, then tail. */
static void refused_repeated(const char *head, const char *middle, size_t times,
                             const char *tail, const char *part)
{
    size_t h = strlen(head), m = strlen(middle), t = strlen(tail);
    char *s = malloc(h + m * times + t);

    assert_non_null(s);
    memcpy(s, head, h);
    for (size_t i = 0; i < times; i++)
        memcpy(s + h + i * m, middle, m);
    memcpy(s + h + m * times, tail, t);
    refused(s, h + m * times + t, CF_EUNSUP, part);
    free(s);
}

static void values_items_marks_and_bytes_are_bounded(void **state)
{
    (void)state;
    refused_repeated("\x80\x02", "N", CF_PICKLE_MAX_NODES + 1, ".", "values");
    refused_repeated("\x80\x02N", "2", CF_PICKLE_MAX_NODES, ".", "on the stack");
    refused_repeated("\x80\x02", "(", CF_PICKLE_MAX_NODES + 1, ".", "marks");
    refused_repeated("\x80\x02]q\1", "h\1a", CF_PICKLE_MAX_ITEMS + 1, ".", "items");
    refused_repeated("\x80\x02", "N0", CF_PICKLE_MAX_BYTES / 2, ".", "bytes, at most");
}

static void a_pickle_cut_short_anywhere_is_refused(void **state)
{
    static const char text[] =
        "\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94(\x8c\1a\x94K\1\x8c\1b\x94]\x94(K\1M\1\1"
        "J\1\0\0\0e\x8c\1cG\0\0\0\0\0\0\0\0X\1\0\0\0dN\x87u.";
    struct cf_error err = {0};
    void *bytes;

    (void)state;
    for (size_t n = 0; n + 1 < sizeof text - 1; n++) {
        memset(&err, 0, sizeof err);
        assert_null(parse(text, n, &bytes, &err));
        assert_int_equal(err.status, CF_EFORMAT);
        free(bytes);
    }
}

/* Names as flatten.h says; the shared tensor under each of its names. */
static void names_are_joined_by_dots(void **state)
{
    static const char text[] =
        "\x80\x02}(X\1\0\0\0a}X\1\0\0\0bctorch._utils\n_rebuild_tensor_v2\n"
        "((X\7\0\0\0storagectorch\nHalfStorage\nX\1\0\0\0007X\3\0\0\0cpuK\6tQK\0K\3\x85"
        "K\2\x85\x89}tRq\1sX\1\0\0\0c]h\1aK\7h\1X\1\0\0\0nNNK\1u.";
    const char *const want[] = {"7", "a.b", "c.0"};
    struct cf_error none = {0};
    struct cf_flat_list list;
    struct cf_pickle *p;
    void *bytes;

    (void)state;
    p = good(B(text), &bytes);
    assert_int_equal(cf_flatten(&list, p, "f", &none), CF_OK);
    assert_int_equal(list.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(list.flat[i].name, want[i]);
        assert_ptr_equal(list.flat[i].tensor, list.flat[0].tensor);
    }
    cf_flat_free(&list);
    cf_pickle_close(p);
    free(bytes);
}

/* Twenty lists, each of ten times the one before, and no tensor in any. */
static void laughs_without_a_tensor_are_bounded_too(void **state)
{
    char text[1000] = "\x80\x02]q", *at = text + 4;
    struct cf_error err = {0};
    struct cf_flat_list list;
    struct cf_pickle *p;
    void *bytes;

    (void)state;
    *at++ = 1;
    for (char i = 1; i <= 20; i++) {
        memcpy(at, "](", 2);
        at += 2;
        for (int k = 0; k < 10; k++) {
            *at++ = 'h';
            *at++ = i;
        }
        memcpy(at, "eq", 2);
        at += 2;
        *at++ = (char)(i + 1);
    }
    *at++ = '.';
    p = good(text, (size_t)(at - text), &bytes);
    assert_int_equal(cf_flatten(&list, p, "f", &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "values in places"));
    cf_pickle_close(p);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_are_what_pickletools_says),
        cmocka_unit_test(containers_keep_the_order_of_their_items),
        cmocka_unit_test(the_memo_gives_what_was_put),
        cmocka_unit_test(a_list_in_the_memo_is_one_list),
        cmocka_unit_test(the_stack_is_kept_apart_by_marks),
        cmocka_unit_test(only_lists_and_dictionaries_take_items),
        cmocka_unit_test(the_calls_of_the_closed_list_give_data),
        cmocka_unit_test(every_other_global_is_refused_by_name),
        cmocka_unit_test(a_tensor_of_bytes_has_the_type_that_is_said),
        cmocka_unit_test(values_items_marks_and_bytes_are_bounded),
        cmocka_unit_test(a_pickle_cut_short_anywhere_is_refused),
        cmocka_unit_test(names_are_joined_by_dots),
        cmocka_unit_test(laughs_without_a_tensor_are_bounded_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
