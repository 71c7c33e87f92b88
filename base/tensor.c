#include "base/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

static const struct {
    const char *name;
    size_t size;
} types[CF_NDTYPE] = {
    [CF_F32] = {"F32", 4},   [CF_F16] = {"F16", 2}, [CF_BF16] = {"BF16", 2},
    [CF_F64] = {"F64", 8},   [CF_I8] = {"I8", 1},   [CF_U8] = {"U8", 1},
    [CF_I16] = {"I16", 2},   [CF_I32] = {"I32", 4}, [CF_I64] = {"I64", 8},
    [CF_BOOL] = {"BOOL", 1},
};

size_t cf_dtype_size(enum cf_dtype t)
{
    return types[t].size;
}

const char *cf_dtype_name(enum cf_dtype t)
{
    return types[t].name;
}

int64_t cf_view_count(const struct cf_view *v)
{
    int64_t n = 1;

    for (int i = 0; i < v->ndim; i++)
        n *= v->dim[i];
    return n;
}

struct cf_view cf_view_f32(const float *data, int ndim, const int64_t *dim)
{
    struct cf_view v = {.data = data, .dtype = CF_F32, .ndim = ndim};

    for (int i = 0; i < ndim; i++)
        v.dim[i] = dim[i];
    return v;
}

char *cf_shape_str(char *buf, size_t size, int ndim, const int64_t *dim)
{
    size_t at = 0;

    snprintf(buf, size, "[");
    for (int i = 0; i < ndim && at + 2 < size; i++) {
        at = strlen(buf);
        snprintf(buf + at, size - at, "%s%lld", i ? ", " : "", (long long)dim[i]);
    }
    at = strlen(buf);
    snprintf(buf + at, size - at, "]");
    return buf;
}

static float from_bits(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* IEEE 754 binary16, subnormals, infinities and NaN included. */
static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;

    if (exp == 31)
        return from_bits(sign | 0x7f800000u | man << 13);
    if (exp)
        return from_bits(sign | (exp + 112) << 23 | man << 13);
    return (sign ? -1.0f : 1.0f) * (float)man * 0x1p-24f;
}

enum cf_status cf_view_floats(float *dst, const struct cf_view *v, int64_t start,
                              int64_t count, struct cf_error *err)
{
    const unsigned char *p = v->data;
    int64_t all = cf_view_count(v);

    if (start < 0 || count < 0 || start > all || count > all - start)
        return cf_fail(err, CF_ERANGE, "tensor: elements %lld + %lld of %lld",
                       (long long)start, (long long)count, (long long)all);
    p += (size_t)start * cf_dtype_size(v->dtype);
    switch (v->dtype) {
    case CF_F32:
        memcpy(dst, p, (size_t)count * 4);
        return CF_OK;
    case CF_BF16:
        for (int64_t i = 0; i < count; i++)
            dst[i] = from_bits((uint32_t)cf_load_u16(p + 2 * i) << 16);
        return CF_OK;
    case CF_F16:
        for (int64_t i = 0; i < count; i++)
            dst[i] = from_f16(cf_load_u16(p + 2 * i));
        return CF_OK;
    case CF_F64:
        for (int64_t i = 0; i < count; i++) {
            double d;

            memcpy(&d, p + 8 * i, sizeof d);
            dst[i] = (float)d;
        }
        return CF_OK;
    case CF_I8:
        for (int64_t i = 0; i < count; i++)
            dst[i] = (float)(signed char)p[i];
        return CF_OK;
    case CF_U8:
        for (int64_t i = 0; i < count; i++)
            dst[i] = (float)p[i];
        return CF_OK;
    default:
        return cf_fail(err, CF_EUNSUP, "tensor: type %s cannot be read as numbers here",
                       cf_dtype_name(v->dtype));
    }
}

static uint16_t to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static uint16_t to_f16(float f)
{
    uint32_t u, sign, man;
    int exp;

    memcpy(&u, &f, sizeof u);
    sign = u >> 16 & 0x8000;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x477ff000u) /* rounds beyond 65504 */
        return (uint16_t)(sign | 0x7c00);
    if (u >= 0x38800000u)
        return (uint16_t)(sign | ((u - 0x38000000u + 0xfffu + (u >> 13 & 1)) >> 13));
    exp = (int)(u >> 23);
    if (exp < 102)
        return (uint16_t)sign;
    /* A subnormal counts units of 2^-24. */
    man = (u & 0x7fffffu) | 0x800000u;
    exp = 126 - exp;
    return (uint16_t)(sign | ((man + (1u << (exp - 1)) - 1 + (man >> exp & 1)) >> exp));
}

enum cf_status cf_floats_store(void *dst, enum cf_dtype dtype, const float *src,
                               int64_t n, struct cf_error *err)
{
    unsigned char *p = dst;

    if (dtype == CF_F32) {
        memcpy(p, src, (size_t)n * sizeof *src);
        return CF_OK;
    }
    if (dtype != CF_F16 && dtype != CF_BF16)
        return cf_fail(err, CF_EUNSUP, "tensor: floats are not stored as %s",
                       cf_dtype_name(dtype));
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = dtype == CF_F16 ? to_f16(src[i]) : to_bf16(src[i]);

        memcpy(p + 2 * i, &h, sizeof h);
    }
    return CF_OK;
}
