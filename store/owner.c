#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/durable.h"
#include "store/plain.h"
#include "store/tar_file.h"

#define NAME ".cfgen-queue"
#define LETTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-"

static enum cf_status write_owner(int dir, int fd, const char *id, struct cf_error *err)
{
    char line[CF_OWNER_MAX + 2];

    snprintf(line, sizeof line, "%s\n", id);
    CF_TRY(cf_tar_write(fd, line, strlen(line), 0, NAME, err));
    if (ftruncate(fd, (off_t)strlen(line)) != 0 || fsync(fd) != 0)
        return cf_fail_errno(err, errno, "write %s", NAME);
    return cf_durable_sync(dir, NAME, err);
}

/* The lock is held: two queues that begin at once write one after the other. */
static enum cf_status claim(int dir, int fd, const char *id, struct cf_error *err)
{
    char is[CF_OWNER_MAX + 2] = {0};
    ssize_t n;

    do
        n = pread(fd, is, sizeof is - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return cf_fail_errno(err, errno, "read %s", NAME);
    if (!n || is[n - 1] != '\n')
        return write_owner(dir, fd, id, err);
    is[n - 1] = '\0';
    if (strcmp(is, id) != 0)
        return cf_fail(err, CF_ECONFIG,
                       "the tars there are of another queue (%s, this one is %s); give "
                       "each queue an output directory of its own",
                       is, id);
    return cf_durable_sync(dir, NAME, err); /* its writer may not have come so far */
}

enum cf_status cf_owner_claim(const char *root, const char *id, struct cf_error *err)
{
    size_t len = strlen(id);
    enum cf_status st;
    int64_t size;
    int dir, fd;

    if (len < 1 || len > CF_OWNER_MAX || strspn(id, LETTERS) != len)
        return cf_fail(err, CF_EUSAGE, "queue id '%.80s': expected letters and digits",
                       id);
    dir = cf_plain_dir(AT_FDCWD, root, 0);
    if (dir < 0)
        return cf_create_error(err, errno, "open directory", root);
    st = cf_plain_open(dir, NAME, O_RDWR | O_CREAT, NAME, &fd, &size, err);
    if (st == CF_OK) {
        (void)flock(fd, LOCK_EX); /* some file systems have no locks */
        st = claim(dir, fd, id, err);
        close(fd);
    }
    close(dir);
    if (st != CF_OK)
        cf_wrap(err, "%s", root);
    return st;
}
