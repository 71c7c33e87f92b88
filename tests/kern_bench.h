/* kern_bench.h - the bench mode of checkkern, and what it shares with the checks. */
#ifndef CF_TESTS_KERN_BENCH_H
#define CF_TESTS_KERN_BENCH_H

#include "dnn/dnn.h"
#include "dnn/kern.h"

/* The table of one level, which this machine must have. */
void kern_fill(struct cf_kern *k, enum cf_cpu level);

/* Prints ns per element of every kernel and level. */
void kern_bench(void);

#endif
