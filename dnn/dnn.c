/* dnn.c - the machine: opened once per thread that leads a team. */
#include "dnn/dnn.h"

#include <omp.h>
#include <string.h>
#include <pthread.h>
#include <time.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "base/alloc.h"
#include "base/team.h"
#include "config.h"
#include "dnn/cpu.h"
#include "dnn/machine.h"

/* Flush to zero and subnormals are zero: subnormal operands cost hundreds of cycles, and
 * vector units differ in whether they bother. */
static unsigned flush_on(void)
{
#ifdef __SSE__
    unsigned was = _mm_getcsr();

    _mm_setcsr(was | 0x8040);
    return was;
#else
    return 0;
#endif
}

static void flush_restore(unsigned was)
{
#ifdef __SSE__
    _mm_setcsr(was);
#else
    (void)was;
#endif
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cf_call_begin(struct cf_call *call, struct cf_dnn *dnn, double *timer)
{
    call->timer = timer;
    call->start = now();
    call->mode = flush_on();
    dnn->outside = call->mode;
    call->omp_threads = omp_get_max_threads();
    if (call->omp_threads != dnn->threads)
        omp_set_num_threads(dnn->threads);
}

void cf_call_end(struct cf_call *call, const struct cf_dnn *dnn)
{
    if (call->omp_threads != dnn->threads)
        omp_set_num_threads(call->omp_threads);
    flush_restore(call->mode);
    *call->timer += now() - call->start;
}

static void team_flush(const struct cf_dnn *dnn)
{
    if (dnn->threads > 1) {
#pragma omp parallel num_threads(dnn->threads)
        flush_on();
    }
}

static void team_restore(const struct cf_dnn *dnn, unsigned mode)
{
    if (dnn->threads > 1) {
#pragma omp parallel num_threads(dnn->threads)
        if (omp_get_thread_num() > 0)
            flush_restore(mode);
    }
}

void cf_team_begin(const struct cf_dnn *dnn)
{
    if (!dnn->flushing)
        team_flush(dnn);
}

void cf_team_end(const struct cf_dnn *dnn)
{
    if (!dnn->flushing)
        team_restore(dnn, dnn->outside);
}

void cf_dnn_begin(struct cf_dnn *dnn)
{
    unsigned mode = flush_on();

    team_flush(dnn);
    flush_restore(mode);
    dnn->flushing = true;
}

void cf_dnn_end(struct cf_dnn *dnn)
{
    unsigned mode = flush_on();

    team_restore(dnn, mode);
    flush_restore(mode);
    dnn->flushing = false;
}

/* Always the whole team: libgomp ends the threads that a smaller one leaves over, and
 * starts others for the next. */
void cf_split(const struct cf_dnn *dnn, int64_t n, int64_t grain,
              void (*fn)(void *arg, int64_t first, int64_t last, int thread), void *arg)
{
    int64_t grains = n / grain + (n % grain != 0);

    if (n <= 0)
        return;
    if (grains == 1 || dnn->threads == 1) {
        fn(arg, 0, n, 0);
        return;
    }
#pragma omp parallel num_threads(dnn->threads)
    {
        int thread = omp_get_thread_num(), size = omp_get_num_threads();
        int64_t first = grains * thread / size * grain;
        int64_t last = grains * (thread + 1) / size * grain;
        unsigned mode = flush_on();

        if (last > n)
            last = n;
        if (first < last)
            fn(arg, first, last, thread);
        if (thread == 0)
            flush_restore(mode);
        else if (!dnn->flushing)
            flush_restore(dnn->outside);
    }
}

void *cf_thread_scratch(const struct cf_dnn *dnn, int thread)
{
    return dnn->scratch + (size_t)thread * CF_THREAD_SCRATCH;
}

void cf_kern_choose(struct cf_kern *kern, enum cf_cpu level)
{
    cf_kern_init_c(kern);
#ifdef CF_HAVE_X86
    if (level >= CF_CPU_AVX2)
        cf_kern_init_avx2(kern);
    if (level >= CF_CPU_AVX512)
        cf_kern_init_avx512(kern);
#else
    (void)level;
#endif
}

static void *meet(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* libgomp ends the process when it cannot start a thread. So as many are started here
 * first, all alive at once. */
static enum cf_status try_threads(int n, struct cf_error *err)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *thread = cf_alloc((size_t)n, sizeof *thread, err);
    int e = 0, made = 0;

    if (!thread)
        return CF_ENOMEM;
    pthread_mutex_lock(&gate);
    while (made < n && (e = pthread_create(&thread[made], NULL, meet, &gate)) == 0)
        made++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < made; i++)
        pthread_join(thread[i], NULL);
    cf_free(thread);
    return e == 0 ? CF_OK
                  : cf_fail(err, CF_ENOMEM,
                            "%d threads: only %d could be started (%s); ask for fewer "
                            "or raise the limits of memory or processes",
                            n + 1, made + 1, strerror(e));
}

enum cf_status cf_dnn_set_threads(struct cf_dnn *dnn, int threads, struct cf_error *err)
{
    char *scratch;

    if (threads < 1 || threads > CF_MAX_THREADS)
        return cf_fail(err, CF_EUSAGE, "threads: %d, expected 1..%d", threads,
                       CF_MAX_THREADS);
    if (threads == dnn->threads)
        return CF_OK;
    if (threads > 1)
        CF_TRY(try_threads(threads - 1, err));
    scratch = cf_alloc((size_t)threads, CF_THREAD_SCRATCH, err);
    if (!scratch)
        return CF_ENOMEM;
    cf_free(dnn->scratch);
    dnn->scratch = scratch;
    dnn->threads = threads;
    return CF_OK;
}

enum cf_status cf_dnn_open(struct cf_dnn **out, enum cf_cpu level, int threads,
                           struct cf_error *err)
{
    struct cf_dnn *dnn;

    *out = NULL;
    CF_TRY(cf_cpu_resolve(&level, err));
    dnn = cf_calloc(1, sizeof *dnn, err);
    if (!dnn)
        return CF_ENOMEM;
    dnn->level = level;
    dnn->outside = flush_on();
    flush_restore(dnn->outside);
    cf_kern_choose(&dnn->kern, dnn->level);
    dnn->shared = cf_alloc(1, CF_SHARED_SCRATCH, err);
    if (!dnn->shared || cf_dnn_set_threads(dnn, threads, err) ||
        cf_one_open(&dnn->one, level, err)) {
        cf_dnn_close(dnn);
        return err ? err->status : CF_ENOMEM;
    }
    *out = dnn;
    return CF_OK;
}

void cf_dnn_close(struct cf_dnn *dnn)
{
    if (!dnn)
        return;
    cf_one_close(dnn->one);
    cf_free(dnn->shared);
    cf_free(dnn->scratch);
    cf_free(dnn);
}

int cf_dnn_threads(const struct cf_dnn *dnn)
{
    return dnn->threads;
}

enum cf_cpu cf_dnn_level(const struct cf_dnn *dnn)
{
    return dnn->level;
}

void cf_dnn_settle(struct cf_dnn *dnn, int node)
{
    dnn->node = node;
}

const char *cf_dnn_version(void)
{
    return cf_one_version();
}

struct cf_dnn_times cf_dnn_times(const struct cf_dnn *dnn)
{
    return dnn->times;
}
