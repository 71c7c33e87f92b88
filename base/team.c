#include "base/team.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/topology.h"

/* Turns of libgomp's loop, some tens of microseconds: as long as parts of a product
 * differ in length, and shorter than a turn of the scheduler. */
#define SPINS "1000"

static int by_affinity(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static int whole(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    return quota < period ? 1 : (int)(quota / period);
}

/* The quota of the cgroup this process sits in, 0 if there is none. Version 2 first. */
static int by_cgroup(void)
{
    char line[512], path[640];
    long long quota = 0, period = 0;
    int best = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof line, f)) {
        char *at = strstr(line, "::");
        FILE *q;

        line[strcspn(line, "\n")] = '\0';
        if (!at)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", at + 2);
        q = fopen(path, "re");
        if (q && fscanf(q, "%lld %lld", &quota, &period) == 2)
            best = whole(quota, period);
        if (q)
            fclose(q);
    }
    if (f)
        fclose(f);
    if (best)
        return best;
    f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re");
    if (f && fscanf(f, "%lld", &quota) == 1 && quota > 0) {
        FILE *p = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");

        if (p && fscanf(p, "%lld", &period) == 1)
            best = whole(quota, period);
        if (p)
            fclose(p);
    }
    if (f)
        fclose(f);
    return best;
}

/* A positive number in an environment variable (the first of a comma list), else 0. */
static int by_env(const char *name)
{
    const char *s = getenv(name);
    char *end;
    long n;

    if (!s || !*s)
        return 0;
    n = strtol(s, &end, 10);
    if ((*end && *end != ',') || n < 1 || n > CF_MAX_THREADS)
        return 0;
    return (int)n;
}

void cf_team_calm(char **argv)
{
    char self[4096]; /* by its name: what looks for processes goes by that */
    ssize_t n;

    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0 || setenv("GOMP_SPINCOUNT", SPINS, 1) != 0)
        return;
    self[n] = '\0';
    execv(self, argv);
}

/* What the environment asks for, within the mask and the quota; 0: nothing. */
static int by_surroundings(struct cf_team *team, int quota)
{
    int n = by_env("OMP_NUM_THREADS"), bound = team->affinity;

    team->why = "OMP_NUM_THREADS";
    if (!n) {
        n = by_env("SLURM_CPUS_PER_TASK");
        bound = team->cores;
        team->why = "SLURM_CPUS_PER_TASK";
    }
    bound = quota < bound ? quota : bound;
    return n < bound ? n : bound;
}

enum cf_status cf_team_count(struct cf_team *team, int asked, struct cf_error *err)
{
    struct cf_topology t;
    int quota;

    if (asked < 0 || asked > CF_MAX_THREADS)
        return cf_fail(err, CF_EUSAGE, "threads: %d asked for, expected 1..%d or auto",
                       asked, CF_MAX_THREADS);
    CF_TRY(cf_topology_read(&t, err));
    team->affinity = by_affinity();
    team->cores = t.cores < team->affinity ? t.cores : team->affinity;
    cf_topology_free(&t);
    team->quota = by_cgroup();
    team->threads = asked;
    team->why = "--threads";
    if (asked)
        return CF_OK;
    quota = team->quota ? team->quota : CF_MAX_THREADS;
    team->threads = by_surroundings(team, quota);
    if (team->threads)
        return CF_OK;
    team->threads = team->cores < quota ? team->cores : quota;
    team->why = team->cores <= quota ? "cores" : "cgroup quota";
    return CF_OK;
}
