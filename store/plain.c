#include "store/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/durable.h"

int cf_plain_dir(int at, const char *name, int flags)
{
    int fd;

    do
        fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static enum cf_status not_plain(int flags, const char *where, struct cf_error *err)
{
    return cf_fail(err, (flags & O_ACCMODE) == O_RDONLY ? CF_EFORMAT : CF_ECREAT,
                   "%s: there is something that is no plain file", where);
}

enum cf_status cf_plain_open(int at, const char *name, int flags, const char *where,
                             int *fd, int64_t *size, struct cf_error *err)
{
    struct stat st;

    do
        *fd = openat(at, name, O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0666);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
        return not_plain(flags, where, err);
    if (*fd < 0 && errno == ENOENT && !(flags & O_CREAT))
        return cf_fail(err, CF_ENOENT, "%s: missing", where);
    if (*fd < 0)
        return cf_create_error(err, errno, "open", where);
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = st.st_size;
        return CF_OK;
    }
    close(*fd);
    *fd = -1;
    return not_plain(flags, where, err);
}

bool cf_plain_exists(int at, const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

enum cf_status cf_plain_read(int fd, void *dst, int64_t offset, size_t bytes,
                             const char *where, struct cf_error *err)
{
    char *p = dst;

    while (bytes) {
        ssize_t n = pread(fd, p, bytes, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cf_fail_errno(err, errno, "read %s", where);
        if (n == 0)
            return cf_fail(err, CF_EFORMAT, "%s: ends at %" PRId64 ", %zu bytes too soon",
                           where, offset, bytes);
        p += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return CF_OK;
}

enum cf_status cf_plain_blob(int fd, int64_t offset, int64_t bytes, const char *where,
                             struct cf_blob *blob, struct cf_error *err)
{
    enum cf_status st;

    *blob = (struct cf_blob){0};
    blob->data = cf_alloc((size_t)bytes, 1, err);
    if (!blob->data)
        return CF_ENOMEM;
    blob->size = (size_t)bytes;
    st = cf_plain_read(fd, blob->data, offset, blob->size, where, err);
    if (st != CF_OK)
        cf_blob_free(blob);
    return st;
}
