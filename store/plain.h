/* plain.h - opening and reading what somebody else may have put there: plain files only.
 *
 * No link is followed, nothing waits for a pipe, and sizes are compared before memory is
 * asked for. */
#ifndef CF_STORE_PLAIN_H
#define CF_STORE_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

/* The directory name below at (AT_FDCWD: a path); -1 with errno. flags: O_NOFOLLOW or
 * 0. */
int cf_plain_dir(int at, const char *name, int flags);

/* The plain file name in the directory at, with its size. flags: O_RDONLY or O_RDWR,
 * O_CREAT. CF_ENOENT where there is none. Something else of that name (a link, a
 * directory, a device) is CF_EFORMAT when it was to be read, CF_ECREAT when it was to be
 * written. where is for messages. */
enum cf_status cf_plain_open(int at, const char *name, int flags, const char *where,
                             int *fd, int64_t *size, struct cf_error *err);

/* Whether something has that name; a link counts by itself. */
bool cf_plain_exists(int at, const char *name);

/* bytes at offset, all of them: a shorter file is CF_EFORMAT. The caller knows that bytes
 * is a size that dst holds. */
enum cf_status cf_plain_read(int fd, void *dst, int64_t offset, size_t bytes,
                             const char *where, struct cf_error *err);

/* The same into a fresh blob. */
enum cf_status cf_plain_blob(int fd, int64_t offset, int64_t bytes, const char *where,
                             struct cf_blob *blob, struct cf_error *err);

#endif
