/* Grows a tar by whole samples; store/tar_open.c opens and ends it. */
#include "store/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/tar_file.h"
#include "store/ustar.h"

bool cf_tar_finished(const struct cf_tar *tar)
{
    return tar->finished;
}

enum cf_status cf_tar_wrap(const struct cf_tar *tar, enum cf_status st,
                           struct cf_error *err)
{
    cf_wrap(err, "%s/%05d.tar", tar->root, tar->number);
    return st;
}

enum cf_status cf_tar_usable(const struct cf_tar *tar, struct cf_error *err)
{
    if (tar->broken.status != CF_OK)
        return cf_fail(err, tar->broken.status, "given up: %s", tar->broken.msg);
    if (tar->finished)
        return cf_fail(err, CF_EBUG, "finished, nothing can be added");
    return CF_OK;
}

void cf_tar_give_up(struct cf_tar *tar, const struct cf_error *why)
{
    if (tar->broken.status == CF_OK)
        tar->broken = *why;
}

/* ---- writing ---- */

enum cf_status cf_tar_write(int fd, const void *data, size_t size, int64_t offset,
                            const char *what, struct cf_error *err)
{
    const char *p = data;

    while (size) {
        ssize_t n = pwrite(fd, p, size, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cf_fail_errno(err, n ? errno : EIO, "write %s", what);
        p += n;
        offset += n;
        size -= (size_t)n;
    }
    return CF_OK;
}

static enum cf_status truncate_to(int fd, int64_t size, const char *what,
                                  struct cf_error *err)
{
    int rc;

    do
        rc = ftruncate(fd, size);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? CF_OK : cf_fail_errno(err, errno, "cut %s", what);
}

enum cf_status cf_tar_cut_back(struct cf_tar *tar, const struct cf_tar_size *size,
                               struct cf_error *err)
{
    struct cf_error why = {0};

    tar->pending = 0;
    tar->size = *size;
    /* Both are tried, whatever becomes of the first. */
    truncate_to(tar->fd, size->bytes, "tar", &why);
    truncate_to(tar->manifest, size->manifest_bytes, "manifest", &why);
    if (why.status == CF_OK)
        return CF_OK;
    cf_tar_give_up(tar, &why);
    return cf_fail(err, why.status, "%s", why.msg);
}

/* A failed write: only what is whole stays. The first error is the one that is told. */
static enum cf_status undo(struct cf_tar *tar, enum cf_status st, struct cf_error *err)
{
    const struct cf_tar_size whole = tar->size;

    cf_tar_cut_back(tar, &whole, err);
    return cf_tar_wrap(tar, st, err);
}

static enum cf_status make_sample(const struct cf_tar *tar, const struct cf_tar_sample *s,
                                  struct cf_blob *out, int64_t *image,
                                  struct cf_error *err)
{
    char json[32], txt[32], webp[32];
    const struct cf_ustar_member m[] = {
        {json, s->json, strlen(s->json)},
        {txt, s->prompt, s->prompt_len},
        {webp, s->webp->data, s->webp->size},
    };

    snprintf(json, sizeof json, "%05d%04d.json", tar->number, tar->size.members);
    snprintf(txt, sizeof txt, "%05d%04d.txt", tar->number, tar->size.members);
    snprintf(webp, sizeof webp, "%05d%04d.webp", tar->number, tar->size.members);
    return cf_ustar_make(m, 3, out, image, err);
}

enum cf_status cf_tar_add(struct cf_tar *tar, const struct cf_tar_sample *s,
                          int64_t *offset, char *path, struct cf_error *err)
{
    struct cf_blob bytes = {0};
    enum cf_status st = cf_tar_usable(tar, err);

    if (st == CF_OK && tar->pending)
        st = cf_fail(err, CF_EBUG, "the sample before has no line in the manifest");
    if (st == CF_OK && tar->size.members >= CF_TAR_SAMPLES)
        st = cf_fail(err, CF_ERANGE, "full, %d samples", CF_TAR_SAMPLES);
    if (st == CF_OK)
        st = make_sample(tar, s, &bytes, offset, err);
    if (st != CF_OK)
        return cf_tar_wrap(tar, st, err);
    st = cf_tar_write(tar->fd, bytes.data, bytes.size, tar->size.bytes, "tar", err);
    if (st == CF_OK) {
        tar->pending = (int64_t)bytes.size;
        *offset += tar->size.bytes;
        snprintf(path, CF_TAR_PATH, "%05d.tar", tar->number);
    }
    cf_blob_free(&bytes);
    return st == CF_OK ? st : undo(tar, st, err);
}

enum cf_status cf_tar_line(struct cf_tar *tar, const char *line, struct cf_error *err)
{
    enum cf_status st = cf_tar_usable(tar, err);
    size_t len = strlen(line);
    char *text;

    if (st == CF_OK && (!tar->pending || memchr(line, '\n', len)))
        st = cf_fail(err, CF_EBUG, "a line of the manifest without a sample, or two");
    if (st != CF_OK)
        return cf_tar_wrap(tar, st, err);
    text = cf_format(err, "%s\n", line);
    st = text ? cf_tar_write(tar->manifest, text, len + 1, tar->size.manifest_bytes,
                             "manifest", err)
              : CF_ENOMEM;
    cf_free(text);
    if (st != CF_OK)
        return undo(tar, st, err);
    tar->size.bytes += tar->pending;
    tar->size.manifest_bytes += (int64_t)len + 1;
    tar->size.members++;
    tar->pending = 0;
    return CF_OK;
}

/* ---- what counts ---- */

static bool same_size(const struct cf_tar_size *a, const struct cf_tar_size *b)
{
    return a->members == b->members && a->bytes == b->bytes &&
           a->manifest_bytes == b->manifest_bytes;
}

bool cf_tar_is_synced(const struct cf_tar *tar)
{
    return !tar->pending && same_size(&tar->size, &tar->synced);
}

enum cf_status cf_tar_fdatasync(struct cf_tar *tar, int fd, const char *what,
                                struct cf_error *err)
{
    struct cf_error why = {0};
    int rc;

    do
        rc = fdatasync(fd);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return CF_OK;
    cf_fail_errno(&why, errno, "fdatasync %s", what);
    cf_tar_give_up(tar, &why);
    return cf_fail(err, why.status, "%s", why.msg);
}

enum cf_status cf_tar_sync(struct cf_tar *tar, struct cf_tar_size *size,
                           struct cf_error *err)
{
    enum cf_status st = tar->finished ? CF_OK : cf_tar_usable(tar, err);

    if (st == CF_OK && tar->pending)
        st = cf_fail(err, CF_EBUG, "the last sample has no line in the manifest");
    if (st != CF_OK)
        return cf_tar_wrap(tar, st, err);
    if (!cf_tar_is_synced(tar)) {
        st = cf_tar_fdatasync(tar, tar->fd, "tar", err);
        if (st == CF_OK)
            st = cf_tar_fdatasync(tar, tar->manifest, "manifest", err);
        if (st != CF_OK) {
            cf_tar_cut_back(tar, &tar->synced, err);
            return cf_tar_wrap(tar, st, err);
        }
        tar->synced = tar->size;
    }
    *size = tar->size;
    return CF_OK;
}

enum cf_status cf_tar_cut(struct cf_tar *tar, const struct cf_tar_size *size,
                          struct cf_error *err)
{
    enum cf_status st = cf_tar_usable(tar, err);

    if (st == CF_OK &&
        (size->members > tar->size.members || size->bytes > tar->size.bytes ||
         size->manifest_bytes > tar->size.manifest_bytes))
        st = cf_fail(err, CF_EBUG, "cut to %d samples, but there are %d", size->members,
                     tar->size.members);
    if (st == CF_OK)
        st = cf_tar_size_check(size, err);
    if (st == CF_OK)
        st = cf_tar_cut_back(tar, size, err);
    if (st != CF_OK)
        return cf_tar_wrap(tar, st, err);
    if (size->bytes < tar->synced.bytes)
        tar->synced = *size;
    return CF_OK;
}
