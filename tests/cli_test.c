/* cli_test.c - options, numbers and sizes that people type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/cli.h"
#include "base/parse.h"

static const struct cf_option table[] = {
    {'m', "model", "DIR", "a model"},
    {256, "max-jobs", "N", "a number"},
    {'q', "quiet", NULL, "less"},
    {0, NULL, NULL, NULL},
};

static char seen[256];

static enum cf_status note(void *ctx, int key, const char *value, struct cf_error *err)
{
    (void)ctx;
    (void)err;
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%d=%s;", key,
             value ? value : "-");
    return CF_OK;
}

static enum cf_status parse(struct cf_error *err, int *first, const char **argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    seen[0] = '\0';
    *err = (struct cf_error){0};
    return cf_cli_parse(argc, (char **)argv, table, note, NULL, first, err);
}

static void options_come_in_order_and_operands_after(void **state)
{
    const char *argv[] = {"x", "--model=a b", "-q", "--max", "3", "--", "-z", NULL};
    struct cf_error err;
    int first;

    (void)state;
    assert_int_equal(parse(&err, &first, argv), CF_OK);
    assert_string_equal(seen, "109=a b;113=-;256=3;");
    assert_int_equal(first, 6);
}

static void a_wrong_option_is_named(void **state)
{
    const char *unknown[] = {"x", "--nope", NULL}, *ambiguous[] = {"x", "--m=1", NULL};
    const char *bare[] = {"x", "--model", NULL};
    struct cf_error err;
    int first;

    (void)state;
    assert_int_equal(parse(&err, &first, unknown), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--nope"));
    assert_int_equal(parse(&err, &first, ambiguous), CF_EUSAGE);
    assert_int_equal(parse(&err, &first, bare), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "needs a value"));
}

static void numbers_are_whole_strings_in_range(void **state)
{
    static const char *const bad[] = {"",   " 1", "1 ",  "1x", "0x10",
                                      "11", "-1", "1e1", "1.0"};
    struct cf_error err = {0};
    uint64_t u;
    int n;

    (void)state;
    assert_int_equal(cf_parse_int("7", 0, 10, &n, "--n", &err), CF_OK);
    assert_int_equal(n, 7);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cf_parse_int(bad[i], 0, 10, &n, "--n", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_u64("18446744073709551615", &u, "--seed", &err), CF_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(cf_parse_u64("18446744073709551616", &u, "--seed", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_u64("-1", &u, "--seed", NULL), CF_EUSAGE);
}

static void sizes_and_lists_are_checked(void **state)
{
    static const char *const bad[] = {"",       "12",  "12x",     "x12",
                                      "12x12x", "0x5", "99999x1", "-1x5"};
    struct cf_error err = {0};
    double v[3];
    int w, h, n;

    (void)state;
    assert_int_equal(cf_parse_size("640x480", &w, &h, "--size", &err), CF_OK);
    assert_true(w == 640 && h == 480);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cf_parse_size(bad[i], &w, &h, "--size", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_list("1,2.5,3", 0, 9, v, 3, &n, "--cfg", &err), CF_OK);
    assert_true(n == 3 && v[1] == 2.5);
    assert_int_equal(cf_parse_list("1,,3", 0, 9, v, 3, &n, "--cfg", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_list("1,2,3,4", 0, 9, v, 3, &n, "--cfg", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_list("nan", 0, 9, v, 3, &n, "--cfg", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_list("inf", 0, 9, v, 3, &n, "--cfg", NULL), CF_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_come_in_order_and_operands_after),
        cmocka_unit_test(a_wrong_option_is_named),
        cmocka_unit_test(numbers_are_whole_strings_in_range),
        cmocka_unit_test(sizes_and_lists_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
