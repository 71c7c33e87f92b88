/* kern_check.c - every entry of the kernel table, on every instruction set of this
 * machine, against C.
 *
 *     checkkern            one TAP case per instruction set and kernel
 *     checkkern --levels   the levels this machine has, one a line
 *     checkkern --bench    ns per element
 *
 * Inputs are random, wide in range, subnormal or special; lengths are 0..67 and some
 * longer ones; every array starts at another offset and lies between guard values, which
 * must survive. Elementwise kernels also run cut in two, which must not change a bit. */
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "dnn/dnn.h"
#include "tests/kern_attn_check.h"
#include "tests/kern_bench.h"
#include "tests/kern_guard.h"
#include "tests/kern_pack_check.h"
#include "tests/kern_wino_check.h"

static void unary(struct check *t, size_t n, float rel, float abs,
                  void (*c)(float *, const float *, size_t),
                  void (*k)(float *, const float *, size_t))
{
    float *x = input(t, n), *want = array(t, n), *got = array(t, n), *cut = copy(t, x, n);
    size_t half = n ? draw(t) % n : 0;

    c(want, x, n);
    k(got, x, n);
    compare(t, want, got, n, rel, abs);
    k(cut, cut, half);
    k(cut + half, cut + half, n - half);
    same_bits(t, got, cut, n);
}

static void check_gelu(struct check *t, size_t n)
{
    unary(t, n, 3e-7f, 3e-7f, t->c->gelu, t->k->gelu);
}

static void check_silu(struct check *t, size_t n)
{
    unary(t, n, 1e-6f, 0, t->c->silu, t->k->silu);
}

static void check_swiglu(struct check *t, size_t n)
{
    float *g = input(t, n), *u = input(t, n), *want = array(t, n), *got = copy(t, g, n);
    float *cut = array(t, n);
    size_t half = n ? draw(t) % n : 0;

    t->c->swiglu(want, g, u, n);
    t->k->swiglu(got, got, u, n);
    compare(t, want, got, n, 1e-6f, 0);
    t->k->swiglu(cut, g, u, half);
    t->k->swiglu(cut + half, g + half, u + half, n - half);
    same_bits(t, got, cut, n);
}

static void check_add(struct check *t, size_t n)
{
    float *x = input(t, n), *y = input(t, n), *want = copy(t, x, n), *got = copy(t, x, n);

    t->c->add(want, y, n);
    t->k->add(got, y, n);
    compare(t, want, got, n, 0, 0);
}

static void check_add_gated(struct check *t, size_t n)
{
    float *x = input(t, n), *y = input(t, n), *g = input(t, n);
    float *want = copy(t, x, n), *got = copy(t, x, n), *cut = copy(t, x, n);
    size_t half = n ? draw(t) % n : 0;

    t->c->add_gated(want, y, g, n);
    t->k->add_gated(got, y, g, n);
    for (size_t i = 0; i < n; i++) /* where the product alone overflows, C differs */
        if (!isinf(y[i] * g[i]) &&
            !near(want[i], got[i], 2e-7f * (fabsf(x[i]) + fabsf(y[i] * g[i]))))
            fail(t, "kind %d, %zu of %zu: %g, expected %g", (int)t->kind, i, n, got[i],
                 want[i]);
    t->k->add_gated(cut, y, g, half);
    t->k->add_gated(cut + half, y + half, g + half, n - half);
    same_bits(t, got, cut, n);
}

static void check_mix(struct check *t, size_t n)
{
    float *x = input(t, n), *y = input(t, n), *want = array(t, n), *got = copy(t, y, n);
    float a = 3 * uniform(t), b = 3 * uniform(t);

    t->c->mix(want, x, a, y, b, n);
    t->k->mix(got, x, a, got, b, n);
    for (size_t i = 0; i < n; i++)
        if (!isinf(a * x[i]) &&
            !near(want[i], got[i], 2e-7f * (fabsf(a * x[i]) + fabsf(b * y[i]))))
            fail(t, "kind %d, %zu of %zu: %g, expected %g", (int)t->kind, i, n, got[i],
                 want[i]);
}

