/* The ceilings: multiply-adds of every instruction set, reading from every cache and from
 * memory; one thread and all. */
#include <stdio.h>

#include "base/alloc.h"
#include "bench/parts.h"
#include "dnn/peak.h"

enum { LEVELS = 3, PLACES = 4, CASES = 2 * (LEVELS + PLACES), FMA_ROUNDS = 100000 };

struct probe {
    struct cf_bench *b;
    struct cf_dnn *dnn;
    enum cf_cpu level; /* AUTO: a read */
    size_t floats;     /* of all threads together; 0: from memory */
    int times;
};

static enum cf_status run(void *arg, struct cf_error *err)
{
    struct probe *p = arg;

    (void)err;
    if (p->level != CF_CPU_AUTO)
        cf_peak_fma(p->dnn, p->level, FMA_ROUNDS);
    else if (p->floats)
        cf_peak_read(p->dnn, p->b->machine.block, (int64_t)p->floats, p->times);
    else
        cf_bench_yardstick(p->b, CF_YARD_READ, cf_dnn_threads(p->dnn));
    return CF_OK;
}

static enum cf_status add_fma(struct cf_bench *b, struct probe *p, struct cf_error *err)
{
    int threads = cf_dnn_threads(p->dnn);
    struct cf_bench_case *c =
        cf_bench_add(b, err, "multiply-adds, %s, %d thread%s", cf_cpu_name(p->level),
                     threads, threads > 1 ? "s" : "");

    if (!c)
        return CF_ENOMEM;
    c->run = run;
    c->arg = p;
    c->flops = cf_peak_fma(p->dnn, p->level, FMA_ROUNDS);
    return CF_OK;
}

static enum cf_status add_read(struct cf_bench *b, struct probe *p, const char *where,
                               struct cf_error *err)
{
    int threads = cf_dnn_threads(p->dnn);
    struct cf_bench_case *c = cf_bench_add(b, err, "read %s, %d thread%s", where, threads,
                                           threads > 1 ? "s" : "");

    if (!c)
        return CF_ENOMEM;
    c->run = run;
    c->arg = p;
    c->bytes = p->floats ? 4.0 * (double)p->floats * p->times
                         : (double)cf_bench_read_bytes(b, threads);
    return CF_OK;
}

/* Half a cache of each thread's own, or half of the one that they share. */
static enum cf_status add_reads(struct cf_bench *b, struct cf_dnn *dnn, struct probe *p,
                                struct cf_error *err)
{
    const struct cf_machine *m = &b->machine;
    const size_t size[PLACES] = {m->l1, m->l2, m->last > 2 * m->l2 ? m->last : 0, 0};
    static const char *const where[PLACES] = {"first cache", "second cache", "last cache",
                                              "memory"};
    size_t threads = (size_t)cf_dnn_threads(dnn);

    for (int i = 0; i < PLACES; i++) {
        size_t bytes = i < 2 ? size[i] / 2 * threads : size[i] / 2;

        if (i < PLACES - 1 && (bytes == 0 || bytes / 4 > m->floats))
            continue;
        *p = (struct probe){.b = b, .dnn = dnn, .floats = bytes / 4 / threads * threads};
        p->times = 1 + (bytes ? (int)((64u << 20) / bytes) : 0);
        CF_TRY(add_read(b, p++, where[i], err));
    }
    return CF_OK;
}

enum cf_status cf_bench_machine(struct cf_bench *b, struct cf_error *err)
{
    struct cf_dnn *team[] = {b->one, b->dnn};
    struct probe probe[CASES], *p = probe;

    for (int i = 0; i < (b->threads > 1 ? 2 : 1); i++) {
        for (enum cf_cpu level = CF_CPU_C; level <= cf_cpu_best(); level++) {
            *p = (struct probe){.b = b, .dnn = team[i], .level = level};
            CF_TRY(add_fma(b, p++, err));
        }
    }
    for (int i = 0; i < (b->threads > 1 ? 2 : 1); i++, p += PLACES)
        CF_TRY(add_reads(b, team[i], p, err));
    return cf_bench_measure(b, err);
}
