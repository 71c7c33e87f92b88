/* room_test.c - who is in memory together, by what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "pipeline/room.h"

enum { MIB = 1 << 20 };

/* Generator 400 MiB of weights and 100 of work, encoder 300, the program. */
static struct cf_room room(int64_t mib)
{
    struct cf_room r = {.workers = 1, .copies = 1};

    r.memory = (struct cf_memory){mib * MIB + CF_ROOM_PROGRAM, "--memory"};
    r.held.transformer = (struct cf_held){.mapped = 250 * (size_t)MIB, .own = 50 * MIB};
    r.held.vae = (struct cf_held){.own = 100 * MIB};
    r.held.text = (struct cf_held){.mapped = 300 * (size_t)MIB};
    return r;
}

static struct cf_plan *plan(void)
{
    struct cf_plan *p = cf_calloc(1, sizeof *p, NULL);

    p->arena_bytes = 100 * MIB;
    p->batch = 1;
    p->width = p->height = 64;
    return p;
}

static void they_stay_together_while_there_is_room_and_take_turns_below(void **state)
{
    static const struct {
        int64_t mib;
        enum cf_status st;
        bool turns;
    } want[] = {{800, CF_OK, false},
                {799, CF_OK, true},
                {500, CF_OK, true},
                {499, CF_ENOMEM, false}};
    struct cf_plan *p = plan();

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct cf_room r = room(want[i].mib);
        struct cf_error err = {0};

        assert_int_equal(cf_room_decide(&r, p, false, 1, &err), want[i].st);
        assert_int_equal(r.turns, want[i].turns);
        if (want[i].st != CF_OK) {
            assert_non_null(strstr(err.msg, "564.0 MiB"));
            assert_non_null(strstr(err.msg, "563.0 MiB (--memory)"));
            assert_non_null(strstr(err.msg, "64 x 64"));
        }
    }
    cf_free(p);
}

static void what_would_not_help_is_not_named(void **state)
{
    struct cf_room r = room(400);
    struct cf_error first = {0}, second = {0};
    struct cf_plan *p = plan();

    (void)state;
    p->params.kv_type = CF_BF16;
    cf_room_decide(&r, p, false, 1, &first);
    assert_null(strstr(first.msg, "--kv-type"));
    assert_null(strstr(first.msg, "--side-by-side"));
    p->params.kv_type = CF_F32;
    p->batch = 2;
    cf_room_decide(&r, p, false, 1, &second);
    assert_non_null(strstr(second.msg, "--kv-type=bf16"));
    assert_non_null(strstr(second.msg, "--side-by-side=1"));
    cf_free(p);
}

static void weights_alone_are_judged_before_any_size_is_known(void **state)
{
    struct cf_room together = room(700), turns = room(699), none = room(399);
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_room_decide(&together, NULL, false, 1, &err), CF_OK);
    assert_false(together.turns);
    assert_int_equal(cf_room_decide(&turns, NULL, false, 1, &err), CF_OK);
    assert_true(turns.turns);
    assert_int_equal(cf_room_decide(&none, NULL, false, 1, &err), CF_ENOMEM);
    assert_non_null(strstr(err.msg,
                           "(weights 400.0 MiB, the program 64.0 MiB), there are "
                           "463.0 MiB"));
    assert_null(strstr(err.msg, "size"));
}

static void an_encoder_that_is_too_large_alone_is_named(void **state)
{
    struct cf_room r = room(600);
    struct cf_error err = {0};
    struct cf_plan *p = plan();

    (void)state;
    r.held.text.mapped = 601 * (size_t)MIB;
    assert_int_equal(cf_room_decide(&r, p, false, 1, &err), CF_ENOMEM);
    assert_non_null(strstr(err.msg, "the text encoder takes 665.0 MiB"));
    cf_free(p);
}

static void an_order_goes_before_what_there_is(void **state)
{
    struct cf_room keep = room(500), release = room(5000);
    struct cf_error err = {0};
    struct cf_plan *p = plan();

    (void)state;
    keep.encoder = CF_ENCODER_KEEP;
    release.encoder = CF_ENCODER_RELEASE;
    assert_int_equal(cf_room_decide(&keep, p, false, 1, &err), CF_OK);
    assert_false(keep.turns);
    assert_int_equal(cf_room_decide(&release, p, false, 1, &err), CF_OK);
    assert_true(release.turns);
    cf_free(p);
}

static void each_worker_works_in_memory_of_its_own(void **state)
{
    struct cf_room fits = room(1000), none = room(999);
    struct cf_error err = {0};
    struct cf_plan *p = plan();

    (void)state;
    fits.workers = none.workers = 3;
    assert_int_equal(cf_room_decide(&fits, p, false, 1, &err), CF_OK);
    assert_int_equal(cf_room_decide(&none, p, false, 1, &err), CF_ENOMEM);
    assert_non_null(strstr(err.msg, "3 workers cannot take turns"));
    cf_free(p);
}