static void check_affine(struct check *t, size_t n)
{
    float *x = input(t, n), *m = input(t, n), *a = input(t, n);
    float *want = array(t, n), *got = array(t, n);

    for (int silu = 0; silu < 2; silu++) {
        t->c->affine(want, x, m, a, silu, n);
        t->k->affine(got, x, m, a, silu, n);
        for (size_t i = 0; i < n; i++) /* where the product alone overflows, C differs */
            if (!isinf(x[i] * m[i]) &&
                !near(want[i], got[i], 2e-6f * (fabsf(x[i] * m[i]) + fabsf(a[i]))))
                fail(t, "kind %d, silu %d, %zu of %zu: %g, expected %g", (int)t->kind,
                     silu, i, n, got[i], want[i]);
    }
}

static void check_finite(struct check *t, size_t n)
{
    float *x = input(t, n);

    if (t->c->finite(x, n) != t->k->finite(x, n))
        fail(t, "kind %d, %zu values", (int)t->kind, n);
    for (size_t i = 0; i < n; i++)
        x[i] = 1e38f;
    if (!t->k->finite(x, n))
        fail(t, "%zu large values", n);
    for (size_t i = 0; i < n; i++) {
        float was = x[i];

        x[i] = i % 2 ? NAN : -INFINITY;
        if (t->k->finite(x, n))
            fail(t, "one bad value at %zu of %zu", i, n);
        x[i] = was;
    }
}

static void check_layernorm(struct check *t, size_t n)
{
    float *x = input(t, n), *want = array(t, n), *got = array(t, n);
    enum kind kind = t->kind;
    float *m, *a;

    if (t->kind == PLAIN) /* a mean that is large next to the deviation */
        for (size_t i = 0; i < n; i++)
            x[i] += 1000.0f;
    t->kind = PLAIN;
    m = input(t, n);
    a = input(t, n);
    t->kind = kind;
    t->c->layernorm(want, x, n, 1e-6f, NULL, NULL, 0);
    t->k->layernorm(got, x, n, 1e-6f, NULL, NULL, 0);
    compare(t, want, got, n, 1e-6f, 2e-6f * largest(want, n));
    t->c->layernorm(want, x, n, 1e-6f, m, a, 1);
    t->k->layernorm(got, x, n, 1e-6f, m, a, 1);
    compare(t, want, got, n, 1e-6f, 2e-6f * largest(want, n));
}

static void check_rmsnorm(struct check *t, size_t n)
{
    float *x = input(t, n), *w = input(t, n), *want = array(t, n), *got = array(t, n);

    t->c->rmsnorm(want, x, n, 1e-6f, w);
    t->k->rmsnorm(got, x, n, 1e-6f, w);
    compare(t, want, got, n, 1e-6f, 0);
}

static void check_l2norm(struct check *t, size_t n)
{
    float *x = input(t, n), *want = copy(t, x, n), *got = copy(t, x, n);

    t->c->l2norm(want, n, 1.5f);
    t->k->l2norm(got, n, 1.5f);
    compare(t, want, got, n, 1e-6f, 0);
}

