#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

int cf_file_open(const char *path, size_t *size, struct cf_error *err)
{
    /* Without O_NONBLOCK a pipe put in place of the file would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        cf_fail_errno(err, errno, "%.300s", path);
    } else if (!S_ISREG(info.st_mode)) {
        cf_fail(err, CF_EFORMAT, "%.300s: not a regular file", path);
    } else {
        *size = (size_t)info.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* One byte more is asked for, to see the end. */
static enum cf_status fill(int fd, char *buf, size_t size, const char *path,
                           struct cf_error *err)
{
    size_t got = 0;

    while (got <= size) {
        ssize_t n = read(fd, buf + got, size + 1 - got);

        if (n < 0 && errno != EINTR)
            return cf_fail_errno(err, errno, "%.300s: read", path);
        if (n == 0)
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    if (got < size)
        return cf_fail(err, CF_EFORMAT, "%.300s: ends at byte %zu of %zu", path, got,
                       size);
    if (got > size)
        return cf_fail(err, CF_EFORMAT, "%.300s: goes on behind its %zu bytes", path,
                       size);
    buf[size] = '\0';
    return CF_OK;
}

char *cf_file_read(const char *path, size_t max, size_t *size, struct cf_error *err)
{
    int fd = cf_file_open(path, size, err);
    char *buf = NULL;

    if (fd < 0)
        return NULL;
    if (*size > max)
        cf_fail(err, CF_EFORMAT, "%.300s: %zu bytes, expected no more than %zu bytes",
                path, *size, max);
    else
        buf = cf_alloc(*size + 1, 1, err);
    if (buf && fill(fd, buf, *size, path, err) != CF_OK) {
        cf_free(buf);
        buf = NULL;
    }
    close(fd);
    return buf;
}

/* Whether text, of n bytes, begins with word in any case. */
static bool begins(const char *text, size_t n, const char *word)
{
    return n >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

/* Length of the one short line that begins with a letter and is all there is, as in
 * "Entry not found"; 0: it is anything else. */
static int line_length(const char *text, size_t n)
{
    enum { LONGEST = 100 };
    size_t i = 0;

    while (i < n && text[i] >= ' ' && text[i] <= '~')
        i++;
    return isalpha((unsigned char)text[0]) && i <= LONGEST &&
                   (i == n || (text[i] == '\n' && i + 1 == n))
               ? (int)i
               : 0;
}

enum cf_status cf_file_no_download(const void *head, size_t n, const char *where,
                                   struct cf_error *err)
{
    const char *text = head;
    size_t skip = 0;

    if (n == 0)
        return cf_fail(err, CF_EFORMAT, "%.300s: empty: was it downloaded?", where);
    if (begins(text, n, "version https://git-lfs"))
        return cf_fail(err, CF_EFORMAT,
                       "%.300s: a pointer of Git LFS: the file itself was not downloaded "
                       "(git lfs pull)",
                       where);
    if (n > 2 && memcmp(text, "\x1f\x8b", 2) == 0)
        return cf_fail(err, CF_EFORMAT, "%.300s: compressed by gzip: unpack it first",
                       where);
    while (skip < n && strchr(" \t\r\n", text[skip]) && text[skip])
        skip++;
    if (begins(text + skip, n - skip, "<!doctype") ||
        begins(text + skip, n - skip, "<html") || begins(text + skip, n - skip, "<?xml"))
        return cf_fail(err, CF_EFORMAT,
                       "%.300s: a web page, not the file: download it again", where);
    if (line_length(text, n))
        return cf_fail(err, CF_EFORMAT,
                       "%.300s: no more than the text \"%.*s\": download it again", where,
                       line_length(text, n), text);
    return CF_OK;
}

enum cf_status cf_file_write(int fd, const void *bytes, size_t n, const char *path,
                             struct cf_error *err)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return cf_fail_errno(err, done ? errno : EIO, "%.300s: write of %zu bytes",
                                 path, n);
        p += done;
        n -= (size_t)done;
    }
    return CF_OK;
}

enum cf_status cf_file_sync_dir(const char *dir, struct cf_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cf_status status = CF_OK;

    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        status = cf_fail_errno(err, errno, "%.300s: sync", dir);
    if (fd >= 0)
        close(fd);
    return status;
}

const char *cf_file_last_name(const char *path, size_t *len)
{
    const char *start;

    *len = strlen(path);
    while (*len > 1 && path[*len - 1] == '/')
        --*len;
    start = path + *len;
    while (start > path && start[-1] != '/')
        start--;
    *len -= (size_t)(start - path);
    return start;
}
