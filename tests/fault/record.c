/* record.c - a preloaded library that writes down what a program asks of the disk.
 *
 *     LD_PRELOAD=record.so RECORD_LOG=FILE RECORD_ROOT=DIR program ...
 *
 * With RECORD_KILL=N the process is killed just before change number N (1, 2, ...).
 *
 * Every change below DIR goes into FILE as one record (record.h), in the order in which
 * the kernel was asked; replay.c makes from it what a power cut would have left. Files
 * are named by inode, for names change. One lock orders the calls of all threads. */
#include "record.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static long changes, kill_at;
static char root[PATH_MAX];

static void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);

    if (!f)
        abort();
    return f;
}
#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))real(#name))

static void put(const void *data, size_t size)
{
    const char *p = data;

    while (size) {
        ssize_t n = REAL(ssize_t, write, int, const void *, size_t)(log_fd, p, size);

        if (n <= 0)
            abort();
        p += n;
        size -= (size_t)n;
    }
}

__attribute__((constructor)) static void start(void)
{
    const char *file = getenv("RECORD_LOG"), *dir = getenv("RECORD_ROOT");
    const char *at = getenv("RECORD_KILL");

    if (!file || !dir || !realpath(dir, root))
        return;
    log_fd = REAL(int, open, const char *, int,
                  ...)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    kill_at = at ? atol(at) : 0;
}

/* Before every change, under the lock. */
static void before_change(bool inside)
{
    if (inside && ++changes == kill_at)
        kill(getpid(), SIGKILL);
}

/* Whether an absolute path lies below the recorded directory. */
static bool below(const char *path)
{
    size_t n = strlen(root);

    return log_fd >= 0 && strncmp(path, root, n) == 0 &&
           (path[n] == '/' || path[n] == '\0');
}

static bool fd_below(int fd)
{
    char link[40], path[PATH_MAX];
    ssize_t n;

    if (log_fd < 0 || fd == log_fd)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return below(path);
}

static uint64_t inode(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* The directory that holds path (relative to at), and path's last component. */
static uint64_t parent(int at, const char *path, const char **base, bool *inside)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    uint64_t ino;
    int fd;

    *base = slash ? slash + 1 : path;
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1,
             slash ? path : ".");
    fd = REAL(int, openat, int, const char *, int, ...)(at, *dir ? dir : "/",
                                                        O_PATH | O_DIRECTORY | O_CLOEXEC);
    *inside = fd >= 0 && fd_below(fd);
    ino = fd >= 0 ? inode(fd) : 0;
    if (fd >= 0)
        REAL(int, close, int)(fd);
    return ino;
}

static void note(struct record r, const char *name, const char *name2, const void *data)
{
    r.name = name ? (uint32_t)strlen(name) : 0;
    r.name2 = name2 ? (uint32_t)strlen(name2) : 0;
    put(&r, sizeof r);
    put(name, r.name);
    put(name2, r.name2);
    put(data, r.op == RECORD_WRITE ? r.size : 0);
}

/* ---- names ---- */

static int opened(const char *call, int at, const char *path, int flags, mode_t mode)
{
    const char *base;
    bool inside, fresh;
    struct stat st;
    uint64_t dir;
    int fd, e;

    pthread_mutex_lock(&lock);
    dir = parent(at, path, &base, &inside);
    fresh = (flags & O_CREAT) && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    before_change(inside && fresh);
    fd = REAL(int, openat, int, const char *, int, ...)(at, path, flags, mode);
    e = errno;
    if (fd >= 0 && inside && fresh)
        note((struct record){.op = RECORD_CREATE, .ino = inode(fd), .dir = dir}, base,
             NULL, NULL);
    if (fd >= 0 && inside && !fresh && (flags & O_TRUNC))
        note((struct record){.op = RECORD_TRUNCATE, .ino = inode(fd)}, NULL, NULL, NULL);
    pthread_mutex_unlock(&lock);
    (void)call;
    errno = e;
    return fd;
}

#define OPENS(name, ARGS, at)                                                            \
    int name ARGS                                                                        \
    {                                                                                    \
        mode_t mode = 0;                                                                 \
        va_list ap;                                                                      \
                                                                                         \
        va_start(ap, flags);                                                             \
        if (flags & (O_CREAT | O_TMPFILE))                                               \
            mode = va_arg(ap, mode_t);                                                   \
        va_end(ap);                                                                      \
        return opened(#name, at, path, flags, mode);                                     \
    }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), at)
OPENS(openat64, (int at, const char *path, int flags, ...), at)

