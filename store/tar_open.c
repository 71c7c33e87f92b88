/* The ends of a tar's life: opened at a size, given its final name.
 *
 * What may be found, by names alone (finish renames the manifest first):
 *
 *     .tar.part   .jsonl.part    it grows, or nobody does
 *     .tar.part   .jsonl         a kill inside finish: the manifest's name is taken back
 *     .tar        .jsonl         finished
 *     .tar        .jsonl.part    a power cut that kept only the second rename */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/durable.h"
#include "store/plain.h"
#include "store/tar_file.h"
#include "store/ustar.h"

enum { NAME = 24, TRIES = 10 };

static const char *name_of(const struct cf_tar *tar, const char *suffix, char name[NAME])
{
    snprintf(name, NAME, "%05d%s", tar->number, suffix);
    return name;
}

static bool exists(const struct cf_tar *tar, const char *suffix)
{
    char name[NAME];

    return cf_plain_exists(tar->dirfd, name_of(tar, suffix, name));
}

static enum cf_status rename_file(const struct cf_tar *tar, const char *from,
                                  const char *to, struct cf_error *err)
{
    char a[NAME], b[NAME];

    if (renameat(tar->dirfd, name_of(tar, from, a), tar->dirfd, name_of(tar, to, b)) != 0)
        return cf_create_error(err, errno, "rename to", b);
    return CF_OK;
}

static enum cf_status open_file(const struct cf_tar *tar, const char *suffix, int flags,
                                int *fd, int64_t *size, struct cf_error *err)
{
    char name[NAME];

    name_of(tar, suffix, name);
    return cf_plain_open(tar->dirfd, name, flags, name, fd, size, err);
}

enum cf_status cf_tar_size_check(const struct cf_tar_size *s, struct cf_error *err)
{
    const int64_t least = 4 * CF_USTAR_BLOCK; /* three headers, an image; a "{}\n" */

    if (s->members < 0 || s->members > CF_TAR_SAMPLES || s->bytes < least * s->members ||
        s->bytes > INT64_MAX / 2 || s->bytes % CF_USTAR_BLOCK ||
        s->manifest_bytes < s->members || s->manifest_bytes > INT64_MAX / 2 ||
        (s->members == 0 && (s->bytes || s->manifest_bytes)))
        return cf_fail(err, CF_ERANGE,
                       "%d samples in %" PRId64 " bytes with a manifest of %" PRId64
                       ": no tar of ours has that size",
                       s->members, s->bytes, s->manifest_bytes);
    return CF_OK;
}

bool cf_tar_exists(const char *root, int number)
{
    static const char *const suffix[] = {".tar", ".tar.part", ".jsonl", ".jsonl.part"};
    struct cf_tar tar = {.number = number, .dirfd = cf_plain_dir(AT_FDCWD, root, 0)};
    bool there = false;

    if (tar.dirfd < 0)
        return false;
    for (size_t i = 0; i < sizeof suffix / sizeof suffix[0]; i++)
        there = there || exists(&tar, suffix[i]);
    close(tar.dirfd);
    return there;
}

/* ---- one that is finished ---- */

static enum cf_status other_end(struct cf_error *err)
{
    return cf_fail(err, CF_ELOST,
                   "a finished tar is there that is not the one to go on with: records "
                   "of it were lost");
}

static enum cf_status check_end(struct cf_tar *tar, const struct cf_tar_size *at,
                                int64_t tar_bytes, int64_t manifest_bytes,
                                struct cf_error *err)
{
    static const char zeros[CF_USTAR_END];
    char end[CF_USTAR_END];

    if (at->members == 0 || tar_bytes != at->bytes + CF_USTAR_END ||
        manifest_bytes != at->manifest_bytes)
        return other_end(err);
    CF_TRY(cf_plain_read(tar->fd, end, at->bytes, sizeof end, "tar", err));
    return memcmp(end, zeros, sizeof end) == 0 ? CF_OK : other_end(err);
}

