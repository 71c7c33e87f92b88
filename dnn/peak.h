/* peak.h - the ceilings of the machine, by which everything else is measured: how fast
 * the registers multiply and add, and how fast memory or a cache is read. */
#ifndef CF_DNN_PEAK_H
#define CF_DNN_PEAK_H

#include <stdint.h>

#include "dnn/dnn.h"

/* Every thread of the team runs n rounds of multiply-adds in registers, with the
 * instructions of a level that this processor has (AUTO: that of dnn). Returns the
 * floating-point operations done, a multiply-add being two. */
double cf_peak_fma(struct cf_dnn *dnn, enum cf_cpu level, int64_t n);

/* Every thread of the team reads its own equal part of x [n] `times` times over. Returns
 * the bytes read. */
double cf_peak_read(struct cf_dnn *dnn, const float *x, int64_t n, int times);

#endif
