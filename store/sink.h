/* sink.h - a file is there whole or not at all, and for good before its row says so.
 *
 * cf_sink_put writes ".tmp-PID-N-STEM" beside the target, fdatasyncs, renames. A failure
 * removes the temporary file and leaves the old file of that name. cf_sink_sync then
 * fsyncs each directory that got a name, once for a whole batch of files, and only after
 * it may rows speak of them: until then a power loss may take the name away (never a part
 * of the file). Layout "files": ROOT/ab/cd/STEM.webp, where abcd are the first digits of
 * the stem; links inside the root are not followed.
 *
 * A file-size limit (RLIMIT_FSIZE) is CF_EIO where the program ignores SIGXFSZ. */
#ifndef CF_STORE_SINK_H
#define CF_STORE_SINK_H

#include "base/error.h"
#include "store/webp.h"

struct cf_sink;

/* Makes root when missing (its parent must exist) and proves it writable by writing and
 * removing a file; CF_ECREAT or CF_EPERM names it. */
enum cf_status cf_sink_open(struct cf_sink **sink, const char *root,
                            struct cf_error *err);
void cf_sink_close(struct cf_sink *sink);

/* path gets the name relative to root (at least CF_SINK_PATH bytes). stem: [0-9a-f]{32},
 * CF_EUSAGE otherwise. Overwrites an equal name. Thread-safe. CF_ENOSPC, CF_EIO,
 * CF_EPERM; CF_ECREAT where the root is gone or something else has a directory's name. */
enum { CF_SINK_PATH = 80 };
enum cf_status cf_sink_put(struct cf_sink *sink, const char *stem,
                           const struct cf_blob *blob, char *path, struct cf_error *err);

/* Every file whose cf_sink_put returned before this call is there for good when it
 * returns CF_OK. After a failure all files put since the last success may be gone after a
 * power loss, also those of other threads: putting them again is the remedy, a second
 * sync alone is none (the kernel may report success for what it has dropped). */
enum cf_status cf_sink_sync(struct cf_sink *sink, struct cf_error *err);

/* One file of the caller's own name, in a directory that exists, for good when it returns
 * CF_OK. When the last step fails (fsync of the directory) the new file is there, whole,
 * and may be gone after a power loss.
 * What is no plain file (a device, a pipe, a link) is not replaced: CF_ECREAT. */
enum cf_status cf_file_put(const char *path, const void *data, size_t size,
                           struct cf_error *err);

/* Removes temporary files that a killed process of this host left below root: those whose
 * PID no longer lives and whose lock nobody holds; without locks on this file system,
 * those older than an hour. Reads every directory of the layout. *n is how many. */
enum cf_status cf_sink_sweep(struct cf_sink *sink, int *n, struct cf_error *err);

#endif
