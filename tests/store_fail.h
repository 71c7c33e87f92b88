/* store_fail.h - memory that ends at the Nth call. Included once per program, which is
 * linked with -Wl,--wrap=aligned_alloc. */
#ifndef CF_TESTS_STORE_FAIL_H
#define CF_TESTS_STORE_FAIL_H

#include <stdbool.h>
#include <stddef.h>

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static long fail_at;    /* the call that fails, counted from 1; 0: none */
static long fail_calls; /* calls since fail_arm */

static inline void fail_arm(long nth)
{
    fail_at = nth;
    fail_calls = 0;
}

/* Disarms; true when the failure was reached. */
static inline bool fail_hit(void)
{
    bool hit = fail_at && fail_calls >= fail_at;

    fail_at = 0;
    return hit;
}

static inline bool fail_now(void)
{
    return fail_at && ++fail_calls == fail_at;
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return fail_now() ? NULL : __real_aligned_alloc(align, size);
}

#endif
