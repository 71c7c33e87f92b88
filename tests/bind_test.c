/* bind_test.c - a struct of views filled at once, all faults told at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tests/weights_util.h"
#include "weights/bind.h"
#include "weights/config.h"

static char *dir;
static struct cf_ckpt *ckpt;

static int open_ckpt(void **state)
{
    struct cf_error err = {0};

    (void)state;
    dir = util_mkdir();
    util_write_st(
        util_path(dir, "w.safetensors"),
        "{\"blk.0.w\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"blk.1.w\":{\"dtype\":\"F16\",\"shape\":[3,2],\"data_offsets\":[12,24]},"
        "\"mask\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[24,28]},"
        "\"one\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[28,32]}}",
        32);
    assert_int_equal(cf_ckpt_open(&ckpt, util_path(dir, "w.safetensors"), &err), CF_OK);
    return 0;
}

static int close_ckpt(void **state)
{
    (void)state;
    cf_ckpt_close(ckpt);
    util_rmdir(dir);
    return 0;
}

static const int64_t d23[] = {2, 3}, d2x[] = {2, -1}, d4[] = {4};

static void what_fits_is_filled_at_once(void **state)
{
    struct cf_error err = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &err);
    struct cf_view w, any, one, none = {.data = ""};

    (void)state;
    cf_bind_want(b, &w, CF_BIND_REQUIRED, 2, d23, "blk.%d.w", 0);
    assert_ptr_equal(w.data, cf_ckpt_find(ckpt, "blk.0.w")->data);
    assert_int_equal(w.dtype, CF_BF16);
    cf_bind_want(b, &any, CF_BIND_REQUIRED, 2, d2x, "blk.0.w");
    assert_int_equal(any.dim[1], 3);
    cf_bind_want(b, &one, CF_BIND_REQUIRED, 0, NULL, "one");
    assert_int_equal(one.ndim, 0);
    cf_bind_want(b, &none, CF_BIND_OPTIONAL, 2, d23, "blk.7.w");
    assert_null(none.data);
    assert_int_equal(cf_bind_end(b, false, &err), CF_OK);
    assert_int_equal(err.status, CF_OK);
}

static void all_faults_are_told_in_one_message(void **state)
{
    struct cf_error err = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &err);
    struct cf_view v;

    (void)state;
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 2, d2x, "blk.%d.w", 1);
    assert_null(v.data);
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 2, d23, "blk.2.w");
    assert_null(v.data);
    cf_bind_want(b, &v, CF_BIND_OPTIONAL, 1, d4, "mask"); /* there, so it must fit */
    assert_null(v.data);
    assert_int_equal(cf_bind_end(b, false, &err), CF_ESHAPE);
    assert_string_equal(err.msg,
                        "w.safetensors: 3 tensors do not fit: "
                        "blk.1.w: shape [3, 2], expected [2, *]; blk.2.w: missing; "
                        "mask: I8, expected F32, F16 or BF16");
}

static void a_wrong_number_of_dimensions_does_not_fit(void **state)
{
    struct cf_error err = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &err);
    struct cf_view v;

    (void)state;
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 1, d2x, "blk.0.w");
    assert_int_equal(cf_bind_end(b, false, &err), CF_ESHAPE);
    assert_string_equal(err.msg, "w.safetensors: 1 tensor does not fit: "
                                 "blk.0.w: shape [2, 3], expected [2]");
}

static void a_long_list_ends_with_a_count(void **state)
{
    struct cf_error err = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &err);
    struct cf_view v;

    (void)state;
    for (int i = 0; i < 1000; i++)
        cf_bind_want(b, &v, CF_BIND_REQUIRED, 2, d23, "layer.%d.attention.weight", i);
    assert_int_equal(cf_bind_end(b, false, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "1000 tensors do not fit: layer.0.attention.weight"));
    assert_non_null(strstr(err.msg, "missing (and 99"));
    assert_int_equal(err.msg[strlen(err.msg) - 1], ')');
}

static void names_longer_than_any_file_holds_are_missing(void **state)
{
    struct cf_error err = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &err);
    struct cf_view v;

    (void)state;
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 2, d23, "blk.%02000d.w", 0);
    assert_int_equal(cf_bind_end(b, false, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "000: missing"));
}

static void strict_refuses_what_nobody_asked_for(void **state)
{
    struct cf_error a = {0}, c = {0}, d = {0};
    struct cf_bind *b = cf_bind_begin(ckpt, &a);
    struct cf_view v;

    (void)state;
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 2, d23, "blk.0.w");
    cf_bind_ignore(b, "mask");
    cf_bind_ignore(b, "on"); /* no prefix without a star */
    cf_bind_ignore(b, "absent*");
    assert_int_equal(cf_bind_end(b, true, &a), CF_EMISMATCH);
    assert_string_equal(a.msg, "w.safetensors: 2 tensors do not fit: "
                               "blk.1.w: not expected; one: not expected");
    b = cf_bind_begin(ckpt, &c);
    cf_bind_ignore(b, "blk.*");
    cf_bind_ignore(b, "mask");
    cf_bind_ignore(b, "one");
    assert_int_equal(cf_bind_end(b, true, &c), CF_OK);
    b = cf_bind_begin(ckpt, &d);
    cf_bind_ignore(b, "*");
    assert_int_equal(cf_bind_end(b, true, &d), CF_OK);
}

