/* infinity_hold_test.c - the generator over weights of every type, packed and read in
 * place, and over keys and values in bfloat16. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/infinity_util.h"
#include "tests/retype.h"
#include "tests/weights_util.h"

enum { SCALES = 4 };

static char *dir; /* temporary */
static json_t *tiny;

/* What a run showed: bits to force on another, logits to compare. */
struct caught {
    uint8_t *bits[SCALES];
    float *logits[SCALES];
    size_t n[SCALES]; /* logits */
};

static void keep(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                 const int64_t *dim)
{
    struct caught *c = ctx;
    size_t n = 1;
    char what[16];
    int s;

    if (sscanf(name, "sc%d.%15s", &s, what) != 2)
        return;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    if (u8 != NULL && strcmp(what, "bits") == 0) {
        c->bits[s] = cf_alloc(n, 1, NULL);
        memcpy(c->bits[s], u8, n);
    } else if (f != NULL && strcmp(what, "logits") == 0) {
        c->logits[s] = cf_alloc(n, sizeof(float), NULL);
        memcpy(c->logits[s], f, n * sizeof(float));
        c->n[s] = n;
    }
}

static void release(struct caught *c)
{
    for (int s = 0; s < SCALES; s++) {
        cf_free(c->bits[s]);
        cf_free(c->logits[s]);
    }
    memset(c, 0, sizeof(*c));
}

/* One image of g, its bits those of like unless that is NULL. */
static void run_like(struct caught *c, const struct cf_gen *g, int kv,
                     const struct caught *like)
{
    struct cf_probe watch = {keep, c};
    struct cf_gen_item it = item(2);
    struct cf_gen_params p;

    cf_gen_params_default(&p);
    p.kv_type = kv;
    if (like != NULL) {
        it.forced = (const uint8_t *const *)like->bits;
        it.n_forced = SCALES;
    }
    cf_free(util_run(g, &p, &it, 1, &watch, NULL));
}

/* Largest relative L2 error of the logits of a scale. */
static double apart(const struct caught *a, const struct caught *b)
{
    double worst = 0.0;

    for (int s = 0; s < SCALES; s++) {
        double off = 0.0, all = 0.0;

        assert_int_equal(a->n[s], b->n[s]);
        for (size_t i = 0; i < a->n[s]; i++) {
            double d = (double)a->logits[s][i] - b->logits[s][i];

            off += d * d;
            all += (double)a->logits[s][i] * a->logits[s][i];
        }
        worst = fmax(worst, sqrt(off / all));
    }
    return worst;
}

/* The tiny model with its matrices as type, in a file of its own. */
static const char *typed(enum cf_wtype type)
{
    const char *path = util_path(dir, cf_wtype_name(type));

    if (access(path, F_OK) != 0)
        util_retype(path, model_path, type);
    return path;
}

/* ---- weights ---- */

static void every_recorded_run_is_met_by_mapped_weights(void **state)
{
    const struct cf_golden_form form = {CF_HOLD_MAP, CF_F32, 1, 0.0};
    char path[UTIL_PATH];

    (void)state;
    util_golden(path, "");
    for (int t = 1; t <= 3; t++) {
        struct cf_golden g = {.threads = t};

        assert_int_equal(cf_golden_generate(&g, path, &form), 5);
        assert_int_equal(g.failed, 0);
    }
}

/* The same numbers in the same order but for the additions of a product. */
static void mapped_floats_give_what_packed_ones_give(void **state)
{
    (void)state;
    for (int type = CF_W_F32; type <= CF_W_BF16; type++) {
        const char *file = typed((enum cf_wtype)type);
        struct cf_gen *pack = util_open(tiny, file, vae_path, dnn);
        struct cf_gen *map = util_open_held(tiny, file, vae_path, CF_HOLD_MAP, dnn);
        struct caught a = {0}, b = {0};

        run_like(&a, pack, CF_F32, NULL);
        run_like(&b, map, CF_F32, &a);
        assert_true(apart(&a, &b) < 1e-5);
        release(&a);
        release(&b);
        ops->close(map);
        ops->close(pack);
    }
}

/* Against the f32 model, with its bits. Random weights suffer more than trained ones; the
 * bounds are twice what was seen. */
static void the_error_of_each_type_is_bounded(void **state)
{
    static const double most[CF_NWTYPE] = {1e-5, 2e-3, 2e-2, 6e-2, 0.9};
    struct caught exact = {0};

    (void)state;
    run_like(&exact, gen, CF_F32, NULL);
    for (int type = CF_W_F32; type < CF_NWTYPE; type++) {
        struct cf_gen *g =
            util_open_held(tiny, typed((enum cf_wtype)type), vae_path, CF_HOLD_MAP, dnn);
        struct caught c = {0};
        double off;

        run_like(&c, g, CF_F32, &exact);
        off = apart(&exact, &c);
        print_message("# %s: logits off by %.2g\n", cf_wtype_name((enum cf_wtype)type),
                      off);
        assert_true(off < most[type]);
        assert_true(type == CF_W_F32 || off > 0.0); /* they were read as that type */
        release(&c);
        ops->close(g);
    }
    release(&exact);
}