static void check_moments(struct check *t, size_t n)
{
    enum { ROWS_MAX = 70 };
    size_t rows = n > 200 ? 3 : 1 + draw(t) % ROWS_MAX, stride = n + draw(t) % 5;
    float *x = input(t, rows * stride);
    float *sums = array(t, 8 * n + 2);
    double *want[2], *got[2];

    sums += (uintptr_t)sums / 4 % 2;
    for (int i = 0; i < 2; i++) {
        want[i] = (double *)(void *)(sums + 4 * n * 0 + 2 * n * (size_t)i);
        got[i] = (double *)(void *)(sums + 4 * n + 2 * n * (size_t)i);
    }
    for (size_t i = 0; i < n; i++)
        want[0][i] = got[0][i] = want[1][i] = got[1][i] = (double)i;
    t->c->moments(want[0], want[1], x, rows, stride, n);
    t->k->moments(got[0], got[1], x, rows, stride, n);
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < 2; j++)
            if (want[j][i] != got[j][i] && !(isnan(want[j][i]) && isnan(got[j][i])))
                fail(t, "kind %d, channel %zu of %zu: %.17g, expected %.17g",
                     (int)t->kind, i, n, got[j][i], want[j][i]);
}

static void rope(struct check *t, size_t n,
                 void (*c)(float *, const float *, const float *, size_t),
                 void (*k)(float *, const float *, const float *, size_t))
{
    float *x, *cs, *sn, *want, *got;

    n -= n % 2;
    x = input(t, n);
    cs = array(t, n / 2);
    sn = array(t, n / 2);
    want = copy(t, x, n);
    got = copy(t, x, n);
    for (size_t i = 0; i < n / 2; i++) {
        float angle = 3 * uniform(t);

        cs[i] = cosf(angle);
        sn[i] = sinf(angle);
    }
    c(want, cs, sn, n);
    k(got, cs, sn, n);
    compare(t, want, got, n, 1e-6f, 1e-6f * largest(x, n));
}

static void check_rope_pairs(struct check *t, size_t n)
{
    rope(t, n, t->c->rope_pairs, t->k->rope_pairs);
}

static void check_rope_halves(struct check *t, size_t n)
{
    rope(t, n, t->c->rope_halves, t->k->rope_halves);
}

/* The panels of the two tables may differ in width: the products are compared with sums
 * in double. */
static void check_panel_mul(struct check *t, size_t n)
{
    size_t m = 1 + n % 29, k = n % 67, w = t->k->panel, lda = k + n % 3, ldd = w + n % 5;
    float *a = input(t, m * lda + 1), *b = input(t, k * w), *was = input(t, m * ldd);
    float *got = copy(t, was, m * ldd), *one = copy(t, was, m * ldd);
    int add = (int)(n & 1);

    t->k->panel_mul(got, ldd, a, lda, b, m, k, add);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < ldd; j++) {
            double sum = add ? was[i * ldd + j] : 0, size = fabs(sum);
            float d = got[i * ldd + j];

            for (size_t l = 0; l < k && j < w; l++) {
                sum += (double)a[i * lda + l] * b[l * w + j];
                size += fabs((double)a[i * lda + l] * b[l * w + j]);
            }
            if (j >= w) /* between the rows nothing is written */
                sum = was[i * ldd + j];
            if (size < 1e38 && !near((float)sum, d, (float)(1e-6 * size)))
                fail(t, "kind %d, [%zu %zu], %zu %zu: %g, expected %g", (int)t->kind, m,
                     k, i, j, d, sum);
        }
        t->k->panel_mul(one + i * ldd, ldd, a + i * lda, lda, b, 1, k, add);
    }
    if (memcmp(one, got, m * ldd * sizeof *one))
        fail(t, "[%zu %zu]: a row alone has other bits", m, k);
}

/* Fetching what may lie anywhere, or be nothing, changes no bit. */
static void check_panel_mul_fetch(struct check *t, size_t n)
{
    size_t m = 1 + n % 29, k = n % 67, w = t->k->panel, lda = k + n % 3, ldd = w + n % 5;
    float *a = input(t, m * lda + 1), *b = input(t, k * w), *was = input(t, m * ldd);
    float *got = copy(t, was, m * ldd), *want = copy(t, was, m * ldd);
    const struct cf_fetch next = {n % 5 ? b : NULL, draw(t) % 512, n % 33,
                                  draw(t) % 2000};

    t->k->panel_mul(want, ldd, a, lda, b, m, k, (int)(n & 1));
    t->k->panel_mul_fetch(got, ldd, a, lda, b, m, k, (int)(n & 1), &next);
    same_bits(t, want, got, m * ldd);
}

