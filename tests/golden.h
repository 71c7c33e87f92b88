/* golden.h - runs every golden fixture found under a directory and says how far off we are. */
#ifndef CF_TESTS_GOLDEN_H
#define CF_TESTS_GOLDEN_H

struct cf_golden {
    int passed, failed;
    int threads;
};

/* prints "ok|FAIL  NAME  worst W  tolerance T  [why]" and counts */
void cf_golden_report(struct cf_golden *g, const char *fixture, double worst,
                      double tolerance, const char *fail_or_null);

int cf_golden_textenc(struct cf_golden *g, const char *dir); /* number of fixtures found
                                                                under dir, recursively */
int cf_golden_infinity(struct cf_golden *g, const char *dir);

#endif
