/* infinity_approx_test.c - the approximations of the generator, which are off unless
 * asked for: guidance skipped and tokens pruned at the last scales. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/resample.h"
#include "models/infinity.h"
#include "tests/infinity_util.h"

static struct cf_gen_params pruned(int n, float first, float second)
{
    struct cf_gen_params p;

    cf_gen_params_default(&p);
    p.n_prune = n;
    p.prune[0] = first;
    p.prune[1] = second;
    return p;
}

static void skipped_guidance_is_guidance_1_at_the_last_scales(void **state)
{
    struct cf_gen_params p, q;

    (void)state;
    cf_gen_params_default(&p);
    q = p;
    p.cfg_skip = 2;
    q.n_guidance = 4;
    for (int s = 0; s < 4; s++)
        q.guidance[s] = s < 2 ? 3.0f : 1.0f;
    assert_same(one(gen, &p, item(0)), one(gen, &q, item(0)), 1);
    q.n_guidance = 0;
    assert_same(one(gen, &p, item(0)), one(gen, &q, item(0)), 0);
}

static void pruning_that_leaves_no_token_out_is_exact(void **state)
{
    struct cf_gen_params exact, p = pruned(2, 0.01f, 0.02f); /* of 16 and of 36 */

    (void)state;
    cf_gen_params_default(&exact);
    for (int i = 0; i < PROMPTS; i++)
        assert_same(one(gen, &p, item(i)), one(gen, &exact, item(i)), 1);
    p = pruned(2, 0.0f, 0.0f);
    assert_same(one(gen, &p, item(0)), one(gen, &exact, item(0)), 1);
    p = pruned(2, 0.0f, 0.5f);
    assert_same(one(gen, &p, item(0)), one(gen, &exact, item(0)), 0);
}

/* ---- the rule ---- */

enum { COARSE = 2, FINE = 3, FROM = 4, TO = 6, N = TO * TO };

/* What a run shows of the scale that ran whole, 4 x 4, and of the pruned one, 6 x 6. */
struct shown {
    float *in[4], *out[4]; /* by scale: embedded input [1, n, c]; behind the last block */
    int64_t ran;
    float *restored; /* [2, N, c] */
};

static float *copy(const float *f, int ndim, const int64_t *dim)
{
    size_t n = sizeof(float);
    float *to;

    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    to = cf_alloc(n, 1, NULL);
    memcpy(to, f, n);
    return to;
}

static bool named(const char *name, const char *fmt, int *s)
{
    int end = 0;

    return sscanf(name, fmt, s, &end) == 1 && end > 0 && name[end] == '\0';
}

static void see(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim)
{
    struct shown *w = ctx;
    int s;

    (void)u8;
    if (named(name, "sc%d.emb%n", &s)) {
        w->in[s] = copy(f, ndim, dim);
    } else if (named(name, "sc%d.blk3.out%n", &s)) {
        w->out[s] = copy(f, ndim, dim);
        w->ran = dim[1];
    } else if (named(name, "sc%d.restored%n", &s)) {
        assert_int_equal(s, FINE);
        assert_int_equal(dim[1], N);
        w->restored = copy(f, ndim, dim);
    }
}

static void release(struct shown *w)
{
    for (int s = 0; s < 4; s++) {
        cf_free(w->in[s]);
        cf_free(w->out[s]);
    }
    cf_free(w->restored);
}

static void add_level(float *x, int s, int n, int c)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c; k++)
            x[i * c + k] += gen->w.level[s * c + k];
}

/* Which of the tokens x [N, c] run: the m farthest from their mean, the first of equals.
 */
static void definition(bool runs[N], const float *x, int m, int c)
{
    double far[N] = {0};

    for (int k = 0; k < c; k++) {
        double mean = 0.0;

        for (int i = 0; i < N; i++)
            mean += x[i * c + k] / (double)N;
        for (int i = 0; i < N; i++)
            far[i] += pow(x[i * c + k] - mean, 2.0);
    }
    memset(runs, 0, N * sizeof(runs[0]));
    for (; m > 0; m--) {
        int best = -1;

        for (int i = 0; i < N; i++)
            if (!runs[i] && (best < 0 || far[i] > far[best] * (1.0 + 1e-6)))
                best = i;
        runs[best] = true;
    }
}

/* in + out' - in' stretched where a token did not run, else what came out of the blocks.
 */
static void check_restored(const struct shown *w, const bool *runs, int c)
{
    float *change = cf_alloc(FROM * FROM, (size_t)c * sizeof(float), NULL);
    float *up = cf_alloc(N, (size_t)c * sizeof(float), NULL);
    float *work = cf_alloc(TO * FROM, (size_t)c * sizeof(float), NULL);
    const float *ran = w->out[FINE];

    for (int r = 0; r < 2; r++) {
        for (int i = 0; i < FROM * FROM * c; i++)
            change[i] = w->out[COARSE][r * FROM * FROM * c + i] - w->in[COARSE][i];
        cf_resize_bilinear(dnn, up, TO, TO, change, FROM, FROM, c, work);
        for (int i = 0; i < N; i++) {
            const float *got = w->restored + (r * N + i) * c;

            for (int k = 0; k < c && !runs[i]; k++)
                assert_true(fabsf(got[k] - (w->in[FINE][i * c + k] + up[i * c + k])) <=
                            1e-5f * (1.0f + fabsf(got[k])));
            if (runs[i]) {
                assert_memory_equal(got, ran, (size_t)c * sizeof(float));
                ran += c;
            }
        }
    }
    cf_free(change);
    cf_free(up);
    cf_free(work);
}