/* 40 MiB of the file and 20 packed, while 130 of its own work are there and the arena's
 * 100 are not. */
static void an_image_to_begin_with_is_encoded_in_memory_that_counts(void **state)
{
    struct cf_room together = room(890), turns = room(889), fits = room(590),
                   none = room(589);
    struct cf_room *all[] = {&together, &turns, &fits, &none};
    struct cf_error err = {0};
    struct cf_plan *p = plan();

    (void)state;
    p->encode_bytes = 130 * MIB;
    for (int i = 0; i < 4; i++)
        all[i]->held.image = (struct cf_held){.mapped = 40 * MIB, .own = 20 * MIB};
    assert_int_equal(cf_room_decide(&together, p, true, 1, &err), CF_OK);
    assert_false(together.turns);
    assert_int_equal(cf_room_decide(&turns, p, true, 1, &err), CF_OK);
    assert_true(turns.turns);
    assert_int_equal(cf_room_decide(&fits, p, true, 1, &err), CF_OK);
    assert_int_equal(cf_room_decide(&none, p, false, 1, &err), CF_OK);
    assert_int_equal(cf_room_decide(&none, p, true, 1, &err), CF_ENOMEM);
    assert_non_null(strstr(err.msg, "working memory of 64 x 64 pixels 190.0 MiB"));
    cf_free(p);
}

static void turns_once_taken_are_kept(void **state)
{
    struct cf_room r = room(799);
    struct cf_error err = {0};
    struct cf_plan *p = plan();

    (void)state;
    assert_int_equal(cf_room_decide(&r, p, false, 1, &err), CF_OK);
    p->arena_bytes = MIB;
    assert_int_equal(cf_room_decide(&r, p, false, 1, &err), CF_OK);
    assert_true(r.turns);
    assert_true(cf_room_left(&r) == 399.0 * MIB);
    cf_free(p);
}

static void the_least_bound_counts_less_a_sixteenth(void **state)
{
    struct cf_memory all, slurm, per_cpu, asked, odd;

    (void)state;
    unsetenv("SLURM_MEM_PER_NODE");
    unsetenv("SLURM_MEM_PER_CPU");
    unsetenv("SLURM_CPUS_ON_NODE");
    cf_memory_find(&all, 0);
    assert_true(all.bytes > 0);
    setenv("SLURM_MEM_PER_NODE", "160", 1);
    cf_memory_find(&slurm, 0);
    assert_int_equal(slurm.bytes, 150 * MIB);
    assert_string_equal(slurm.why, "Slurm");
    setenv("SLURM_MEM_PER_CPU", "16", 1);
    setenv("SLURM_CPUS_ON_NODE", "4", 1);
    cf_memory_find(&per_cpu, 0);
    assert_int_equal(per_cpu.bytes, 60 * MIB);
    cf_memory_find(&asked, 12345);
    assert_int_equal(asked.bytes, 12345);
    assert_string_equal(asked.why, "--memory");
    setenv("SLURM_MEM_PER_NODE", "0", 1); /* Slurm's word for all of the node */
    setenv("SLURM_MEM_PER_CPU", "many", 1);
    cf_memory_find(&odd, 0);
    assert_int_equal(odd.bytes, all.bytes);
}

static void bytes_are_told_as_people_say_them(void **state)
{
    char buf[CF_BYTES_TEXT];

    (void)state;
    assert_string_equal(cf_bytes_text(buf, 1023), "1023 bytes");
    assert_string_equal(cf_bytes_text(buf, 1536), "1.5 KiB");
    assert_string_equal(cf_bytes_text(buf, 5.0 * MIB * 1024), "5.0 GiB");
    assert_true(cf_memory_peak() > MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_stay_together_while_there_is_room_and_take_turns_below),
        cmocka_unit_test(weights_alone_are_judged_before_any_size_is_known),
        cmocka_unit_test(what_would_not_help_is_not_named),
        cmocka_unit_test(an_encoder_that_is_too_large_alone_is_named),
        cmocka_unit_test(an_order_goes_before_what_there_is),
        cmocka_unit_test(each_worker_works_in_memory_of_its_own),
        cmocka_unit_test(an_image_to_begin_with_is_encoded_in_memory_that_counts),
        cmocka_unit_test(turns_once_taken_are_kept),
        cmocka_unit_test(the_least_bound_counts_less_a_sixteenth),
        cmocka_unit_test(bytes_are_told_as_people_say_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
