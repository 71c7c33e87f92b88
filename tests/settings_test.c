/* settings_test.c - from a job's recipe to settings, and from a plan to the record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "pipeline/engine.h"
#include "pipeline/positive.h"
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

static void a_recipe_names_types_sizes_and_an_image_to_start_from(void **state)
{
    struct cf_error err = {0};
    struct cf_settings s;

    (void)state;
    assert_int_equal(cf_settings_read(&s,
                                      "{\"init_image\":\"a.webp\",\"keep_scales\":3,"
                                      "\"kv_type\":\"bf16\",\"positive_prompt\":true,"
                                      "\"size\":\"3:2@0.25M\"}",
                                      0, 0, &err),
                     CF_OK);
    assert_string_equal(s.init, "a.webp");
    assert_int_equal(s.keep, 3);
    assert_int_equal(s.params.kv_type, CF_BF16);
    assert_true(s.positive);
    assert_string_equal(s.size, "3:2@0.25M");
    cf_settings_free(&s);
    assert_int_equal(cf_settings_read(&s, "{\"size\":\"1M\"}", 64, 32, &err), CF_OK);
    assert_null(s.size); /* pixels of the job go before a name */
    assert_int_equal(s.params.kv_type, -1);
    assert_int_equal(s.keep, 0);
    cf_settings_free(&s);
}

static struct cf_settings with_size(const char *name, const char *sizes,
                                    struct cf_error *err)
{
    struct cf_model model = {.json = json_object()};
    struct cf_settings s = {0};

    json_object_set_new(model.json, "sizes", json_loads(sizes, 0, NULL));
    s.size = cf_strdup(name, err);
    cf_settings_size(&s, &model, err);
    json_decref(model.json);
    return s;
}

static void a_size_by_name_is_that_of_the_model(void **state)
{
    static const char all[] = "{\"templates\":\"released\",\"classes\":[\"0.06M\","
                              "\"0.25M\",\"1M\"],\"trained\":[\"0.25M\"]}";
    static const struct {
        const char *name;
        int w, h;
    } good[] = {
        {"1:1", 512, 512},        {"0.06M", 256, 256},     {"1:1@1M", 1024, 1024},
        {"3:2@1M", 1248, 832},    {"2:3@1M", 832, 1248},   {"4:3@0.06M", 320, 240},
        {"3:1@1M", 1776, 592},    {"1:3@0.25M", 288, 864}, {"7:4", 672, 384},
        {"16:9@0.25M", 677, 381}, /* no template: the plan takes one and tells */
    };
    static const char *const bad[] = {"0.60M", "1:1@2M", "0.6M"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct cf_error err = {0};
        struct cf_settings s = with_size(good[i].name, all, &err);

        assert_int_equal(err.status, CF_OK);
        assert_null(s.size);
        assert_int_equal(s.params.width, good[i].w);
        assert_int_equal(s.params.height, good[i].h);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cf_error err = {0};
        struct cf_settings s = with_size(bad[i], all, &err);

        assert_int_equal(err.status, CF_ERANGE);
        assert_non_null(strstr(err.msg, "0.06M, 0.25M, 1M"));
        cf_settings_free(&s);
    }
}

static void a_model_with_one_size_has_no_names(void **state)
{
    struct cf_error err = {0};
    struct cf_settings s =
        with_size("1:1", "{\"scales\":[[1,1],[8,8]],\"rope_grid\":[8,8]}", &err);

    (void)state;
    assert_int_equal(err.status, CF_ERANGE);
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
        "{\"kv_type\":\"f16\"}",
        "{\"init_image\":\"a.webp\"}",
        "{\"keep_scales\":1}",
        "{\"init_image\":\"a.webp\",\"keep_scales\":0}",
        "{\"positive_prompt\":1}",
        "{\"cfg_skip\":-1}",
        "{\"cfg_skip\":1.5}",
        "{\"prune_tokens\":[]}",
        "{\"prune_tokens\":\"half\"}",
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
    b = a;
    b.params.kv_type = CF_BF16;
    assert_false(cf_settings_same_group(&a, &b));
    b = a;
    b.params.cfg_skip = 1;
    assert_false(cf_settings_same_group(&a, &b));
    b = a;
    b.params.n_prune = 1;
    assert_false(cf_settings_same_group(&a, &b));
    a.params.n_prune = 1;
    assert_true(cf_settings_same_group(&a, &b));
    a.params.prune[0] = 0.5f;
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
    json = cf_settings_resolved(plan, &webp, "infinity", &(struct cf_request){0}, &err);
    assert_non_null(strstr(json, "\"tau\":[0.5,0.3]"));
    assert_non_null(strstr(json, "\"cfg\":2.0"));
    assert_non_null(strstr(json, "\"scales\":[[1,1],[2,2]]"));
    assert_non_null(strstr(json, "\"kv_type\":\"f32\""));
    assert_null(strstr(json, "flip_bits"));
    assert_null(strstr(json, "keep_scales"));
    assert_null(strstr(json, "cfg_skip"));
    assert_null(strstr(json, "prune_tokens"));
    assert_null(strstr(json, "positive_prompt"));
    list = cf_plan_list(plan, CF_STEP_TEMPERATURE, &err);
    assert_string_equal(list, "0.5,0.3");
    cf_free(list);
    cf_free(json);
    cf_free(plan);
}

