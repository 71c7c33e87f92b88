/* duration.h - spans of time as people and batch systems write them.
 *
 *   90  90s  90m  2h  1d           seconds, or with a unit
 *   M:SS  H:MM:SS                  as in Slurm, the leading number of any size
 *   D-HH  D-HH:MM  D-HH:MM:SS
 *   UNLIMITED  INFINITE  NOT_SET   no bound
 *   INVALID                        nothing is left: a limit that has passed
 *
 * So all that `squeue -h -o %L` prints for one job is understood. Blanks around it do not
 * matter; case does not in words. */
#ifndef CF_BASE_DURATION_H
#define CF_BASE_DURATION_H

#include <stdint.h>

#include "base/error.h"

#define CF_UNLIMITED INT64_MAX

/* Seconds, or CF_UNLIMITED. what names the option in messages. CF_EUSAGE for anything
 * else, for minutes and seconds above 59 behind a larger unit (hours above 23 behind
 * days), and above CF_DURATION_MAX. */
enum { CF_DURATION_MAX = 1000000000 };
enum cf_status cf_parse_duration(const char *s, int64_t *seconds, const char *what,
                                 struct cf_error *err);

#endif
