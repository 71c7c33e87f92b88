/* infinity_test.c - the generator as its callers see it; numbers are check-golden's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/infinity_util.h"

static void every_fixture_passes_with_1_2_and_3_threads(void **state)
{
    char path[UTIL_PATH];

    (void)state;
    util_golden(path, "");
    for (int t = 1; t <= 3; t++) {
        struct cf_golden g = {.threads = t};

        assert_int_equal(cf_golden_infinity(&g, path), 14);
        assert_int_equal(g.failed, 0);
    }
}

static void an_image_does_not_depend_on_its_neighbours(void **state)
{
    static const int group[][PROMPTS] = {{0, 1, 2}, {2, 0, 1}, {1, 1, 0}};
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    for (int neg = 0; neg < 2; neg++) {
        uint8_t *alone[PROMPTS];

        for (int i = 0; i < PROMPTS; i++) {
            struct cf_gen_item it = item(i);

            it.negative = neg && i != 1 ? &negative : NULL;
            alone[i] = one(gen, &p, it);
        }
        for (int k = 0; k < 3; k++) {
            struct cf_gen_item it[PROMPTS];
            uint8_t *all;

            for (int i = 0; i < PROMPTS; i++) {
                it[i] = item(group[k][i]);
                it[i].negative = neg && group[k][i] != 1 ? &negative : NULL;
            }
            all = util_run(gen, &p, it, PROMPTS, NULL, NULL);
            for (int i = 0; i < PROMPTS; i++)
                assert_memory_equal(all + i * PIXELS, alone[group[k][i]], PIXELS);
            cf_free(all);
        }
        for (int i = 0; i < PROMPTS; i++)
            cf_free(alone[i]);
    }
}

static void an_image_does_not_depend_on_threads(void **state)
{
    json_t *json = util_model_json("inf-tiny-2b", "vae-p16-d16", NULL);
    struct cf_gen_item it[2] = {item(0), item(2)};
    struct cf_gen_params p;
    uint8_t *first = NULL;

    (void)state;
    cf_gen_params_default(&p);
    for (int t = 1; t <= 3; t++) {
        struct cf_error err = {0};
        struct cf_dnn *team;
        struct cf_gen *g;
        uint8_t *rgb;

        assert_int_equal(cf_dnn_open(&team, CF_CPU_AUTO, t, &err), CF_OK);
        g = util_open(json, model_path, vae_path, team);
        rgb = util_run(g, &p, it, 2, NULL, NULL);
        if (first != NULL)
            assert_memory_equal(rgb, first, 2 * PIXELS);
        if (first == NULL)
            first = rgb;
        else
            cf_free(rgb);
        ops->close(g);
        cf_dnn_close(team);
    }
    cf_free(first);
    json_decref(json);
}

static void the_seed_decides_and_repeats(void **state)
{
    struct cf_gen_item a = item(0), b = item(0);
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    assert_same(one(gen, &p, a), one(gen, &p, a), 1);
    b.seed = 1;
    assert_same(one(gen, &p, a), one(gen, &p, b), 0);
    p.top_k = 1; /* greedy: no draw counts */
    assert_same(one(gen, &p, a), one(gen, &p, b), 1);
}

static void a_text_of_one_row_and_of_the_longest_work(void **state)
{
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    for (int n = 1; n <= 32; n += 31) {
        struct cf_text t = util_text(n, DIM, 77);
        struct cf_gen_item it = {.cond = &t};

        cf_free(one(gen, &p, it));
        cf_free(t.features);
    }
}

/* ---- plan ---- */

static enum cf_status plan_with(const struct cf_gen_params *p, int batch, int rows,
                                struct cf_plan *plan, struct cf_error *err)
{
    memset(err, 0, sizeof(*err));
    return ops->plan(gen, p, batch, rows, plan, err);
}

static void a_plan_resolves_every_default(void **state)
{
    struct cf_gen_params p;
    struct cf_error err;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&p);
    p.n_flip = 1;
    p.flip[0] = 0.25f;
    assert_int_equal(plan_with(&p, 2, 9, &plan, &err), CF_OK);
    assert_int_equal(plan.n_step, 4);
    assert_int_equal(plan.width, 96);
    assert_int_equal(plan.params.width, 96);
    assert_int_equal(plan.params.n_guidance, 4);
    assert_int_equal(plan.params.n_insert, 1);
    assert_int_equal(plan.params.top_k, 0);
    assert_true(plan.params.top_p == 0.0f);
    assert_true(plan.step[3].guidance == 3.0f && plan.step[3].temperature == 1.0f);
    assert_true(plan.step[2].flip == 0.25f && plan.step[3].flip == 0.0f);
    assert_string_equal(plan.note, "");
    p.width = p.height = 512;
    assert_int_equal(plan_with(&p, 2, 9, &plan, &err), CF_OK);
    assert_non_null(strstr(plan.note, "96 x 96"));
    p.strict_size = 1;
    assert_int_equal(plan_with(&p, 2, 9, &plan, &err), CF_ERANGE);
}

