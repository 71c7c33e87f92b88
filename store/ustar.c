#include "store/ustar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static size_t padded(size_t size)
{
    return (size + CF_USTAR_BLOCK - 1) / CF_USTAR_BLOCK * CF_USTAR_BLOCK;
}

static enum cf_status archive_fail(struct archive *a, const char *what,
                                   struct cf_error *err)
{
    int why = archive_errno(a);
    const char *text = archive_error_string(a);

    return cf_fail(err, why == ENOMEM || !text ? CF_ENOMEM : CF_ERANGE,
                   "tar member %s: %s", what, text ? text : "out of memory");
}

static enum cf_status put_member(struct archive *a, struct archive_entry *e,
                                 const struct cf_ustar_member *m, struct cf_error *err)
{
    archive_entry_clear(e);
    archive_entry_set_pathname(e, m->name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_mtime(e, 0, 0);
    archive_entry_set_size(e, (la_int64_t)m->size);
    if (archive_write_header(a, e) != ARCHIVE_OK ||
        archive_write_data(a, m->data, m->size) != (la_ssize_t)m->size ||
        archive_write_finish_entry(a) != ARCHIVE_OK)
        return archive_fail(a, m->name, err);
    return CF_OK;
}

/* The archive with its end into cap bytes; *used is how many it took. */
static enum cf_status fill(const struct cf_ustar_member *m, int n, void *buf, size_t cap,
                           size_t *used, struct cf_error *err)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    enum cf_status st = CF_OK;

    if (!a || !e)
        st = cf_fail(err, CF_ENOMEM, "tar: out of memory");
    else if (archive_write_set_format_ustar(a) != ARCHIVE_OK ||
             archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
             archive_write_open_memory(a, buf, cap, used) != ARCHIVE_OK)
        st = archive_fail(a, m->name, err);
    for (int i = 0; st == CF_OK && i < n; i++)
        st = put_member(a, e, &m[i], err);
    if (st == CF_OK && archive_write_close(a) != ARCHIVE_OK)
        st = archive_fail(a, m->name, err);
    archive_entry_free(e);
    if (a)
        archive_write_free(a);
    return st;
}

enum cf_status cf_ustar_make(const struct cf_ustar_member *m, int n, struct cf_blob *out,
                             int64_t *last, struct cf_error *err)
{
    size_t total = 0, used = 0;
    enum cf_status st;

    *out = (struct cf_blob){0};
    for (int i = 0; i < n; i++) {
        if (m[i].size > (size_t)INT64_MAX / 4)
            return cf_fail(err, CF_ERANGE, "tar member %s: %zu bytes", m[i].name,
                           m[i].size);
        *last = (int64_t)(total += CF_USTAR_BLOCK);
        total += padded(m[i].size);
    }
    out->data = cf_alloc(total + CF_USTAR_END, 1, err);
    if (!out->data)
        return CF_ENOMEM;
    st = fill(m, n, out->data, total + CF_USTAR_END, &used, err);
    if (st == CF_OK && used != total + CF_USTAR_END)
        st = cf_fail(err, CF_EBUG,
                     "tar member %s: libarchive wrote %zu bytes, expected %zu", m->name,
                     used, total + CF_USTAR_END);
    out->size = total;
    if (st != CF_OK)
        cf_blob_free(out);
    return st;
}

enum cf_status cf_ustar_read(const void *block, char *name, int64_t *size,
                             const char *where, struct cf_error *err)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = archive_entry_new();
    enum cf_status st = CF_OK;
    const char *path = NULL;

    if (!a || !e)
        st = cf_fail(err, CF_ENOMEM, "tar: out of memory");
    else if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
             archive_read_open_memory(a, block, CF_USTAR_BLOCK) != ARCHIVE_OK ||
             archive_read_next_header2(a, e) != ARCHIVE_OK ||
             archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) ||
             !archive_entry_size_is_set(e) || !(path = archive_entry_pathname(e)) ||
             strlen(path) >= CF_USTAR_NAME)
        st = cf_fail(err, CF_EFORMAT, "%s: no file begins there", where);
    if (st == CF_OK) {
        snprintf(name, CF_USTAR_NAME, "%s", path);
        *size = archive_entry_size(e);
    }
    archive_entry_free(e);
    if (a)
        archive_read_free(a);
    return st;
}
