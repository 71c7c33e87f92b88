/* dnn_nomem_test.c - memory that runs out while a layer is opened or first used is an
 * error, not a leak.
 *
 * Our own allocations (--wrap=aligned_alloc) fail one after the other until everything
 * succeeds. */
#include "tests/dnn_tools.h"
#include "tests/nomem.h"

#include "dnn/layer.h"
#include "dnn/packs.h"

enum { N = 33, K = 96, M = 3 };

/* Odd sizes: a packed layer keeps padded copies. */
static enum cf_status open_and_run(const struct cf_weight *w, enum cf_hold hold,
                                   struct cf_error *err)
{
    static float bias[N], x[M * K], y[M * N];
    struct cf_linear *lin;

    if (cf_linear_open(&lin, team[1], w, bias, hold, err) == CF_OK)
        (void)cf_linear_run(lin, y, x, M, err);
    cf_linear_close(lin);
    return err->status;
}

static enum cf_status open_each_type(struct cf_error *err)
{
    static const float weights[N * K], scale[N * K];

    CF_TRY(open_and_run(&(struct cf_weight){CF_W_BF16, N, K, 0, weights, NULL},
                        CF_HOLD_PACK, err));
    for (enum cf_wtype type = CF_W_F32; type < CF_NWTYPE; type++) {
        struct cf_weight w = {
            type, N, K, type == CF_W_Q4 ? 32 : 0, weights, type < CF_W_I8 ? NULL : scale};

        CF_TRY(open_and_run(&w, CF_HOLD_MAP, err));
    }
    return CF_OK;
}

static enum cf_status convolve_each_way(struct cf_error *err)
{
    enum { C = 3, SIDE = 5 };
    static const float w[C * C * 9], src[SIDE * SIDE * C];
    static float dst[SIDE * SIDE * C];
    const struct cf_view v = cf_view_f32(w, 4, (int64_t[]){C, C, 3, 3});

    for (enum cf_conv_how how = CF_CONV_DIRECT; how <= CF_CONV_TAPS; how++) {
        struct cf_conv *conv;

        if (cf_conv_open_as(&conv, team[1], &v, NULL,
                            (struct cf_conv_shape){1, 1, 1, 1, 1}, how, err) == CF_OK &&
            how != CF_CONV_PHASES)
            (void)cf_conv_run(conv, dst, src, SIDE, SIDE, err);
        cf_conv_close(conv);
        if (err->status != CF_OK)
            return err->status;
    }
    return CF_OK;
}

static void a_layer_without_memory_is_refused_and_leaves_nothing_behind(void **state)
{
    (void)state;
    each_allocation_fails(open_each_type, 1);
    each_allocation_fails(convolve_each_way, 1);
}

static enum cf_status open_shared(struct cf_error *err)
{
    static const float weights[N * K];
    const struct cf_weight w = {CF_W_F32, N, K, 0, weights, NULL};
    struct cf_linear *lin = NULL;
    struct cf_packs *packs = NULL;

    if (cf_packs_open(&packs, 3, err) == CF_OK &&
        cf_packs_begin(packs, team[0], "model", NULL, err) == CF_OK)
        (void)cf_linear_open(&lin, team[0], &w, NULL, CF_HOLD_PACK, err);
    cf_packs_end(team[0]);
    cf_linear_close(lin);
    cf_packs_close(packs);
    return err->status;
}

static void
a_shared_layer_without_memory_is_refused_and_leaves_nothing_behind(void **state)
{
    (void)state;
    each_allocation_fails(open_shared, 1);
}

static enum cf_status open_machine(struct cf_error *err)
{
    struct cf_dnn *dnn;

    (void)cf_dnn_open(&dnn, cf_dnn_level(team[0]), 2, err);
    cf_dnn_close(dnn);
    return err->status;
}

static void a_machine_without_memory_is_refused(void **state)
{
    (void)state;
    each_allocation_fails(open_machine, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_without_memory_is_refused_and_leaves_nothing_behind),
        cmocka_unit_test(
            a_shared_layer_without_memory_is_refused_and_leaves_nothing_behind),
        cmocka_unit_test(a_machine_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
