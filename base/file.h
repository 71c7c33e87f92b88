/* file.h - files of whoever names them: never a pipe that waits for ever, never more
 * memory than was meant; what is written is written whole. */
#ifndef CF_BASE_FILE_H
#define CF_BASE_FILE_H

#include <stddef.h>

#include "base/error.h"

/* A regular file for reading; *size is its length. The caller closes the descriptor. -1
 * with CF_ENOENT, CF_EPERM, CF_EIO, or CF_EFORMAT for what is no regular file. */
int cf_file_open(const char *path, size_t *size, struct cf_error *err);

/* The whole of it, with a NUL behind that *size does not count; cf_free. NULL also with
 * CF_EFORMAT above max bytes or when its length changes meanwhile, and CF_ENOMEM. */
char *cf_file_read(const char *path, size_t max, size_t *size, struct cf_error *err);

/* What a download that went wrong leaves under the name of a file: nothing, a pointer of
 * Git LFS, a web page or a line of text that says why; or the file, compressed. head: its
 * first n bytes, of which a few hundred are enough. CF_EFORMAT names what it is; CF_OK
 * for anything else, so this is asked where a file was found not to be what it should. */
enum cf_status cf_file_no_download(const void *head, size_t n, const char *where,
                                   struct cf_error *err);

/* All of n bytes to a descriptor that is open for writing; path is for messages. CF_EIO,
 * CF_ENOSPC. On disk they are after an fsync. */
enum cf_status cf_file_write(int fd, const void *bytes, size_t n, const char *path,
                             struct cf_error *err);

/* fsync of a directory, after which the names in it are on disk. One that cannot be
 * synced at all (EINVAL) has nothing to sync. */
enum cf_status cf_file_sync_dir(const char *dir, struct cf_error *err);

/* The last component of a path, slashes at its end left out: *len bytes of it. */
const char *cf_file_last_name(const char *path, size_t *len);

#endif
