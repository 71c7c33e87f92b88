/* Attention: few queries against many keys, as in the first scales, to many against many;
 * heads of the released models; keys and values as the transformer keeps them, and two
 * shapes in plain rows, as a text encoder has them. */
#include "base/alloc.h"
#include "bench/parts.h"
#include "dnn/kv.h"
#include "dnn/machine.h"

enum { KEYS_MAX = 4096, QUERIES_MAX = 1024, WIDTH_MAX = 2048, TRIAL_SCORES = 1 << 14 };

struct job {
    struct cf_dnn *dnn;
    struct cf_attn attn;
    struct cf_attn_seq seq;
};

static const struct {
    int heads, hd, nq, nk;
    bool rows; /* plain */
} shape[] = {
    {16, 128, 1, 1024, false},    {16, 128, 32, 1024, false},
    {16, 128, 256, 1024, false},  {16, 128, 256, 2048, false},
    {16, 128, 1024, 4096, false}, {32, 64, 1, 1024, false},
    {32, 64, 32, 1024, false},    {32, 64, 256, 1024, false},
    {32, 64, 1024, 4096, false},  {12, 64, 256, 688, false},
    {8, 96, 256, 521, false},     {16, 128, 256, 64, false},
    {16, 128, 256, 1024, true},   {32, 64, 64, 64, true},
};
enum { SHAPES = sizeof shape / sizeof *shape };

static enum cf_status run(void *arg, struct cf_error *err)
{
    struct job *job = arg;

    return cf_attn_run(job->dnn, &job->attn, &job->seq, 1, err);
}

static struct job make_job(struct cf_bench *b, int i, enum cf_dtype kv, float *q,
                           float *dst, void *keys)
{
    int64_t c = (int64_t)shape[i].heads * shape[i].hd, size = (int64_t)cf_dtype_size(kv);
    struct job job = {.dnn = b->dnn};

    job.attn = (struct cf_attn){shape[i].heads, shape[i].heads, shape[i].hd, 0.1f, kv};
    job.seq = (struct cf_attn_seq){.dst = dst,
                                   .q = q,
                                   .k = keys,
                                   .v = (char *)keys + c * size,
                                   .d_stride = c,
                                   .q_stride = c,
                                   .k_stride = 2 * c,
                                   .k_head = shape[i].hd,
                                   .v_stride = 2 * c,
                                   .v_head = shape[i].hd,
                                   .nq = shape[i].nq,
                                   .nk = shape[i].nk};
    if (!shape[i].rows)
        job.seq.cache = keys;
    return job;
}

static enum cf_status add_cases(struct cf_bench *b, struct job *job, float *q, float *dst,
                                void *const keys[2], struct cf_error *err)
{
    static const enum cf_dtype type[] = {CF_F32, CF_BF16};

    for (int i = 0; i < 2 * SHAPES; i++) {
        enum cf_dtype kv = type[i % 2];
        struct cf_bench_case *c;
        int s = i / 2;

        if (b->o->trial && shape[s].nq * shape[s].nk > TRIAL_SCORES)
            continue;
        c = cf_bench_add(b, err, "%d x %d, %d quer%s, %d keys of %s%s", shape[s].heads,
                         shape[s].hd, shape[s].nq, shape[s].nq > 1 ? "ies" : "y",
                         shape[s].nk, cf_dtype_name(kv), shape[s].rows ? " in rows" : "");
        if (!c)
            return CF_ENOMEM;
        job[i] = make_job(b, s, kv, q, dst, keys[i % 2]);
        c->run = run;
        c->arg = &job[i];
        c->flops = 4.0 * shape[s].heads * shape[s].hd * shape[s].nq * shape[s].nk;
        c->yard = CF_YARD_FMA;
    }
    return CF_OK;
}

static enum cf_status tell_scratch(struct cf_bench *b, struct cf_error *err)
{
    struct cf_bench_result r = cf_bench_result(b, "scratch");

    r.mib = (double)CF_THREAD_SCRATCH / (1 << 20);
    return cf_bench_tell(b, &r, err);
}

enum cf_status cf_bench_attention(struct cf_bench *b, struct cf_error *err)
{
    size_t n_keys = 2 * (size_t)KEYS_MAX * WIDTH_MAX,
           n_q = (size_t)QUERIES_MAX * WIDTH_MAX;
    float *q = cf_alloc(n_q, sizeof *q, err), *dst = cf_alloc(n_q, sizeof *dst, err);
    float *keys = cf_alloc(n_keys, sizeof *keys, err);
    void *half = cf_alloc(n_keys, 2, err);
    struct job job[2 * SHAPES];
    enum cf_status st = q && dst && keys && half ? CF_OK : CF_ENOMEM;

    for (size_t i = 0; st == CF_OK && i < n_q; i++)
        q[i] = (float)(i % 251) * 0.008f - 1.0f;
    for (size_t i = 0; st == CF_OK && i < n_keys; i++)
        keys[i] = (float)(i % 241) * 0.008f - 1.0f;
    if (st == CF_OK)
        st = cf_floats_store(half, CF_BF16, keys, (int64_t)n_keys, err);
    if (st == CF_OK)
        st = add_cases(b, job, q, dst, (void *const[]){keys, half}, err);
    if (st == CF_OK)
        st = cf_bench_measure(b, err);
    if (st == CF_OK)
        st = tell_scratch(b, err);
    cf_free(q);
    cf_free(dst);
    cf_free(keys);
    cf_free(half);
    return st;
}
