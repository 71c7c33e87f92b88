#include "base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fault.h"

void *cf_alloc(size_t count, size_t size, struct cf_error *err)
{
    size_t want;
    void *p;

    if (!cf_mul_size(count, size, &want) || want > PTRDIFF_MAX - CF_ALIGN) {
        cf_fail(err, CF_ENOMEM,
                "memory: %zu x %zu bytes wanted, more than can be addressed", count,
                size);
        return NULL;
    }
    want = (want + CF_ALIGN - 1) & ~(size_t)(CF_ALIGN - 1);
    p = cf_fault_turn("memory") ? NULL : aligned_alloc(CF_ALIGN, want ? want : CF_ALIGN);
    if (!p)
        cf_fail(err, CF_ENOMEM, "memory: %zu bytes wanted, not available", want);
    return p;
}

void *cf_calloc(size_t count, size_t size, struct cf_error *err)
{
    void *p = cf_alloc(count, size, err);

    if (p)
        memset(p, 0, count * size);
    return p;
}

enum cf_status cf_grow(void *block, size_t *cap, size_t want, size_t size,
                       struct cf_error *err)
{
    size_t to = *cap ? *cap : 16;
    void *was, *is;

    if (want <= *cap)
        return CF_OK;
    while (to < want)
        if (!cf_mul_size(to, 2, &to))
            return cf_fail(err, CF_ENOMEM, "memory: %zu elements wanted", want);
    memcpy(&was, block, sizeof was);
    is = cf_alloc(to, size, err);
    if (!is)
        return CF_ENOMEM;
    if (*cap)
        memcpy(is, was, *cap * size);
    cf_free(was);
    memcpy(block, &is, sizeof is);
    *cap = to;
    return CF_OK;
}

char *cf_strndup(const char *s, size_t len, struct cf_error *err)
{
    char *p = len == SIZE_MAX ? NULL : cf_alloc(len + 1, 1, err);

    if (!p)
        return NULL;
    if (len)
        memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *cf_strdup(const char *s, struct cf_error *err)
{
    return cf_strndup(s, strlen(s), err);
}

char *cf_format(struct cf_error *err, const char *fmt, ...)
{
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        cf_fail(err, CF_EBUG, "format: %s", fmt);
        return NULL;
    }
    p = cf_alloc((size_t)n + 1, 1, err);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

void cf_free(void *p)
{
    free(p);
}
