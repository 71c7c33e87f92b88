/* nomem.h - memory that runs out: the nth allocation fails, for n = 1, 2, ... until a job
 * has all it wants. For programs linked with --wrap=aligned_alloc. */
#ifndef CF_TESTS_NOMEM_H
#define CF_TESTS_NOMEM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"

static long nomem_count, nomem_at; /* nomem_at 0: none fails */

/* Counts one more allocation; true where it is to fail. */
static inline bool nomem_fails(void)
{
    return ++nomem_count == nomem_at;
}

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return nomem_fails() ? NULL : __real_aligned_alloc(align, size);
}

/* Runs job with every stride-th allocation failing once: each time it must say CF_ENOMEM.
 * check (or NULL) runs after each. */
static inline void nomem_each(enum cf_status (*job)(struct cf_error *err), long stride,
                              void (*check)(void))
{
    enum cf_status status = CF_ENOMEM;
    long n = 1;

    for (; status != CF_OK; n += stride) {
        struct cf_error err = {0};

        nomem_count = 0;
        nomem_at = n;
        status = job(&err);
        nomem_at = 0;
        if (check)
            check();
        assert_int_equal(status, err.status);
        if (status != CF_OK && status != CF_ENOMEM)
            fail_msg("allocation %ld: %s", n, err.msg);
        assert_true(n < 100000);
    }
    assert_true(n > 4); /* the counter works */
}

static inline void each_allocation_fails(enum cf_status (*job)(struct cf_error *err),
                                         long stride)
{
    nomem_each(job, stride, NULL);
}

#endif
