#include "pipeline/budget.h"

#include <string.h>

#include "base/duration.h"

enum { MARGIN_MS = 500 };

/* Of what is predicted, for machines that others use too. */
static const double slack = 0.05;

void cf_budget_start(struct cf_budget *b, long long start, int64_t seconds)
{
    memset(b, 0, sizeof *b);
    b->end = seconds == CF_UNLIMITED ? 0 : start + 1000 * seconds;
}

void cf_budget_note(struct cf_budget *b, double ms)
{
    b->recent[b->n++ % CF_BUDGET_RECENT] = ms;
    b->mean = b->mean > 0 ? 0.7 * b->mean + 0.3 * ms : ms;
}

void cf_budget_forget(struct cf_budget *b)
{
    memset(b->recent, 0, sizeof b->recent);
    b->mean = 0;
    b->n = 0;
}

static double per_image(const struct cf_budget *b)
{
    double ms = b->mean;

    for (int i = 0; i < CF_BUDGET_RECENT; i++)
        ms = b->recent[i] > ms ? b->recent[i] : ms;
    return ms > 0.01 ? ms : 0.01;
}

int cf_budget_fit(const struct cf_budget *b, long long now, int want, int ahead,
                  double write_ms)
{
    double left = (double)(b->end - now) - MARGIN_MS - write_ms, n;

    if (!b->end)
        return want;
    if (left <= 0 || want < 1)
        return 0;
    if (!b->n)
        return 1;
    n = left / (per_image(b) * (1 + slack)) - ahead;
    return n < 1 ? 0 : n < want ? (int)n : want;
}
