/* convert_test.c - which weights of a file are taken, and which names contradict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pipeline/convert_pair.h"
#include "pipeline/convert_state.h"
#include "tests/weights_util.h"
#include "weights/st_write.h"

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = util_mkdir();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    util_rmdir(dir);
    return 0;
}

/* A file with one float under each name; the last is NULL. */
static struct cf_source *source(const char *const *name)
{
    struct cf_error err = {0};
    struct cf_st_writer *w;
    struct cf_source *src;
    float one = 1;

    assert_int_equal(cf_st_writer_open(&w, util_path(dir, "m"), &err), CF_OK);
    for (const char *const *n = name; *n; n++)
        assert_int_equal(cf_st_declare(w, *n, CF_F32, 0, NULL, &err), CF_OK);
    assert_int_equal(cf_st_begin(w, NULL, &err), CF_OK);
    for (const char *const *n = name; *n; n++)
        assert_int_equal(cf_st_put(w, *n, &one, sizeof one, &err), CF_OK);
    assert_int_equal(cf_st_finish(w, &err), CF_OK);
    assert_int_equal(cf_source_open(&src, util_path(dir, "m"), &err), CF_OK);
    return src;
}

/* What is chosen among the names; "!" where nothing is. */
static const char *chosen(const char *const *name, const char *key, char *why)
{
    static const char *const anchor[] = {"a.w", "b.w", NULL};
    static struct cf_state state;
    struct cf_source *src = source(name);
    struct cf_error err = {0};
    enum cf_status status = cf_state_enter(&state, src, "part", anchor, key, &err);

    if (why)
        memcpy(why, err.msg, CF_ERROR_MAX);
    cf_source_close(src);
    return status == CF_OK ? state.prefix[state.chosen] : "!";
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void weights_are_found_wherever_they_lie(void **state)
{
    (void)state;
    assert_string_equal(chosen(NAMES("a.w", "x"), NULL, NULL), "");
    assert_string_equal(chosen(NAMES("t.module.a.w", "o.x"), NULL, NULL), "t.module");
    assert_string_equal(chosen(NAMES("t._orig_mod.b.w"), NULL, NULL), "t._orig_mod");
    assert_string_equal(chosen(NAMES("xa.w", "a.wx", "a.w.x"), NULL, NULL), "!");
}

static void both_spellings_are_one_set_of_weights(void **state)
{
    (void)state;
    assert_string_equal(chosen(NAMES("v.a.w", "v.b.w"), NULL, NULL), "v");
}

static void an_average_is_taken_only_by_name(void **state)
{
    char why[CF_ERROR_MAX];

    (void)state;
    assert_string_equal(chosen(NAMES("a.w", "ema.a.w"), NULL, NULL), "");
    assert_string_equal(chosen(NAMES("ema.a.w", "net.a.w"), NULL, NULL), "net");
    assert_string_equal(chosen(NAMES("x.model_ema.a.w"), NULL, why), "!");
    assert_non_null(strstr(why, "x.model_ema"));
    assert_string_equal(chosen(NAMES("x.model_ema.a.w"), "x.model_ema", NULL),
                        "x.model_ema");
    assert_string_equal(chosen(NAMES("x.model_ema.a.w"), "x", NULL), "x.model_ema");
    assert_false(cf_state_is_average("schema.semantic.cinemas"));
    assert_true(cf_state_is_average("ema_model.x"));
    assert_true(cf_state_is_average("trainer.gpt_ema_fsdp"));
    assert_true(cf_state_is_average("EMA"));
    assert_true(cf_state_is_average("state.ema0.9999"));
}

static void of_several_one_is_named(void **state)
{
    char why[CF_ERROR_MAX];

    (void)state;
    assert_string_equal(chosen(NAMES("p.a.w", "q.a.w"), NULL, why), "!");
    assert_non_null(strstr(why, "p, q"));
    assert_string_equal(chosen(NAMES("p.a.w", "q.a.w"), "q", NULL), "q");
    assert_string_equal(chosen(NAMES("p.x.a.w", "p.y.a.w"), "p", NULL), "!");
    assert_string_equal(chosen(NAMES("p.a.w"), "q", why), "!");
    assert_non_null(strstr(why, "\"q\""));
}

static void other_weights_are_no_part_of_those_at_the_top(void **state)
{
    static const char *const anchor[] = {"a.w", NULL};
    struct cf_source *src = source(NAMES("a.w", "ema.a.w", "ema.z", "emax.z"));
    struct cf_error err = {0};
    struct cf_state s;

    (void)state;
    assert_int_equal(cf_state_enter(&s, src, "part", anchor, NULL, &err), CF_OK);
    assert_true(cf_state_is_other(&s, "ema.z"));
    assert_false(cf_state_is_other(&s, "emax.z"));
    assert_false(cf_state_is_other(&s, "a.w"));
    cf_source_close(src);
}

static void what_was_chosen_is_seen_alone(void **state)
{
    static const char *const anchor[] = {"a.w", NULL};
    static const char *const ignore[] = {"lora.*", NULL};
    struct cf_source *src = source(NAMES("a.w", "ema.a.w", "lora.x", "z"));
    struct cf_error err = {0};
    struct cf_state s;
    const struct cf_state_seen seen = {src, &s, ignore};
    struct cf_shapes in = cf_state_shapes(&seen);

    (void)state;
    assert_int_equal(cf_state_enter(&s, src, "part", anchor, NULL, &err), CF_OK);
    assert_non_null(cf_shapes_find(&in, "a.w"));
    assert_non_null(cf_shapes_find(&in, "z"));
    assert_null(cf_shapes_find(&in, "ema.a.w"));
    assert_null(cf_shapes_find(&in, "lora.x"));
    cf_source_close(src);
}

static void a_file_of_something_else_is_told_for_what_it_seems(void **state)
{
    char why[CF_ERROR_MAX];

    (void)state;
    assert_string_equal(chosen(NAMES("double_blocks.0.x"), NULL, why), "!");
    assert_non_null(strstr(why, "a Flux model"));
    assert_non_null(strstr(why, "double_blocks.0.x"));
}

static bool fits(const char *transformer, const char *vae, const char *geometry)
{
    struct cf_error err = {0};
    enum cf_status status = cf_pair_names(transformer, vae, geometry, &err);

    assert_true(status == CF_OK || status == CF_EMISMATCH);
    assert_true(status == CF_OK || strstr(err.msg, "--accept-pairing"));
    return status == CF_OK;
}

static void names_that_contradict_are_told(void **state)
{
    (void)state;
    assert_true(
        fits("a/infinity_2b_reg.pth", "b/infinity_vae_d32reg.pth", "infinity-2b"));
    assert_true(fits("infinity_2b_reg.pth", "infinity_vae_d32_reg.pth", "infinity-2b"));
    assert_false(fits("infinity_2b_reg.pth", "infinity_vae_d32.pth", "infinity-2b"));
    assert_false(fits("infinity_2b_reg.pth", "vae.pth", NULL));
    assert_false(fits("mine.pth", "infinity_vae_d32.pth", "infinity-2b"));
    assert_false(fits("infinity_8b_weights/", "infinity_vae_d32_reg.pth", "infinity-8b"));
    assert_false(fits("Infinity_8B", "infinity_vae_d16.pth", NULL));
    assert_false(fits("infinity_2b.pth", "infinity_vae_d56_f8_14_patchify.pth", NULL));
    assert_true(fits("infinity_8b_512x512_weights", "infinity_vae_d56_f8_14_patchify.pth",
                     "infinity-8b"));
    assert_true(
        fits("infinity_125M_256x256.pth", "infinity_vae_d16.pth", "infinity-125m"));
}

static void only_the_last_name_counts_and_only_whole_words(void **state)
{
    (void)state;
    assert_true(fits("reg/weights.pth", "8b/vae.pth", NULL));
    assert_true(fits("region.pth", "vae.pth", NULL));
    assert_true(fits("step18b.pth", "vae_d32.pth", NULL));
    assert_true(fits("run_1.8b", "vae_d320.pth", NULL));
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(weights_are_found_wherever_they_lie),
        T(both_spellings_are_one_set_of_weights),
        T(an_average_is_taken_only_by_name),
        T(of_several_one_is_named),
        T(other_weights_are_no_part_of_those_at_the_top),
        T(what_was_chosen_is_seen_alone),
        T(a_file_of_something_else_is_told_for_what_it_seems),
        cmocka_unit_test(names_that_contradict_are_told),
        cmocka_unit_test(only_the_last_name_counts_and_only_whole_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