static void check_scale(struct check *t, size_t n)
{
    float *x = input(t, n), *want = copy(t, x, n), *got = copy(t, x, n);

    t->c->scale(want, 0.7f, n);
    t->k->scale(got, 0.7f, n);
    compare(t, want, got, n, 0, 0);
}

/* The tables hold different numbers of values in registers: each against one value. */
static void check_fma(struct check *t, size_t n)
{
    float *x = input(t, t->k->chains), *was = copy(t, x, t->k->chains);

    if (t->kind == SPECIAL || t->kind == WIDE)
        return;
    t->k->fma(x, n);
    for (size_t i = 0; i < t->k->chains; i++) {
        float want[CF_CHAINS_MAX] = {was[i]};

        t->c->fma(want, n);
        if (!near(want[0], x[i], 1e-6f * (fabsf(want[0]) + fabsf(was[i]) + 1)))
            fail(t, "%zu times, %zu: %.9g, expected %.9g", n, i, x[i], want[0]);
    }
}

static void check_sum(struct check *t, size_t n)
{
    float *x = input(t, n), got = t->k->sum(x, n);
    double sum = 0, size = 0;

    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        size += fabs((double)x[i]);
    }
    if (size < 1e38 && !near((float)sum, got, (float)(1e-6 * size)))
        fail(t, "kind %d, %zu values: %g, expected %g", (int)t->kind, n, got, sum);
}

static const struct {
    const char *name;
    void (*check)(struct check *t, size_t n);
} kernels[] = {
    {"gelu", check_gelu},
    {"silu", check_silu},
    {"swiglu", check_swiglu},
    {"add", check_add},
    {"add_gated", check_add_gated},
    {"mix", check_mix},
    {"affine", check_affine},
    {"finite", check_finite},
    {"layernorm", check_layernorm},
    {"rmsnorm", check_rmsnorm},
    {"l2norm", check_l2norm},
    {"moments", check_moments},
    {"rope_pairs", check_rope_pairs},
    {"rope_halves", check_rope_halves},
    {"panel_mul", check_panel_mul},
    {"panel_mul_fetch", check_panel_mul_fetch},
    {"pack_f32", check_pack_f32},
    {"pack_f16", check_pack_f16},
    {"pack_bf16", check_pack_bf16},
    {"pack_i8", check_pack_i8},
    {"pack_q4", check_pack_q4},
    {"few_f32", check_few_f32},
    {"few_f16", check_few_f16},
    {"few_bf16", check_few_bf16},
    {"few_i8", check_few_i8},
    {"few_q4", check_few_q4},
    {"widen_bf16", check_widen_bf16},
    {"narrow_bf16", check_narrow_bf16},
    {"attn_scores", check_attn_scores},
    {"attn_softmax", check_attn_softmax},
    {"attn_values", check_attn_values},
    {"scale", check_scale},
    {"fma", check_fma},
    {"sum", check_sum},
    {"wino4.in", check_wino4_in},
    {"wino4.out", check_wino4_out},
    {"wino4.weights", check_wino4_weights},
    {"wino2.in", check_wino2_in},
    {"wino2.out", check_wino2_out},
    {"wino2.weights", check_wino2_weights},
    {"wino3.in", check_wino3_in},
    {"wino3.out", check_wino3_out},
    {"wino3.weights", check_wino3_weights},
};

enum { KERNELS = sizeof kernels / sizeof *kernels };

