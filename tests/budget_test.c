/* budget_test.c - nothing is begun that is not expected to end in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/duration.h"
#include "pipeline/budget.h"

enum { START = 5000000 };

static void without_a_limit_all_is_begun(void **state)
{
    struct cf_budget b;

    (void)state;
    cf_budget_open(&b, START, CF_UNLIMITED);
    cf_budget_note(&b, 1e9);
    assert_int_equal(cf_budget_fit(&b, START + 1000000000LL, 16, 99, 1e9), 16);
    assert_true(cf_budget_left(&b, START) > 1000000000LL);
    cf_budget_open(&b, START, 2);
    assert_int_equal(cf_budget_left(&b, START + 500), 1500);
    assert_int_equal(cf_budget_left(&b, START + 5000), 0);
}

static void before_the_first_image_one_at_a_time(void **state)
{
    struct cf_budget b;

    (void)state;
    cf_budget_open(&b, START, 60);
    assert_int_equal(cf_budget_fit(&b, START, 16, 0, 0), 1);
    assert_int_equal(cf_budget_fit(&b, START, 16, 1, 0), 0);
    assert_int_equal(cf_budget_fit(&b, START + 59900, 16, 0, 0), 0);
    assert_int_equal(cf_budget_fit(&b, START + 70000, 16, 0, 0), 0);
    cf_budget_open(&b, START, 0);
    assert_int_equal(cf_budget_fit(&b, START, 1, 0, 0), 0);
}

static void as_many_as_fit_and_no_more(void **state)
{
    struct cf_budget b;
    int last = 16;

    (void)state;
    cf_budget_open(&b, START, 60);
    cf_budget_note(&b, 2000);
    assert_int_equal(cf_budget_fit(&b, START, 16, 0, 0), 16);
    for (long long t = START; t <= START + 60000; t += 100) {
        int n = cf_budget_fit(&b, t, 16, 0, 100);

        assert_true(n <= last);
        assert_true(n == 0 || t + 2000 * n + 100 <= START + 60000);
        last = n;
    }
    assert_int_equal(last, 0);
    assert_int_equal(cf_budget_fit(&b, START + 50000, 16, 0, 0), 4);
    assert_int_equal(cf_budget_fit(&b, START + 50000, 16, 3, 0), 1);
    assert_int_equal(cf_budget_fit(&b, START + 50000, 16, 9, 0), 0);
    assert_int_equal(cf_budget_fit(&b, START + 50000, 16, 0, 9600), 0);
}

static void a_slow_image_is_remembered_for_a_while(void **state)
{
    struct cf_budget b;

    (void)state;
    cf_budget_open(&b, START, 60);
    cf_budget_note(&b, 20000);
    for (int i = 0; i < CF_BUDGET_RECENT - 1; i++)
        cf_budget_note(&b, 100);
    assert_int_equal(cf_budget_fit(&b, START + 40000, 16, 0, 0), 0);
    for (int i = 0; i < CF_BUDGET_RECENT; i++)
        cf_budget_note(&b, 100);
    assert_int_equal(cf_budget_fit(&b, START + 40000, 16, 0, 0), 16);
    cf_budget_forget(&b);
    assert_int_equal(cf_budget_fit(&b, START + 40000, 16, 0, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_all_is_begun),
        cmocka_unit_test(before_the_first_image_one_at_a_time),
        cmocka_unit_test(as_many_as_fit_and_no_more),
        cmocka_unit_test(a_slow_image_is_remembered_for_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
