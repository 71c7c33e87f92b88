/* cache.h - a bounded store of bytes by key, in an SQLite file of its own.
 *
 * For text features: what goes in comes out bit for bit, or not at all. Every value
 * carries a CRC-32; one that does not match is a miss and is removed. Losing the file
 * loses nothing, so it is not synced and a damaged one is begun anew. Several processes
 * of one host may use it at once; on a file system shared between machines it is refused
 * (CF_ECONFIG), for SQLite's log needs shared memory.
 *
 * A value is dropped, the least lately used first, when the sum of all goes above the
 * bound. A cache belongs to one thread. */
#ifndef CF_JOBS_CACHE_H
#define CF_JOBS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

struct cf_cache;

/* dir must exist or its parent must; the file is DIR/embed.sqlite. max_bytes >= 1 MiB. */
enum cf_status cf_cache_open(struct cf_cache **c, const char *dir, int64_t max_bytes,
                             struct cf_error *err);
void cf_cache_close(struct cf_cache *c); /* NULL is fine */

/* *data fresh (cf_free), NULL for a miss. key: 64 hex digits. Busy or damaged is a miss;
 * only CF_ENOMEM is a failure. */
enum cf_status cf_cache_get(struct cf_cache *c, const char key[CF_DIGEST_HEX],
                            void **data, size_t *size, struct cf_error *err);

/* A value larger than an eighth of the bound is not kept. What cannot be written (disk
 * full, busy) is not kept either, and *kept is false: the run goes on without. */
enum cf_status cf_cache_put(struct cf_cache *c, const char key[CF_DIGEST_HEX],
                            const void *data, size_t size, bool *kept,
                            struct cf_error *err);

struct cf_cache_count {
    int64_t hits, misses, kept, bytes, entries;
};
struct cf_cache_count cf_cache_count(const struct cf_cache *c);

#endif