/* *found is whether NNNNN.tar is there; then it agrees. */
static enum cf_status open_final(struct cf_tar *tar, const struct cf_tar_size *at,
                                 bool *found, struct cf_error *err)
{
    bool part = !exists(tar, ".jsonl");
    int64_t bytes, manifest_bytes;

    *found = exists(tar, ".tar");
    if (!*found)
        return CF_OK;
    CF_TRY(open_file(tar, ".tar", O_RDONLY, &tar->fd, &bytes, err));
    CF_TRY(open_file(tar, part ? ".jsonl.part" : ".jsonl", O_RDONLY, &tar->manifest,
                     &manifest_bytes, err));
    CF_TRY(check_end(tar, at, bytes, manifest_bytes, err));
    if (part)
        CF_TRY(rename_file(tar, ".jsonl.part", ".jsonl", err));
    tar->finished = true;
    tar->size = tar->synced = *at;
    return cf_durable_sync(tar->dirfd, tar->root, err);
}

/* ---- one that grows ---- */

static enum cf_status lock(const struct cf_tar *tar, struct cf_error *err)
{
    int rc;

    do
        rc = flock(tar->fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno == EWOULDBLOCK)
        return cf_fail(err, CF_EBUSY, "another process appends to it");
    return CF_OK; /* some file systems have no locks */
}

