/* durable.h - bytes become a file whole or not at all: the steps that sink.h promises.
 *
 *     open .tmp-PID-N-STEM (new, locked) -> write -> fdatasync -> close
 *       -> rename over the name -> fsync the directory
 *
 * Until the rename the old file of that name is untouched; after it the new one is whole.
 * A failed fsync is final: the kernel may have dropped the pages and would report success
 * the next time (PostgreSQL's "fsyncgate", 2018), so the temporary file goes and the
 * caller writes again from its own memory.
 *
 * The temporary file carries a flock while its writer lives. The PID alone would not do:
 * on a shared file system or in a container the same number means another process. */
#ifndef CF_STORE_DURABLE_H
#define CF_STORE_DURABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum { CF_STEM = 32, CF_TEMP_NAME = 96 };

/* True for exactly CF_STEM digits of [0-9a-f] and a NUL. */
bool cf_stem_valid(const char *stem);

/* Write size bytes as name in the directory dirfd, on disk when it returns CF_OK.
 *   name   one path component, checked by the caller
 *   stem   valid; names the temporary file
 *   where  for messages
 * No failure leaves a temporary file, and none before the last step (fsync of the
 * directory) touches the old file; after that step failed the new file is there, whole,
 * but may be gone after a power loss. CF_ENOSPC, CF_EIO, CF_EPERM; CF_ECREAT where the
 * directory is no longer there. */
enum cf_status cf_durable_put(int dirfd, const char *name, const char *stem,
                              const void *data, size_t size, const char *where,
                              struct cf_error *err);

/* All of it but the last step: the rename itself is on disk only after an fsync of the
 * directory, which is the caller's. */
enum cf_status cf_durable_write(int dirfd, const char *name, const char *stem,
                                const void *data, size_t size, const char *where,
                                struct cf_error *err);

/* Write and remove a small temporary file, to learn whether that works here. */
enum cf_status cf_durable_probe(int dirfd, const char *where, struct cf_error *err);

/* fsync of a directory. */
enum cf_status cf_durable_sync(int dirfd, const char *where, struct cf_error *err);

/* True where name is ".tmp-PID-N-STEM"; *pid is its number. */
bool cf_temp_parse(const char *name, pid_t *pid);

/* True where name is such a file and its writer is surely gone: no process of this host
 * has the number and nobody holds the lock; without locks on this file system, it is
 * older than an hour. */
bool cf_temp_abandoned(int dirfd, const char *name);

/* As cf_fail_errno, but a missing directory is CF_ECREAT: not the job's fault. */
enum cf_status cf_create_error(struct cf_error *err, int errnum, const char *what,
                               const char *where);

#endif
