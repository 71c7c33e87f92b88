#include "store/sink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/durable.h"
#include "store/plain.h"

/* Directories by number: "ab/cd" is 0xabcd, "ab" LEVEL2 + 0xab, then the root. */
enum { LEVEL1 = 256, LEVEL2 = 65536, ROOT = LEVEL2 + LEVEL1, DIRS };

struct dir_list {
    int n;
    uint32_t dir[DIRS];
};

struct cf_sink {
    int dirfd;  /* root; all else is relative to it */
    char *root; /* for messages */
    pthread_mutex_t lock;
    pthread_mutex_t syncing; /* one cf_sink_sync at a time */
    /* Guarded by lock. Directories that got an entry which no fsync has covered yet: each
     * is put down after the mkdir or rename, so that whoever takes it off and syncs has
     * that entry on disk. */
    struct dir_list touched;
    bool is_touched[DIRS];
    /* Directories whose entry in their parent this process knows to be on disk. Another
     * process may have made one and not yet synced it: the first use here syncs too. */
    bool known[DIRS];
    struct dir_list taken; /* guarded by syncing: what a sync works on */
};

/* Splits path into directory (fresh) and last component (inside path). */
static char *parent_of(const char *path, const char **base, struct cf_error *err)
{
    const char *slash = strrchr(path, '/');

    *base = slash ? slash + 1 : path;
    if (!slash)
        return cf_strdup(".", err);
    return cf_strndup(path, slash == path ? 1 : (size_t)(slash - path), err);
}

/* ---- open ---- */

/* The root's own entry must survive a power loss too, whoever made it a moment ago. */
static enum cf_status sync_parent(const char *root, struct cf_error *err)
{
    size_t len = strlen(root);
    const char *base;
    char *trimmed, *parent = NULL;
    enum cf_status status = CF_ENOMEM;
    int fd;

    while (len > 1 && root[len - 1] == '/')
        len--;
    trimmed = cf_strndup(root, len, err);
    if (trimmed && (parent = parent_of(trimmed, &base, err))) {
        fd = cf_plain_dir(AT_FDCWD, parent, 0);
        /* A parent that we may enter but not read cannot be synced: that is no error. */
        status =
            fd >= 0
                ? cf_durable_sync(fd, root, err)
                : (errno == EACCES ? CF_OK : cf_create_error(err, errno, "open", parent));
        if (fd >= 0)
            close(fd);
    }
    cf_free(trimmed);
    cf_free(parent);
    return status;
}

static enum cf_status open_root(struct cf_sink *s, struct cf_error *err)
{
    if (mkdir(s->root, 0777) != 0 && errno != EEXIST)
        return cf_create_error(err, errno, "create directory", s->root);
    s->dirfd = cf_plain_dir(AT_FDCWD, s->root, 0);
    if (s->dirfd < 0)
        return cf_create_error(err, errno, "open directory", s->root);
    return sync_parent(s->root, err);
}

enum cf_status cf_sink_open(struct cf_sink **sink, const char *root, struct cf_error *err)
{
    struct cf_sink *s = cf_calloc(1, sizeof *s, err);
    enum cf_status status;

    *sink = NULL;
    if (!s)
        return CF_ENOMEM;
    s->dirfd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->syncing, NULL);
    s->root = cf_strdup(root, err);
    status = s->root ? open_root(s, err) : CF_ENOMEM;
    if (status == CF_OK)
        status = cf_durable_probe(s->dirfd, s->root, err);
    if (status == CF_OK)
        *sink = s;
    else
        cf_sink_close(s);
    return status;
}

void cf_sink_close(struct cf_sink *sink)
{
    if (!sink)
        return;
    if (sink->dirfd >= 0)
        close(sink->dirfd);
    pthread_mutex_destroy(&sink->lock);
    pthread_mutex_destroy(&sink->syncing);
    cf_free(sink->root);
    cf_free(sink);
}

/* ---- put ---- */

static void touch(struct cf_sink *s, int dir)
{
    pthread_mutex_lock(&s->lock);
    if (!s->is_touched[dir]) {
        s->is_touched[dir] = true;
        s->touched.dir[s->touched.n++] = (uint32_t)dir;
    }
    pthread_mutex_unlock(&s->lock);
}

