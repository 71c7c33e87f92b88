/* clock.h - time that passes, for measuring and waiting: CLOCK_MONOTONIC. */
#ifndef CF_BASE_CLOCK_H
#define CF_BASE_CLOCK_H

/* Seconds since some moment of this boot. */
double cf_clock(void);

/* The same in whole milliseconds. */
long long cf_clock_ms(void);

#endif
