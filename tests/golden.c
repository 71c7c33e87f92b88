/* golden.c - a line per fixture, and the counts. */
#include "tests/golden.h"

#include <stdio.h>

void cf_golden_report(struct cf_golden *g, const char *fixture, double worst,
                      double tolerance, const char *fail_or_null)
{
    int bad = fail_or_null != NULL || !(worst <= tolerance);

    g->failed += bad;
    g->passed += !bad;
    printf("%s  %s  worst %.3g  tolerance %.3g%s%s\n", bad ? "FAIL" : "ok", fixture,
           worst, tolerance, fail_or_null ? "  " : "", fail_or_null ? fail_or_null : "");
    fflush(stdout);
}
