/* parts.h - the parts of cfgen-bench, one file each; the table is in cfgen-bench.c. */
#ifndef CF_BENCH_PARTS_H
#define CF_BENCH_PARTS_H

#include "bench/bench.h"

enum cf_status cf_bench_machine(struct cf_bench *b, struct cf_error *err);
enum cf_status cf_bench_linear(struct cf_bench *b, struct cf_error *err);

#endif
