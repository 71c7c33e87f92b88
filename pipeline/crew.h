/* crew.h - several worker processes that share what their parent has loaded.
 *
 * The parent loads the model with a single thread and then forks: the packed weights are
 * the same pages of memory in all children, since nobody writes to them. libgomp's teams
 * do not survive a fork, so there must never have been one: the parent is refused
 * (CF_EBUG) unless it has one thread. Afterwards it only waits, counts, and replaces who
 * dies.
 *
 * - Each child is held to its slice of the processors that the parent may use, where
 *   there are enough; a replacement gets the slice of its predecessor.
 * - A child that dies of a signal, or ends with a status that is none of ours, is
 *   replaced unless the crew is stopping. After deaths_max deaths in a row with nothing
 *   finished in between, the crew stops with status 70.
 * - TERM, INT, USR1, XCPU and HUP stop the crew; TERM or INT again makes it drop what is
 *   at hand. Children are told through shared memory, so a signal that reaches parent and
 *   children alike (a terminal's, a batch system's) does not count twice.
 * - When the parent dies, the kernel sends the children TERM. */
#ifndef CF_PIPELINE_CREW_H
#define CF_PIPELINE_CREW_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "pipeline/stage.h"

enum { CF_CREW_MAX = 256 };

/* What one child has come to; written by the child alone. */
struct cf_crew_slot {
    atomic_long done, failed, released; /* jobs that ended */
    atomic_long reserved, ended; /* jobs of cf_crew_reserve; jobs claimed that ended */
    atomic_llong stage_us[CF_NSTAGE];
};

/* In memory shared by all. */
struct cf_crew_share {
    atomic_int stop;          /* the signal that asked the crew to stop, 0: none */
    atomic_int drop;          /* do not wait for what is at hand */
    atomic_long reserved;     /* jobs claimed by all, for a bound on their number */
    struct cf_crew_slot gone; /* of children that have ended */
    struct cf_crew_slot slot[CF_CREW_MAX];
};

struct cf_crew_options {
    int workers;    /* 1 .. CF_CREW_MAX */
    int deaths_max; /* in a row */
    struct cf_log *log;
    void *ctx;
    /* In the child, which has one thread and the stop signals blocked: its exit status.
     */
    int (*work)(void *ctx, struct cf_crew_share *share, int index);
    /* In the parent, some times a second; now: USR2 came. May be NULL. */
    void (*tick)(void *ctx, struct cf_crew_share *share, bool now);
};

struct cf_crew_result {
    int status;   /* of all: an error, else 75, else 1, else 0 */
    bool orphans; /* a child died and was not replaced: its jobs wait for a reaper */
};

/* Until all children have ended. CF_ENOMEM where none could be started. share is unmapped
 * by cf_crew_close. */
enum cf_status cf_crew_run(const struct cf_crew_options *o, struct cf_crew_share **share,
                           struct cf_crew_result *result, struct cf_error *err);
void cf_crew_close(struct cf_crew_share *share); /* NULL is fine */

/* Sums over all children, those that are gone included. */
struct cf_crew_sum {
    long done, failed, released;
    double stage_ms[CF_NSTAGE];
};
struct cf_crew_sum cf_crew_sum(struct cf_crew_share *share);

/* For child index: at most `want` of what is left of a bound of max jobs for all; what
 * was not claimed after all is given back by cf_crew_unreserve, what a child had claimed
 * and not ended when it died, by the parent. */
int cf_crew_reserve(struct cf_crew_share *share, int index, int want, long max);
void cf_crew_unreserve(struct cf_crew_share *share, int index, int n);

/* Part index of n of the processors in all; all where they are fewer than n. */
void cf_crew_slice(const cpu_set_t *all, int index, int n, cpu_set_t *part);

/* a and b are exit statuses: the one that says more. An error beats 75, 75 beats 1, 1
 * beats 0; of two errors the first stays. */
int cf_crew_worse(int a, int b);

#endif
