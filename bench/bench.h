/* bench.h - inside of cfgen-bench: cases that are timed in turns beside the ceilings of
 * the machine.
 *
 * A part (linear layers, attention, ...) adds cases and has them measured. Measuring goes
 * round: in each round every case is timed once, and right before it its yardstick, which
 * is the machine's multiply-add rate or its read bandwidth at that moment. What is told
 * of a case is the median over the rounds of its time and of its share of the yardstick;
 * of two cases, the median of the ratio of their times in the same round. So a clock that
 * drifts, or a neighbour who comes and goes, is in both terms. */
#ifndef CF_BENCH_BENCH_H
#define CF_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cancel.h"
#include "bench/load.h"
#include "bench/machine.h"
#include "dnn/dnn.h"

enum { CF_BENCH_ROUNDS_MAX = 99, CF_BENCH_NAME = 96, CF_BENCH_PIXELS = 8 };

struct cf_subject;

enum cf_bench_yard { CF_YARD_NONE, CF_YARD_FMA, CF_YARD_READ };

/* Times of one thing, a round each, and the yardstick beside them. */
struct cf_bench_series {
    double seconds[CF_BENCH_ROUNDS_MAX], yards[CF_BENCH_ROUNDS_MAX];
    int n;
};

struct cf_bench_case {
    char name[CF_BENCH_NAME];
    double flops, bytes; /* of one run; 0: not told */
    enum cf_bench_yard yard;
    int against; /* an earlier case of the same measuring, to be compared with; -1: none
                  */
    int threads; /* of the yardstick: 1, or 0 for all */
    enum cf_status (*run)(void *arg, struct cf_error *err);
    void *arg; /* of the part */
    struct cf_bench_series series;
};

/* What is known of a case when it has been measured; 0 where there is nothing to tell. */
struct cf_bench_result {
    const char *part;
    char name[CF_BENCH_NAME], against[CF_BENCH_NAME];
    double seconds, flops, bytes;
    double of_peak, of_read; /* shares of the machine's rate */
    double of_wall;          /* share of the wall time that this is about */
    double core_hour;        /* images in an hour of one processor */
    double mib;              /* memory */
    double speed;            /* times as fast as `against` */
};

struct cf_bench_options {
    const char *model;    /* directory or name; NULL: the default model */
    const char *peer;     /* command (peer.h); NULL: none */
    const char *geometry; /* of a synthetic model instead; NULL: none */
    int threads;          /* 0: auto */
    int rounds;
    int pixels[CF_BENCH_PIXELS], n_pixels; /* sides of the images of the large part */
    unsigned parts;                        /* bit i: part i of the table */
    bool named;                            /* parts are those of --only */
    bool trial;                            /* toy sizes, once */
    bool quick, report, json, force;
};

struct cf_bench {
    const struct cf_bench_options *o;
    struct cf_dnn *dnn, *one; /* all threads; one */
    int threads;
    double sample; /* seconds a timing takes at least */
    struct cf_machine machine;
    struct cf_load load;
    struct cf_bench_case *list;
    int n_case, room_case;
    struct cf_bench_result *result;
    int n_result, room_result;
    const char *part;           /* that is running */
    struct cf_subject *subject; /* the model; NULL until it is asked for */
    struct cf_cancel *cancel;   /* a signal came; borrowed */
};

/* A part of the program: --only=NAME. run leaves nothing behind but results. */
struct cf_bench_part {
    const char *name, *what;
    bool asked; /* only where it is named */
    enum cf_status (*run)(struct cf_bench *b, struct cf_error *err);
};
extern const struct cf_bench_part cf_bench_part[];
extern const int cf_bench_n_part;

/* A zeroed case with name (printf), to be filled in; valid until the next call. NULL:
 * CF_ENOMEM. */
struct cf_bench_case *cf_bench_add(struct cf_bench *b, struct cf_error *err,
                                   const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* All cases added since the last call; results are kept and told, cases dropped. */
enum cf_status cf_bench_measure(struct cf_bench *b, struct cf_error *err);

/* The rate of the machine at this moment: operations or bytes a second of all threads, or
 * of one. */
double cf_bench_yardstick(struct cf_bench *b, enum cf_bench_yard yard, int threads);

/* Bytes that it reads for CF_YARD_READ. */
size_t cf_bench_read_bytes(const struct cf_bench *b, int threads);

/* Whose random weights are timed, NULL for those of a model: the geometry asked for, or
 * that of the report. The part of large models has its own. */
const char *cf_bench_geometry(const struct cf_bench_options *o);

/* The model that --model or --geometry names, opened at the first call. */
enum cf_status cf_bench_subject(struct cf_bench *b, struct cf_subject **subject,
                                struct cf_error *err);

/* What a part times by itself, for it is long or has parts of its own: one round, begun
 * before the work and ended behind it with what it took. */
void cf_bench_begin(struct cf_bench *b, struct cf_bench_series *s,
                    enum cf_bench_yard yard, int threads);
void cf_bench_end(struct cf_bench *b, struct cf_bench_series *s, enum cf_bench_yard yard,
                  int threads, double seconds);
/* Seconds, and the share of the yardstick that flops (or bytes) of r come to. */
void cf_bench_rate(struct cf_bench_result *r, enum cf_bench_yard yard,
                   const struct cf_bench_series *s);
/* How many times as long a took as b, in the same round. */
double cf_bench_ratio(const struct cf_bench_series *a, const struct cf_bench_series *b);
/* A result of the part that runs, with a name (printf). */
struct cf_bench_result cf_bench_result(const struct cf_bench *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
enum cf_status cf_bench_tell(struct cf_bench *b, const struct cf_bench_result *r,
                             struct cf_error *err);
/* NULL: not measured. */
const struct cf_bench_result *cf_bench_find(const struct cf_bench *b, const char *part,
                                            const char *name);

/* Sorts x. */
double cf_bench_median(double *x, int n);

/* tell.c: lines on stdout, or objects. */
void cf_tell_head(const struct cf_bench *b);
/* What it said of itself. */
void cf_tell_peer(const struct cf_bench *b, const char *about);
void cf_tell_result(const struct cf_bench *b, const struct cf_bench_result *r);
/* x NAN: not measured. */
void cf_tell_bar(const struct cf_bench *b, const char *what, double x, bool most,
                 double bar, const char *verdict);
void cf_tell_load(const struct cf_bench *b, bool judged);

#endif
