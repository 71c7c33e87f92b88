/* cancel.h - a flag that compute threads poll and a signal thread sets. */
#ifndef CF_BASE_CANCEL_H
#define CF_BASE_CANCEL_H

#include <stdatomic.h>

#include "base/error.h"

struct cf_cancel {
    atomic_int stop; /* 0: go on; 1: drop the work at the next check */
};

void cf_cancel_set(struct cf_cancel *c);

/* CF_ECANCEL once set. c may be NULL: never cancelled. */
enum cf_status cf_cancel_check(struct cf_cancel *c, struct cf_error *err);

#endif
