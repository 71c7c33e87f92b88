#include "base/clock.h"

#include <time.h>

double cf_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

long long cf_clock_ms(void)
{
    return (long long)(cf_clock() * 1e3);
}