static void images_do_not_depend_on_neighbours_or_threads(void **state)
{
    struct cf_gen_item it[PROMPTS] = {item(0), item(1), item(2)};
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    p.kv_type = CF_BF16;
    for (int type = CF_W_F32; type < CF_NWTYPE; type++) {
        uint8_t *alone[PROMPTS] = {0}, *all;

        for (int t = 1; t <= 3; t++) {
            struct cf_error err = {0};
            struct cf_dnn *team;
            struct cf_gen *g;

            assert_int_equal(cf_dnn_open(&team, CF_CPU_AUTO, t, &err), CF_OK);
            g = util_open_held(tiny, typed((enum cf_wtype)type), vae_path, CF_HOLD_MAP,
                               team);
            for (int i = 0; t == 1 && i < PROMPTS; i++)
                alone[i] = one(g, &p, it[i]);
            all = util_run(g, &p, it, PROMPTS, NULL, NULL);
            for (int i = 0; i < PROMPTS; i++)
                assert_memory_equal(all + i * PIXELS, alone[i], PIXELS);
            cf_free(all);
            ops->close(g);
            cf_dnn_close(team);
        }
        for (int i = 0; i < PROMPTS; i++)
            cf_free(alone[i]);
    }
}

/* Also after its pages were dropped, and with the name gone from the directory. */
static void a_mapped_file_may_be_removed_and_rest(void **state)
{
    const char *path = util_path(dir, "gone");
    struct cf_gen_params p;
    struct cf_gen *g;
    uint8_t *first;

    (void)state;
    cf_gen_params_default(&p);
    util_retype(path, model_path, CF_W_BF16);
    g = util_open_held(tiny, path, vae_path, CF_HOLD_MAP, dnn);
    first = one(g, &p, item(0));
    assert_int_equal(unlink(path), 0);
    ops->rest(g);
    assert_same(first, one(g, &p, item(0)), 1);
    ops->close(g);
}

static void what_is_held_is_told(void **state)
{
    struct cf_gen *map =
        util_open_held(tiny, typed(CF_W_BF16), vae_path, CF_HOLD_MAP, dnn);
    struct cf_gen *q = util_open(tiny, typed(CF_W_I8), vae_path, dnn);
    struct cf_gen *q_map =
        util_open_held(tiny, typed(CF_W_I8), vae_path, CF_HOLD_MAP, dnn);
    struct cf_gen_params p;
    struct cf_held packed = ops->held(gen), mapped = ops->held(map), q8 = ops->held(q);

    (void)state;
    cf_gen_params_default(&p);
    assert_int_equal(packed.mapped, 0);
    assert_true(mapped.mapped > 0 && mapped.own > 0);
    /* what the one maps as two bytes, the other packs as four */
    assert_int_equal(packed.own - mapped.own, 2 * mapped.mapped);
    assert_true(q8.mapped > mapped.mapped / 2 && q8.mapped < mapped.mapped);
    assert_int_equal(q8.own, mapped.own); /* int8 is mapped whatever was asked for */
    assert_same(one(q, &p, item(1)), one(q_map, &p, item(1)), 1);
    ops->rest(gen); /* nothing to drop */
    ops->close(q_map);
    ops->close(q);
    ops->close(map);
}

/* ---- keys and values ---- */

static void every_recorded_run_is_near_with_keys_and_values_in_bf16(void **state)
{
    /* the logits of a scale by their relative L2 error, recorded bits forced */
    const struct cf_golden_form form = {CF_HOLD_PACK, CF_BF16, 0, 1e-2};
    char path[UTIL_PATH];

    (void)state;
    util_golden(path, "");
    for (int t = 1; t <= 3; t++) {
        struct cf_golden g = {.threads = t};

        assert_int_equal(cf_golden_generate(&g, path, &form), 5);
        assert_int_equal(g.failed, 0);
    }
}

static void bf16_keys_and_values_change_logits_and_save_memory(void **state)
{
    struct cf_gen_params p;
    struct caught a = {0}, b = {0};
    struct cf_plan f32, bf16;
    struct cf_error err = {0};

    (void)state;
    run_like(&a, gen, CF_F32, NULL);
    run_like(&b, gen, CF_BF16, &a);
    assert_true(apart(&a, &b) > 1e-6 && apart(&a, &b) < 1e-2);
    release(&a);
    release(&b);
    cf_gen_params_default(&p);
    p.kv_type = CF_F32;
    assert_int_equal(ops->plan(gen, &p, 64, 9, &f32, &err), CF_OK);
    p.kv_type = CF_BF16;
    assert_int_equal(ops->plan(gen, &p, 64, 9, &bf16, &err), CF_OK);
    assert_int_equal(bf16.params.kv_type, CF_BF16);
    assert_true(bf16.arena_bytes < f32.arena_bytes);
}

