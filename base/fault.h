/* fault.h - places where a test makes something go wrong; empty in a normal build.
 *
 * configure --enable-faults compiles them in, and only then do these environment
 * variables mean anything:
 *
 *   CFGEN_FAULT       "ACTION:PLACE" or "ACTION:PLACE=N", several divided by commas.
 *                     PLACE is the name given here; N the number given here (a job's id,
 *                     a scale, the count of a call), without =N any.
 *   CFGEN_FAULT_FILE  pause makes this file, then waits until somebody removes it, a
 *                     minute at most and once in the life of the process: so a test
 *                     knows that the place is reached, does what it wants, and lets go.
 *
 * Actions of a point: pause, segv, abort, exit (status 3, at once). Other actions are
 * words that a caller asks for and acts upon: nan (spoil the data), fail (refuse). */
#ifndef CF_BASE_FAULT_H
#define CF_BASE_FAULT_H

#include <stdbool.h>

#ifdef CF_FAULTS
void cf_fault_point(const char *place, long long n);
bool cf_fault_hit(const char *action, const char *place, long long n);
/* "fail:PLACE=N" is hit by the Nth call of the process, whatever its place. */
bool cf_fault_turn(const char *place);
#else
static inline void cf_fault_point(const char *place, long long n)
{
    (void)place;
    (void)n;
}
static inline bool cf_fault_hit(const char *action, const char *place, long long n)
{
    (void)action;
    (void)place;
    (void)n;
    return false;
}
static inline bool cf_fault_turn(const char *place)
{
    (void)place;
    return false;
}
#endif

#endif