/* exp (within attn_softmax), GELU and SiLU against the mathematics, in double. */
static void check_accuracy(struct check *t)
{
    enum { N = 4096 };
    float *x = array(t, N), *e = array(t, N), *g = array(t, N), *s = array(t, N);
    float f[CF_PANEL_MAX];

    for (int round = 0; round < 16; round++) {
        float max[CF_PANEL_MAX] = {0}, sum[CF_PANEL_MAX] = {0};

        for (int i = 0; i < N; i++) {
            x[i] = (round < 8 ? 87.0f : 8.0f) * uniform(t);
            e[i] = -fabsf(x[i]);
        }
        t->k->attn_softmax(e, N / t->k->panel, t->k->panel, 1.0f, max, sum, f);
        t->k->gelu(g, x, N);
        t->k->silu(s, x, N);
        for (int i = 0; i < N; i++) {
            double v = x[i], ex = exp(-fabs(v)), si = v / (1 + exp(-v));
            double ge =
                0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));

            if (fabs(e[i] - ex) > 3e-7 * ex)
                fail(t, "exp(%g) = %.9g, expected %.9g", -fabs(v), e[i], ex);
            if (fabs(g[i] - ge) > 3e-7 * fmax(1, fabs(v)))
                fail(t, "gelu(%g) = %.9g, expected %.9g", v, g[i], ge);
            if (fabs(s[i] - si) > 5e-7 * fabs(si) + 1e-37)
                fail(t, "silu(%g) = %.9g, expected %.9g", v, s[i], si);
        }
    }
}

static void report(struct check *t, int n, const char *level, const char *name,
                   const char *claim)
{
    release(t);
    printf("%s %d - %s: %s %s\n", t->why[0] ? "not ok" : "ok", n, level, name, claim);
    if (t->why[0])
        printf("# %s\n", t->why);
    t->why[0] = '\0';
}

static void check_kernel(struct check *t, int i)
{
    static const size_t longer[] = {96, 127, 128, 255, 768, 1000, 1031};

    for (int round = 0; round < 4 * KINDS; round++) {
        t->kind = (enum kind)(round % KINDS);
        for (size_t n = 0; n < 68 + sizeof longer / sizeof *longer; n++) {
            kernels[i].check(t, n < 68 ? n : longer[n - 68]);
            release(t);
        }
    }
}

static int check_all(struct check *t)
{
    int levels = (int)cf_cpu_best() - CF_CPU_C, n = 0, bad = 0;
    struct cf_kern c, k;

    printf("1..%d\n", levels + 1 + levels * KERNELS);
    kern_fill(&c, CF_CPU_C);
    t->c = &c;
    t->k = &k;
    for (enum cf_cpu level = CF_CPU_C; level <= cf_cpu_best(); level++) {
        kern_fill(&k, level);
        check_accuracy(t);
        bad += t->why[0] != '\0';
        report(t, ++n, cf_cpu_name(level), "exp, gelu, silu", "are as exact as stated");
        for (int i = 0; level > CF_CPU_C && i < KERNELS; i++) {
            check_kernel(t, i);
            bad += t->why[0] != '\0';
            report(t, ++n, cf_cpu_name(level), kernels[i].name, "agrees with C");
        }
    }
    return bad != 0;
}

int main(int argc, char **argv)
{
    static struct check t = {.seed = 20240607};
    int bad = 0;

    if (argc == 2 && strcmp(argv[1], "--levels") == 0) {
        for (enum cf_cpu level = CF_CPU_C; level <= cf_cpu_best(); level++)
            puts(cf_cpu_name(level));
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--bench") != 0) {
        fprintf(stderr, "usage: checkkern [--levels | --bench]\n");
        return 2;
    }
    for (int i = 0; i < BLOCKS; i++) {
        t.block[i].base = cf_alloc(BLOCK_MAX + 2 * GUARD + 16, sizeof(float), NULL);
        if (!t.block[i].base)
            return 99;
    }
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040); /* as the callers do */
#endif
    if (argc == 2)
        kern_bench();
    else
        bad = check_all(&t);
    for (int i = 0; i < BLOCKS; i++)
        cf_free(t.block[i].base);
    return bad;
}
