/* self.h - this process as a worker: host, boot, Slurm task, and a file that stays locked
 * until the process is gone, whatever way it goes. */
#ifndef CF_JOBS_SELF_H
#define CF_JOBS_SELF_H

#include "jobs/queue.h"

/* Names of lock files begin so. One that holds bytes is of a worker that left. */
#define CF_LOCK_PREFIX ".cfgen-worker-"

struct cf_self {
    struct cf_worker worker; /* its texts point into this struct: do not copy it */
    char host[256], boot_id[64];
    char *lock_path; /* owned */
    int lock_fd;     /* -1 without a lock */
};

/* dir: where the lock file goes, cf_queue_dir of the queue as a rule; lock files that
 * dead workers left there are removed. NULL for one who only looks (reap). build and cpu
 * are borrowed. dir is on a local file system (jobs/fs.h): a lock of another machine may
 * look free. */
enum cf_status cf_self_open(struct cf_self *self, const char *dir, const char *build,
                            const char *cpu, struct cf_error *err);

/* Removes the lock file. After cf_queue_unregister. */
void cf_self_close(struct cf_self *self);

/* The same where the queue could not be told, since somebody has it locked: the lock file
 * stays and says that this worker left in good order, so that whoever takes its jobs back
 * charges nobody. */
void cf_self_leave(struct cf_self *self);

#endif
