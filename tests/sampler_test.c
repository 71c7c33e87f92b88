/* sampler_test.c - bits from logits: filters, addresses, frequencies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "models/sampler.h"

static void greedy_takes_the_larger_logit(void **state)
{
    (void)state;
    assert_true(cf_sample_prob(0.0f, 1e-6f, 1, 0.0f) == 1.0f);
    assert_true(cf_sample_prob(1e-6f, 0.0f, 1, 0.0f) == 0.0f);
}

static void a_greedy_tie_is_drawn(void **state)
{
    (void)state;
    assert_true(cf_sample_prob(2.0f, 2.0f, 1, 0.0f) == 0.5f);
}

static void top_p_removes_only_the_minority(void **state)
{
    (void)state;
    assert_true(cf_sample_prob(0.0f, 4.0f, 0, 0.97f) == 1.0f); /* minority 1.8 % */
    assert_true(cf_sample_prob(4.0f, 0.0f, 900, 0.97f) == 0.0f);
    assert_true(cf_sample_prob(0.0f, 3.0f, 0, 0.97f) < 1.0f); /* minority 4.7 % */
    assert_true(cf_sample_prob(1.0f, 1.0f, 0, 0.5f) == 1.0f); /* tie: 1 stays */
    assert_true(cf_sample_prob(1.0f, 1.0f, 0, 0.6f) == 0.5f);
}

static void huge_logits_stay_probabilities(void **state)
{
    (void)state;
    assert_true(cf_sample_prob(-3e38f, 3e38f, 0, 0.0f) == 1.0f);
    assert_true(cf_sample_prob(3e38f, -3e38f, 0, 0.0f) == 0.0f);
    assert_true(cf_sample_prob(-1e4f, -1e4f, 0, 0.0f) == 0.5f);
}

static void a_bit_depends_on_its_address_alone(void **state)
{
    enum { N = 50, DV = 14 };
    float logits[N * DV * 2];
    uint8_t all[N * DV], some[N * DV], other[N * DV];

    (void)state;
    for (int i = 0; i < N * DV * 2; i++)
        logits[i] = (float)(i % 7) * 0.1f;
    cf_sample_bits(all, logits, N, DV, 0, 0.0f, 99, 3);
    cf_sample_bits(some, logits, N / 2, DV, 0, 0.0f, 99, 3);
    assert_memory_equal(all, some, (size_t)(N / 2) * DV);
    cf_sample_bits(other, logits, N, DV, 0, 0.0f, 99, 4);
    assert_memory_not_equal(all, other, sizeof(all));
    cf_sample_bits(other, logits, N, DV, 0, 0.0f, 100, 3);
    assert_memory_not_equal(all, other, sizeof(all));
}

static void bits_come_as_often_as_their_probability_says(void **state)
{
    enum { N = 20000 };
    static float logits[N * 2];
    static uint8_t bits[N];
    double ones = 0.0;

    (void)state;
    for (int i = 0; i < N; i++)
        logits[2 * i + 1] = 1.0f; /* p(1) = 0.7311 */
    cf_sample_bits(bits, logits, N, 1, 0, 0.0f, 7, 0);
    for (int i = 0; i < N; i++)
        ones += bits[i];
    assert_true(fabs(ones / N - 0.7311) < 4.0 * sqrt(0.2 / N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_larger_logit),
        cmocka_unit_test(a_greedy_tie_is_drawn),
        cmocka_unit_test(top_p_removes_only_the_minority),
        cmocka_unit_test(huge_logits_stay_probabilities),
        cmocka_unit_test(a_bit_depends_on_its_address_alone),
        cmocka_unit_test(bits_come_as_often_as_their_probability_says),
    };

    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
