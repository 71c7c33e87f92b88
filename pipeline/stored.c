#include "pipeline/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/tar.h"

char *cf_stored_root(const struct cf_queue *q, const char *output, struct cf_error *err)
{
    return output ? cf_strdup(output, err) : cf_format(err, "%s/images", cf_queue_dir(q));
}

/* Components that are names: none empty, none "." or "..". */
static bool stays_below(const char *path)
{
    do {
        size_t n = strcspn(path, "/");

        if (n == 0 || (n == 1 && path[0] == '.') ||
            (n == 2 && memcmp(path, "..", 2) == 0))
            return false;
        path += n;
    } while (*path++ == '/');
    return true;
}

enum cf_status cf_stored_check(const struct cf_detail *d, struct cf_error *err)
{
    if (!d->path || !stays_below(d->path))
        return cf_fail(err, CF_EFORMAT, "the row's path is not one below the root");
    if (d->bytes < 1 || d->bytes > CF_STORED_MAX || d->offset < 0 ||
        d->offset > INT64_MAX - d->bytes)
        return cf_fail(err, CF_EFORMAT,
                       "the row says %" PRId64 " bytes at %" PRId64 ": that cannot be",
                       d->bytes, d->offset);
    return CF_OK;
}

/* Instead of dir: its directory whose name is the first n bytes of name. */
static int enter(int dir, const char *name, size_t n)
{
    char buf[NAME_MAX + 1];
    int fd = -1, errnum = ENAMETOOLONG;

    if (n < sizeof buf) {
        memcpy(buf, name, n);
        buf[n] = '\0';
        fd = openat(dir, buf, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        errnum = errno;
    }
    close(dir);
    errno = errnum;
    return fd;
}

/* Directory by directory, so that no link on the way is followed. */
static int open_below(const char *root, const char *path)
{
    int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, errnum;

    for (const char *slash; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1)
        dir = enter(dir, path, (size_t)(slash - path));
    if (dir < 0)
        return -1;
    fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    errnum = errno;
    close(dir);
    errno = errnum;
    return fd;
}

int cf_stored_open(const char *root, const char *path, int64_t *size,
                   struct cf_error *err)
{
    struct stat sb;
    int fd = open_below(root, path);

    if (fd < 0) {
        if (errno == ELOOP || errno == ENOTDIR)
            cf_fail(err, CF_EFORMAT, "a link or no directory on the way");
        else
            cf_fail_errno(err, errno, "open");
        return -1;
    }
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode)) {
        cf_fail(err, CF_EFORMAT, "not a plain file");
        close(fd);
        return -1;
    }
    *size = sb.st_size;
    return fd;
}

static enum cf_status read_file(const char *root, const struct cf_detail *d,
                                struct cf_blob *blob, struct cf_error *err)
{
    enum cf_status st = CF_OK;
    int64_t size = 0;
    ssize_t n = 1;
    int fd = cf_stored_open(root, d->path, &size, err);

    if (fd < 0)
        return err->status;
    if (size != d->bytes)
        st = cf_fail(err, CF_EMISMATCH, "%" PRId64 " bytes, the row says %" PRId64, size,
                     d->bytes);
    else if (!(blob->data = cf_alloc((size_t)size, 1, err)))
        st = CF_ENOMEM;
    while (st == CF_OK && n > 0 && blob->size < (size_t)size) {
        n = read(fd, blob->data + blob->size, (size_t)size - blob->size);
        if (n > 0)
            blob->size += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
        else
            st = n < 0 ? cf_fail_errno(err, errno, "read")
                       : cf_fail(err, CF_EMISMATCH, "the file shrinks while it is read");
    }
    close(fd);
    if (st != CF_OK)
        cf_blob_free(blob);
    return st;
}

enum cf_status cf_stored_read(const char *root, const struct cf_detail *d,
                              struct cf_blob *blob, struct cf_error *err)
{
    *blob = (struct cf_blob){0};
    CF_TRY(cf_stored_check(d, err));
    if (d->offset)
        return cf_tar_read(root, d->path, d->offset, d->bytes, blob, err);
    return read_file(root, d, blob, err);
}
