/* json_test.c - where memory runs out in the middle of a text the text is not blamed.
 *
 * Our own allocations and those of Jansson count together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tests/nomem_json.h"

/* Strings and numbers longer than the first buffers of Jansson's lexer and of ours,
 * escapes, containers that grow. */
static const char everything[] =
    "{\"dtype\": \"F32\", \"shape\": [1, 2.5, -3e4, 12345678901234567],"
    " \"a key that is longer than any buffer at the beginning of things\":"
    " [\"and a string that is longer still: \\u00e9\\ud83d\\ude00\\n\\\"\\\\/\", true],"
    " \"n\": "
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628,"
    " \"o\": {\"a\": {}, \"b\": [], \"c\": null, \"d\": false, \"e\": 1, \"f\": 2, "
    "\"g\": 3,"
    " \"h\": 4, \"i\": 5, \"j\": 6}, \"l\": [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}";

static enum cf_status parse_everything(struct cf_error *err)
{
    json_decref(cf_json_parse(everything, strlen(everything), 1000, "x", err));
    return err->status;
}

static void memory_that_runs_out_anywhere_is_no_fault_of_the_text(void **state)
{
    (void)state;
    nomem_each(parse_everything, 1, no_json_is_left);
}

static enum cf_status load_config(struct cf_error *err)
{
    const char *dir = getenv("CFGEN_SRCDIR");
    char path[1024];

    snprintf(path, sizeof path, "%s/tests/golden/textenc/qwen2-tiny-tied/config.json",
             dir ? dir : ".");
    json_decref(cf_json_load(path, 1 << 20, 10000, err));
    return err->status;
}

static void memory_that_runs_out_anywhere_is_no_fault_of_the_file(void **state)
{
    (void)state;
    nomem_each(load_config, 1, no_json_is_left);
}

static void wrong(const char *text, const char *message)
{
    struct cf_error err = {0};

    assert_null(cf_json_parse(text, strlen(text), 100, "x", &err));
    assert_int_equal(err.status, CF_EFORMAT);
    assert_string_equal(err.msg, message);
}

static void what_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    wrong("{\n \"\xc3\xa9\": ]}", "x: line 2, column 7: unexpected token near ']'");
    wrong("[1 2]", "x: line 1, column 4: ']' expected near '2'");
    wrong("[\"a", "x: line 1, column 3: premature end of input near '\"a'");
    wrong("{\"a\":1, \"a\":2}", "x: line 1, column 11: duplicate object key near '\"a\"'");
    wrong("{} {}", "x: line 1, column 4: end of file expected near '{'");
}

/* Another thread's Jansson is not the one that parses. */
static void without_a_parse_memory_is_malloc_s(void **state)
{
    json_t *v;

    (void)state;
    nomem_count = 0;
    nomem_at = 1;
    v = json_object();
    nomem_at = 0;
    assert_null(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_runs_out_anywhere_is_no_fault_of_the_text),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_no_fault_of_the_file),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
        cmocka_unit_test(without_a_parse_memory_is_malloc_s),
    };

    nomem_json_count();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
