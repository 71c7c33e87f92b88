/* infinity_work_test.c - work that is left out changes nothing: every case compares with
 * a run in which it cannot be left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/infinity.h"
#include "tests/infinity_util.h"

enum { SCALES = 4, DEPTH = 4 };

/* What a run shows: the logits of each scale, and the rows behind each block. */
struct shown {
    float *logits[SCALES];
    size_t size[SCALES];
    int64_t rows[SCALES][DEPTH];
};

static void see(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim)
{
    struct shown *w = ctx;
    size_t n = sizeof(float);
    int s, b, end = 0;

    (void)u8;
    if (sscanf(name, "sc%d.blk%d.out%n", &s, &b, &end) == 2 && end > 0)
        w->rows[s][b] = dim[0];
    end = 0;
    if (sscanf(name, "sc%d.logits%n", &s, &end) != 1 || end == 0)
        return;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    w->logits[s] = cf_alloc(n, 1, NULL);
    w->size[s] = n;
    memcpy(w->logits[s], f, n);
}

static void release(struct shown *w)
{
    for (int s = 0; s < SCALES; s++)
        cf_free(w->logits[s]);
    memset(w, 0, sizeof(*w));
}

/* Guidance 3 where on says '1', else 1; bits are greedy, so that they are the same. */
static struct cf_gen_params guided(const char *on)
{
    struct cf_gen_params p;

    cf_gen_params_default(&p);
    p.top_k = 1;
    p.n_guidance = SCALES;
    for (int s = 0; s < SCALES; s++)
        p.guidance[s] = on[s] == '1' ? 3.0f : 1.0f;
    return p;
}

static void run(struct shown *w, const struct cf_gen_params *p, struct cf_gen_item *it,
                int n)
{
    struct cf_probe probe = {see, w};

    memset(w, 0, sizeof(*w));
    cf_free(util_run(gen, p, it, n, &probe, NULL));
}

static void same_logits(const struct shown *a, const struct shown *b, int upto)
{
    for (int s = 0; s < upto; s++) {
        assert_int_equal(a->size[s], b->size[s]);
        assert_memory_equal(a->logits[s], b->logits[s], a->size[s]);
    }
}

static void the_null_half_ends_with_the_last_guided_scale(void **state)
{
    struct cf_gen_item it[2] = {item(0), item(2)};
    struct shown whole, ended;
    struct cf_gen_params p;

    (void)state;
    it[1].negative = &negative;
    p = guided("1001");
    run(&whole, &p, it, 2);
    p = guided("1000");
    run(&ended, &p, it, 2);
    same_logits(&whole, &ended, 3);
    for (int b = 0; b < DEPTH; b++) {
        for (int s = 0; s < SCALES; s++)
            assert_int_equal(whole.rows[s][b], 4);
        assert_int_equal(ended.rows[0][b], 4);
        for (int s = 1; s < SCALES; s++)
            assert_int_equal(ended.rows[s][b], 2);
    }
    release(&whole);
    release(&ended);
}

static void the_null_half_ends_with_the_last_block_that_mixes_it_in(void **state)
{
    struct cf_gen_item it = item(1);
    struct shown whole, ended;
    struct cf_gen_params p;

    (void)state;
    p = guided("1111");
    p.n_insert = 2;
    p.insert[0] = -3;
    p.insert[1] = -2;
    run(&whole, &p, &it, 1);
    for (int b = 0; b < DEPTH; b++)
        assert_int_equal(whole.rows[3][b], b <= 2 ? 2 : 1);
    p = guided("1110");
    p.n_insert = 2;
    p.insert[0] = -3;
    p.insert[1] = -2;
    run(&ended, &p, &it, 1);
    same_logits(&whole, &ended, 3);
    for (int b = 0; b < DEPTH; b++) {
        assert_int_equal(whole.rows[2][b], 2);
        assert_int_equal(ended.rows[2][b], b <= 2 ? 2 : 1);
        assert_int_equal(ended.rows[3][b], 1);
    }
    release(&whole);
    release(&ended);
}

static void without_the_null_half_an_image_takes_less_memory(void **state)
{
    struct cf_gen_params all = guided("1111"), most = guided("1110"),
                         none = guided("0000");
    struct cf_error err = {0};
    struct cf_plan a, b, c;

    (void)state;
    assert_int_equal(ops->plan(gen, &all, 64, 32, &a, &err), CF_OK);
    assert_int_equal(ops->plan(gen, &most, 64, 32, &b, &err), CF_OK);
    assert_int_equal(ops->plan(gen, &none, 64, 32, &c, &err), CF_OK);
    assert_true(b.arena_bytes < a.arena_bytes);
    assert_true(c.arena_bytes < b.arena_bytes);
}