static bool is_known(struct cf_sink *s, int dir)
{
    bool known;

    pthread_mutex_lock(&s->lock);
    known = s->known[dir];
    pthread_mutex_unlock(&s->lock);
    return known;
}

/* Open name (directory number dir) below parent (number up), made when missing. */
static enum cf_status enter(struct cf_sink *s, int parent, int up, const char *name,
                            int dir, const char *where, int *out, struct cf_error *err)
{
    bool made = false;
    int fd = cf_plain_dir(parent, name, O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(parent, name, 0777) != 0 && errno != EEXIST)
            return cf_create_error(err, errno, "create directory for", where);
        made = true;
        fd = cf_plain_dir(parent, name, O_NOFOLLOW);
    }
    if (fd < 0)
        return cf_create_error(err, errno, "open directory for", where);
    if (made || !is_known(s, dir))
        touch(s, up);
    *out = fd;
    return CF_OK;
}

static int hex_value(const char *s, int digits)
{
    int v = 0;

    for (int i = 0; i < digits; i++)
        v = v << 4 | (s[i] <= '9' ? s[i] - '0' : s[i] - 'a' + 10);
    return v;
}

enum cf_status cf_sink_put(struct cf_sink *sink, const char *stem,
                           const struct cf_blob *blob, char *path, struct cf_error *err)
{
    char dir1[3], dir2[3];
    const char *name;
    enum cf_status status;
    int fd1 = -1, fd2 = -1, dir, up;

    path[0] = '\0';
    if (!cf_stem_valid(stem))
        return cf_fail(err, CF_EUSAGE, "file name %.80s: expected %d digits of 0-9a-f",
                       stem, CF_STEM);
    snprintf(dir1, sizeof dir1, "%.2s", stem);
    snprintf(dir2, sizeof dir2, "%.2s", stem + 2);
    snprintf(path, CF_SINK_PATH, "%s/%s/%s.webp", dir1, dir2, stem);
    name = path + 6;
    dir = hex_value(stem, 4);
    up = LEVEL2 + hex_value(stem, 2);
    status = enter(sink, sink->dirfd, ROOT, dir1, up, path, &fd1, err);
    if (status == CF_OK)
        status = enter(sink, fd1, up, dir2, dir, path, &fd2, err);
    if (status == CF_OK)
        status = cf_durable_write(fd2, name, stem, blob->data, blob->size, path, err);
    if (status == CF_OK)
        touch(sink, dir);
    if (fd1 >= 0)
        close(fd1);
    if (fd2 >= 0)
        close(fd2);
    if (status != CF_OK)
        cf_wrap(err, "%s", sink->root);
    return status;
}

/* ---- sync ---- */

enum { NUMBER = 8 };

/* The directory of this number, "." for the root; where gets its name. */
static int open_number(const struct cf_sink *s, int dir, char where[NUMBER])
{
    const unsigned n = (unsigned)dir;
    char name[NUMBER];
    int up, fd;

    if (dir == ROOT) {
        snprintf(where, NUMBER, ".");
        return cf_plain_dir(s->dirfd, ".", 0);
    }
    snprintf(where, NUMBER, "%02x", (dir < LEVEL2 ? n >> 8 : n - LEVEL2) & 0xff);
    up = cf_plain_dir(s->dirfd, where, O_NOFOLLOW);
    if (up < 0 || dir >= LEVEL2)
        return up;
    snprintf(where, NUMBER, "%02x/%02x", n >> 8 & 0xff, n & 0xff);
    snprintf(name, sizeof name, "%02x", n & 0xff);
    fd = cf_plain_dir(up, name, O_NOFOLLOW);
    close(up);
    return fd;
}

static enum cf_status sync_number(const struct cf_sink *s, int dir, struct cf_error *err)
{
    enum cf_status status;
    char where[NUMBER];
    int fd = open_number(s, dir, where);

    if (fd < 0)
        return cf_create_error(err, errno, "open directory", where);
    status = cf_durable_sync(fd, where, err);
    close(fd);
    return status;
}

static void take_touched(struct cf_sink *s)
{
    pthread_mutex_lock(&s->lock);
    s->taken.n = s->touched.n;
    for (int i = 0; i < s->touched.n; i++) {
        s->taken.dir[i] = s->touched.dir[i];
        s->is_touched[s->touched.dir[i]] = false;
    }
    s->touched.n = 0;
    pthread_mutex_unlock(&s->lock);
}