static void a_plan_refuses_what_makes_no_sense(void **state)
{
    struct cf_gen_params p, good;
    struct cf_error err;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&good);
    assert_int_equal(plan_with(&good, 0, 9, &plan, &err), CF_ERANGE);
    assert_int_equal(plan_with(&good, 1, 0, &plan, &err), CF_ERANGE);
    assert_int_equal(plan_with(&good, 1, 33, &plan, &err), CF_ERANGE);
    p = good;
    p.n_guidance = 3;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "expected 1 or 4"));
    p.n_guidance = 1;
    p.guidance[0] = NAN;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    p = good;
    p.n_temperature = 1;
    p.temperature[0] = 0.0f;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    p = good;
    p.n_flip = 4;
    p.flip[2] = 1.5f;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "step 2"));
    p = good;
    p.n_insert = 1;
    p.insert[0] = -4; /* depth */
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    p.insert[0] = 1;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    p = good;
    p.top_p = NAN;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
    p = good;
    p.top_k = -2;
    assert_int_equal(plan_with(&p, 1, 9, &plan, &err), CF_ERANGE);
}

static void the_plan_is_the_high_water_mark_whatever_is_asked(void **state)
{
    struct cf_gen_item it[PROMPTS] = {item(0), item(1), item(2)};
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p); /* util_run compares */
    cf_free(util_run(gen, &p, it, 1, NULL, NULL));
    cf_free(util_run(gen, &p, it, 3, NULL, NULL));
    p.n_guidance = 1;
    p.guidance[0] = 1.0f;
    cf_free(util_run(gen, &p, it, 3, NULL, NULL));
}

/* ---- guidance ---- */

static void guidance_1_ignores_the_negative(void **state)
{
    struct cf_gen_item a = item(0), b = item(0);
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    b.negative = &negative;
    assert_same(one(gen, &p, a), one(gen, &p, b), 0);
    p.n_guidance = 1;
    p.guidance[0] = 1.0f;
    assert_same(one(gen, &p, a), one(gen, &p, b), 1);
}

static void guidance_lists_act_per_scale(void **state)
{
    struct cf_gen_params p, q;

    (void)state;
    cf_gen_params_default(&p);
    p.top_k = 1;
    q = p;
    q.n_guidance = 4;
    for (int s = 0; s < 4; s++)
        q.guidance[s] = 3.0f;
    assert_same(one(gen, &p, item(0)), one(gen, &q, item(0)), 1);
    q.guidance[3] = 1.0f;
    assert_same(one(gen, &p, item(0)), one(gen, &q, item(0)), 0);
}

/* ---- interruptions ---- */

struct begun {
    struct cf_gen_state *st;
    struct cf_arena arena;
    struct cf_plan plan;
};

static enum cf_status begin(struct begun *b, const struct cf_gen *g,
                            struct cf_gen_item *it, struct cf_cancel *cancel,
                            struct cf_error *err)
{
    struct cf_gen_params p;

    cf_gen_params_default(&p);
    if (ops->plan(g, &p, 1, 32, &b->plan, err) != CF_OK ||
        cf_arena_open(&b->arena, b->plan.arena_bytes, err) != CF_OK)
        fail_msg("%s", err->msg);
    return ops->begin(g, &b->plan, it, &b->arena, cancel, NULL, &b->st, err);
}

static void a_preview_changes_nothing(void **state)
{
    static uint8_t preview[PIXELS], last[PIXELS];
    struct cf_image image = {preview, 96, 96, 288};
    struct cf_gen_item it = item(0);
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct begun b;
    uint8_t *whole;

    (void)state;
    cf_gen_params_default(&p);
    whole = one(gen, &p, it);
    assert_int_equal(begin(&b, gen, &it, NULL, &err), CF_OK);
    for (int k = 0; k < b.plan.n_step; k++) {
        assert_int_equal(ops->step(b.st, k, &err), CF_OK);
        image.rgb = k + 1 == b.plan.n_step ? last : preview;
        assert_int_equal(ops->decode(b.st, 0, &image, &err), CF_OK);
    }
    assert_memory_equal(last, whole, PIXELS);
    assert_memory_not_equal(last, preview, PIXELS);
    assert_int_equal(ops->decode(b.st, 1, &image, &err), CF_ERANGE);
    cf_free(whole);
    cf_arena_close(&b.arena);
}