/* Equal texts in different memory, a prompt that is its own negative, a negative that is
 * another's prompt, null conditions of three lengths: all beside each other. */
static void texts_that_rows_share_change_no_image(void **state)
{
    enum { N = 7 };
    struct cf_text twin = util_text(text[1].n, DIM, 11);
    struct cf_gen_item it[N] = {item(1), item(1), item(0), item(2),
                                item(1), item(0), item(2)};
    struct cf_gen_params p;
    uint8_t *all;

    (void)state;
    cf_gen_params_default(&p);
    assert_memory_equal(twin.features, text[1].features,
                        (size_t)twin.n * DIM * sizeof(float));
    it[1].cond = &twin;
    it[1].seed = 7;
    it[4].negative = &twin;
    it[5].negative = &text[1];
    it[6].negative = &negative;
    all = util_run(gen, &p, it, N, NULL, NULL);
    for (int i = 0; i < N; i++) {
        uint8_t *alone = one(gen, &p, it[i]);

        assert_memory_equal(all + i * PIXELS, alone, PIXELS);
        cf_free(alone);
    }
    cf_free(all);
    cf_free(twin.features);
}

static void keep_bits(void *ctx, const char *name, const float *f, const uint8_t *u8,
                      int ndim, const int64_t *dim)
{
    uint8_t **bits = ctx;
    size_t n = 1;
    int s;

    (void)f;
    if (u8 == NULL || sscanf(name, "sc%d.bits", &s) != 1)
        return;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    bits[s] = cf_alloc(n, 1, NULL);
    memcpy(bits[s], u8, n);
}

/* A watched run works out what it shows; one that nobody watches leaves out the heads of
 * forced scales, and all of the transformer where every scale is forced. */
static void forced_scales_give_the_same_image_watched_or_not(void **state)
{
    uint8_t *bits[SCALES] = {NULL}, *drawn;
    struct cf_probe keep = {keep_bits, bits};
    struct cf_gen_item it[2] = {item(1), item(2)};
    struct cf_gen_params p;
    struct shown w;

    (void)state;
    cf_gen_params_default(&p);
    drawn = util_run(gen, &p, it, 1, &keep, NULL);
    it[0].forced = (const uint8_t *const *)bits;
    for (int n = 1; n <= SCALES; n++) {
        struct cf_probe watch = {see, &w};
        uint8_t *watched, *alone, *beside;

        memset(&w, 0, sizeof(w));
        it[0].n_forced = n;
        watched = util_run(gen, &p, it, 1, &watch, NULL);
        alone = util_run(gen, &p, it, 1, NULL, NULL);
        beside = util_run(gen, &p, it, 2, NULL, NULL);
        assert_memory_equal(watched, drawn, PIXELS);
        assert_memory_equal(alone, drawn, PIXELS);
        assert_memory_equal(beside, drawn, PIXELS);
        cf_free(watched);
        cf_free(alone);
        cf_free(beside);
        release(&w);
    }
    cf_free(drawn);
    for (int s = 0; s < SCALES; s++)
        cf_free(bits[s]);
}

/* The table is made from one turn per row and column; the formula is the definition. */
static void rotary_tables_hold_the_angles_of_every_token(void **state)
{
    enum { HD = 12, HALF = HD / 2, NF = HD / 4 };
    struct cf_schedule sched = {
        .n = 3, .scale = {{1, 1}, {2, 3}, {5, 4}}, .rope = {64, 48}};
    float cs[(1 + 6 + 20) * HALF], sn[(1 + 6 + 20) * HALF];
    int64_t i = 0;

    (void)state;
    cf_inf_rope(cs, sn, &sched, HD);
    for (int s = 0; s < sched.n; s++)
        for (int y = 0; y < sched.scale[s].h; y++)
            for (int x = 0; x < sched.scale[s].w; x++)
                for (int j = 0; j < HALF; j++, i++) {
                    float f = 1.0f / powf(10000.0f, (float)(2 * (j % NF)) / (float)HALF);
                    float at = (float)(j < NF ? cf_rope_index(y, sched.scale[s].h, 64)
                                              : cf_rope_index(x, sched.scale[s].w, 48));

                    assert_true(cs[i] == cosf(at * f));
                    assert_true(sn[i] == sinf(at * f));
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_null_half_ends_with_the_last_guided_scale),
        cmocka_unit_test(the_null_half_ends_with_the_last_block_that_mixes_it_in),
        cmocka_unit_test(without_the_null_half_an_image_takes_less_memory),
        cmocka_unit_test(texts_that_rows_share_change_no_image),
        cmocka_unit_test(forced_scales_give_the_same_image_watched_or_not),
        cmocka_unit_test(rotary_tables_hold_the_angles_of_every_token),
    };

    return cmocka_run_group_tests_name("infinity_work", tests, setup, teardown);
}
