#include "jobs/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

enum cf_status cf_part_open(struct cf_part *p, const char *target, struct cf_error *err)
{
    int fd;

    *p = (struct cf_part){.path = cf_format(err, "%s.part-XXXXXX", target), .target = target};
    if (!p->path)
        return CF_ENOMEM;
    fd = mkostemp(p->path, O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return CF_OK;
    }
    cf_free(p->path);
    p->path = NULL;
    return errno == ENOENT ? cf_fail(err, CF_ECREAT, "%s: no such directory", target)
                           : cf_fail_errno(err, errno, "%s", target);
}

static enum cf_status sync_directory(const char *target, struct cf_error *err)
{
    const char *slash = strrchr(target, '/');
    char *dir = slash ? cf_strndup(target, (size_t)(slash - target) + 1, err)
                      : cf_strdup(".", err);
    enum cf_status st = CF_OK;
    int fd;

    if (!dir)
        return CF_ENOMEM;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        st = cf_fail_errno(err, errno, "%s", dir);
    if (fd >= 0)
        close(fd);
    cf_free(dir);
    return st;
}

enum cf_status cf_part_keep(struct cf_part *p, struct cf_error *err)
{
    enum cf_status st = CF_OK;
    mode_t mask = umask(0);
    int fd = open(p->path, O_RDWR | O_CLOEXEC);

    umask(mask);
    if (fd < 0 || fchmod(fd, 0666 & ~mask) != 0 || fsync(fd) != 0 ||
        rename(p->path, p->target) != 0)
        st = cf_fail_errno(err, errno, "%s", p->target);
    if (fd >= 0)
        close(fd);
    if (st != CF_OK)
        return st;
    cf_free(p->path);
    p->path = NULL;
    return sync_directory(p->target, err);
}

void cf_part_drop(struct cf_part *p)
{
    static const char *const suffix[] = {"", "-journal", "-wal", "-shm"};

    for (size_t i = 0; p->path && i < sizeof suffix / sizeof suffix[0]; i++) {
        struct cf_error ignored = {0};
        char *name = cf_format(&ignored, "%s%s", p->path, suffix[i]);

        if (name)
            unlink(name);
        cf_free(name);
    }
    cf_free(p->path);
    p->path = NULL;
}