/* Who had the lock before us may have given the file its final name. */
static bool still_there(const struct cf_tar *tar)
{
    char name[NAME];
    struct stat a, b;

    return fstatat(tar->dirfd, name_of(tar, ".tar.part", name), &a,
                   AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(tar->fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static enum cf_status open_manifest(struct cf_tar *tar, const struct cf_tar_size *at,
                                    int64_t *bytes, struct cf_error *err)
{
    bool part = exists(tar, ".jsonl.part");

    if (exists(tar, ".jsonl")) {
        if (part || at->members == 0)
            return cf_fail(err, CF_ECREAT,
                           "a finished manifest is there without its tar: move it away");
        CF_TRY(rename_file(tar, ".jsonl", ".jsonl.part", err));
    }
    return open_file(tar, ".jsonl.part", O_RDWR | (at->members ? 0 : O_CREAT),
                     &tar->manifest, bytes, err);
}

static enum cf_status long_enough(const char *what, int64_t is, int64_t want,
                                  struct cf_error *err)
{
    if (is < want)
        return cf_fail(err, CF_EFORMAT,
                       "the %s has %" PRId64 " bytes, but %" PRId64
                       " were finished: its end is lost",
                       what, is, want);
    return CF_OK;
}

/* The lock is ours. */
static enum cf_status go_on(struct cf_tar *tar, const struct cf_tar_size *at,
                            int64_t bytes, struct cf_error *err)
{
    int64_t manifest_bytes;

    CF_TRY(long_enough("tar", bytes, at->bytes, err));
    CF_TRY(open_manifest(tar, at, &manifest_bytes, err));
    CF_TRY(long_enough("manifest", manifest_bytes, at->manifest_bytes, err));
    tar->synced = *at;
    CF_TRY(cf_tar_cut_back(tar, at, err));
    return cf_durable_sync(tar->dirfd, tar->root, err);
}

static enum cf_status open_part(struct cf_tar *tar, const struct cf_tar_size *at,
                                bool *again, struct cf_error *err)
{
    struct cf_error why = {0};
    int64_t bytes;

    *again = false;
    if (open_file(tar, ".tar.part", O_RDWR | (at->members ? 0 : O_CREAT), &tar->fd,
                  &bytes, &why) != CF_OK) {
        *again = why.status == CF_ENOENT && exists(tar, ".tar"); /* just renamed */
        return *again ? CF_OK : cf_fail(err, why.status, "%s", why.msg);
    }
    CF_TRY(lock(tar, err));
    *again = !still_there(tar);
    if (*again) {
        close(tar->fd);
        tar->fd = -1;
        return CF_OK;
    }
    return go_on(tar, at, bytes, err);
}

static enum cf_status open_either(struct cf_tar *tar, const struct cf_tar_size *at,
                                  struct cf_error *err)
{
    bool found = false, again = true;

    tar->dirfd = cf_plain_dir(AT_FDCWD, tar->root, 0);
    if (tar->dirfd < 0)
        return cf_create_error(err, errno, "open directory", tar->root);
    for (int i = 0; i < TRIES && again; i++) {
        CF_TRY(open_final(tar, at, &found, err));
        if (found)
            return CF_OK;
        CF_TRY(open_part(tar, at, &again, err));
    }
    return again ? cf_fail(err, CF_EBUSY, "another process renames it") : CF_OK;
}

enum cf_status cf_tar_open(struct cf_tar **tar, const char *root, int number,
                           const struct cf_tar_size *at, struct cf_error *err)
{
    struct cf_error why = {0};
    struct cf_tar *t;

    *tar = NULL;
    if (number < 0 || number > CF_TAR_MAX)
        return cf_fail(err, CF_ERANGE, "tar %d: expected a number of 0..%d", number,
                       CF_TAR_MAX);
    t = cf_calloc(1, sizeof *t, err);
    if (!t)
        return CF_ENOMEM;
    t->dirfd = t->fd = t->manifest = -1;
    t->number = number;
    t->root = cf_strdup(root, &why);
    if (t->root && cf_tar_size_check(at, &why) == CF_OK)
        open_either(t, at, &why);
    if (why.status == CF_OK) {
        *tar = t;
        return CF_OK;
    }
    /* A row says that it is there: without it the row is wrong, nothing else missing. */
    cf_fail(err, why.status == CF_ENOENT ? CF_EFORMAT : why.status, "%s/%05d.tar: %s",
            root, number, why.msg);
    cf_tar_close(t);
    return why.status == CF_ENOENT ? CF_EFORMAT : why.status;
}

void cf_tar_close(struct cf_tar *tar)
{
    if (!tar)
        return;
    if (tar->fd >= 0)
        close(tar->fd);
    if (tar->manifest >= 0)
        close(tar->manifest);
    if (tar->dirfd >= 0)
        close(tar->dirfd);
    cf_free(tar->root);
    cf_free(tar);
}

/* ---- finish ---- */

static enum cf_status remove_part(const struct cf_tar *tar, const char *suffix,
                                  struct cf_error *err)
{
    char name[NAME];

    if (unlinkat(tar->dirfd, name_of(tar, suffix, name), 0) != 0 && errno != ENOENT)
        return cf_fail_errno(err, errno, "remove %s", name);
    return CF_OK;
}

/* The end is written and on disk, or the tar is as before. */
static enum cf_status write_end(struct cf_tar *tar, struct cf_error *err)
{
    static const char zeros[CF_USTAR_END];
    enum cf_status st =
        cf_tar_write(tar->fd, zeros, sizeof zeros, tar->size.bytes, "end of tar", err);

    if (st == CF_OK)
        st = cf_tar_fdatasync(tar, tar->fd, "tar", err);
    if (st != CF_OK)
        cf_tar_cut_back(tar, &tar->synced, err);
    return st;
}

static enum cf_status final_names(struct cf_tar *tar, struct cf_error *err)
{
    struct cf_error why = {0};

    CF_TRY(rename_file(tar, ".jsonl.part", ".jsonl", err));
    if (rename_file(tar, ".tar.part", ".tar", err) == CF_OK)
        return CF_OK;
    rename_file(tar, ".jsonl", ".jsonl.part", &why); /* else the next open does it */
    return err->status;
}

static enum cf_status end_files(struct cf_tar *tar, struct cf_error *err)
{
    enum cf_status st;

    if (tar->size.members == 0) {
        CF_TRY(remove_part(tar, ".jsonl.part", err));
        return remove_part(tar, ".tar.part", err);
    }
    CF_TRY(write_end(tar, err));
    st = final_names(tar, err);
    if (st != CF_OK)
        cf_tar_cut_back(tar, &tar->synced, err);
    return st;
}

enum cf_status cf_tar_finish(struct cf_tar *tar, struct cf_error *err)
{
    struct cf_error why = {0};

    if (tar->finished)
        return CF_OK;
    if (cf_tar_usable(tar, &why) == CF_OK && !cf_tar_is_synced(tar))
        cf_fail(&why, CF_EBUG, "finished before its last samples were synced");
    if (why.status == CF_OK && end_files(tar, &why) == CF_OK &&
        cf_durable_sync(tar->dirfd, tar->root, &why) == CF_OK) {
        tar->finished = true;
        return CF_OK;
    }
    if (why.status != CF_EBUG)
        cf_tar_give_up(tar, &why);
    cf_fail(err, why.status, "%s", why.msg);
    return cf_tar_wrap(tar, why.status, err);
}
