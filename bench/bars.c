#include "bench/bars.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CASES = 8 };

enum field { OF_PEAK, OF_READ, OF_WALL, SPEED, MIB };

/* The worst of some cases. A name that is NULL ends them; none at all: every case of the
 * part that has the number. */
struct bar {
    const char *what, *part;
    enum field field;
    double bar;
    bool most; /* at most; else at least */
    const char *name[CASES];
};

#define FC "2048->8192, "
#define MANY(way)                                                                        \
    {                                                                                    \
        way FC "32 rows", way FC "128 rows", way FC "512 rows", way FC "2048 rows",      \
            way FC "4096 rows"                                                           \
    }
#define FEW(way)                                                                         \
    {                                                                                    \
        way FC "1 row", way FC "2 rows"                                                  \
    }
#define AGAINST "256 queries, 1024 keys of "

static const struct bar bars[] = {
    {"linear, 512 rows and more, of peak",
     "linear",
     OF_PEAK,
     0.82,
     false,
     {"f32 " FC "512 rows", "f32 " FC "2048 rows", "f32 " FC "4096 rows"}},
    {"linear, 32 to 128 rows, of peak",
     "linear",
     OF_PEAK,
     0.72,
     false,
     {"f32 " FC "32 rows", "f32 " FC "128 rows"}},
    {"linear, 1 and 2 rows, of read", "linear", OF_READ, 0.80, false, FEW("f32 ")},
    {"bf16, 32 rows and more, to f32", "linear", SPEED, 1 / 1.05, false,
     MANY("bf16 mapped ")},
    {"int8, 32 rows and more, to f32", "linear", SPEED, 1 / 1.05, false, MANY("int8 ")},
    {"4bit, 32 rows and more, to f32", "linear", SPEED, 1 / 1.05, false, MANY("4bit ")},
    {"bf16, 1 and 2 rows, to f32", "linear", SPEED, 1.3, false, FEW("bf16 mapped ")},
    {"int8, 1 and 2 rows, to f32", "linear", SPEED, 1.7, false, FEW("int8 ")},
    {"4bit, 1 and 2 rows, to f32", "linear", SPEED, 1.7, false, FEW("4bit ")},
    {"attention, 256 queries and more, of peak",
     "attention",
     OF_PEAK,
     0.68,
     false,
     {"16 x 128, " AGAINST "F32", "16 x 128, " AGAINST "BF16",
      "16 x 128, 256 queries, 2048 keys of F32",
      "16 x 128, 256 queries, 2048 keys of BF16",
      "16 x 128, 1024 queries, 4096 keys of F32", "32 x 64, " AGAINST "F32",
      "32 x 64, " AGAINST "BF16", "32 x 64, 1024 queries, 4096 keys of F32"}},
    {"attention, MiB of scratch a thread", "attention", MIB, 0.25, true, {"scratch"}},
    {"decoder, plain arithmetic, of peak",
     "decoder",
     OF_PEAK,
     1.10,
     false,
     {"whole, 256 x 256"}},
    {"decoder, memory to its largest activation",
     "decoder",
     SPEED,
     2.2,
     true,
     {"memory of 256 x 256"}},
    {"transformer, batch of 1, of peak",
     "transformer",
     OF_PEAK,
     0.75,
     false,
     {"batch of 1"}},
    {"transformer, batch of 4, of peak",
     "transformer",
     OF_PEAK,
     0.80,
     false,
     {"batch of 4"}},
    {"all threads to one", "image", SPEED, 1.85, false, {"all threads"}},
    {"images to those of the peer", "image", SPEED, 2.2, false, {"to the peer"}},
    {"the same with approximations",
     "image",
     SPEED,
     3.0,
     false,
     {"to the peer, with approximations"}},
    {"neither linear, attention nor convolution",
     "image",
     OF_WALL,
     0.08,
     true,
     {"neither linear, attention nor convolution"}},
    {"queue, WebP and metadata, of wall time",
     "queue",
     OF_WALL,
     0.015,
     true,
     {"queue, WebP and metadata"}},
    {"2B at 512 x 512, of peak", "2b", OF_PEAK, 0.75, false, {"512 x 512: image"}},
};

static double value(const struct cf_bench_result *r, enum field field)
{
    switch (field) {
    case OF_PEAK:
        return r->of_peak;
    case OF_READ:
        return r->of_read;
    case OF_WALL:
        return r->of_wall;
    case SPEED:
        return r->speed;
    default:
        return r->mib;
    }
}

static bool belongs(const struct bar *bar, const struct cf_bench_result *r)
{
    if (strcmp(bar->part, r->part) != 0 || !(value(r, bar->field) > 0))
        return false;
    for (int i = 0; i < CASES && bar->name[i]; i++)
        if (strcmp(bar->name[i], r->name) == 0)
            return true;
    return !bar->name[0];
}

/* NAN where none was measured. */
static double worst(const struct cf_bench *b, const struct bar *bar)
{
    double x = NAN;

    for (int i = 0; i < b->n_result; i++) {
        const struct cf_bench_result *r = &b->result[i];

        if (belongs(bar, r))
            x = bar->most ? fmax(x, value(r, bar->field)) : fmin(x, value(r, bar->field));
    }
    return x;
}

int cf_bars_tell(const struct cf_bench *b, bool judged)
{
    int missed = 0;

    for (size_t i = 0; i < sizeof bars / sizeof *bars; i++) {
        double x = worst(b, &bars[i]);
        bool met = bars[i].most ? x <= bars[i].bar : x >= bars[i].bar;
        const char *verdict = isnan(x)  ? "not measured"
                              : !judged ? "not judged"
                              : met     ? "met"
                                        : "missed";

        cf_tell_bar(b, bars[i].what, x, bars[i].most, bars[i].bar, verdict);
        missed += judged && !isnan(x) && !met;
    }
    return missed;
}
