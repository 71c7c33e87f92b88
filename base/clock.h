/* clock.h - time that passes, for measuring and waiting: CLOCK_MONOTONIC; and the form in
 * which moments are written. */
#ifndef CF_BASE_CLOCK_H
#define CF_BASE_CLOCK_H

#include <stdint.h>

/* Seconds since some moment of this boot. */
double cf_clock(void);

/* The same in whole milliseconds. */
long long cf_clock_ms(void);

/* Seconds since 1970 as "2026-11-22T20:47:09Z" into buf; NULL where no year can say it.
 */
enum { CF_CLOCK_UTC = 40 };
const char *cf_clock_utc(char buf[CF_CLOCK_UTC], int64_t seconds);

#endif
