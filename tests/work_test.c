/* work_test.c - the arithmetic of an image, against the figures of the specification
 * (counted on the original modules, or from their sizes). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "models/gen.h"
#include "models/geometry.h"
#include "models/sections.h"
#include "models/work.h"

static struct cf_dnn *dnn;
static const struct cf_gen_ops *ops;

static struct cf_gen *open_geometry(const char *name, int bits)
{
    const struct cf_geometry *g;
    struct cf_error err = {0};
    struct cf_gen_files files = {0};
    struct cf_inf_shape shape;
    struct cf_vae_shape vae;
    struct cf_gen *gen;
    json_t *json;

    assert_int_equal(cf_geometry_find(&g, name, &err), CF_OK);
    shape = g->shape;
    vae = g->vae;
    shape.bits = vae.bits = bits ? bits : shape.bits;
    shape.dv = shape.patchify ? 4 * shape.bits : shape.bits;
    json = json_pack("{so so so so}", "infinity", cf_inf_section(&shape), "vae",
                     cf_vae_section(&vae), "sizes",
                     json_pack("{ss s[sss] s[s]}", "templates", "released", "classes",
                               "0.06M", "0.25M", "1M", "trained", "1M"),
                     "sampling", cf_sampling_section(3, 1, 0, 0, 0, NULL));
    files.json = json;
    if (ops->open(&gen, &files, dnn, &err) != CF_OK)
        fail_msg("%s", err.msg);
    json_decref(json);
    return gen;
}

static void plan(const struct cf_gen *gen, int side, int batch, float guidance,
                 struct cf_plan *p)
{
    struct cf_gen_params params;
    struct cf_error err = {0};

    cf_gen_params_default(&params);
    params.width = params.height = side;
    params.guidance[0] = guidance;
    params.n_guidance = 1;
    if (ops->plan(gen, &params, batch, 64, p, &err) != CF_OK)
        fail_msg("%s", err.msg);
}

static struct cf_work total(const struct cf_gen *gen, const struct cf_plan *p)
{
    struct cf_work sum = {0};

    for (int step = -1; step <= p->n_step; step++) {
        struct cf_work w = ops->work(gen, p, step);

        sum.linear += w.linear;
        sum.self_attn += w.self_attn;
        sum.cross_attn += w.cross_attn;
        sum.text += w.text;
        sum.decoder += w.decoder;
    }
    return sum;
}

/* x, in units of `unit`, is `want` when rounded to as many decimals as that is given. */
static void rounds_to(double x, double unit, double want, double step)
{
    if (fabs(x / unit - want) > 0.51 * step)
        fail_msg("%g, expected %g within %g", x / unit, want, step);
}

static void same(double x, double want)
{
    rounds_to(x, want, 1, 1e-12);
}

