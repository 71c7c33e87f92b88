/* schedule_test.c - grids and rotary positions against the recorded tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/schedule.h"

static json_t *recorded(void)
{
    char path[1024];
    json_t *json;

    snprintf(path, sizeof(path), "%s/tests/golden/infinity_scale_schedules.json",
             getenv("CFGEN_SRCDIR") ? getenv("CFGEN_SRCDIR") : "..");
    json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    return json;
}

static int number(const json_t *list, size_t i)
{
    return (int)json_integer_value(json_array_get(list, i));
}

static void the_fifteen_templates_are_those_recorded(void **state)
{
    json_t *all = recorded(), *t, *list;
    size_t i;

    (void)state;
    list = json_object_get(all, "templates");
    assert_int_equal(json_array_size(list), CF_TEMPLATES);
    json_array_foreach(list, i, t)
    {
        const json_t *scales = json_object_get(t, "scales");

        assert_true(json_number_value(json_object_get(t, "h_div_w")) ==
                    cf_templates[i].ratio);
        assert_int_equal(json_array_size(scales), CF_TEMPLATE_SCALES);
        for (size_t s = 0; s < CF_TEMPLATE_SCALES; s++) {
            assert_int_equal(number(json_array_get(scales, s), 0),
                             cf_templates[i].scale[s].h);
            assert_int_equal(number(json_array_get(scales, s), 1),
                             cf_templates[i].scale[s].w);
        }
    }
    json_decref(all);
}

static void every_rotary_index_is_that_recorded(void **state)
{
    json_t *all = recorded(), *t, *list = json_object_get(all, "templates");
    int checked = 0;
    size_t i;

    (void)state;
    json_array_foreach(list, i, t)
    {
        const struct cf_scale *full = &cf_templates[i].scale[CF_TEMPLATE_SCALES - 1];

        for (size_t s = 0; s < CF_TEMPLATE_SCALES; s++) {
            const struct cf_scale *g = &cf_templates[i].scale[s];
            const json_t *rows = json_array_get(json_object_get(t, "rope_rows"), s);
            const json_t *cols = json_array_get(json_object_get(t, "rope_cols"), s);

            assert_int_equal(json_array_size(rows), g->h);
            assert_int_equal(json_array_size(cols), g->w);
            for (int y = 0; y < g->h; y++, checked++)
                assert_int_equal(cf_rope_index(y, g->h, full->h),
                                 number(rows, (size_t)y));
            for (int x = 0; x < g->w; x++, checked++)
                assert_int_equal(cf_rope_index(x, g->w, full->w),
                                 number(cols, (size_t)x));
        }
    }
    assert_true(checked > 5000);
    json_decref(all);
}

static void parse(struct cf_sizes *sizes, const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct cf_error err = {0};

    assert_non_null(json);
    if (cf_sizes_parse(sizes, json, &err) != CF_OK)
        fail_msg("%s", err.msg);
    json_decref(json);
}

static const char all_classes[] =
    "{\"templates\":\"released\",\"classes\":[\"0.06M\",\"0.25M\",\"0.60M\",\"1M\"],"
    "\"trained\":[\"0.25M\",\"1M\"]}";

static void every_recorded_size_is_taken_exactly(void **state)
{
    json_t *all = recorded(), *t, *list = json_object_get(all, "templates"), *size;
    struct cf_sizes sizes;
    const char *name;
    size_t i;

    (void)state;
    parse(&sizes, all_classes);
    json_array_foreach(list, i, t)
    {
        json_object_foreach(json_object_get(t, "sizes"), name, size)
        {
            int h = (int)json_integer_value(json_object_get(size, "height"));
            int w = (int)json_integer_value(json_object_get(size, "width"));
            struct cf_error err = {0};
            struct cf_schedule sched;
            char note[160];

            assert_int_equal(
                cf_schedule_pick(&sched, &sizes, w, h, 16, 1, note, sizeof(note), &err),
                CF_OK);
            assert_int_equal(sched.n,
                             json_integer_value(json_object_get(size, "num_scales")));
            assert_int_equal(cf_schedule_tokens(&sched, sched.n),
                             json_integer_value(json_object_get(size, "tokens")));
            assert_int_equal(sched.rope.h, cf_templates[i].scale[12].h);
            assert_int_equal(note[0] != '\0',
                             strcmp(name, "0.06M") == 0 || strcmp(name, "0.60M") == 0);
        }
    }
    json_decref(all);
}

static void other_sizes_go_to_the_nearest_ratio_and_area(void **state)
{
    struct cf_error err = {0};
    struct cf_schedule sched;
    struct cf_sizes sizes;
    char note[160];

    (void)state;
    parse(&sizes, all_classes);
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 1000, 750, 16, 0, note, 160, &err),
                     CF_OK);
    assert_int_equal(sched.scale[sched.n - 1].w, 60); /* 0.60M of ratio 0.75: 960 x 720 */
    assert_int_equal(sched.scale[sched.n - 1].h, 45);
    assert_non_null(strstr(note, "asked for 1000 x 750"));
    assert_non_null(strstr(note, "960 x 720"));
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 1000, 750, 16, 1, note, 160, &err),
                     CF_ERANGE);
    assert_non_null(strstr(err.msg, "960 x 720"));
}