int mkostemp(char *path, int flags)
{
    const char *base;
    bool inside;
    uint64_t dir;
    int fd, e;

    pthread_mutex_lock(&lock);
    fd = REAL(int, mkostemp, char *, int)(path, flags);
    e = errno;
    dir = parent(AT_FDCWD, path, &base, &inside);
    if (fd >= 0 && inside)
        note((struct record){.op = RECORD_CREATE, .ino = inode(fd), .dir = dir}, base,
             NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return fd;
}

int mkdirat(int at, const char *path, mode_t mode)
{
    const char *base;
    struct stat st;
    bool inside;
    uint64_t dir;
    int rc, e;

    pthread_mutex_lock(&lock);
    dir = parent(at, path, &base, &inside);
    before_change(inside);
    rc = REAL(int, mkdirat, int, const char *, mode_t)(at, path, mode);
    e = errno;
    if (rc == 0 && inside && fstatat(at, path, &st, 0) == 0)
        note((struct record){.op = RECORD_MKDIR, .ino = st.st_ino, .dir = dir}, base,
             NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int renameat(int at, const char *path, int to, const char *target)
{
    const char *base, *base2;
    bool inside, inside2;
    uint64_t dir, dir2;
    int rc, e;

    pthread_mutex_lock(&lock);
    dir = parent(at, path, &base, &inside);
    dir2 = parent(to, target, &base2, &inside2);
    before_change(inside && inside2);
    rc = REAL(int, renameat, int, const char *, int, const char *)(at, path, to, target);
    e = errno;
    if (rc == 0 && inside && inside2)
        note((struct record){.op = RECORD_RENAME, .dir = dir, .dir2 = dir2}, base, base2,
             NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int rename(const char *path, const char *target)
{
    return renameat(AT_FDCWD, path, AT_FDCWD, target);
}

int unlinkat(int at, const char *path, int flags)
{
    const char *base;
    bool inside;
    uint64_t dir;
    int rc, e;

    pthread_mutex_lock(&lock);
    dir = parent(at, path, &base, &inside);
    before_change(inside);
    rc = REAL(int, unlinkat, int, const char *, int)(at, path, flags);
    e = errno;
    if (rc == 0 && inside)
        note((struct record){.op = RECORD_UNLINK, .dir = dir}, base, NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- contents ---- */

static ssize_t written(int fd, const void *data, size_t size, off_t at)
{
    ssize_t n;
    int e;

    pthread_mutex_lock(&lock);
    before_change(fd_below(fd));
    n = REAL(ssize_t, pwrite64, int, const void *, size_t, off_t)(fd, data, size, at);
    e = errno;
    if (n > 0 && fd_below(fd))
        note((struct record){.op = RECORD_WRITE,
                             .ino = inode(fd),
                             .at = (uint64_t)at,
                             .size = (uint64_t)n},
             NULL, NULL, data);
    pthread_mutex_unlock(&lock);
    errno = e;
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return written(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return written(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct stat st;
    ssize_t n;
    off_t at;
    int e;

    pthread_mutex_lock(&lock);
    before_change(fd_below(fd));
    n = REAL(ssize_t, write, int, const void *, size_t)(fd, data, size);
    e = errno;
    if (n > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fd_below(fd)) {
        at = lseek(fd, 0, SEEK_CUR) - n;
        note((struct record){.op = RECORD_WRITE,
                             .ino = st.st_ino,
                             .at = (uint64_t)at,
                             .size = (uint64_t)n},
             NULL, NULL, data);
    }
    pthread_mutex_unlock(&lock);
    errno = e;
    return n;
}

static int resized(int fd, off_t size)
{
    int rc, e;

    pthread_mutex_lock(&lock);
    before_change(fd_below(fd));
    rc = REAL(int, ftruncate64, int, off_t)(fd, size);
    e = errno;
    if (rc == 0 && fd_below(fd))
        note((struct record){.op = RECORD_TRUNCATE,
                             .ino = inode(fd),
                             .size = (uint64_t)size},
             NULL, NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return resized(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return resized(fd, size);
}

static int synced(int fd, const char *call)
{
    int rc, e;

    pthread_mutex_lock(&lock);
    before_change(fd_below(fd));
    rc = ((int (*)(int))real(call))(fd);
    e = errno;
    if (rc == 0 && fd_below(fd))
        note((struct record){.op = RECORD_SYNC, .ino = inode(fd)}, NULL, NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int fsync(int fd)
{
    return synced(fd, "fsync");
}

int fdatasync(int fd)
{
    return synced(fd, "fdatasync");
}
