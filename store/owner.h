/* owner.h - whose tars lie in an output directory.
 *
 * Files by themselves carry names made of what they show, so any number of queues may
 * share a directory. Tars are numbered per queue: a second queue would begin at 00000 too
 * and, its own size being zero, cut off what the first one counts. */
#ifndef CF_STORE_OWNER_H
#define CF_STORE_OWNER_H

#include "base/error.h"

enum { CF_OWNER_MAX = 64 };

/* Before the first cf_tar_open below root, which exists: the directory is that of id (of
 * the queue; shards of one plan have that of their queue), 1..CF_OWNER_MAX characters of
 * [0-9A-Za-z-]. The first one writes it to ROOT/.cfgen-queue, for good on CF_OK; one that
 * a crash left unfinished counts as none. CF_ECONFIG where it is that of another. */
enum cf_status cf_owner_claim(const char *root, const char *id, struct cf_error *err);

#endif
