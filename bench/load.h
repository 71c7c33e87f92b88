/* load.h - what else the machine did meanwhile, for figures are only as good as the rest
 * is quiet.
 *
 * Processor time that other processes took, and the host of a virtual machine took away,
 * comes from /proc/stat and our own usage; who they were from the times of all processes;
 * tasks that could run are counted at every look, less our own. */
#ifndef CF_BENCH_LOAD_H
#define CF_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cf_load_task {
    int pid;
    double seconds; /* of processor time */
    char name[20];
};

struct cf_load {
    double start, own, all,
        stolen;                /* at the beginning: clock, and seconds of processors */
    struct cf_load_task *task; /* owned: all of them at the beginning */
    int n_task;
    double runnable; /* sum over all looks */
    int looks;
    bool real_time; /* we run before all others: what they get is what we leave */
};

struct cf_load_verdict {
    double others;   /* processors that other processes kept busy, on average */
    double stolen;   /* processors that the host took */
    double runnable; /* tasks of others that could run, on average */
    char who[160];   /* "cc1: 0.80, make: 0.10", the busiest others; "" */
    bool quiet;      /* figures may be judged */
};

enum cf_status cf_load_start(struct cf_load *load, struct cf_error *err);
void cf_load_end(struct cf_load *load);

/* Now and then, while nothing is being timed. */
void cf_load_look(struct cf_load *load);

void cf_load_judge(struct cf_load_verdict *v, const struct cf_load *load);

#endif
