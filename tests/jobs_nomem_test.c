/* jobs_nomem_test.c - what a job says in JSON, and what a recipe says, while memory runs
 * out: all of it or CF_ENOMEM, never less and never the fault of the text.
 *
 * Our own allocations and those of Jansson count together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "jobs/detail.h"
#include "jobs/recipe.h"
#include "tests/nomem_json.h"

static const char recipe[] =
    "{\"cfg\":[3.0,4.5],\"cfg_insertion_layer\":[-5,-4],\"flip_bits\":0.25,\"kv_type\":"
    "\"bf16\",\"lossless\":true,\"model\":\"infinity-2b\",\"size\":\"3:2@0.25M\","
    "\"top_k\":900}";

static enum cf_status say(struct cf_error *err)
{
    const struct cf_detail d = {.id = 7,
                                .prompt = "an owl",
                                .prompt_len = 6,
                                .negative = "blurred",
                                .negative_len = 7,
                                .recipe = recipe,
                                .extra = "{\"note\":{\"a\":[1,2,3]}}",
                                .batch = "b",
                                .user_key = "k",
                                .seed = UINT64_MAX,
                                .path = "b/\xff.webp",
                                .file_sha256 = "f",
                                .stage_ms = "{\"decode\":1.5}",
                                .note = "n"};
    json_t *o = cf_detail_json(&d, CF_DETAIL_ALL, err);
    char *text;

    if (!o)
        return err->status;
    nomem_at = 0;
    text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_non_null(strstr(text, "\"prompt\":\"an owl\""));
    assert_non_null(strstr(text, "\"negative\":\"blurred\""));
    assert_non_null(strstr(text, "\"extra\":{\"note\":{\"a\":[1,2,3]}}"));
    assert_non_null(strstr(text, "\"stage_ms\":{\"decode\":1.5}"));
    assert_non_null(strstr(text, "\"recipe\":{\"cfg\":[3.0,4.5],"));
    assert_non_null(strstr(text, "\"note\":\"n\""));
    assert_non_null(strstr(text, "\"path\":null")); /* which is no UTF-8 */
    nomem_json_free(text);
    json_decref(o);
    return CF_OK;
}

static void a_job_is_said_whole_or_memory_is_out(void **state)
{
    (void)state;
    nomem_each(say, 1, no_json_is_left);
}

/* The canonical text once more is the same text. */
static enum cf_status canonize(struct cf_error *err)
{
    char *canon;

    if (cf_recipe_canon(recipe, strlen(recipe), "recipe", &canon, err) == CF_OK)
        assert_string_equal(canon, recipe);
    cf_free(canon);
    return err->status;
}

static void a_recipe_is_read_whole_or_memory_is_out(void **state)
{
    (void)state;
    nomem_each(canonize, 1, no_json_is_left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_said_whole_or_memory_is_out),
        cmocka_unit_test(a_recipe_is_read_whole_or_memory_is_out),
    };

    nomem_json_count();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
