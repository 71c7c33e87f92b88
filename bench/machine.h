/* machine.h - the machine under measurement: its caches, and blocks of memory to read. */
#ifndef CF_BENCH_MACHINE_H
#define CF_BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cf_machine {
    char model[96];      /* of the processor, as the system calls it */
    size_t l1, l2, last; /* bytes of data caches; 0: unknown */
    float *block;        /* owned; more than the last cache holds */
    size_t floats;       /* of block */
    size_t at;           /* where the next read begins */
};

/* last: bytes of the last cache where the caller knows better, or 0. m->last is never 0:
 * where the system says nothing either, 32 MiB are taken for it. */
enum cf_status cf_machine_open(struct cf_machine *m, size_t last, struct cf_error *err);
void cf_machine_close(struct cf_machine *m);

/* How many copies of `bytes` the caches cannot hold, so that reading them in turn reads
 * memory; at least 1. */
int cf_machine_copies(const struct cf_machine *m, size_t bytes);

/* Memory of this process in bytes: now; the most since the last
 * reset. 0, or false, where the system does not say. */
double cf_machine_resident(void);
double cf_machine_resident_peak(void);
bool cf_machine_resident_reset(void);

#endif
