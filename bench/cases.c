#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/bench.h"
#include "dnn/peak.h"

static const double GLANCE = 3e-3; /* seconds that a yardstick takes, about */

struct cf_bench_case *cf_bench_add(struct cf_bench *b, struct cf_error *err,
                                   const char *fmt, ...)
{
    size_t room = (size_t)b->room_case;
    struct cf_bench_case *c;
    va_list ap;

    if (cf_grow(&b->list, &room, (size_t)b->n_case + 1, sizeof *b->list, err) != CF_OK)
        return NULL;
    b->room_case = (int)room;
    c = &b->list[b->n_case++];
    *c = (struct cf_bench_case){.against = -1};
    va_start(ap, fmt);
    vsnprintf(c->name, sizeof c->name, fmt, ap);
    va_end(ap);
    return c;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

double cf_bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

size_t cf_bench_read_bytes(const struct cf_bench *b, int threads)
{
    size_t piece = (size_t)threads << 23;

    return (piece < b->machine.floats ? piece : b->machine.floats) * sizeof(float);
}

/* The block is read on from where the last read ended, so that nothing of it is still in
 * a cache. */
static double read_rate(struct cf_bench *b, struct cf_dnn *dnn)
{
    struct cf_machine *m = &b->machine;
    size_t piece = cf_bench_read_bytes(b, cf_dnn_threads(dnn)) / sizeof(float);
    double start, bytes;

    if (m->at + piece > m->floats)
        m->at = 0;
    start = cf_clock();
    bytes = cf_peak_read(dnn, m->block + m->at, (int64_t)piece, 1);
    m->at += piece;
    return bytes / (cf_clock() - start);
}

static double fma_rate(struct cf_dnn *dnn)
{
    double start = cf_clock(), flops = 0, took;

    do {
        flops += cf_peak_fma(dnn, CF_CPU_AUTO, 50000);
        took = cf_clock() - start;
    } while (took < GLANCE);
    return flops / took;
}

double cf_bench_yardstick(struct cf_bench *b, enum cf_bench_yard yard, int threads)
{
    struct cf_dnn *dnn = threads == 1 ? b->one : b->dnn;

    if (yard == CF_YARD_NONE)
        return 0;
    return yard == CF_YARD_FMA ? fma_rate(dnn) : read_rate(b, dnn);
}

/* Runs of one case for as long as a timing takes: seconds of one. */
static enum cf_status time_case(const struct cf_bench *b, const struct cf_bench_case *c,
                                double *seconds, struct cf_error *err)
{
    double start = cf_clock(), took;
    int runs = 0;

    do {
        CF_TRY(c->run(c->arg, err));
        took = cf_clock() - start;
        runs++;
    } while (took < b->sample);
    *seconds = took / runs;
    return CF_OK;
}

static enum cf_status rounds(struct cf_bench *b, struct cf_error *err)
{
    for (int i = 0; i < b->n_case;
         i++) /* what is made at a first call is no part of it */
        CF_TRY(b->list[i].run(b->list[i].arg, err));
    for (int r = 0; r < b->o->rounds; r++) {
        cf_load_look(&b->load);
        for (int i = 0; i < b->n_case; i++) {
            struct cf_bench_case *c = &b->list[i];

            CF_TRY(cf_cancel_check(b->cancel, err));
            c->series.yards[r] = cf_bench_yardstick(b, c->yard, c->threads);
            CF_TRY(time_case(b, c, &c->series.seconds[r], err));
            c->series.n++;
        }
    }
    return CF_OK;
}

void cf_bench_begin(struct cf_bench *b, struct cf_bench_series *s,
                    enum cf_bench_yard yard, int threads)
{
    s->yards[s->n] = cf_bench_yardstick(b, yard, threads);
}

void cf_bench_end(struct cf_bench *b, struct cf_bench_series *s, enum cf_bench_yard yard,
                  int threads, double seconds)
{
    s->yards[s->n] = (s->yards[s->n] + cf_bench_yardstick(b, yard, threads)) / 2;
    s->seconds[s->n++] = seconds;
}

void cf_bench_rate(struct cf_bench_result *r, enum cf_bench_yard yard,
                   const struct cf_bench_series *s)
{
    double x[CF_BENCH_ROUNDS_MAX], work = yard == CF_YARD_FMA ? r->flops : r->bytes;

    memcpy(x, s->seconds, sizeof x);
    r->seconds = cf_bench_median(x, s->n);
    if (yard == CF_YARD_NONE)
        return;
    for (int i = 0; i < s->n; i++)
        x[i] = work / s->seconds[i] / s->yards[i];
    *(yard == CF_YARD_FMA ? &r->of_peak : &r->of_read) = cf_bench_median(x, s->n);
}

double cf_bench_ratio(const struct cf_bench_series *a, const struct cf_bench_series *b)
{
    double x[CF_BENCH_ROUNDS_MAX];

    for (int i = 0; i < a->n; i++)
        x[i] = a->seconds[i] / b->seconds[i];
    return cf_bench_median(x, a->n);
}

struct cf_bench_result cf_bench_result(const struct cf_bench *b, const char *fmt, ...)
{
    struct cf_bench_result r = {.part = b->part};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r.name, sizeof r.name, fmt, ap);
    va_end(ap);
    return r;
}

static struct cf_bench_result result_of(const struct cf_bench *b,
                                        const struct cf_bench_case *c)
{
    struct cf_bench_result r = cf_bench_result(b, "%s", c->name);

    r.flops = c->flops;
    r.bytes = c->bytes;
    cf_bench_rate(&r, c->yard, &c->series);
    if (c->against >= 0) {
        const struct cf_bench_case *other = &b->list[c->against];

        memcpy(r.against, other->name, sizeof r.against);
        r.speed = cf_bench_ratio(&other->series, &c->series);
    }
    return r;
}

enum cf_status cf_bench_tell(struct cf_bench *b, const struct cf_bench_result *r,
                             struct cf_error *err)
{
    size_t room = (size_t)b->room_result;

    CF_TRY(cf_grow(&b->result, &room, (size_t)b->n_result + 1, sizeof *b->result, err));
    b->room_result = (int)room;
    b->result[b->n_result++] = *r;
    cf_tell_result(b, r);
    return CF_OK;
}

enum cf_status cf_bench_measure(struct cf_bench *b, struct cf_error *err)
{
    enum cf_status st = rounds(b, err);

    for (int i = 0; i < b->n_case && st == CF_OK; i++) {
        struct cf_bench_result r = result_of(b, &b->list[i]);

        st = cf_bench_tell(b, &r, err);
    }
    b->n_case = 0;
    return st;
}

const struct cf_bench_result *cf_bench_find(const struct cf_bench *b, const char *part,
                                            const char *name)
{
    for (int i = 0; i < b->n_result; i++)
        if (strcmp(b->result[i].part, part) == 0 && strcmp(b->result[i].name, name) == 0)
            return &b->result[i];
    return NULL;
}
