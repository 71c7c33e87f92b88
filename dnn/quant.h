/* quant.h - floats to the quantized weight types of base/weight.h.
 *
 * int8: one scale a row, chosen so that the squared error of the row is least among a few
 * candidates below max|w| / 127. 4 bits: a scale per group of 32 or 64 columns, values
 * (q - 8) * scale with q in 0 .. 15, the scale (either sign, so that the end with one
 * more step serves the largest value) likewise chosen by the squared error of the group,
 * after rounding to F16. Least squares then refit the scale to the chosen values.
 *
 * Zeros stay zeros (with a scale of 0 where all are), and rows or groups that are whole
 * multiples of a scale, up to 127 (int8) or from -8 to 7 steps (4 bits), keep their
 * values. */
#ifndef CF_DNN_QUANT_H
#define CF_DNN_QUANT_H

#include "base/weight.h"
#include "dnn/dnn.h"

/* w and scale are as large as base/weight.h says for type (CF_W_I8 or CF_W_Q4), group 32
 * or 64 for the latter; both may be unaligned. src [n, k]. CF_EUNSUP for another type,
 * CF_ERANGE for a k that group does not divide, and with 4 bits for a value whose scale
 * is no F16 (beyond 458528); CF_ENUMERIC for a value that is not finite (named by row and
 * column). The result does not depend on the number of threads nor on the level of the
 * machine. */
enum cf_status cf_quantize(struct cf_dnn *dnn, void *w, void *scale, enum cf_wtype type,
                           int group, const float *src, int64_t n, int64_t k,
                           struct cf_error *err);

#endif