static void a_collection_that_never_began_only_fails(void **state)
{
    struct cf_error err = {0};
    struct cf_view v = {.ndim = 7};

    (void)state;
    cf_bind_want(NULL, &v, CF_BIND_REQUIRED, 2, d23, "x");
    assert_int_equal(v.ndim, 0);
    cf_bind_ignore(NULL, "x");
    assert_int_equal(cf_bind_end(NULL, true, &err), CF_ENOMEM);
}

/* weights/config.h: the fields of a section. */

static json_t *object(const char *text)
{
    json_t *obj = cf_json_parse(text, strlen(text), 1000, "c", NULL);

    assert_non_null(obj);
    return obj;
}

static void an_unknown_key_is_named(void **state)
{
    json_t *obj = object("{\"a\":1,\"typo\":2}");
    struct cf_error err = {0}, null = {0};

    (void)state;
    assert_int_equal(cf_config_only(obj, "c", &err, "a", "typo", NULL), CF_OK);
    assert_int_equal(cf_config_only(obj, "c", &err, "a", "b", NULL), CF_EFORMAT);
    assert_string_equal(err.msg, "c: unknown key \"typo\"");
    assert_int_equal(cf_config_only(NULL, "c", &null, "a", NULL), CF_EFORMAT);
    json_decref(obj);
}

static void absent_fields_keep_their_default_and_null_is_not_absent(void **state)
{
    json_t *obj = object("{\"n\":null,\"i\":7,\"f\":0.5,\"b\":true,\"s\":\"x\"}");
    struct cf_error err = {0};
    const char *s = "d";
    bool b = false;
    double f = 2.0;
    int i = 3;

    (void)state;
    assert_int_equal(cf_config_opt_int(obj, "none", 0, 9, &i, "c", &err), CF_OK);
    assert_int_equal(i, 3);
    assert_int_equal(cf_config_opt_int(obj, "i", 0, 9, &i, "c", &err), CF_OK);
    assert_int_equal(i, 7);
    assert_int_equal(cf_config_opt_num(obj, "f", 0, 1, &f, "c", &err), CF_OK);
    assert_true(f == 0.5);
    assert_int_equal(cf_config_opt_bool(obj, "b", &b, "c", &err), CF_OK);
    assert_true(b);
    assert_int_equal(cf_config_opt_str(obj, "s", &s, "c", &err), CF_OK);
    assert_string_equal(s, "x");
    assert_int_equal(cf_config_opt_int(obj, "i", 0, 6, &i, "c", NULL), CF_EFORMAT);
    assert_int_equal(cf_config_opt_int(obj, "n", 0, 9, &i, "c", &err), CF_EFORMAT);
    assert_non_null(strstr(err.msg, "c: n: found null, expected an integer"));
    json_decref(obj);
}

static void lists_and_choices_are_bounded(void **state)
{
    json_t *obj =
        object("{\"l\":[1,2,3],\"m\":[0.5,1],\"e\":[],\"x\":[1,\"2\"],\"c\":\"b\"}");
    static const char *const names[] = {"a", "b"};
    struct cf_error err = {0};
    double f[2];
    int v[3], n, which;

    (void)state;
    assert_int_equal(cf_config_ints(obj, "l", 1, 3, v, 3, &n, "c", &err), CF_OK);
    assert_true(n == 3 && v[0] == 1 && v[2] == 3);
    assert_int_equal(cf_config_nums(obj, "m", 0, 1, f, 2, &n, "c", &err), CF_OK);
    assert_true(n == 2 && f[0] == 0.5 && f[1] == 1.0);
    assert_int_equal(cf_config_choice(obj, "c", names, 2, &which, "c", &err), CF_OK);
    assert_int_equal(which, 1);
    assert_int_equal(cf_config_choice(obj, "c", names, 1, &which, "c", &err), CF_EFORMAT);
    assert_string_equal(err.msg, "c: c is \"b\", expected one of \"a\"");
    assert_int_equal(cf_config_ints(obj, "l", 1, 2, v, 3, &n, "c", NULL), CF_EFORMAT);
    assert_int_equal(cf_config_ints(obj, "l", 1, 3, v, 2, &n, "c", NULL), CF_EFORMAT);
    assert_int_equal(cf_config_ints(obj, "e", 1, 3, v, 3, &n, "c", NULL), CF_EFORMAT);
    assert_int_equal(cf_config_ints(obj, "x", 1, 3, v, 3, &n, "c", NULL), CF_EFORMAT);
    assert_int_equal(cf_config_nums(obj, "x", 1, 3, f, 2, &n, "c", NULL), CF_EFORMAT);
    json_decref(obj);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_filled_at_once),
        cmocka_unit_test(all_faults_are_told_in_one_message),
        cmocka_unit_test(a_wrong_number_of_dimensions_does_not_fit),
        cmocka_unit_test(a_long_list_ends_with_a_count),
        cmocka_unit_test(names_longer_than_any_file_holds_are_missing),
        cmocka_unit_test(strict_refuses_what_nobody_asked_for),
        cmocka_unit_test(a_collection_that_never_began_only_fails),
        cmocka_unit_test(an_unknown_key_is_named),
        cmocka_unit_test(absent_fields_keep_their_default_and_null_is_not_absent),
        cmocka_unit_test(lists_and_choices_are_bounded),
    };

    return cmocka_run_group_tests(tests, open_ckpt, close_ckpt);
}
