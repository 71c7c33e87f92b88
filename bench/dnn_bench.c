/* dnn_bench.c - rates of products, attention and convolution, one JSON line per case.
 *
 *     dnn_bench [threads [part of a name]]
 *
 * CFGEN_CPU chooses the level. Each case is the best of rounds that take turns, so that
 * all see the same neighbours; the load average stands in the first line. A mapped linear
 * layer also says how many times as fast it is as the packed one before it ("speed"), and
 * at what rate it read its weights. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "dnn/attn.h"
#include "dnn/layer.h"
#include "dnn/ops.h"

enum { ROUNDS = 9, CASES_MAX = 96 };

struct bench {
    char name[96];
    double work;                /* floating-point operations of one call */
    double best;                /* seconds */
    double bytes;               /* of weights, where they are mapped */
    const struct bench *packed; /* the same product with packed weights */
    void (*run)(const struct bench *b, struct cf_error *err);
    struct cf_linear *lin;
    struct cf_conv *conv;
    struct cf_attn attn;
    int m, n, k, h, w;
};

static struct cf_dnn *dnn;
static float *src, *dst;
static struct bench cases[CASES_MAX];
static int n_cases;
static void *mapped[CF_NWTYPE]; /* matrices; scales are taken from src */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_linear(const struct bench *b, struct cf_error *err)
{
    cf_linear_run(b->lin, dst, src, b->m, err);
}

static void run_conv(const struct bench *b, struct cf_error *err)
{
    cf_conv_run(b->conv, dst, src, b->h, b->w, err);
}

/* Over a cache, as images are made; its contents are those of the sources. */
static void run_attn(const struct bench *b, struct cf_error *err)
{
    int64_t stride = (int64_t)b->attn.heads * b->attn.hd;
    struct cf_attn_seq s = {.dst = dst,
                            .q = src,
                            .cache = b->attn.kv == CF_F32 ? src : mapped[CF_W_BF16],
                            .d_stride = stride,
                            .q_stride = stride,
                            .nq = b->m,
                            .nk = b->n};

    cf_attn_run(dnn, &b->attn, &s, 1, err);
}

static void run_gelu(const struct bench *b, struct cf_error *err)
{
    (void)err;
    cf_gelu_tanh(dnn, dst, src, b->n);
}

static void run_groupnorm(const struct bench *b, struct cf_error *err)
{
    float *mul = dst + (int64_t)b->m * b->n, *add = mul + b->n;

    (void)err;
    cf_groupnorm_stats(dnn, mul, add, src, b->m, b->n, 32, 1e-6f, src, src);
    cf_groupnorm_apply(dnn, dst, src, b->m, b->n, mul, add, 1);
}

static void add_linear(int k, int n, struct cf_error *err)
{
    static const int rows[] = {1, 2, 8, 32, 128, 512};
    struct cf_weight w = {.type = CF_W_F32, .n = n, .k = k, .w = src};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = &cases[n_cases++];

        *b = (struct bench){.run = run_linear, .m = rows[i], .best = INFINITY};
        b->work = 2.0 * rows[i] * n * k;
        snprintf(b->name, sizeof b->name, "linear %d -> %d, %d rows", k, n, rows[i]);
        if (i)
            b->lin = b[-1].lin;
        else
            cf_linear_open(&b->lin, dnn, &w, NULL, CF_HOLD_PACK, err);
    }
}

/* Weights of every type, mapped, next to packed ones. */
static void add_mapped(int k, int n, struct cf_error *err)
{
    static const int rows[] = {1, 2, 32, 128, 512};
    struct cf_weight w = {.type = CF_W_F32, .n = n, .k = k, .w = src};
    enum { M = sizeof rows / sizeof *rows };
    int first = n_cases;

    for (int hold = CF_HOLD_PACK; hold <= CF_HOLD_MAP; hold++) {
        for (w.type = CF_W_F32; w.type < (hold ? CF_NWTYPE : 1); w.type++) {
            w.group = w.type == CF_W_Q4 ? 64 : 0;
            w.w = hold ? mapped[w.type] : src;
            w.scale = w.type < CF_W_I8 ? NULL : src;
            for (int i = 0; i < M; i++) {
                struct bench *b = &cases[n_cases++];

                *b = (struct bench){.run = run_linear, .m = rows[i], .best = INFINITY};
                b->work = 2.0 * rows[i] * n * k;
                snprintf(b->name, sizeof b->name, "%s %s %d -> %d, %d rows",
                         cf_wtype_name(w.type), hold ? "mapped" : "packed", k, n,
                         rows[i]);
                if (hold) {
                    b->bytes = (double)cf_weight_bytes(w.type, n, k, w.group);
                    b->packed = &cases[first + i];
                }
                if (i)
                    b->lin = b[-1].lin;
                else
                    cf_linear_open(&b->lin, dnn, &w, NULL, hold, err);
            }
        }
    }
}

/* Numbers below 1 of every type. */
static enum cf_status fill_mapped(int64_t count, struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};

    for (enum cf_wtype t = CF_W_F32; t < CF_NWTYPE; t++) {
        mapped[t] =
            cf_alloc((size_t)count, t < CF_W_I8 ? cf_dtype_size(dtype[t]) : 1, err);
        if (!mapped[t])
            return CF_ENOMEM;
        if (t < CF_W_I8)
            CF_TRY(cf_floats_store(mapped[t], dtype[t], src, count, err));
        for (int64_t i = 0; t >= CF_W_I8 && i < count; i++)
            ((unsigned char *)mapped[t])[i] = (unsigned char)(i * 37 + i / 251);
    }
    return CF_OK;
}

