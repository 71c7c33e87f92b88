/* lock.h - the lock of a shard's result file: one host, one process and its children. */
#ifndef CF_JOBS_LOCK_H
#define CF_JOBS_LOCK_H

#include "base/error.h"

/* Locks RESULTS.lock, made when missing; *fd is for close. By flock, or where the file
 * system has none by a lock of the open file; children made by fork share either.
 * CF_EBUSY when somebody else holds it. */
enum cf_status cf_lock_results(const char *results, int *fd, struct cf_error *err);

#endif
