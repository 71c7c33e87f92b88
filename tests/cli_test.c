/* cli_test.c - options, numbers and sizes that people type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cli.h"
#include "base/parse.h"

static const struct cf_option table[] = {
    {'m', "model", "DIR", "a model"},
    {256, "max-jobs", "N", "a number"},
    {'q', "quiet", NULL, "less"},
    {0, NULL, NULL, NULL},
};

static char seen[256];

static enum cf_status parse(struct cf_error *err, int *first, const char **argv)
{
    struct cf_cli cli = {.table = table, .argv = (char **)argv};
    int key;

    while (argv[cli.argc])
        cli.argc++;
    seen[0] = '\0';
    *err = (struct cf_error){0};
    while ((key = cf_cli_next(&cli, err)) > 0)
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%d=%s;", key,
                 cli.value ? cli.value : "-");
    *first = cli.first;
    assert_int_equal(key, err->status == CF_OK ? 0 : -1);
    return err->status;
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
    const char *bare[] = {"x", "--model", NULL}, *value[] = {"x", "--quiet=1", NULL};
    const char *last[] = {"x", "-q", "-m", NULL},
               *word[] = {"x", "--max=1", "-qZq", NULL};
    struct cf_error err;
    int first;

    (void)state;
    assert_int_equal(parse(&err, &first, unknown), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--nope"));
    assert_int_equal(parse(&err, &first, ambiguous), CF_EUSAGE);
    assert_int_equal(parse(&err, &first, bare), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--model"));
    assert_non_null(strstr(err.msg, "needs a value"));
    assert_int_equal(parse(&err, &first, value), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--quiet=1"));
    assert_int_equal(parse(&err, &first, last), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "'-m' needs a value"));
    assert_int_equal(parse(&err, &first, word), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "'-Z'"));
}

static void a_second_command_line_starts_anew(void **state)
{
    const char *argv[] = {"x", "-q", "a", "-m", "b", NULL};
    struct cf_error err;
    int first;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(parse(&err, &first, argv), CF_OK);
        assert_string_equal(seen, "113=-;109=b;");
        assert_int_equal(first, 4);
    }
}

/* In a child: the test's own output stays. */
static int status_of(void (*child)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        child();
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void fill_disk(void)
{
    struct cf_error err = {0};

    _exit(!freopen("/dev/full", "w", stdout) || puts("x") < 0 ||
          cf_cli_flush(&err) != CF_EIO || !strstr(err.msg, "standard output"));
}

static void close_all(void)
{
    struct cf_error err = {0};
    char c;

    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    cf_cli_start();
    if (open("/dev/null", O_RDONLY) <= 2 || read(0, &c, 1) >= 0 || write(2, "x", 1) >= 0)
        _exit(1);
    _exit(puts("x") < 0 || cf_cli_flush(&err) != CF_EIO);
}

static void a_full_standard_output_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(status_of(fill_disk), 0);
}

static void closed_standard_files_are_occupied_and_fail(void **state)
{
    (void)state;
    assert_int_equal(status_of(close_all), 0);
}

static void numbers_are_whole_strings_in_range(void **state)
{
    static const char *const bad[] = {"",   " 1",  "1 ",  "1x", "0x10", "11",
                                      "-1", "1e1", "1.0", "+",  "--1"};
    struct cf_error err = {0};
    uint64_t u;
    int64_t v;
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
    assert_int_equal(
        cf_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v, "--n", &err),
        CF_OK);
    assert_true(v == INT64_MIN);
    assert_int_equal(
        cf_parse_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &v, "--n", NULL),
        CF_EUSAGE);
    assert_int_equal(
        cf_parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &v, "--n", NULL),
        CF_EUSAGE);
}

static void zero_is_spelled_auto(void **state)
{
    int n = 7;

    (void)state;
    assert_int_equal(cf_parse_auto("auto", 9, &n, "--threads", NULL), CF_OK);
    assert_int_equal(n, 0);
    assert_int_equal(cf_parse_auto("9", 9, &n, "--threads", NULL), CF_OK);
    assert_int_equal(n, 9);
    assert_int_equal(cf_parse_auto("0", 9, &n, "--threads", NULL), CF_EUSAGE);
    assert_int_equal(cf_parse_auto("10", 9, &n, "--threads", NULL), CF_EUSAGE);
}

static void a_word_is_one_of_a_few(void **state)
{
    static const char *const words[] = {"full", "none", NULL};
    struct cf_error err = {0};
    int n;

    (void)state;
    assert_int_equal(cf_parse_word("none", words, &n, "--meta", &err), CF_OK);
    assert_int_equal(n, 1);
    assert_int_equal(cf_parse_word("non", words, &n, "--meta", &err), CF_EUSAGE);
    assert_string_equal(err.msg, "--meta: found 'non', expected one of full, none");
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
        cmocka_unit_test(a_second_command_line_starts_anew),
        cmocka_unit_test(a_full_standard_output_is_an_error),
        cmocka_unit_test(closed_standard_files_are_occupied_and_fail),
        cmocka_unit_test(numbers_are_whole_strings_in_range),
        cmocka_unit_test(sizes_and_lists_are_checked),
        cmocka_unit_test(zero_is_spelled_auto),
        cmocka_unit_test(a_word_is_one_of_a_few),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
