/* parts.h - the parts of cfgen-bench, one file each; the table is in cfgen-bench.c. */
#ifndef CF_BENCH_PARTS_H
#define CF_BENCH_PARTS_H

#include "bench/bench.h"

typedef enum cf_status cf_bench_part_fn(struct cf_bench *b, struct cf_error *err);

cf_bench_part_fn cf_bench_machine, cf_bench_linear, cf_bench_attention, cf_bench_vector,
    cf_bench_decoder, cf_bench_transformer, cf_bench_image, cf_bench_queue,
    cf_bench_large;

#endif
