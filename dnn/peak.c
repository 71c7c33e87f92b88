#include "dnn/peak.h"

#include "base/team.h"
#include "config.h"
#include "dnn/machine.h"

static struct cf_kern kernels_of(const struct cf_dnn *dnn, enum cf_cpu level)
{
    struct cf_kern k = dnn->kern;

    if (level != CF_CPU_AUTO && level != dnn->level)
        cf_kern_init_c(&k);
#ifdef CF_HAVE_X86
    if (level == CF_CPU_AVX2)
        cf_kern_init_avx2(&k);
    if (level == CF_CPU_AVX512)
        cf_kern_init_avx512(&k);
#endif
    return k;
}

struct job {
    struct cf_kern kern;
    const float *x;
    float sum[CF_MAX_THREADS]; /* so that nobody finds the reading useless */
    int64_t n;
    int times;
};

static void multiply(void *arg, int64_t first, int64_t last, int thread)
{
    const struct job *job = arg;
    float x[CF_CHAINS_MAX];

    (void)thread;
    for (; first < last; first++) {
        for (size_t i = 0; i < job->kern.chains; i++)
            x[i] = (float)i;
        job->kern.fma(x, (size_t)job->n);
    }
}

double cf_peak_fma(struct cf_dnn *dnn, enum cf_cpu level, int64_t n)
{
    struct job job = {.kern = kernels_of(dnn, level), .n = n};

    cf_split(dnn, dnn->threads, 1, multiply, &job);
    return 2.0 * (double)n * (double)job.kern.chains * dnn->threads;
}

static void read_part(void *arg, int64_t first, int64_t last, int thread)
{
    struct job *job = arg;

    for (int i = 0; i < job->times; i++)
        job->sum[thread] += job->kern.sum(job->x + first, (size_t)(last - first));
}

double cf_peak_read(struct cf_dnn *dnn, const float *x, int64_t n, int times)
{
    struct job job = {.kern = dnn->kern, .x = x, .times = times};
    int64_t part = n / dnn->threads;

    cf_split(dnn, part * dnn->threads, part, read_part, &job);
    return 4.0 * (double)(part * dnn->threads) * times;
}
