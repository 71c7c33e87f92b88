/* duration_test.c - spans of time as Slurm and people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/duration.h"

static void is(const char *text, int64_t seconds)
{
    struct cf_error err = {0};
    int64_t got = -1;

    if (cf_parse_duration(text, &got, "--time-limit", &err) != CF_OK || got != seconds)
        fail_msg("'%s': %lld, expected %lld (%s)", text, (long long)got,
                 (long long)seconds, err.msg);
}

static void what_squeue_prints_is_understood(void **state)
{
    (void)state;
    is("0:00", 0);
    is("9:58", 598);
    is("59:59", 3599);
    is("1:00:00", 3600);
    is("01:02:03", 3723);
    is("23:59:59", 86399);
    is("1-00:00:00", 86400);
    is("7-12:30:05", 649805);
    is("UNLIMITED", CF_UNLIMITED);
    is("NOT_SET", CF_UNLIMITED);
    is("INVALID", 0);
    is("9:58\n", 598);
    is("   9:58", 598);
}

static void what_people_write_is_understood(void **state)
{
    (void)state;
    is("90", 90);
    is("0", 0);
    is("45s", 45);
    is("90m", 5400);
    is("2h", 7200);
    is("1d", 86400);
    is("120:00", 7200);
    is("48:00:00", 172800);
    is("2-12", 216000);
    is("2-12:30", 217800);
    is("infinite", CF_UNLIMITED);
    is("1000000000", 1000000000);
}

static void anything_else_is_refused_with_the_option_named(void **state)
{
    static const char *const bad[] = {
        "",      " ",      "-1",      "+1",      "1.5",       "90x",     "90mm",
        "9m30s", "1:60",   "1:2:60",  "1:60:00", "1-24",      "1-1:60",  "1-1:00:60",
        "1:",    ":30",    "1::2",    "1-",      "-",         "1-2:",    "1-2-3",
        "UNLIM", "9:58 9", "1:2:3:4", "NaN",     "10000000d", "9:58\n1", "1000000001",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cf_error err = {0};
        int64_t got;

        if (cf_parse_duration(bad[i], &got, "--time-limit", &err) != CF_EUSAGE)
            fail_msg("'%s' was taken for %lld", bad[i], (long long)got);
        assert_ptr_equal(strstr(err.msg, "--time-limit"), err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_squeue_prints_is_understood),
        cmocka_unit_test(what_people_write_is_understood),
        cmocka_unit_test(anything_else_is_refused_with_the_option_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
