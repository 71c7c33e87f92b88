/* golden.h - runs every golden fixture found under a directory and says how far off we
 * are. */
#ifndef CF_TESTS_GOLDEN_H
#define CF_TESTS_GOLDEN_H

#include "dnn/layer.h"

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

/* The generate fixtures alone, in another form. With exact 0 a form of lower precision:
 * every recorded bit is forced, so that errors do not add up over scales, and of the
 * recorded tensors the logits are compared, by their relative L2 error. */
struct cf_golden_form {
    enum cf_hold hold;
    enum cf_dtype kv;
    int exact;
    double tolerance; /* of inexact logits */
};
int cf_golden_generate(struct cf_golden *g, const char *dir,
                       const struct cf_golden_form *form);

#endif
