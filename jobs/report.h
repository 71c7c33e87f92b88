/* report.h - how a queue stands: what status tells.
 *
 * Bounded work whatever the number of rows: counters kept by trigger, the last outputs by
 * the index of their times, the live workers. So it takes milliseconds at ten million
 * jobs and can be asked for by a monitor. */
#ifndef CF_JOBS_REPORT_H
#define CF_JOBS_REPORT_H

#include "jobs/db.h"

enum {
    CF_REPORT_CAUSES = 32,   /* listed; the rarest are left out */
    CF_REPORT_WORKERS = 64,  /* listed; n_worker counts all */
    CF_REPORT_STAGES = 16,   /* kinds of stages */
    CF_REPORT_SAMPLE = 2000, /* outputs whose stages are averaged */
};

struct cf_report {
    struct cf_counts counts;
    int64_t total;
    int64_t left; /* ready, running or delayed */

    /* Images a minute, in the last ten minutes and from the first output to the last;
     * negative: not known. */
    double rate, rate_all;
    /* Seconds until nothing is left, by the rate of the last ten minutes; low and high by
     * two standard errors of what was done in each of these minutes. Negative: not known;
     * a high that is negative beside a known eta has no bound. */
    double eta, eta_low, eta_high;

    struct cf_report_stage {
        char name[32];
        double mean_ms;
    } stage[CF_REPORT_STAGES]; /* the slowest first */
    int n_stage;

    struct cf_report_cause {
        char code[64];
        int64_t n;
    } cause[CF_REPORT_CAUSES]; /* the commonest first */
    int n_cause;

    struct cf_report_worker {
        int64_t id, pid, started, beat, jobs; /* started: ms; jobs: leases held */
        char host[65];
        /* LOCAL: of this host, its lock is held. AWAY: of another host, whose locks
         * cannot be seen: only a beat that moves tells that it lives. GONE: of this
         * host and dead; the next worker takes its jobs back. */
        enum cf_report_life { CF_LIFE_LOCAL, CF_LIFE_AWAY, CF_LIFE_GONE } life;
    } worker[CF_REPORT_WORKERS];
    int n_listed;
    int64_t n_worker;
};

/* One snapshot of the queue, which is read only. */
enum cf_status cf_report_read(struct cf_report *r, struct cf_queue *q,
                              struct cf_error *err);

#endif
