/* pack_crew.h - threads that fill packed weights and are gone afterwards.
 *
 * Not the OpenMP team: its pool stays, and a process that has one cannot fork. For
 * packs.c alone. */
#ifndef CF_DNN_PACK_CREW_H
#define CF_DNN_PACK_CREW_H

#include <stdint.h>

#include "base/error.h"

struct cf_pack_crew;

/* threads >= 2, the caller's own counted. CF_ENOMEM where one cannot be started. */
enum cf_status cf_pack_crew_open(struct cf_pack_crew **crew, int threads,
                                 struct cf_error *err);
void cf_pack_crew_close(struct cf_pack_crew *crew); /* joins them; NULL is fine */

/* fn(arg, first, last) over parts of [0, n), by whoever is free; returns when all are
 * done. */
void cf_pack_crew_run(struct cf_pack_crew *crew, int64_t n, int64_t grain,
                      void (*fn)(void *arg, int64_t first, int64_t last), void *arg);

#endif