static void the_tokens_that_stand_out_run_and_the_others_are_filled_in(void **state)
{
    static uint8_t ones[4][36 * 16];
    const uint8_t *const forced[3] = {ones[0], ones[1], ones[2]};
    struct cf_gen_params p = pruned(1, 0.3f, 0.0f);
    struct cf_probe probe = {see, NULL};
    int c = gen->shape.c;

    (void)state;
    memset(ones, 1, sizeof(ones));
    /* Once drawn, once forced to one colour: then all tokens stand out alike. */
    for (int flat = 0; flat < 2; flat++) {
        struct cf_gen_item it = item(1);
        struct shown w = {0};
        bool runs[N];

        it.forced = flat ? forced : NULL;
        it.n_forced = flat ? 3 : 0;
        probe.ctx = &w;
        cf_free(util_run(gen, &p, &it, 1, &probe, NULL));
        assert_int_equal(w.ran, N - 10); /* 0.3 * 36 = 10.8 */
        add_level(w.in[COARSE], COARSE, FROM * FROM, c);
        add_level(w.in[FINE], FINE, N, c);
        definition(runs, w.in[FINE], N - 10, c);
        for (int i = 0; i < N && flat; i++)
            assert_int_equal(runs[i], i < N - 10);
        check_restored(&w, runs, c);
        release(&w);
    }
}

/* ---- repeatability ---- */

static void approximate_images_depend_on_neither_neighbours_nor_threads(void **state)
{
    json_t *json = util_model_json("inf-tiny-2b", "vae-p16-d16", NULL);
    struct cf_gen_params p = pruned(2, 0.4f, 0.5f);

    (void)state;
    p.cfg_skip = 1;
    p.kv_type = CF_BF16;
    for (int t = 1; t <= 3; t++) {
        struct cf_gen_item it[PROMPTS] = {item(0), item(1), item(2)};
        struct cf_error err = {0};
        struct cf_dnn *team;
        struct cf_gen *g;
        uint8_t *all;

        it[1].negative = &negative;
        assert_int_equal(cf_dnn_open(&team, CF_CPU_AUTO, t, &err), CF_OK);
        g = util_open(json, model_path, vae_path, team);
        all = util_run(g, &p, it, PROMPTS, NULL, NULL);
        for (int i = 0; i < PROMPTS; i++) {
            uint8_t *alone = one(gen, &p, it[i]);

            assert_memory_equal(all + i * PIXELS, alone, PIXELS);
            cf_free(alone);
        }
        cf_free(all);
        ops->close(g);
        cf_dnn_close(team);
    }
    json_decref(json);
}

static void pruning_goes_with_every_way_to_guide(void **state)
{
    static const int insert[][2] = {{0, -1}, {-2, -3}, {-1, -1}};
    struct cf_gen_params p = pruned(3, 1.0f, 0.0f), q;

    (void)state;
    p.prune[2] = 0.5f;
    for (int i = 0; i < 3; i++)
        for (int s = 0; s < 4; s++) {
            q = p;
            q.n_insert = 2;
            memcpy(q.insert, insert[i], sizeof(insert[i]));
            q.cfg_skip = s;
            assert_same(one(gen, &q, item(s % PROMPTS)), one(gen, &q, item(s % PROMPTS)),
                        1);
        }
}

static void pruning_works_on_tokens_of_four_positions(void **state)
{
    char model[UTIL_PATH], vae[UTIL_PATH];
    json_t *json = util_model_json("inf-tiny-8b", "vae-p8-d14", NULL);
    struct cf_gen_params p = pruned(2, 0.4f, 0.5f), exact;
    struct cf_gen *g;

    (void)state;
    cf_gen_params_default(&exact);
    util_golden(model, "inf-tiny-8b.safetensors");
    util_golden(vae, "vae-p8-d14.safetensors");
    g = util_open(json, model, vae, dnn);
    assert_same(one(g, &p, item(0)), one(g, &p, item(0)), 1);
    assert_same(one(g, &p, item(0)), one(g, &exact, item(0)), 0);
    ops->close(g);
    json_decref(json);
}

/* ---- bad values ---- */

static void refused(const struct cf_gen_params *p, const char *told)
{
    struct cf_error err = {0};
    struct cf_plan plan;

    assert_int_equal(ops->plan(gen, p, 1, 9, &plan, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, told));
}

static void more_scales_than_there_are_and_shares_that_are_none_are_refused(void **state)
{
    struct cf_gen_params p;

    (void)state;
    cf_gen_params_default(&p);
    p.cfg_skip = 4;
    refused(&p, "cfg_skip: the last 4 scales of 4, expected 0..3");
    p.cfg_skip = -1;
    refused(&p, "cfg_skip");
    p = pruned(4, 0.0f, 0.0f);
    refused(&p, "prune_tokens: the last 4 scales of 4, expected up to 3");
    p = pruned(-1, 0.0f, 0.0f);
    refused(&p, "prune_tokens");
    p = pruned(2, 0.5f, 1.5f);
    refused(&p, "prune_tokens: 1.5, expected 0..1");
    p = pruned(1, NAN, 0.0f);
    refused(&p, "prune_tokens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skipped_guidance_is_guidance_1_at_the_last_scales),
        cmocka_unit_test(pruning_that_leaves_no_token_out_is_exact),
        cmocka_unit_test(the_tokens_that_stand_out_run_and_the_others_are_filled_in),
        cmocka_unit_test(approximate_images_depend_on_neither_neighbours_nor_threads),
        cmocka_unit_test(pruning_goes_with_every_way_to_guide),
        cmocka_unit_test(pruning_works_on_tokens_of_four_positions),
        cmocka_unit_test(more_scales_than_there_are_and_shares_that_are_none_are_refused),
    };

    return cmocka_run_group_tests_name("infinity_approx", tests, setup, teardown);
}
