/* kern_bench.c - ns per element of every kernel on every instruction set of this machine.
 */
#include "tests/kern_bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "config.h"

enum { N = 4096 }; /* elements of a call */

void kern_fill(struct cf_kern *k, enum cf_cpu level)
{
    cf_kern_init_c(k);
#ifdef CF_HAVE_X86
    if (level == CF_CPU_AVX2)
        cf_kern_init_avx2(k);
    if (level == CF_CPU_AVX512)
        cf_kern_init_avx512(k);
#else
    (void)level;
#endif
}

/* -- the same work on every table; p: four arrays with room */

static void bench_gelu(const struct cf_kern *k, float **p, size_t n)
{
    k->gelu(p[0], p[1], n);
}

static void bench_silu(const struct cf_kern *k, float **p, size_t n)
{
    k->silu(p[0], p[1], n);
}

static void bench_swiglu(const struct cf_kern *k, float **p, size_t n)
{
    k->swiglu(p[0], p[1], p[2], n);
}

static void bench_add(const struct cf_kern *k, float **p, size_t n)
{
    k->add(p[0], p[1], n);
}

static void bench_add_gated(const struct cf_kern *k, float **p, size_t n)
{
    k->add_gated(p[0], p[1], p[2], n);
}

static void bench_mix(const struct cf_kern *k, float **p, size_t n)
{
    k->mix(p[0], p[1], 2, p[2], -1, n);
}

static void bench_affine(const struct cf_kern *k, float **p, size_t n)
{
    k->affine(p[0], p[1], p[2], p[3], 1, n);
}

static void bench_finite(const struct cf_kern *k, float **p, size_t n)
{
    p[0][0] = (float)k->finite(p[1], n);
}

static void bench_layernorm(const struct cf_kern *k, float **p, size_t n)
{
    k->layernorm(p[0], p[1], n, 1e-6f, p[2], p[3], 1);
}

static void bench_rmsnorm(const struct cf_kern *k, float **p, size_t n)
{
    k->rmsnorm(p[0], p[1], n, 1e-6f, p[2]);
}

static void bench_l2norm(const struct cf_kern *k, float **p, size_t n)
{
    k->l2norm(p[1], n, 10);
}

static void bench_moments(const struct cf_kern *k, float **p, size_t n)
{
    double *sum = (double *)(void *)p[0];

    memset(sum, 0, 256 * sizeof *sum);
    k->moments(sum, sum + 128, p[1], n / 128, 128, 128);
}

static void bench_rope_pairs(const struct cf_kern *k, float **p, size_t n)
{
    k->rope_pairs(p[1], p[2], p[3], n);
}

static void bench_rope_halves(const struct cf_kern *k, float **p, size_t n)
{
    k->rope_halves(p[1], p[2], p[3], n);
}

static void bench_panel_mul(const struct cf_kern *k, float **p, size_t n)
{
    k->panel_mul(p[0], 32, p[1], 64, p[2], n / 64, 64, 0);
}

static void bench_panel_mul_fetch(const struct cf_kern *k, float **p, size_t n)
{
    const struct cf_fetch next = {p[3], 0, 1, 64 * k->panel * sizeof **p};

    k->panel_mul_fetch(p[0], 32, p[1], 64, p[2], n / 64, 64, 0, &next);
}

static void bench_pack(cf_pack_fn *pack, size_t size, const struct cf_kern *k, float **p,
                       size_t n)
{
    pack(p[0], p[1], n / k->panel * size, k->panel, n / k->panel, 0);
}

static void bench_pack_f32(const struct cf_kern *k, float **p, size_t n)
{
    bench_pack(k->pack_f32, 4, k, p, n);
}

static void bench_pack_f16(const struct cf_kern *k, float **p, size_t n)
{
    bench_pack(k->pack_f16, 2, k, p, n);
}

static void bench_pack_bf16(const struct cf_kern *k, float **p, size_t n)
{
    bench_pack(k->pack_bf16, 2, k, p, n);
}