static void every_geometry_and_size_costs_what_the_specification_says(void **state)
{
    static const struct {
        const char *name;
        int side;
        double linear, self, cross, all, step[4];
    } row[] = {
        {"infinity-125m", 256, 0.21, 0.013, 0.006, 0.23, {.01, .001, .001, .01}},
        {"infinity-125m", 512, 1.00, 0.29, 0.016, 1.31, {.01, .01, .001, .01}},
        /* its sum has the head's work in it, which the model leaves out */
        {"infinity-125m", 1024, 4.17, 5.05, 0.053, 9.28, {.01, .01, .001, .02}},
        {"infinity-2b", 256, 3.92, 0.095, 0.086, 4.10, {.01, .001, .001, .01}},
        {"infinity-2b", 512, 18.9, 2.09, 0.15, 21.2, {.1, .01, .01, .1}},
        {"infinity-2b", 1024, 79.1, 35.9, 0.42, 115.4, {.1, .1, .01, .1}},
        {"infinity-8b", 256, 15.0, 0.21, 0.30, 15.5, {.1, .01, .01, .1}},
        {"infinity-8b", 512, 72.5, 4.58, 0.45, 77.6, {.1, .01, .01, .1}},
        {"infinity-8b", 1024, 302.7, 78.5, 1.04, 382.3, {.1, .1, .01, .1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct cf_gen *gen = open_geometry(row[i].name, 0);
        struct cf_plan p;
        struct cf_work w;

        plan(gen, row[i].side, 1, 3, &p);
        w = total(gen, &p);
        rounds_to(w.linear, 1e12, row[i].linear, row[i].step[0]);
        rounds_to(w.self_attn, 1e12, row[i].self, row[i].step[1]);
        rounds_to(w.cross_attn + w.text, 1e12, row[i].cross, row[i].step[2]);
        rounds_to(cf_work_flops(&w) - w.decoder, 1e12, row[i].all, row[i].step[3]);
        ops->close(gen);
    }
}

static void every_scale_of_the_large_image_costs_what_the_specification_says(void **state)
{
    static const double gflop[] = {7.6,  30,   121,  273,   487,   1107, 2003,
                                   3213, 4801, 9084, 15537, 25156, 53517};
    struct cf_gen *gen = open_geometry("infinity-2b", 0);
    struct cf_plan p;

    (void)state;
    plan(gen, 1024, 1, 3, &p);
    assert_int_equal(p.n_step, sizeof gflop / sizeof gflop[0]);
    for (int s = 0; s < p.n_step; s++) {
        struct cf_work w = ops->work(gen, &p, s);

        rounds_to(cf_work_flops(&w), 1e9, gflop[s], s ? 1 : 0.1);
    }
    ops->close(gen);
}

static void decoders_cost_what_was_counted_on_the_original(void **state)
{
    static const struct {
        const char *name;
        int bits, side;
        double tflop, step;
    } row[] = {
        {"infinity-2b", 32, 256, 0.616, 0.001}, {"infinity-2b", 32, 512, 2.46, 0.01},
        {"infinity-2b", 32, 1024, 9.85, 0.01},  {"infinity-8b", 14, 256, 0.618, 0.001},
        {"infinity-8b", 14, 512, 2.47, 0.01},   {"infinity-8b", 14, 1024, 9.89, 0.01},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct cf_gen *gen = open_geometry(row[i].name, row[i].bits);
        struct cf_plan p;

        plan(gen, row[i].side, 1, 3, &p);
        rounds_to(total(gen, &p).decoder, 1e12, row[i].tflop, row[i].step);
        ops->close(gen);
    }
}

static void images_add_up_and_guidance_doubles_the_transformer(void **state)
{
    struct cf_gen *gen = open_geometry("infinity-125m", 0);
    struct cf_work one, four, plain;
    struct cf_plan p;

    (void)state;
    plan(gen, 256, 1, 3, &p);
    one = total(gen, &p);
    plan(gen, 256, 4, 3, &p);
    four = total(gen, &p);
    plan(gen, 256, 1, 1, &p);
    plain = total(gen, &p);
    same(cf_work_flops(&four), 4 * cf_work_flops(&one));
    same(one.linear, 2 * plain.linear);
    same(one.self_attn, 2 * plain.self_attn);
    same(one.text, 2 * plain.text);
    same(one.decoder, plain.decoder);
    ops->close(gen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_geometry_and_size_costs_what_the_specification_says),
        cmocka_unit_test(
            every_scale_of_the_large_image_costs_what_the_specification_says),
        cmocka_unit_test(decoders_cost_what_was_counted_on_the_original),
        cmocka_unit_test(images_add_up_and_guidance_doubles_the_transformer),
    };
    struct cf_error err = {0};
    int failed;

    ops = cf_gen_find("infinity");
    if (cf_dnn_open(&dnn, CF_CPU_C, 1, &err) != CF_OK)
        return 99;
    failed = cmocka_run_group_tests_name("work", tests, NULL, NULL);
    cf_dnn_close(dnn);
    return failed;
}
