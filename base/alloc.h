/* alloc.h - memory whose size was checked before it was asked for.
 *
 * Blocks are aligned to 64 bytes (a cache line, and the widest vector) and freed by
 * cf_free. A failure names the bytes wanted. */
#ifndef CF_BASE_ALLOC_H
#define CF_BASE_ALLOC_H

#include <stddef.h>

#include "base/error.h"

enum { CF_ALIGN = 64 };

/* count * size bytes, aligned to CF_ALIGN, contents unspecified; zero bytes give a block
 * that may be freed and not read. NULL with err = CF_ENOMEM when the product does not fit
 * or the memory is not there. */
void *cf_alloc(size_t count, size_t size, struct cf_error *err);

/* As cf_alloc, all bytes zero. */
void *cf_calloc(size_t count, size_t size, struct cf_error *err);

/* Grow *block, which holds *cap elements of size bytes, to at least want elements
 * (doubling). Contents are kept. On failure *block stays as it was. */
enum cf_status cf_grow(void *block, size_t *cap, size_t want, size_t size,
                       struct cf_error *err);

/* A copy of len bytes followed by a NUL. */
char *cf_strndup(const char *s, size_t len, struct cf_error *err);
char *cf_strdup(const char *s, struct cf_error *err);

/* printf into a fresh string. */
char *cf_format(struct cf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void cf_free(void *p); /* NULL is fine */

#endif