static void a_record_tells_what_an_image_started_from(void **state)
{
    struct cf_plan *plan = cf_calloc(1, sizeof *plan, NULL);
    struct cf_image image = {0};
    const struct cf_request req = {
        .init = &image, .keep = 2, .init_sha256 = "abc", .positive = true};
    struct cf_error err = {0};
    struct cf_webp webp;
    char *json;

    (void)state;
    cf_webp_default(&webp);
    plan->n_step = 1;
    plan->params.kv_type = CF_BF16;
    json = cf_settings_resolved(plan, &webp, "infinity", &req, &err);
    assert_non_null(strstr(json, "\"init_sha256\":\"abc\",\"keep_scales\":2,"
                                 "\"kv_type\":\"bf16\",\"positive_prompt\":true"));
    cf_free(json);
    cf_free(plan);
}

static void a_record_of_an_approximation_reads_back_as_the_same(void **state)
{
    struct cf_plan *plan = cf_calloc(1, sizeof *plan, NULL);
    struct cf_error err = {0};
    struct cf_settings again;
    struct cf_webp webp;
    char *json;

    (void)state;
    cf_webp_default(&webp);
    plan->n_step = 1;
    plan->params.cfg_skip = 2;
    plan->params.n_prune = 3;
    plan->params.prune[1] = 0.4f;
    plan->params.prune[2] = 1.0f;
    json = cf_settings_resolved(plan, &webp, "infinity", &(struct cf_request){0}, &err);
    assert_non_null(strstr(json, "\"cfg_skip\":2"));
    assert_non_null(strstr(json, "\"prune_tokens\":[0.0,0.4,1.0]"));
    cf_free(json);
    assert_int_equal(cf_settings_read(&again,
                                      "{\"cfg_skip\":2,\"prune_tokens\":[0.0,0.4,1.0]}",
                                      0, 0, &err),
                     CF_OK);
    assert_int_equal(again.params.cfg_skip, 2);
    assert_int_equal(again.params.n_prune, 3);
    assert_memory_equal(again.params.prune, plan->params.prune, 3 * sizeof(float));
    cf_settings_free(&again);
    cf_free(plan);
}

static void the_sentence_is_appended_once_where_people_are_named(void **state)
{
    static const char tail[] = ". very smooth faces, good looking faces, face to the "
                               "camera, perfect facial features";
    static const char *const with[] = {"a woman", "romantic", "one reason",
                                       "two men, a boy"};
    static const char *const without[] = {"", "a red apple", "Man", "fox"};
    struct cf_error err = {0};
    char *longer;

    (void)state;
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        size_t n = strlen(with[i]);

        assert_int_equal(cf_positive(&longer, with[i], n, &err), CF_OK);
        assert_int_equal(strlen(longer), n + strlen(tail));
        assert_memory_equal(longer, with[i], n);
        assert_string_equal(longer + n, tail);
        cf_free(longer);
    }
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        assert_int_equal(cf_positive(&longer, without[i], strlen(without[i]), &err),
                         CF_OK);
        assert_null(longer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipe_sets_what_it_names_and_nothing_else),
        cmocka_unit_test(a_recipe_names_types_sizes_and_an_image_to_start_from),
        cmocka_unit_test(a_size_by_name_is_that_of_the_model),
        cmocka_unit_test(a_model_with_one_size_has_no_names),
        cmocka_unit_test(a_record_tells_what_an_image_started_from),
        cmocka_unit_test(a_record_of_an_approximation_reads_back_as_the_same),
        cmocka_unit_test(the_sentence_is_appended_once_where_people_are_named),
        cmocka_unit_test(a_damaged_recipe_is_an_error_of_its_row),
        cmocka_unit_test(only_equal_settings_run_side_by_side),
        cmocka_unit_test(a_record_shows_numbers_as_they_were_typed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
