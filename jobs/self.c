#include "jobs/self.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
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

/* The name that was opened still names the open file. */
static bool is_there(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* A new name each time: a lock file is never taken over by another worker. Between making
 * and locking it, another's sweep may take the file for a dead one's: then once more. */
static enum cf_status make_lock(struct cf_self *self, const char *dir,
                                struct cf_error *err)
{
    for (;;) {
        self->lock_path =
            cf_format(err, "%s/" CF_LOCK_PREFIX "%d-XXXXXX", dir, (int)getpid());
        if (!self->lock_path)
            return CF_ENOMEM;
        self->lock_fd = mkostemp(self->lock_path, O_CLOEXEC);
        if (self->lock_fd < 0)
            return cf_fail_errno(err, errno, "%s", self->lock_path);
        if (flock(self->lock_fd, LOCK_EX) != 0)
            return cf_fail_errno(err, errno, "%s: lock", self->lock_path);
        if (is_there(self->lock_fd, self->lock_path))
            break;
        close(self->lock_fd);
        self->lock_fd = -1;
        cf_free(self->lock_path);
    }
    self->worker.lock_path = self->lock_path;
    return CF_OK;
}

/* Remove what dead workers left: a lock file that can be locked has no owner, and one
 * that is gone counts as free. What cannot be opened or removed stays. */
static void sweep(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        struct stat st;
        int fd;

        if (strncmp(e->d_name, CF_LOCK_PREFIX, sizeof CF_LOCK_PREFIX - 1) != 0)
            continue;
        fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
        close(fd);
    }
    if (d)
        closedir(d);
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
    if (dir) {
        sweep(dir);
        st = make_lock(self, dir, err);
    }
    if (st != CF_OK)
        cf_self_close(self);
    return st;
}

void cf_self_leave(struct cf_self *self)
{
    if (self->lock_fd >= 0 && write(self->lock_fd, "left\n", 5) == 5) {
        close(self->lock_fd); /* the file stays */
        self->lock_fd = -1;
    }
    cf_self_close(self);
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
