/* part.h - a file that appears whole or not at all: written beside its place under a name
 * of its own, then put in place in one step.
 *
 * Order: open; write to path; keep, of either kind; drop. */
#ifndef CF_JOBS_PART_H
#define CF_JOBS_PART_H

#include "base/error.h"

struct cf_part {
    char *path; /* an empty file that nobody else uses; owned, NULL once it is kept */
    const char *target;
};

/* target is borrowed. name: what the part is called, for who knows that nobody else uses
 * this name (what lies there is removed); NULL for one of its own. It has the permissions
 * of a new file. CF_ECREAT where the directory is missing. */
enum cf_status cf_part_open(struct cf_part *p, const char *target, const char *name,
                            struct cf_error *err);

/* Synced to the disk and in place of target, which it replaces. */
enum cf_status cf_part_keep(struct cf_part *p, struct cf_error *err);

/* The same, but CF_ECREAT where target has come to be, as far as the file system can tell
 * in the same step. */
enum cf_status cf_part_keep_new(struct cf_part *p, struct cf_error *err);

/* Removes what was not kept, and SQLite's files beside it. A zeroed one is fine. */
void cf_part_drop(struct cf_part *p);

#endif
