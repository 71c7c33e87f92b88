/* bars.h - what the program promises of itself on an idle machine, and whether it holds.
 */
#ifndef CF_BENCH_BARS_H
#define CF_BENCH_BARS_H

#include "bench/bench.h"

/* One line a bar, from the results of this run; judged false: without a verdict. Returns
 * how many were missed. */
int cf_bars_tell(const struct cf_bench *b, bool judged);

#endif