static void without_a_size_the_largest_trained_square_is_taken(void **state)
{
    struct cf_error err = {0};
    struct cf_schedule sched;
    struct cf_sizes sizes;
    char note[160];

    (void)state;
    parse(&sizes, "{\"templates\":\"released\",\"classes\":[\"0.06M\",\"0.25M\",\"1M\"],"
                  "\"trained\":[\"0.25M\"]}");
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 0, 0, 16, 1, note, 160, &err),
                     CF_OK);
    assert_int_equal(sched.n, 10);
    assert_string_equal(note, "");
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 512, 0, 16, 0, note, 160, &err),
                     CF_ERANGE);
    err.status = CF_OK;
    assert_int_equal(cf_schedule_pick(&sched, &sizes, -1, 512, 16, 0, note, 160, &err),
                     CF_ERANGE);
}

static void equally_near_ratios_go_to_the_first_listed(void **state)
{
    (void)state;
    assert_int_equal(cf_template_nearest(1.0), 0);
    assert_int_equal(cf_template_nearest(1.125), 0); /* 1.0 and 1.25 */
    assert_int_equal(cf_template_nearest(100.0), 13);
    assert_int_equal(cf_template_nearest(0.001), 14);
}

static void an_own_list_is_the_only_size(void **state)
{
    struct cf_error err = {0};
    struct cf_schedule sched;
    struct cf_sizes sizes;
    char note[160];

    (void)state;
    parse(&sizes, "{\"scales\":[[1,1],[2,2],[4,4]],\"rope_grid\":[64,64]}");
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 0, 0, 4, 1, note, 160, &err),
                     CF_OK);
    assert_int_equal(sched.n, 3);
    assert_int_equal(sched.rope.h, 64);
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 512, 512, 4, 0, note, 160, &err),
                     CF_OK);
    assert_non_null(strstr(note, "16 x 16"));
    assert_int_equal(cf_schedule_pick(&sched, &sizes, 512, 512, 4, 1, note, 160, &err),
                     CF_ERANGE);
}

static void bad_sizes_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"scales\":[[2,2]],\"rope_grid\":[4,4]}", "1 x 1"},
        {"{\"scales\":[[1,1],[4,4],[3,4]],\"rope_grid\":[4,4]}", "sizes.scales[2]"},
        {"{\"scales\":[[1,1],[0,4]],\"rope_grid\":[4,4]}", "sizes.scales[1]"},
        {"{\"scales\":[],\"rope_grid\":[4,4]}", "0 scales"},
        {"{\"scales\":[[1,1]]}", "rope_grid"},
        {"{\"scales\":[[1,1]],\"rope_grid\":[4]}", "rope_grid"},
        {"{\"scales\":[[1,1]],\"rope_grid\":[4,4],\"x\":1}", "x"},
        {"{\"templates\":\"mine\",\"classes\":[],\"trained\":[]}", "released"},
        {"{\"templates\":\"released\",\"classes\":[\"2M\"],\"trained\":[\"1M\"]}",
         "sizes.classes[0]"},
        {"{\"templates\":\"released\",\"classes\":[\"1M\"],\"trained\":[\"0.25M\"]}",
         "0.25M"},
        {"{\"templates\":\"released\",\"classes\":[\"1M\"],\"trained\":[]}", "empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *json = json_loads(bad[i].text, 0, NULL);
        struct cf_error err = {0};
        struct cf_sizes sizes;

        assert_non_null(json);
        assert_int_equal(cf_sizes_parse(&sizes, json, &err), CF_EFORMAT);
        if (strstr(err.msg, bad[i].says) == NULL)
            fail_msg("%s: expected \"%s\"", err.msg, bad[i].says);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fifteen_templates_are_those_recorded),
        cmocka_unit_test(every_rotary_index_is_that_recorded),
        cmocka_unit_test(every_recorded_size_is_taken_exactly),
        cmocka_unit_test(other_sizes_go_to_the_nearest_ratio_and_area),
        cmocka_unit_test(without_a_size_the_largest_trained_square_is_taken),
        cmocka_unit_test(equally_near_ratios_go_to_the_first_listed),
        cmocka_unit_test(an_own_list_is_the_only_size),
        cmocka_unit_test(bad_sizes_are_refused_by_name),
    };

    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
