/* What lies between the products: norms, activations, rotary, residuals; on activations
 * of 512 rows of 2048, or of a level of the decoder. Told is the traffic of reading the
 * operands and writing the result. */
#include "base/alloc.h"
#include "bench/parts.h"
#include "dnn/kv.h"
#include "dnn/ops.h"

enum {
    ROWS = 512,
    C = 2048,
    HEADS = 16,
    HD = C / HEADS,
    PIXELS = 128 * 128,
    CHANNELS = 256
};

struct job {
    struct cf_dnn *dnn;
    float *x, *y, *z; /* [PIXELS, CHANNELS] each, more than [ROWS, C] */
    float *row;       /* [6, C] */
    void *cache;      /* of [ROWS, C] keys and values */
};

static enum cf_status run_gelu(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_gelu_tanh(j->dnn, j->x, j->y, (int64_t)ROWS * C);
    return CF_OK;
}

static enum cf_status run_silu(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_silu(j->dnn, j->x, j->y, (int64_t)ROWS * C);
    return CF_OK;
}

static enum cf_status run_adaln(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_adaln(j->dnn, j->x, j->y, 2, ROWS / 2, C, 1e-6f, j->row, j->row + C, 0);
    return CF_OK;
}

static enum cf_status run_join(void *arg, struct cf_error *err)
{
    struct job *j = arg;
    const struct cf_join join = {
        .gate = j->row, .mul = j->row + C, .add = j->row + 2 * C, .one = 1, .eps = 1e-6f};

    (void)err;
    cf_join_norm(j->dnn, j->x, j->z + 2 * ROWS * C, j->y, 2, ROWS / 2, C, &join);
    return CF_OK;
}

static enum cf_status run_gated(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_add_gated(j->dnn, j->x, j->y, 2, ROWS / 2, C, j->row, 0);
    return CF_OK;
}

static enum cf_status run_add(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_add(j->dnn, j->x, j->y, (int64_t)ROWS * C);
    return CF_OK;
}

static enum cf_status run_l2norm(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_l2norm_heads(j->dnn, j->x, ROWS, C, HEADS, HD, NULL, j->z, j->z + ROWS * HD / 2,
                    NULL);
    return CF_OK;
}

static enum cf_status run_rope(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_rope(j->dnn, j->x, ROWS, C, HEADS, HD, j->z, j->z + ROWS * HD / 2, NULL, 1);
    return CF_OK;
}

/* Keys are normalised and rotated on the way. */
static void append(struct job *j, enum cf_dtype kv)
{
    const struct cf_attn a = {HEADS, HEADS, HD, 1, kv};
    const struct cf_kv_rows rows = {.k = j->x,
                                    .v = j->y,
                                    .stride = C,
                                    .n = ROWS,
                                    .cs = j->z,
                                    .sn = j->z + ROWS * HD / 2};

    cf_kv_append(j->dnn, &a, j->cache, 0, &rows);
}

static enum cf_status run_append_f32(void *arg, struct cf_error *err)
{
    (void)err;
    append(arg, CF_F32);
    return CF_OK;
}

static enum cf_status run_append_bf16(void *arg, struct cf_error *err)
{
    (void)err;
    append(arg, CF_BF16);
    return CF_OK;
}

static enum cf_status run_stats(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_groupnorm_stats(j->dnn, j->row, j->row + C, j->x, PIXELS, CHANNELS, 32, 1e-6f,
                       j->row + 2 * C, j->row + 3 * C);
    return CF_OK;
}

static enum cf_status run_apply(void *arg, struct cf_error *err)
{
    struct job *j = arg;

    (void)err;
    cf_groupnorm_apply(j->dnn, j->x, j->y, PIXELS, CHANNELS, j->row, j->row + C, 1);
    return CF_OK;
}

static const struct {
    const char *name;
    enum cf_status (*run)(void *arg, struct cf_error *err);
    double bytes;
} op[] = {
    {"GELU, 512 x 2048", run_gelu, 8.0 * ROWS *C},
    {"SiLU, 512 x 2048", run_silu, 8.0 * ROWS *C},
    {"gated residual and norm, 512 x 2048", run_join, 16.0 * ROWS *C},
    {"adaptive layer norm, 512 x 2048", run_adaln, 8.0 * ROWS *C},
    {"residual, 512 x 2048", run_add, 12.0 * ROWS *C},
    {"gated residual, 512 x 2048", run_gated, 12.0 * ROWS *C},
    {"l2 norm of heads and rotary, 512 x 16 x 128", run_l2norm, 8.0 * ROWS *C},
    {"rotary, 512 x 16 x 128", run_rope, 8.0 * ROWS *C},
    {"keys and values to the cache, 512 x 2048, F32", run_append_f32, 16.0 * ROWS *C},
    {"keys and values to the cache, 512 x 2048, BF16", run_append_bf16, 12.0 * ROWS *C},
    {"group norm sums, 128 x 128 x 256", run_stats, 4.0 * PIXELS *CHANNELS},
    {"group norm and SiLU, 128 x 128 x 256", run_apply, 8.0 * PIXELS *CHANNELS},
};

enum cf_status cf_bench_vector(struct cf_bench *b, struct cf_error *err)
{
    size_t n = (size_t)PIXELS * CHANNELS;
    struct job job = {.dnn = b->dnn};
    enum cf_status st = CF_OK;

    job.x = cf_calloc(n, sizeof *job.x, err);
    job.y = cf_calloc(n, sizeof *job.y, err);
    job.z = cf_calloc(n, sizeof *job.z, err);
    job.row = cf_calloc(6 * C, sizeof *job.row, err);
    job.cache = cf_calloc(n, sizeof(float), err);
    if (!job.x || !job.y || !job.z || !job.row || !job.cache)
        st = CF_ENOMEM;
    for (size_t i = 0; st == CF_OK && i < n; i++)
        job.x[i] = job.y[i] = (float)(i % 251) * 0.008f - 1.0f;
    for (size_t i = 0; st == CF_OK && i < sizeof op / sizeof *op; i++) {
        struct cf_bench_case *c = cf_bench_add(b, err, "%s", op[i].name);

        if (!c) {
            st = CF_ENOMEM;
            break;
        }
        c->run = op[i].run;
        c->arg = &job;
        c->bytes = op[i].bytes;
    }
    if (st == CF_OK)
        st = cf_bench_measure(b, err);
    cf_free(job.x);
    cf_free(job.y);
    cf_free(job.z);
    cf_free(job.row);
    cf_free(job.cache);
    return st;
}
