/* budget.h - how much work still fits before a limit of time.
 *
 * An image is expected to take as long as the running mean says, or as long as the
 * slowest of the last few, whichever is more; writing comes on top once, and a margin for
 * what nobody foresees. Until the first image is known one job at a time is claimed.
 * From any thread. */
#ifndef CF_PIPELINE_BUDGET_H
#define CF_PIPELINE_BUDGET_H

#include <pthread.h>
#include <stdint.h>

enum { CF_BUDGET_RECENT = 8 };

struct cf_budget {
    pthread_mutex_t lock;
    long long end;                   /* monotonic ms (base/clock.h), 0: no limit */
    double mean;                     /* ms per image, 0 until the first */
    double recent[CF_BUDGET_RECENT]; /* ms per image of the last groups */
    int n;                           /* groups noted */
};

/* seconds: of the limit, CF_UNLIMITED (base/duration.h) for none; start: when the clock
 * of the limit began. */
void cf_budget_open(struct cf_budget *b, long long start, int64_t seconds);

void cf_budget_close(struct cf_budget *b);

/* A group took ms per image. */
void cf_budget_note(struct cf_budget *b, double ms);

/* Another model or none known any more: as before the first image. */
void cf_budget_forget(struct cf_budget *b);

/* Milliseconds until the limit, 0 when it has passed; LLONG_MAX without one. */
long long cf_budget_left(const struct cf_budget *b, long long now);

/* How many of `want` more images may be begun now. ahead: images begun or claimed before
 * and not yet made; write_ms: what lies between an image and its row, of one image. */
int cf_budget_fit(struct cf_budget *b, long long now, int want, int ahead,
                  double write_ms);

#endif
