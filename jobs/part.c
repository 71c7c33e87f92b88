#include "jobs/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static int make(struct cf_part *p, bool named)
{
    if (!named)
        return mkostemp(p->path, O_CLOEXEC);
    unlink(p->path);
    return open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

enum cf_status cf_part_open(struct cf_part *p, const char *target, const char *name,
                            struct cf_error *err)
{
    mode_t mask = umask(0);
    int fd, errnum;

    umask(mask);
    *p = (struct cf_part){.target = target};
    p->path = name ? cf_strdup(name, err) : cf_format(err, "%s.part-XXXXXX", target);
    if (!p->path)
        return CF_ENOMEM;
    fd = make(p, name != NULL);
    errnum = errno;
    if (fd >= 0) {
        fchmod(fd, 0666 & ~mask); /* where this fails, the mode stays narrower */
        close(fd);
        return CF_OK;
    }
    cf_free(p->path);
    p->path = NULL;
    return errnum == ENOENT ? cf_fail(err, CF_ECREAT, "%s: no such directory", target)
                            : cf_fail_errno(err, errnum, "%s", target);
}

static enum cf_status sync_path(const char *path, int flags, struct cf_error *err)
{
    int fd = open(path, flags | O_CLOEXEC), errnum = 0;

    if (fd < 0 || (fsync(fd) != 0 && !(flags & O_DIRECTORY && errno == EINVAL)))
        errnum = errno;
    if (fd >= 0)
        close(fd);
    return errnum ? cf_fail_errno(err, errnum, "%s", path) : CF_OK;
}

static enum cf_status sync_directory(const char *target, struct cf_error *err)
{
    const char *slash = strrchr(target, '/');
    char *dir = slash ? cf_strndup(target, (size_t)(slash - target) + 1, err)
                      : cf_strdup(".", err);
    enum cf_status st = dir ? sync_path(dir, O_RDONLY | O_DIRECTORY, err) : CF_ENOMEM;

    cf_free(dir);
    return st;
}

static enum cf_status renamed(struct cf_part *p, int rc, struct cf_error *err)
{
    if (rc != 0)
        return cf_fail_errno(err, errno, "%s", p->target);
    cf_free(p->path);
    p->path = NULL;
    return sync_directory(p->target, err);
}

enum cf_status cf_part_keep(struct cf_part *p, struct cf_error *err)
{
    CF_TRY(sync_path(p->path, O_RDWR, err));
    return renamed(p, rename(p->path, p->target), err);
}

enum cf_status cf_part_keep_new(struct cf_part *p, struct cf_error *err)
{
    int rc;

    CF_TRY(sync_path(p->path, O_RDWR, err));
    rc = renameat2(AT_FDCWD, p->path, AT_FDCWD, p->target, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
        rc = rename(p->path, p->target);
    if (rc != 0 && errno == EEXIST)
        return cf_fail(err, CF_ECREAT, "%s exists already: take another name", p->target);
    return renamed(p, rc, err);
}

void cf_part_drop(struct cf_part *p)
{
    static const char *const suffix[] = {"", "-journal", "-wal", "-shm"};

    for (size_t i = 0; p->path && i < sizeof suffix / sizeof suffix[0]; i++) {
        char *name = cf_format(NULL, "%s%s", p->path, suffix[i]);

        if (name)
            unlink(name);
        cf_free(name);
    }
    cf_free(p->path);
    p->path = NULL;
}
