/* team.h - how many threads: the one place that counts processors.
 *
 * In this order: what the caller asks for; OMP_NUM_THREADS; SLURM_CPUS_PER_TASK; else one
 * thread a core of the affinity mask: a second one on a core's other hardware thread
 * finds the same multipliers busy. OMP_NUM_THREADS is bounded by the processors of the
 * mask, Slurm's number, which counts hardware threads, by its cores, and both by the
 * cgroup CPU quota (version 1 and 2). */
#ifndef CF_BASE_TEAM_H
#define CF_BASE_TEAM_H

#include "base/error.h"

enum { CF_MAX_THREADS = 1024 };

struct cf_team {
    int threads;     /* 1 .. CF_MAX_THREADS */
    int affinity;    /* processors this process may run on */
    int cores;       /* that they belong to (base/topology.h) */
    int quota;       /* whole processors of the cgroup quota, 0 = none */
    const char *why; /* what decided, for the log: "--threads", "cores", ... */
};

/* asked 0: decide by the rules above. CF_EUSAGE outside 0 .. CF_MAX_THREADS; CF_ENOMEM.
 */
enum cf_status cf_team_count(struct cf_team *team, int asked, struct cf_error *err);

/* First thing in main, before there is a thread or a file: settles how long threads that
 * wait spin before they sleep. libgomp's own answer, some milliseconds, stalls everybody
 * wherever others use the same processors: each of hundreds of barriers an image then
 * lasts as long as the scheduler's turns (measured with 20 busy threads on 2 processors:
 * 50 times slower than with the answer here; alone on the machine there is no
 * difference). It reads its environment before main, so where GOMP_SPINCOUNT and
 * OMP_WAIT_POLICY are unset, the program starts itself once more with the former set.
 * Where that cannot be, nothing happens. */
void cf_team_calm(char **argv);

#endif
