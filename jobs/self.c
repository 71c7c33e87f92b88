#include "jobs/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"

/* One number per boot of the kernel; empty where there is none. */
static void read_boot_id(char *buf, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

/* A new name each time: a lock file is never taken over by another worker. */
static enum cf_status make_lock(struct cf_self *self, const char *dir,
                                struct cf_error *err)
{
    self->lock_path = cf_format(err, "%s/.cfgen-worker-%d-XXXXXX", dir, (int)getpid());
    if (!self->lock_path)
        return CF_ENOMEM;
    self->lock_fd = mkostemp(self->lock_path, O_CLOEXEC);
    if (self->lock_fd < 0)
        return cf_fail_errno(err, errno, "%s", self->lock_path);
    if (flock(self->lock_fd, LOCK_EX) != 0)
        return cf_fail_errno(err, errno, "%s: lock", self->lock_path);
    self->worker.lock_path = self->lock_path;
    return CF_OK;
}

enum cf_status cf_self_open(struct cf_self *self, const char *dir, const char *build,
                            const char *cpu, struct cf_error *err)
{
    const char *restart = getenv("SLURM_RESTART_COUNT");
    enum cf_status st = CF_OK;

    memset(self, 0, sizeof *self);
    self->lock_fd = -1;
    if (gethostname(self->host, sizeof self->host - 1) != 0)
        return cf_fail_errno(err, errno, "host name");
    read_boot_id(self->boot_id, sizeof self->boot_id);
    self->worker.host = self->host;
    self->worker.boot_id = self->boot_id;
    self->worker.build = build;
    self->worker.cpu = cpu;
    self->worker.pid = (int)getpid();
    self->worker.slurm_job = getenv("SLURM_JOB_ID");
    self->worker.slurm_task = getenv("SLURM_PROCID");
    self->worker.restart = restart ? atoi(restart) : 0;
    if (dir)
        st = make_lock(self, dir, err);
    if (st != CF_OK)
        cf_self_close(self);
    return st;
}

void cf_self_close(struct cf_self *self)
{
    if (self->lock_fd >= 0) {
        unlink(self->lock_path);
        close(self->lock_fd);
    }
    cf_free(self->lock_path);
    memset(self, 0, sizeof *self);
    self->lock_fd = -1;
}
