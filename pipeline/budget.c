#include "pipeline/budget.h"

#include <limits.h>
#include <string.h>

#include "base/duration.h"

enum { MARGIN_MS = 500 };

/* Of what is predicted, for machines that others use too. */
static const double slack = 0.05;

void cf_budget_open(struct cf_budget *b, long long start, int64_t seconds)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    b->end = seconds == CF_UNLIMITED ? 0 : start + 1000 * seconds;
}

void cf_budget_close(struct cf_budget *b)
{
    pthread_mutex_destroy(&b->lock);
}

void cf_budget_note(struct cf_budget *b, double ms)
{
    pthread_mutex_lock(&b->lock);
    b->recent[b->n++ % CF_BUDGET_RECENT] = ms;
    b->mean = b->mean > 0 ? 0.7 * b->mean + 0.3 * ms : ms;
    pthread_mutex_unlock(&b->lock);
}

void cf_budget_forget(struct cf_budget *b)
{
    pthread_mutex_lock(&b->lock);
    memset(b->recent, 0, sizeof b->recent);
    b->mean = 0;
    b->n = 0;
    pthread_mutex_unlock(&b->lock);
}

long long cf_budget_left(const struct cf_budget *b, long long now)
{
    if (!b->end)
        return LLONG_MAX;
    return b->end > now ? b->end - now : 0;
}

static double per_image(const struct cf_budget *b)
{
    double ms = b->mean;

    for (int i = 0; i < CF_BUDGET_RECENT; i++)
        ms = b->recent[i] > ms ? b->recent[i] : ms;
    return ms > 0.01 ? ms : 0.01;
}

static int fit(const struct cf_budget *b, double left, int want, int ahead)
{
    double n;

    if (left <= 0 || want < 1)
        return 0;
    if (!b->n)
        return ahead ? 0 : 1;
    n = left / (per_image(b) * (1 + slack)) - ahead;
    return n < 1 ? 0 : n < want ? (int)n : want;
}

int cf_budget_fit(struct cf_budget *b, long long now, int want, int ahead,
                  double write_ms)
{
    int n;

    if (!b->end)
        return want;
    pthread_mutex_lock(&b->lock);
    n = fit(b, (double)(b->end - now) - MARGIN_MS - write_ms, want, ahead);
    pthread_mutex_unlock(&b->lock);
    return n;
}
