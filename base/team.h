/* team.h - how many threads: the one place that counts processors.
 *
 * In this order: what the caller asks for; OMP_NUM_THREADS; SLURM_CPUS_PER_TASK; else all
 * that the affinity mask allows. Whatever was chosen without being asked for is bounded
 * by the affinity mask and the cgroup CPU quota (version 1 and 2). */
#ifndef CF_BASE_TEAM_H
#define CF_BASE_TEAM_H

#include "base/error.h"

enum { CF_MAX_THREADS = 1024 };

struct cf_team {
    int threads;     /* 1 .. CF_MAX_THREADS */
    int affinity;    /* processors this process may run on */
    int quota;       /* whole processors of the cgroup quota, 0 = none */
    const char *why; /* what decided, for the log: "--threads", "affinity", ... */
};

/* asked 0: decide by the rules above. CF_EUSAGE outside 0 .. CF_MAX_THREADS. */
enum cf_status cf_team_count(struct cf_team *team, int asked, struct cf_error *err);

#endif
