/* settings_test.c - from a job's recipe to settings, and from a plan to the record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "pipeline/settings.h"

static void a_recipe_sets_what_it_names_and_nothing_else(void **state)
{
    struct cf_error err = {0};
    struct cf_settings s;

    (void)state;
    assert_int_equal(cf_settings_read(&s,
                                      "{\"cfg\":[3.0,2.0],\"cfg_insertion_layer\":[0,-2],"
                                      "\"lossless\":true,\"model\":\"m\",\"top_k\":1}",
                                      64, 32, &err),
                     CF_OK);
    assert_string_equal(s.model, "m");
    assert_int_equal(s.params.n_guidance, 2);
    assert_true(s.params.guidance[1] == 2.0f);
    assert_int_equal(s.params.n_temperature, 0);
    assert_int_equal(s.params.insert[1], -2);
    assert_int_equal(s.params.top_k, 1);
    assert_true(s.params.top_p < 0);
    assert_true(s.webp.lossless);
    assert_int_equal(s.params.width, 64);
    cf_settings_free(&s);
}

static void a_damaged_recipe_is_an_error_of_its_row(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"cfg\":\"x\"}",
        "{\"cfg\":[]}",
        "{\"cfg\":[1,\"a\"]}",
        "{\"top_p\":7}",
        "{\"quality\":-1}",
        "{\"method\":9}",
        "{\"cfg_insertion_layer\":[1]}",
    };
    struct cf_settings s;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cf_error err = {0};

        assert_int_not_equal(cf_settings_read(&s, bad[i], 0, 0, &err), CF_OK);
        assert_non_null(strstr(err.msg, "recipe"));
    }
}

static void only_equal_settings_run_side_by_side(void **state)
{
    struct cf_error err = {0};
    struct cf_settings a, b, c;

    (void)state;
    cf_settings_read(&a, "{\"cfg\":2.0,\"quality\":50.0}", 0, 0, &err);
    cf_settings_read(&b, "{\"cfg\":2.0}", 0, 0, &err);
    cf_settings_read(&c, "{\"cfg\":3.0}", 0, 0, &err);
    assert_int_equal(err.status, CF_OK);
    assert_true(cf_settings_same_group(&a, &b));
    assert_false(cf_settings_same_group(&b, &c));
    b.params.width = 64;
    assert_false(cf_settings_same_group(&a, &b));
}

static void a_record_shows_numbers_as_they_were_typed(void **state)
{
    struct cf_plan *plan = cf_calloc(1, sizeof *plan, NULL);
    struct cf_error err = {0};
    struct cf_webp webp;
    char *json, *list;

    (void)state;
    cf_webp_default(&webp);
    plan->n_step = 2;
    plan->width = plan->height = 32;
    plan->params.n_insert = 1;
    for (int k = 0; k < 2; k++)
        plan->step[k] = (struct cf_step){
            .h = k + 1, .w = k + 1, .guidance = 2.0f, .temperature = k ? 0.3f : 0.5f};
    json = cf_settings_resolved(plan, &webp, "infinity", 0, &err);
    assert_non_null(strstr(json, "\"tau\":[0.5,0.3]"));
    assert_non_null(strstr(json, "\"cfg\":2.0"));
    assert_non_null(strstr(json, "\"scales\":[[1,1],[2,2]]"));
    assert_null(strstr(json, "flip_bits"));
    list = cf_plan_list(plan, CF_STEP_TEMPERATURE, &err);
    assert_string_equal(list, "0.5,0.3");
    cf_free(list);
    cf_free(json);
    cf_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipe_sets_what_it_names_and_nothing_else),
        cmocka_unit_test(a_damaged_recipe_is_an_error_of_its_row),
        cmocka_unit_test(only_equal_settings_run_side_by_side),
        cmocka_unit_test(a_record_shows_numbers_as_they_were_typed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
