/* fault.h - places where a test makes something go wrong; empty in a normal build.
 *
 * configure --enable-faults compiles them in, and only then does the environment variable
 * CFGEN_FAULT mean anything: "ACTION:PLACE" or "ACTION:PLACE=N", several divided by
 * commas. PLACE is the name given here, N the number given here (a job's id, a scale;
 * without =N any). Actions: pause (stop there until the process is told to stop or for a
 * minute), segv, abort, exit, nan (the caller asks with cf_fault_hit and spoils its
 * data), fail (likewise: the caller fails). */
#ifndef CF_BASE_FAULT_H
#define CF_BASE_FAULT_H

#include <stdbool.h>

#ifdef CF_FAULTS
void cf_fault_point(const char *place, long long n);
bool cf_fault_hit(const char *action, const char *place, long long n);
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
#endif

#endif
