#include "pipeline/scales.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tell(const char *before, const struct cf_plan *plan, int step, double ms,
                 const char *after)
{
    const struct cf_step *s = &plan->step[step];

    fprintf(stderr, "%scfgen: scale %d of %d, %dx%d tokens, %.1f s%s", before, step + 1,
            plan->n_step, s->w, s->h, 1e-3 * ms, after);
    fflush(stderr);
}

static void line(const struct cf_plan *plan, int step, double ms)
{
    tell("", plan, step, ms, "\n");
}

static void redraw(const struct cf_plan *plan, int step, double ms)
{
    tell("\r", plan, step, ms, "\x1b[K");
}

static void erase(void)
{
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
}

const struct cf_watch *cf_scales_watch(bool verbose)
{
    static const struct cf_watch lines = {line, NULL}, one = {redraw, erase};
    const char *term = getenv("TERM");

    if (verbose)
        return &lines;
    return isatty(2) && term && strcmp(term, "dumb") != 0 ? &one : NULL;
}
