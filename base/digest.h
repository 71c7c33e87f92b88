/* digest.h - SHA-256 (libcrypto) of memory and files, as 64 lower-case hex digits. */
#ifndef CF_BASE_DIGEST_H
#define CF_BASE_DIGEST_H

#include <stddef.h>

#include "base/error.h"

enum { CF_DIGEST_HEX = 65 }; /* 64 digits and a NUL */

struct cf_digest; /* a running hash */

struct cf_digest *cf_digest_open(struct cf_error *err); /* NULL: CF_ENOMEM */
enum cf_status cf_digest_add(struct cf_digest *d, const void *p, size_t n,
                             struct cf_error *err);
/* Ends the hash and frees d, also on failure. */
enum cf_status cf_digest_close(struct cf_digest *d, char hex[CF_DIGEST_HEX],
                               struct cf_error *err);

enum cf_status cf_digest_mem(const void *p, size_t n, char hex[CF_DIGEST_HEX],
                             struct cf_error *err);

/* The whole file, read in pieces. */
enum cf_status cf_digest_file(const char *path, char hex[CF_DIGEST_HEX],
                              struct cf_error *err);

#endif
