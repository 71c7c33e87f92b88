/* part.h - a file that appears whole or not at all: written beside its place under a name
 * of its own, then put in place in one step.
 *
 * Order: open; write to path; keep or drop. */
#ifndef CF_JOBS_PART_H
#define CF_JOBS_PART_H

#include "base/error.h"

struct cf_part {
    char *path; /* an empty file that nobody else uses */
    const char *target;
};

/* target is borrowed. CF_ECREAT where its directory is missing. */
enum cf_status cf_part_open(struct cf_part *p, const char *target, struct cf_error *err);

/* Synced to the disk and in place of target, with the permissions of a new file. */
enum cf_status cf_part_keep(struct cf_part *p, struct cf_error *err);

/* Removes what was not kept, and SQLite's files beside it. A zeroed one is fine. */
void cf_part_drop(struct cf_part *p);

#endif
