/* retype.h - a safetensors file with its matrices in another type, for tests of layers
 * that read them in place. */
#ifndef CF_TESTS_RETYPE_H
#define CF_TESTS_RETYPE_H

#include "base/weight.h"

/* Copies `from` to `to` with every matrix of a linear layer or an embedding ("*.weight"
 * of two dimensions, but for tables that are read as vectors) as type. int8 and 4 bits
 * are made by the largest value of a row or group, not by dnn/quant.h; matrices whose
 * width is no multiple of 32 become int8 where 4 bits are asked for. */
void util_retype(const char *to, const char *from, enum cf_wtype type);

#endif
