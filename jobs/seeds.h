/* seeds.h - seeds as people write them: "7", "1,5,9", "0..99:10" (0, 10, ... 90). */
#ifndef CF_JOBS_SEEDS_H
#define CF_JOBS_SEEDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CF_SEEDS_MAX = 1000000 };

struct cf_seeds {
    uint64_t *seed; /* owned, in the order written */
    size_t n, cap;
};

/* Appends. CF_EFORMAT on anything but unsigned 64-bit numbers, on a step of 0, a range
 * that runs backwards, or more than CF_SEEDS_MAX seeds together. */
enum cf_status cf_seeds_parse(struct cf_seeds *s, const char *text, size_t len,
                              struct cf_error *err);
void cf_seeds_free(struct cf_seeds *s); /* zeroes it */

#endif
