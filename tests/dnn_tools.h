/* dnn_tools.h - what the tests of dnn/ share: machines at the level of CFGEN_CPU,
 * numbers. */
#ifndef CF_TESTS_DNN_TOOLS_H
#define CF_TESTS_DNN_TOOLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/dnn.h"

enum { TEAMS = 3 };

/* Machines of 1, 2 and 3 threads; set up once by the group. */
static struct cf_dnn *team[TEAMS];

static inline int open_teams(void **state)
{
    struct cf_error err = {0};
    enum cf_cpu level;

    (void)state;
    if (cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err))
        return 1;
    for (int i = 0; i < TEAMS; i++)
        if (cf_dnn_open(&team[i], level, i + 1, &err))
            return 1;
    return 0;
}

static inline int close_teams(void **state)
{
    (void)state;
    for (int i = 0; i < TEAMS; i++)
        cf_dnn_close(team[i]);
    return 0;
}

static inline float uniform(void)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) * 0x1p-23f - 1.0f;
}

/* n random floats in -1 .. 1, aligned; cf_free. */
static inline float *randoms(size_t n)
{
    float *p = cf_alloc(n, sizeof *p, NULL);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = uniform();
    return p;
}

static inline float *floats(size_t n)
{
    float *p = cf_calloc(n, sizeof *p, NULL);

    assert_non_null(p);
    return p;
}

static inline float *copy_of(const float *from, size_t n)
{
    float *p = floats(n);

    memcpy(p, from, n * sizeof *p);
    return p;
}

#define assert_near(got, want, tol)                                                      \
    do {                                                                                 \
        double near_got = (got), near_want = (want), near_tol = (tol);                   \
        if (!(fabs(near_got - near_want) <= near_tol))                                   \
            fail_msg("%.9g, expected %.9g within %g", near_got, near_want, near_tol);    \
    } while (0)

#define assert_same_floats(a, b, n)                                                      \
    assert_int_equal(memcmp(a, b, (size_t)(n) * sizeof(float)), 0)

/* The call names its struct cf_error *why. */
#define assert_ok(call)                                                                  \
    do {                                                                                 \
        struct cf_error ok_err = {0}, *why = &ok_err;                                    \
        if ((call) != CF_OK)                                                             \
            fail_msg("%s", ok_err.msg);                                                  \
    } while (0)

#endif