/* A directory that took an entry has its own in a parent that was put down before it. */
static void know_taken(struct cf_sink *s)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->taken.n; i++)
        s->known[s->taken.dir[i]] = true;
    pthread_mutex_unlock(&s->lock);
}

enum cf_status cf_sink_sync(struct cf_sink *sink, struct cf_error *err)
{
    enum cf_status status = CF_OK;
    int done = 0;

    pthread_mutex_lock(&sink->syncing);
    take_touched(sink);
    while (status == CF_OK && done < sink->taken.n)
        status = sync_number(sink, (int)sink->taken.dir[done++], err);
    if (status == CF_OK)
        know_taken(sink);
    else /* none of the batch counts */
        for (int i = 0; i < sink->taken.n; i++)
            touch(sink, (int)sink->taken.dir[i]);
    pthread_mutex_unlock(&sink->syncing);
    if (status != CF_OK)
        cf_wrap(err, "%s", sink->root);
    return status;
}

/* ---- one file ---- */

/* A device, a pipe or a link would be replaced, not written to: for root, even /dev/null.
 */
static enum cf_status check_target(int dirfd, const char *base, const char *path,
                                   struct cf_error *err)
{
    struct stat st;

    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return cf_fail(err, CF_ECREAT, "create %s: not a file name", path);
    if (fstatat(dirfd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        return cf_fail(err, CF_ECREAT,
                       "create %s: there is something that is no plain file", path);
    return CF_OK;
}

enum cf_status cf_file_put(const char *path, const void *data, size_t size,
                           struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];
    const char *base;
    char *parent = parent_of(path, &base, err);
    enum cf_status status;
    int fd = -1;

    if (!parent)
        return CF_ENOMEM;
    /* The temporary name must fit whatever the caller's name is, and a sweep must know
     * it. */
    status = cf_digest_mem(base, strlen(base), hex, err);
    hex[CF_STEM] = '\0';
    if (status == CF_OK && (fd = cf_plain_dir(AT_FDCWD, parent, 0)) < 0)
        status = cf_create_error(err, errno, "open directory of", path);
    if (status == CF_OK)
        status = check_target(fd, base, path, err);
    if (status == CF_OK)
        status = cf_durable_put(fd, base, hex, data, size, path, err);
    if (fd >= 0)
        close(fd);
    cf_free(parent);
    return status;
}

/* ---- sweep ---- */

static void sweep_entry(int dirfd, const char *name, int *n)
{
    if (cf_temp_abandoned(dirfd, name) && unlinkat(dirfd, name, 0) == 0)
        ++*n;
}

static bool is_level(const char *name)
{
    return strspn(name, "0123456789abcdef") == 2 && name[2] == '\0';
}

/* One directory and, while depth > 0, its two-digit directories. Takes fd. */
static enum cf_status sweep_dir(int fd, int depth, const char *where, int *n,
                                struct cf_error *err)
{
    enum cf_status status = CF_OK;
    DIR *dir = fdopendir(fd);
    struct dirent *e;

    if (!dir) {
        status = cf_fail_errno(err, errno, "read directory %s", where);
        close(fd);
        return status;
    }
    while (status == CF_OK && (errno = 0, e = readdir(dir))) {
        sweep_entry(fd, e->d_name, n);
        if (depth > 0 && is_level(e->d_name)) {
            int sub = cf_plain_dir(fd, e->d_name, O_NOFOLLOW);

            if (sub >= 0) /* a plain file or a link of that name is not ours */
                status = sweep_dir(sub, depth - 1, where, n, err);
        }
    }
    if (status == CF_OK && errno)
        status = cf_fail_errno(err, errno, "read directory %s", where);
    closedir(dir);
    return status;
}

enum cf_status cf_sink_sweep(struct cf_sink *sink, int *n, struct cf_error *err)
{
    /* Not dup: a second description, so that the read position is our own. */
    int fd = cf_plain_dir(sink->dirfd, ".", 0);

    *n = 0;
    if (fd < 0)
        return cf_create_error(err, errno, "open directory", sink->root);
    return sweep_dir(fd, 2, sink->root, n, err);
}