static void add_conv(int ic, int oc, int side, struct cf_error *err)
{
    struct cf_view v = {.data = src, .dtype = CF_F32, .ndim = 4, .dim = {oc, ic, 3, 3}};
    struct cf_conv_shape s = {.stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1};
    struct bench *b = &cases[n_cases++];

    *b = (struct bench){.run = run_conv, .h = side, .w = side, .best = INFINITY};
    b->work = 18.0 * ic * oc * side * side;
    snprintf(b->name, sizeof b->name, "conv 3x3 %d -> %d, %d x %d", ic, oc, side, side);
    cf_conv_open(&b->conv, dnn, &v, NULL, s, err);
}

static void add_attn(int heads, int hd, int nq, int nk, enum cf_dtype kv)
{
    struct bench *b = &cases[n_cases++];

    *b = (struct bench){.run = run_attn, .m = nq, .n = nk, .best = INFINITY};
    b->attn = (struct cf_attn){heads, heads, hd, 0.1f, kv};
    b->work = 4.0 * heads * hd * nq * nk;
    snprintf(b->name, sizeof b->name, "attention %d x %d, %d queries, %d keys of %s",
             heads, hd, nq, nk, cf_dtype_name(kv));
}

/* only: those whose name has it in it. */
static void measure(const char *only, struct cf_error *err)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < n_cases && err->status == CF_OK; i++) {
            struct bench *b = &cases[i];
            double start = now(), last = start, t;

            if (!strstr(b->name, only))
                continue;
            do {
                b->run(b, err);
                t = now();
                b->best = fmin(b->best, t - last);
                last = t;
            } while (t - start < 2e-3);
        }
    }
}

static void report(const struct bench *b)
{
    printf("{\"case\": \"%s\", \"us\": %.1f, \"gflops\": %.1f", b->name, b->best * 1e6,
           b->work / b->best * 1e-9);
    if (b->packed && isfinite(b->packed->best))
        printf(", \"speed\": %.2f", b->packed->best / b->best);
    if (b->bytes > 0)
        printf(", \"gbytes\": %.1f", b->bytes / b->best * 1e-9);
    puts("}");
}

int main(int argc, char **argv)
{
    enum { FLOATS = 32 << 20 };
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    struct cf_error err = {0};
    enum cf_cpu level;
    double load = 0;

    src = cf_alloc(FLOATS, sizeof *src, &err);
    dst = cf_alloc(FLOATS, sizeof *dst, &err);
    if (!src || !dst || cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err) ||
        cf_dnn_open(&dnn, level, threads, &err))
        goto out;
    for (int i = 0; i < FLOATS; i++)
        src[i] = (float)(i % 251) * 0.008f - 1.0f;
    if (fill_mapped(2048 * 8192, &err))
        goto out;
    add_mapped(2048, 8192, &err);
    add_linear(2048, 8192, &err);
    add_linear(8192, 2048, &err);
    add_linear(768, 3072, &err);
    add_linear(2048, 64, &err);
    add_linear(64, 64, &err);
    add_conv(512, 512, 32, &err);
    add_conv(128, 128, 128, &err);
    add_conv(128, 3, 128, &err);
    add_attn(1, 64, 64, 512, CF_F32);
    add_attn(1, 128, 64, 512, CF_F32);
    add_attn(16, 128, 1, 1024, CF_F32);
    add_attn(16, 128, 32, 1024, CF_F32);
    add_attn(16, 128, 256, 2048, CF_F32);
    add_attn(12, 64, 256, 688, CF_F32);
    add_attn(16, 128, 1, 1024, CF_BF16);
    add_attn(16, 128, 256, 2048, CF_BF16);
    cases[n_cases++] = (struct bench){.name = "gelu 1M",
                                      .work = 1 << 20,
                                      .n = 1 << 20,
                                      .run = run_gelu,
                                      .best = INFINITY};
    cases[n_cases++] = (struct bench){.name = "groupnorm + silu 128 x 128 x 128",
                                      .work = 1 << 21,
                                      .m = 128 * 128,
                                      .n = 128,
                                      .run = run_groupnorm,
                                      .best = INFINITY};
    getloadavg(&load, 1);
    printf("{\"oneDNN\": \"%s\", \"level\": \"%s\", \"threads\": %d, \"load\": %.1f}\n",
           cf_dnn_version(), cf_cpu_name(cf_dnn_level(dnn)), threads, load);
    measure(argc > 2 ? argv[2] : "", &err);
    for (int i = 0; i < n_cases && err.status == CF_OK; i++)
        if (isfinite(cases[i].best))
            report(&cases[i]);
out:
    if (err.status)
        fprintf(stderr, "dnn_bench: %s\n", err.msg);
    for (int i = 0; i < n_cases; i++) {
        if (i == 0 || cases[i].lin != cases[i - 1].lin)
            cf_linear_close(cases[i].lin);
        cf_conv_close(cases[i].conv);
    }
    for (enum cf_wtype t = CF_W_F32; t < CF_NWTYPE; t++)
        cf_free(mapped[t]);
    cf_dnn_close(dnn);
    cf_free(src);
    cf_free(dst);
    return err.status != CF_OK;
}