static void the_model_says_how_keys_and_values_are_kept(void **state)
{
    static const struct {
        const char *word;
        int type;
    } ways[] = {{NULL, CF_F32}, {"f32", CF_F32}, {"bf16", CF_BF16}, {"int8", -1}};
    struct cf_gen_files files = {NULL, model_path, vae_path, CF_HOLD_PACK};

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        json_t *json = json_deep_copy(tiny), *s = json_object_get(json, "sampling");
        struct cf_error err = {0};
        struct cf_gen_params p;
        struct cf_gen *g = NULL;
        struct cf_plan plan;

        if (ways[i].word != NULL)
            json_object_set_new(s, "kv_type", json_string(ways[i].word));
        files.json = json;
        if (ways[i].type < 0) {
            assert_int_equal(ops->open(&g, &files, dnn, &err), CF_EFORMAT);
            assert_non_null(strstr(err.msg, "kv_type"));
        } else {
            g = util_open(json, model_path, vae_path, dnn);
            cf_gen_params_default(&p);
            assert_int_equal(ops->plan(g, &p, 1, 9, &plan, &err), CF_OK);
            assert_int_equal(plan.params.kv_type, ways[i].type);
            p.kv_type = CF_F16;
            assert_int_equal(ops->plan(g, &p, 1, 9, &plan, &err), CF_ERANGE);
            assert_non_null(strstr(err.msg, "kv_type: F16"));
        }
        ops->close(g);
        json_decref(json);
    }
}

/* ---- plans without files ---- */

static void a_plan_needs_no_files(void **state)
{
    struct cf_gen_files none = {tiny, NULL, NULL, CF_HOLD_MAP};
    struct cf_plan with, without;
    struct cf_error err = {0};
    struct cf_gen_params p;
    struct cf_gen *g;

    (void)state;
    assert_int_equal(ops->open(&g, &none, dnn, &err), CF_OK);
    assert_int_equal(ops->text_dim(g), DIM);
    assert_int_equal(ops->held(g).own + ops->held(g).mapped, 0);
    ops->rest(g);
    for (int kv = 0; kv < 2; kv++)
        for (int batch = 1; batch < 40; batch += 19) {
            cf_gen_params_default(&p);
            p.kv_type = kv ? CF_BF16 : CF_F32;
            assert_int_equal(ops->plan(gen, &p, batch, 30, &with, &err), CF_OK);
            assert_int_equal(ops->plan(g, &p, batch, 30, &without, &err), CF_OK);
            /* This file has no image encoder, which nobody knows without it. */
            assert_int_equal(with.encode_bytes, 0);
            assert_true(without.encode_bytes > 0);
            without.encode_bytes = 0;
            assert_memory_equal(&with, &without, sizeof(with));
        }
    ops->close(g);
}

static void one_file_alone_is_refused(void **state)
{
    struct cf_gen_files files[2] = {{tiny, model_path, NULL, CF_HOLD_PACK},
                                    {tiny, NULL, vae_path, CF_HOLD_PACK}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct cf_error err = {0};
        struct cf_gen *g;

        assert_int_equal(ops->open(&g, &files[i], dnn, &err), CF_EUSAGE);
        assert_null(g);
    }
}

static int setup_held(void **state)
{
    if (setup(state) != 0)
        return -1;
    tiny = util_model_json("inf-tiny-2b", "vae-p16-d16", NULL);
    dir = util_mkdir();
    return 0;
}

static int teardown_held(void **state)
{
    util_rmdir(dir);
    json_decref(tiny);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_run_is_met_by_mapped_weights),
        cmocka_unit_test(mapped_floats_give_what_packed_ones_give),
        cmocka_unit_test(the_error_of_each_type_is_bounded),
        cmocka_unit_test(images_do_not_depend_on_neighbours_or_threads),
        cmocka_unit_test(a_mapped_file_may_be_removed_and_rest),
        cmocka_unit_test(what_is_held_is_told),
        cmocka_unit_test(every_recorded_run_is_near_with_keys_and_values_in_bf16),
        cmocka_unit_test(bf16_keys_and_values_change_logits_and_save_memory),
        cmocka_unit_test(the_model_says_how_keys_and_values_are_kept),
        cmocka_unit_test(a_plan_needs_no_files),
        cmocka_unit_test(one_file_alone_is_refused),
    };

    return cmocka_run_group_tests_name("infinity weights", tests, setup_held,
                                       teardown_held);
}
