#include "store/image_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/durable.h"
#include "store/plain.h"
#include "store/tar.h"
#include "store/ustar.h"

enum { FILE_PATH = 6 + CF_STEM + 5 }; /* "ab/cd/STEM.webp" */

bool cf_image_is_file(const char *path)
{
    char stem[CF_STEM + 1];

    if (strlen(path) != FILE_PATH || strcmp(path + 6 + CF_STEM, ".webp") != 0)
        return false;
    snprintf(stem, sizeof stem, "%.*s", CF_STEM, path + 6);
    return cf_stem_valid(stem) && strncmp(path, stem, 2) == 0 && path[2] == '/' &&
           strncmp(path + 3, stem + 2, 2) == 0 && path[5] == '/';
}

static bool is_tar_path(const char *path)
{
    return strspn(path, "0123456789") == 5 && strcmp(path + 5, ".tar") == 0;
}

static enum cf_status check_bytes(const char *path, int64_t bytes, struct cf_error *err)
{
    if (bytes < 1 || bytes > CF_IMAGE_BYTES_MAX)
        return cf_fail(err, CF_ERANGE,
                       "%.80s: an image of %" PRId64 " bytes, expected 1..%d", path,
                       bytes, CF_IMAGE_BYTES_MAX);
    return CF_OK;
}

/* ---- files ---- */

/* The directory of path, whose form was checked; -1 with errno. */
static int open_parent(int root, const char *path)
{
    char name[3];
    int a, b;

    snprintf(name, sizeof name, "%.2s", path);
    a = cf_plain_dir(root, name, O_NOFOLLOW);
    if (a < 0)
        return -1;
    snprintf(name, sizeof name, "%.2s", path + 3);
    b = cf_plain_dir(a, name, O_NOFOLLOW);
    close(a);
    return b;
}

static enum cf_status read_file(int root, const char *path, int64_t bytes,
                                struct cf_blob *blob, struct cf_error *err)
{
    int dir = open_parent(root, path), fd = -1;
    enum cf_status st;
    int64_t size;

    if (dir < 0)
        return cf_fail(err, errno == ENOENT ? CF_ENOENT : CF_EFORMAT, "%s: %s", path,
                       strerror(errno));
    st = cf_plain_open(dir, path + 6, O_RDONLY, path, &fd, &size, err);
    if (st == CF_OK && size != bytes)
        st = cf_fail(err, CF_EMISMATCH, "%s: %" PRId64 " bytes, expected %" PRId64, path,
                     size, bytes);
    if (st == CF_OK && blob)
        st = cf_plain_blob(fd, 0, bytes, path, blob, err);
    if (fd >= 0)
        close(fd);
    close(dir);
    return st;
}

/* ---- tar ---- */

/* Under its final name, else the one while it grows; it may get the final one just
 * between. */
static enum cf_status open_tar(int root, const char *path, int *fd, int64_t *size,
                               struct cf_error *err)
{
    char part[CF_TAR_PATH + 8];
    const char *const name[] = {path, part, path};

    snprintf(part, sizeof part, "%s.part", path);
    for (int i = 0;; i++) {
        struct cf_error why = {0};
        enum cf_status st =
            cf_plain_open(root, name[i], O_RDONLY, name[i], fd, size, &why);

        if (st != CF_ENOENT || i == 2)
            return st == CF_OK ? CF_OK : cf_fail(err, st, "%s", why.msg);
    }
}

/* The header in front of the image says what it is. */
static enum cf_status check_member(int fd, const char *path, int64_t offset,
                                   int64_t bytes, struct cf_error *err)
{
    char block[CF_USTAR_BLOCK], name[CF_USTAR_NAME], where[CF_TAR_PATH + 32];
    int64_t size;

    snprintf(where, sizeof where, "%s at %" PRId64, path, offset);
    CF_TRY(cf_plain_read(fd, block, offset - CF_USTAR_BLOCK, sizeof block, where, err));
    CF_TRY(cf_ustar_read(block, name, &size, where, err));
    if (strspn(name, "0123456789") != 9 || strncmp(name, path, 5) != 0 ||
        strcmp(name + 9, ".webp") != 0)
        return cf_fail(err, CF_EFORMAT, "%s: %s, expected an image of this tar", where,
                       name);
    if (size != bytes)
        return cf_fail(err, CF_EMISMATCH,
                       "%s: %s has %" PRId64 " bytes, expected %" PRId64, where, name,
                       size, bytes);
    return CF_OK;
}

static enum cf_status read_member(int root, const char *path, int64_t offset,
                                  int64_t bytes, struct cf_blob *blob,
                                  struct cf_error *err)
{
    enum cf_status st;
    int64_t size;
    int fd;

    CF_TRY(open_tar(root, path, &fd, &size, err));
    if (offset > size - bytes)
        st = cf_fail(err, CF_EFORMAT,
                     "%s: %" PRId64 " bytes, expected %" PRId64 " more at %" PRId64, path,
                     size, bytes, offset);
    else
        st = check_member(fd, path, offset, bytes, err);
    if (st == CF_OK && blob)
        st = cf_plain_blob(fd, offset, bytes, path, blob, err);
    close(fd);
    return st;
}

/* ---- both ---- */

/* blob NULL: a look is enough. */
static enum cf_status find(const char *root, const char *path, int64_t offset,
                           int64_t bytes, struct cf_blob *blob, struct cf_error *err)
{
    bool tar = is_tar_path(path);
    enum cf_status st;
    int fd;

    if (!tar && !cf_image_is_file(path))
        return cf_fail(err, CF_EFORMAT,
                       "path '%.80s': expected ab/cd/STEM.webp or NNNNN.tar", path);
    if (tar ? offset < CF_USTAR_BLOCK || offset % CF_USTAR_BLOCK : offset != 0)
        return cf_fail(err, CF_EFORMAT, "%s: no image can be at offset %" PRId64, path,
                       offset);
    CF_TRY(check_bytes(path, bytes, err));
    fd = cf_plain_dir(AT_FDCWD, root, 0);
    if (fd < 0)
        return cf_fail_errno(err, errno, "open directory %s", root);
    st = tar ? read_member(fd, path, offset, bytes, blob, err)
             : read_file(fd, path, bytes, blob, err);
    close(fd);
    if (st != CF_OK)
        cf_wrap(err, "%s", root);
    return st;
}

enum cf_status cf_image_read(const char *root, const char *path, int64_t offset,
                             int64_t bytes, struct cf_blob *blob, struct cf_error *err)
{
    *blob = (struct cf_blob){0};
    return find(root, path, offset, bytes, blob, err);
}

enum cf_status cf_image_look(const char *root, const char *path, int64_t offset,
                             int64_t bytes, struct cf_error *err)
{
    return find(root, path, offset, bytes, NULL, err);
}