static void bench_pack_i8(const struct cf_kern *k, float **p, size_t n)
{
    bench_pack(k->pack_i8, 1, k, p, n);
}

static void bench_pack_q4(const struct cf_kern *k, float **p, size_t n)
{
    size_t cols = n / k->panel;

    k->pack_q4(p[0], p[1], cols / 2, k->panel, cols, 0, p[2], 64);
}

static void bench_few(cf_few_fn *few, size_t size, const struct cf_kern *k, float **p,
                      size_t n)
{
    size_t cols = n / k->panel;

    few(p[0], k->panel, p[2], cols, 1, p[1], cols * size, k->panel, cols, 0, 0);
}

static void bench_few_f32(const struct cf_kern *k, float **p, size_t n)
{
    bench_few(k->few_f32, 4, k, p, n);
}

static void bench_few_f16(const struct cf_kern *k, float **p, size_t n)
{
    bench_few(k->few_f16, 2, k, p, n);
}

static void bench_few_bf16(const struct cf_kern *k, float **p, size_t n)
{
    bench_few(k->few_bf16, 2, k, p, n);
}

static void bench_few_i8(const struct cf_kern *k, float **p, size_t n)
{
    bench_few(k->few_i8, 1, k, p, n);
}

static void bench_few_q4(const struct cf_kern *k, float **p, size_t n)
{
    size_t cols = n / k->panel;

    k->few_q4(p[0], k->panel, p[3], cols, 1, p[1], cols / 2, k->panel, cols, 0, 0, p[2],
              64);
}

static void bench_widen_bf16(const struct cf_kern *k, float **p, size_t n)
{
    k->widen_bf16(p[0], p[1], n);
}

static void bench_narrow_bf16(const struct cf_kern *k, float **p, size_t n)
{
    k->narrow_bf16(p[0], p[1], n);
}

/* A block of keys or values for a panel of queries; ns per number of it. */
static void bench_attn_scores(const struct cf_kern *k, float **p, size_t n)
{
    k->attn_scores(p[0], p[1], n / CF_KV_BLOCK, p[1], p[2], CF_KV_BLOCK, k->panel,
                   n / CF_KV_BLOCK);
}

static void bench_attn_values(const struct cf_kern *k, float **p, size_t n)
{
    k->attn_values(p[0], n / CF_KV_BLOCK, p[1], p[2], n, k->panel, n / CF_KV_BLOCK,
                   CF_KV_BLOCK, 0);
}

static void bench_attn_softmax(const struct cf_kern *k, float **p, size_t n)
{
    float row[3][CF_PANEL_MAX] = {{0}};

    memcpy(p[0], p[1], n * sizeof(float));
    k->attn_softmax(p[0], n / k->panel, k->panel, 0.1f, row[0], row[1], row[2]);
}

static void bench_scale(const struct cf_kern *k, float **p, size_t n)
{
    k->scale(p[1], 1.0f, n);
}

static void bench_fma(const struct cf_kern *k, float **p, size_t n)
{
    k->fma(p[0], n / k->chains);
}

static void bench_sum(const struct cf_kern *k, float **p, size_t n)
{
    p[0][0] = k->sum(p[1], n);
}

/* Tiles of 64 channels; an element is one of an output pixel. */
static void bench_wino(const struct cf_kern_wino *k, float **p, size_t n, size_t tile,
                       int what)
{
    enum { C = 64 };

    for (size_t i = 0; i < n / (tile * tile * C); i++)
        if (what == 0)
            k->in(p[0], 2 * C, p[1], (tile + 2) * C, C, C);
        else if (what == 1)
            k->out(p[0], tile * C, C, p[1], 2 * C, p[2], NULL, C);
        else
            k->weights(p[0], 2 * C, p[1], C, C);
}

static void bench_wino4_in(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino4, p, n, 4, 0);
}

