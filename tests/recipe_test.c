/* recipe_test.c - seeds and recipes as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "jobs/recipe.h"
#include "jobs/seeds.h"

static void seeds_are_read_strictly(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } good[] = {{"0", 1},
                {"1,5,9", 3},
                {"0..99:10", 10},
                {" 3 .. 4 , 7", 3},
                {"18446744073709551614..18446744073709551615", 2},
                {"5..5:100", 1}};
    static const char *const bad[] = {"",     "-1",         "1,",
                                      ",1",   "a",          "1..",
                                      "5..1", "1..5:0",     "18446744073709551616",
                                      "1 2",  "0..1000000", "0..18446744073709551615",
                                      "0x10", "1.5"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct cf_seeds s = {0};

        assert_int_equal(cf_seeds_parse(&s, good[i].text, strlen(good[i].text), NULL),
                         CF_OK);
        assert_int_equal(s.n, good[i].n);
        cf_seeds_free(&s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cf_seeds s = {0};

        assert_int_equal(cf_seeds_parse(&s, bad[i], strlen(bad[i]), NULL), CF_EFORMAT);
        cf_seeds_free(&s);
    }
}

static void canon(const char *json, const char *want)
{
    struct cf_error why = {0};
    char *text = NULL;
    enum cf_status st = cf_recipe_canon(json, strlen(json), "recipe", &text, &why);

    if (want) {
        assert_int_equal(st, CF_OK);
        assert_string_equal(text, want);
    } else {
        assert_int_equal(st, CF_EFORMAT);
        assert_null(text);
    }
    cf_free(text);
}

static void a_recipe_has_one_spelling(void **state)
{
    (void)state;
    canon("{}", "{}");
    canon(" { \"tau\" : 1 , \"cfg\" : 3 } ", "{\"cfg\":3.0,\"tau\":1.0}");
    canon("{\"cfg\":3.0e0,\"model\":null}", "{\"cfg\":3.0}");
    canon("{\"cfg\":[3,0.1]}", "{\"cfg\":[3.0,0.1]}");
    canon("{\"cfg\":-0.0}", "{\"cfg\":0.0}");
    canon("{\"top_k\":900,\"top_p\":0.97}", "{\"top_k\":900,\"top_p\":0.97}");
    canon("{\"cfg_insertion_layer\":[-5]}", "{\"cfg_insertion_layer\":[-5]}");
    canon("{\"size\":\"3:2@0.25M\",\"kv_type\":\"bf16\"}",
          "{\"kv_type\":\"bf16\",\"size\":\"3:2@0.25M\"}");
    canon("{\"keep_scales\":3,\"init_image\":\"a.webp\",\"positive_prompt\":true}",
          "{\"init_image\":\"a.webp\",\"keep_scales\":3,\"positive_prompt\":true}");
    canon("{\"prune_tokens\":[0,0.5],\"cfg_skip\":2}",
          "{\"cfg_skip\":2,\"prune_tokens\":[0.0,0.5]}");
    canon("{\"lossless\":true,\"quality\":90,\"method\":6,\"sharp_yuv\":false}",
          "{\"lossless\":true,\"method\":6,\"quality\":90.0,\"sharp_yuv\":false}");
}

static void a_recipe_out_of_range_is_refused(void **state)
{
    static const char *const bad[] = {"[]",
                                      "3",
                                      "",
                                      "{",
                                      "{\"steps\":3}",
                                      "{\"cfg\":-1}",
                                      "{\"cfg\":101}",
                                      "{\"cfg\":\"3\"}",
                                      "{\"cfg\":[]}",
                                      "{\"cfg\":[\"a\"]}",
                                      "{\"cfg\":true}",
                                      "{\"tau\":0}",
                                      "{\"top_k\":1.5}",
                                      "{\"top_k\":-1}",
                                      "{\"top_p\":1.1}",
                                      "{\"cfg_insertion_layer\":3}",
                                      "{\"method\":7}",
                                      "{\"quality\":[1]}",
                                      "{\"lossless\":1}",
                                      "{\"model\":\"\"}",
                                      "{\"model\":\"a\\u0000\"}",
                                      "{\"cfg\":1,\"cfg\":1}",
                                      "{\"cfg\":1e999}",
                                      "{\"size\":\"32x32\"}",
                                      "{\"size\":\"0:1\"}",
                                      "{\"size\":\"1:1@\"}",
                                      "{\"size\":\"1:1@1\"}",
                                      "{\"size\":\"M\"}",
                                      "{\"size\":\"1M@1:1\"}",
                                      "{\"kv_type\":\"f16\"}",
                                      "{\"positive_prompt\":\"yes\"}",
                                      "{\"init_image\":\"a.webp\"}",
                                      "{\"keep_scales\":2}",
                                      "{\"cfg_skip\":-1}",
                                      "{\"cfg_skip\":1.5}",
                                      "{\"cfg_skip\":[1]}",
                                      "{\"prune_tokens\":1.01}",
                                      "{\"prune_tokens\":[]}",
                                      "{\"init_image\":\"a\",\"keep_scales\":0}",
                                      "{\"init_image\":\"a\",\"keep_scales\":1,"
                                      "\"init_sha256\":\"A\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        canon(bad[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_read_strictly),
        cmocka_unit_test(a_recipe_has_one_spelling),
        cmocka_unit_test(a_recipe_out_of_range_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
