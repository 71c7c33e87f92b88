#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "config.h"
#include "pipeline/finish.h"

/* One object a line; obj is used up. */
static void put(json_t *obj)
{
    char *text = json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(6));

    if (text)
        puts(text);
    free(text);
    json_decref(obj);
}

static void set(json_t *obj, const char *key, double value)
{
    if (value > 0)
        json_object_set_new(obj, key, json_real(value));
}

void cf_tell_head(const struct cf_bench *b)
{
    const struct cf_machine *m = &b->machine;
    const char *level = cf_cpu_name(cf_dnn_level(b->dnn));
    char build[CF_BUILD_ID];

    if (b->o->json) {
        put(json_pack("{ss ss ss si si sI sI sI}", "program", cf_build_id(build),
                      "processor", m->model, "level", level, "threads", b->threads,
                      "rounds", b->o->rounds, "l1", (json_int_t)m->l1, "l2",
                      (json_int_t)m->l2, "last_cache", (json_int_t)m->last));
        return;
    }
    printf("%s on %s\n%s, %d threads, median of %d; caches %zu KiB, %zu KiB, %zu MiB\n",
           cf_build_id(build), m->model, level, b->threads, b->o->rounds, m->l1 >> 10,
           m->l2 >> 10, m->last >> 20);
}

void cf_tell_peer(const struct cf_bench *b, const char *about)
{
    if (b->o->json)
        put(json_pack("{ss}", "peer", about));
    else
        printf("the peer: %s\n", about);
}

static void tell_json(const struct cf_bench_result *r)
{
    json_t *obj = json_pack("{ss ss}", "part", r->part, "case", r->name);

    set(obj, "seconds", r->seconds);
    if (r->seconds > 0) {
        set(obj, "gflops", r->flops / r->seconds * 1e-9);
        set(obj, "gbytes", r->bytes / r->seconds * 1e-9);
    }
    set(obj, "of_peak", r->of_peak);
    set(obj, "of_read", r->of_read);
    set(obj, "of_wall", r->of_wall);
    set(obj, "images_per_core_hour", r->core_hour);
    set(obj, "mib", r->mib);
    if (r->speed > 0) {
        set(obj, "speed", r->speed);
        json_object_set_new(obj, "against", json_string(r->against));
    }
    put(obj);
}

static void tell_time(double seconds)
{
    if (seconds >= 1)
        printf(" %9.3f s ", seconds);
    else if (seconds >= 1e-3)
        printf(" %9.3f ms", seconds * 1e3);
    else if (seconds > 0)
        printf(" %9.3f us", seconds * 1e6);
    else
        printf(" %12s", "");
}

void cf_tell_result(const struct cf_bench *b, const struct cf_bench_result *r)
{
    if (b->o->json) {
        tell_json(r);
        fflush(stdout);
        return;
    }
    printf("%-11s %-46s", r->part, r->name);
    tell_time(r->seconds);
    if (r->flops > 0)
        printf(" %7.1f GFLOP/s", r->flops / r->seconds * 1e-9);
    if (r->bytes > 0)
        printf(" %7.1f GB/s", r->bytes / r->seconds * 1e-9);
    if (r->of_peak > 0)
        printf(" %5.1f %% of peak", 100 * r->of_peak);
    if (r->of_read > 0)
        printf(" %5.1f %% of read", 100 * r->of_read);
    if (r->of_wall > 0)
        printf(" %5.1f %% of wall time", 100 * r->of_wall);
    if (r->core_hour > 0)
        printf(" %.0f images per core-hour", r->core_hour);
    if (r->mib > 0)
        printf(" %.1f MiB", r->mib);
    if (r->speed > 0)
        printf(" %5.2f x %s", r->speed, r->against);
    putchar('\n');
    fflush(stdout);
}

void cf_tell_bar(const struct cf_bench *b, const char *what, double x, bool most,
                 double bar, const char *verdict)
{
    if (b->o->json) {
        json_t *obj =
            json_pack("{ss ss sf ss}", "bar", what, "expected",
                      most ? "at most" : "at least", "value", bar, "verdict", verdict);

        set(obj, "measured", x);
        put(obj);
    } else if (isnan(x)) {
        printf("%-44s %6s  %s %5.3f  %s\n", what, "-", most ? "<=" : ">=", bar, verdict);
    } else {
        printf("%-44s %6.3f  %s %5.3f  %s\n", what, x, most ? "<=" : ">=", bar, verdict);
    }
}

void cf_tell_load(const struct cf_bench *b, bool judged)
{
    struct cf_load_verdict v;

    cf_load_judge(&v, &b->load);
    if (b->o->json) {
        put(json_pack("{s{sf sf sf ss} sb}", "load", "others", v.others, "stolen",
                      v.stolen, "runnable", v.runnable, "who", v.who, "judged", judged));
        return;
    }
    printf("other load: %.2f processors busy, %.2f taken by the host, %.1f tasks "
           "runnable%s%s%s\n",
           v.others, v.stolen, v.runnable, v.who[0] ? " (" : "", v.who,
           v.who[0] ? ")" : "");
}
