/* tensor.h - a borrowed look at numbers in memory: where, what type, what shape. */
#ifndef CF_BASE_TENSOR_H
#define CF_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum cf_dtype {
    CF_F32,
    CF_F16,
    CF_BF16,
    CF_F64,
    CF_I8,
    CF_U8,
    CF_I16,
    CF_I32,
    CF_I64,
    CF_BOOL,
    CF_NDTYPE
};

enum { CF_MAX_DIM = 6 };

/* Row-major, dense. data may be unaligned: it points into a mapped file. */
struct cf_view {
    const void *data; /* borrowed */
    enum cf_dtype dtype;
    int ndim;                /* 0 is a scalar */
    int64_t dim[CF_MAX_DIM]; /* >= 0; their product was checked against the bytes */
};

size_t cf_dtype_size(enum cf_dtype t);
const char *cf_dtype_name(enum cf_dtype t); /* as safetensors spells it: "BF16" */

/* Number of elements; the product was checked when the view was made. */
int64_t cf_view_count(const struct cf_view *v);

/* A view of our own floats. */
struct cf_view cf_view_f32(const float *data, int ndim, const int64_t *dim);

/* "[2048, 768]" into buf, always terminated. Returns buf. */
char *cf_shape_str(char *buf, size_t size, int ndim, const int64_t *dim);

/* Elements start .. start+count-1 as float, from F32, F16, BF16, F64, I8 or U8.
 * CF_EUNSUP for other types; CF_ERANGE outside the view. */
enum cf_status cf_view_floats(float *dst, const struct cf_view *v, int64_t start,
                              int64_t count, struct cf_error *err);

/* n floats as F32, BF16 or F16 (to nearest, ties to even; NaN stays NaN; F16 beyond its
 * range becomes infinite). dst may be unaligned. CF_EUNSUP for other types. */
enum cf_status cf_floats_store(void *dst, enum cf_dtype dtype, const float *src,
                               int64_t n, struct cf_error *err);

#endif