static void bench_wino4_out(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino4, p, n, 4, 1);
}

static void bench_wino4_weights(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino4, p, n, 4, 2);
}

static void bench_wino2_in(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino2, p, n, 2, 0);
}

static void bench_wino2_out(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino2, p, n, 2, 1);
}

static void bench_wino2_weights(const struct cf_kern *k, float **p, size_t n)
{
    bench_wino(&k->wino2, p, n, 2, 2);
}

static const struct {
    const char *name;
    void (*run)(const struct cf_kern *k, float **p, size_t n);
} kernels[] = {
    {"gelu", bench_gelu},
    {"silu", bench_silu},
    {"swiglu", bench_swiglu},
    {"add", bench_add},
    {"add_gated", bench_add_gated},
    {"mix", bench_mix},
    {"affine", bench_affine},
    {"finite", bench_finite},
    {"layernorm", bench_layernorm},
    {"rmsnorm", bench_rmsnorm},
    {"l2norm", bench_l2norm},
    {"moments", bench_moments},
    {"rope_pairs", bench_rope_pairs},
    {"rope_halves", bench_rope_halves},
    {"panel_mul", bench_panel_mul},
    {"panel_mul_fetch", bench_panel_mul_fetch},
    {"pack_f32", bench_pack_f32},
    {"pack_f16", bench_pack_f16},
    {"pack_bf16", bench_pack_bf16},
    {"pack_i8", bench_pack_i8},
    {"pack_q4", bench_pack_q4},
    {"few_f32", bench_few_f32},
    {"few_f16", bench_few_f16},
    {"few_bf16", bench_few_bf16},
    {"few_i8", bench_few_i8},
    {"few_q4", bench_few_q4},
    {"widen_bf16", bench_widen_bf16},
    {"narrow_bf16", bench_narrow_bf16},
    {"attn_scores", bench_attn_scores},
    {"attn_softmax", bench_attn_softmax},
    {"attn_values", bench_attn_values},
    {"scale", bench_scale},
    {"fma", bench_fma},
    {"sum", bench_sum},
    {"wino4.in", bench_wino4_in},
    {"wino4.out", bench_wino4_out},
    {"wino4.weights", bench_wino4_weights},
    {"wino2.in", bench_wino2_in},
    {"wino2.out", bench_wino2_out},
    {"wino2.weights", bench_wino2_weights},
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The best of many short runs: what the code can do, not what the neighbours allowed. */
static double best_of(void (*run)(const struct cf_kern *, float **, size_t),
                      const struct cf_kern *k, float **p)
{
    double best = INFINITY;

    for (int round = 0; round < 40; round++) {
        double start = now();

        for (int r = 0; r < 8; r++)
            run(k, p, N);
        best = fmin(best, (now() - start) / (8 * N));
    }
    return best;
}

void kern_bench(void)
{
    float *p[4];
    struct cf_kern k;

    for (int i = 0; i < 4; i++) {
        p[i] = cf_alloc(8 * N, sizeof **p, NULL);
        for (int j = 0; p[i] && j < 8 * N; j++)
            p[i][j] = (float)((j * 37 + i) % 101) * 0.1f - 5.0f;
    }
    printf("%-12s", "ns/element");
    for (enum cf_cpu level = CF_CPU_C; level <= cf_cpu_best(); level++)
        printf(" %8s", cf_cpu_name(level));
    puts("");
    for (size_t i = 0;
         p[0] && p[1] && p[2] && p[3] && i < sizeof kernels / sizeof *kernels; i++) {
        printf("%-12s", kernels[i].name);
        for (enum cf_cpu level = CF_CPU_C; level <= cf_cpu_best(); level++) {
            kern_fill(&k, level);
            printf(" %8.3f", best_of(kernels[i].run, &k, p));
        }
        puts("");
    }
    for (int i = 0; i < 4; i++)
        cf_free(p[i]);
}
