#include "store/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    STALE_SECONDS = 3600,
    TRIES = 10000
}; /* names tried before giving up; each is held by a live writer */

bool cf_stem_valid(const char *stem)
{
    return strspn(stem, "0123456789abcdef") == CF_STEM && stem[CF_STEM] == '\0';
}

enum cf_status cf_create_error(struct cf_error *err, int errnum, const char *what,
                               const char *where)
{
    if (errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == EEXIST ||
        errnum == EISDIR || errnum == ENAMETOOLONG)
        return cf_fail(err, CF_ECREAT, "%s %s: %s", what, where, strerror(errnum));
    return cf_fail_errno(err, errnum, "%s %s", what, where);
}

/* A number of one to nine digits without leading zeros; NULL otherwise, else its end. */
static const char *number(const char *s, long *out)
{
    char *end;

    if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
        return NULL;
    *out = strtol(s, &end, 10);
    return end - s <= 9 ? end : NULL;
}

bool cf_temp_parse(const char *name, pid_t *pid)
{
    long p, n;

    if (strncmp(name, ".tmp-", 5) != 0)
        return false;
    name = number(name + 5, &p);
    if (!name || *name != '-' || p < 1)
        return false;
    name = number(name + 1, &n);
    if (!name || *name != '-' || !cf_stem_valid(name + 1))
        return false;
    *pid = (pid_t)p;
    return true;
}

static bool process_lives(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/* Whether the file's writer is surely gone: we get its lock, or there are no locks here
 * and the file is old. */
static bool is_unlocked(int dirfd, const char *name)
{
    struct stat st;
    bool gone = false;
    /* For writing: NFS makes a flock a lock that only writers may have. */
    int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            gone = true;
        else if (errno != EWOULDBLOCK && errno != EINTR)
            gone = st.st_mtime < time(NULL) - STALE_SECONDS;
    }
    close(fd);
    return gone;
}

bool cf_temp_abandoned(int dirfd, const char *name)
{
    pid_t pid;

    return cf_temp_parse(name, &pid) && !process_lives(pid) && is_unlocked(dirfd, name);
}

/* A new locked file of a free name. A name is taken where another thread writes the same
 * stem, or a killed process of our PID left it. */
static int open_temp(int dirfd, const char *stem, char temp[CF_TEMP_NAME])
{
    int fd = -1;

    for (int n = 0; fd < 0 && n < TRIES; n++) {
        snprintf(temp, CF_TEMP_NAME, ".tmp-%ld-%d-%s", (long)getpid(), n, stem);
        fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    0666);
        if (fd < 0 && errno == EINTR)
            n--;
        else if (fd < 0 && errno != EEXIST)
            return -1;
    }
    if (fd >= 0)
        (void)flock(fd, LOCK_EX | LOCK_NB); /* some file systems have no locks */
    return fd;
}

static int write_all(int fd, const char *p, size_t size)
{
    while (size) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int sync_data(int fd)
{
    int rc;

    do
        rc = fdatasync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/* The bytes are on disk in the temporary file, or it is gone again. */
static enum cf_status fill_temp(int dirfd, const char *stem, const void *data,
                                size_t size, const char *where, char temp[CF_TEMP_NAME],
                                struct cf_error *err)
{
    int fd = open_temp(dirfd, stem, temp), errnum;
    const char *what = NULL;

    if (fd < 0)
        return cf_create_error(err, errno, "create", where);
    if (write_all(fd, data, size) != 0)
        what = "write";
    else if (sync_data(fd) != 0)
        what = "fdatasync";
    errnum = errno;
    /* NFS tells of a full disk here. EINTR: Linux has closed it all the same. */
    if (close(fd) != 0 && errno != EINTR && !what) {
        what = "close";
        errnum = errno;
    }
    if (!what)
        return CF_OK;
    unlinkat(dirfd, temp, 0);
    return cf_fail_errno(err, errnum, "%s %s", what, where);
}

enum cf_status cf_durable_sync(int dirfd, const char *where, struct cf_error *err)
{
    int rc;

    do
        rc = fsync(dirfd);
    while (rc != 0 && errno == EINTR);
    /* EINVAL: a file system that cannot sync directories has nothing to wait for. */
    if (rc != 0 && errno != EINVAL)
        return cf_fail_errno(err, errno, "fsync directory of %s", where);
    return CF_OK;
}

enum cf_status cf_durable_write(int dirfd, const char *name, const char *stem,
                                const void *data, size_t size, const char *where,
                                struct cf_error *err)
{
    char temp[CF_TEMP_NAME];

    CF_TRY(fill_temp(dirfd, stem, data, size, where, temp, err));
    if (renameat(dirfd, temp, dirfd, name) != 0) {
        int errnum = errno;

        unlinkat(dirfd, temp, 0);
        return cf_create_error(err, errnum, "rename to", where);
    }
    return CF_OK;
}

enum cf_status cf_durable_put(int dirfd, const char *name, const char *stem,
                              const void *data, size_t size, const char *where,
                              struct cf_error *err)
{
    CF_TRY(cf_durable_write(dirfd, name, stem, data, size, where, err));
    return cf_durable_sync(dirfd, where, err);
}

enum cf_status cf_durable_probe(int dirfd, const char *where, struct cf_error *err)
{
    char temp[CF_TEMP_NAME];

    CF_TRY(fill_temp(dirfd, "00000000000000000000000000000000", "probe\n", 6, where, temp,
                     err));
    if (unlinkat(dirfd, temp, 0) != 0)
        return cf_fail_errno(err, errno, "unlink probe in %s", where);
    return CF_OK;
}