static void steps_run_once_and_in_order(void **state)
{
    struct cf_gen_item it = item(0);
    struct cf_error err = {0};
    struct begun b;

    (void)state;
    assert_int_equal(begin(&b, gen, &it, NULL, &err), CF_OK);
    assert_int_equal(ops->step(b.st, 1, &err), CF_EBUG);
    err.status = CF_OK;
    for (int k = 0; k < b.plan.n_step; k++)
        assert_int_equal(ops->step(b.st, k, &err), CF_OK);
    assert_int_equal(ops->step(b.st, b.plan.n_step, &err), CF_EBUG);
    cf_arena_close(&b.arena);
}

static void an_arena_that_is_too_small_is_an_error(void **state)
{
    struct cf_gen_item it = item(0);
    struct cf_gen_state *st;
    struct cf_gen_params p;
    struct cf_plan plan;

    (void)state;
    cf_gen_params_default(&p);
    for (size_t part = 0; part < 8; part++) {
        struct cf_error err = {0};
        struct cf_arena arena;

        assert_int_equal(ops->plan(gen, &p, 1, 32, &plan, &err), CF_OK);
        assert_int_equal(cf_arena_open(&arena, plan.arena_bytes / 8 * part, &err), CF_OK);
        if (ops->begin(gen, &plan, &it, &arena, NULL, NULL, &st, &err) != CF_OK)
            assert_int_equal(err.status, CF_ENOMEM);
        cf_arena_close(&arena);
    }
}

static void cancel_is_noticed(void **state)
{
    struct cf_cancel cancel = {0};
    struct cf_gen_item it = item(0);
    struct cf_error err = {0};
    struct begun b;

    (void)state;
    assert_int_equal(begin(&b, gen, &it, &cancel, &err), CF_OK);
    assert_int_equal(ops->step(b.st, 0, &err), CF_OK);
    cf_cancel_set(&cancel);
    assert_int_equal(ops->step(b.st, 1, &err), CF_ECANCEL);
    cf_arena_close(&b.arena);
}

static void a_value_that_is_no_number_names_its_scale(void **state)
{
    struct cf_text bad = util_text(4, DIM, 3);
    struct cf_gen_item it = {.cond = &bad};
    struct cf_error err = {0};
    struct begun b;

    (void)state;
    bad.features[17] = NAN;
    assert_int_equal(begin(&b, gen, &it, NULL, &err), CF_OK);
    assert_int_equal(ops->step(b.st, 0, &err), CF_ENUMERIC);
    assert_non_null(strstr(err.msg, "scale 0"));
    cf_arena_close(&b.arena);
    cf_free(bad.features);
}

static void text_of_another_width_is_refused(void **state)
{
    struct cf_text bad = util_text(4, 128, 3);
    struct cf_gen_item it = {.cond = &bad};
    struct cf_error err = {0};
    struct begun b;

    (void)state;
    assert_int_equal(ops->text_dim(gen), DIM);
    assert_int_equal(begin(&b, gen, &it, NULL, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "128"));
    assert_non_null(strstr(err.msg, "256"));
    cf_arena_close(&b.arena);
    cf_free(bad.features);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixture_passes_with_1_2_and_3_threads),
        cmocka_unit_test(an_image_does_not_depend_on_its_neighbours),
        cmocka_unit_test(an_image_does_not_depend_on_threads),
        cmocka_unit_test(the_seed_decides_and_repeats),
        cmocka_unit_test(a_text_of_one_row_and_of_the_longest_work),
        cmocka_unit_test(a_plan_resolves_every_default),
        cmocka_unit_test(a_plan_refuses_what_makes_no_sense),
        cmocka_unit_test(the_plan_is_the_high_water_mark_whatever_is_asked),
        cmocka_unit_test(guidance_1_ignores_the_negative),
        cmocka_unit_test(guidance_lists_act_per_scale),
        cmocka_unit_test(a_preview_changes_nothing),
        cmocka_unit_test(steps_run_once_and_in_order),
        cmocka_unit_test(an_arena_that_is_too_small_is_an_error),
        cmocka_unit_test(cancel_is_noticed),
        cmocka_unit_test(a_value_that_is_no_number_names_its_scale),
        cmocka_unit_test(text_of_another_width_is_refused),
    };

    return cmocka_run_group_tests_name("infinity", tests, setup, teardown);
}
