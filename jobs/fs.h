/* fs.h - which file systems are shared between machines.
 *
 * SQLite's write-ahead log needs memory shared by all its users, so one host; and locks
 * of network file systems are known to fail silently. */
#ifndef CF_JOBS_FS_H
#define CF_JOBS_FS_H

#include "base/error.h"

/* The name of a shared file system with statfs's f_type magic; NULL for a local one. */
const char *cf_fs_shared(unsigned long magic);

/* CF_ECONFIG when dir lies on a shared file system; the message names the ways out. */
enum cf_status cf_fs_check_local(const char *dir, struct cf_error *err);

#endif
