#include "pipeline/exclusive.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/self.h"

/* The file of a database, whatever name it is called by. -1 on failure. */
static int open_lock(const char *path, struct cf_error *err)
{
    char real[PATH_MAX], *name;
    int fd;

    if (!realpath(path, real)) {
        cf_fail_errno(err, errno, "%s", path);
        return -1;
    }
    name = cf_format(err, "%s.exclusive", real);
    if (!name)
        return -1;
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        cf_fail_errno(err, errno, "%s", name);
    cf_free(name);
    return fd;
}

static enum cf_status others(struct cf_queue *q, bool *in_use, struct cf_error *err)
{
    struct cf_self self;
    enum cf_status st;

    CF_TRY(cf_self_open(&self, NULL, "", "", err));
    st = cf_queue_in_use(q, &self.worker, in_use, err);
    cf_self_close(&self);
    return st;
}

enum cf_status cf_exclusive_take(const char *path, struct cf_queue *q, int *fd,
                                 bool *taken, struct cf_error *err)
{
    bool in_use = true;
    enum cf_status st = CF_OK;

    *taken = false;
    *fd = open_lock(path, err);
    if (*fd < 0)
        return err->status;
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        st = others(q, &in_use, err);
    else if (errno != EWOULDBLOCK)
        st = cf_fail_errno(err, errno, "%s: lock", path);
    *taken = st == CF_OK && !in_use;
    if (!*taken) {
        close(*fd);
        *fd = -1;
    }
    return st;
}
