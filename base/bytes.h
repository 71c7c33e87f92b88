/* bytes.h - sizes that may not wrap, integers that come from files.
 *
 * Every size that is multiplied or added before memory is asked for goes through these.
 */
#ifndef CF_BASE_BYTES_H
#define CF_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b (a + b); false, and *out unspecified, where the result does not fit. */
static inline bool cf_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool cf_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* a rounded up to a multiple of to (a power of two); false on overflow. */
static inline bool cf_round_size(size_t a, size_t to, size_t *out)
{
    if (!cf_add_size(a, to - 1, out))
        return false;
    *out &= ~(to - 1);
    return true;
}

/* Little-endian loads from any address. */
static inline uint16_t cf_load_u16(const void *p)
{
    const unsigned char *b = p;

    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t cf_load_u32(const void *p)
{
    const unsigned char *b = p;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

static inline uint64_t cf_load_u64(const void *p)
{
    return cf_load_u32(p) | (uint64_t)cf_load_u32((const char *)p + 4) << 32;
}

#endif
