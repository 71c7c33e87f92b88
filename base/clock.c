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

const char *cf_clock_utc(char buf[CF_CLOCK_UTC], int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(buf, CF_CLOCK_UTC, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return NULL;
    return buf;
}
