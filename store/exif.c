#include "store/exif.h"

#include <libexif/exif-content.h>
#include <libexif/exif-data.h>
#include <libexif/exif-entry.h>
#include <libexif/exif-mem.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"

/* What libexif puts in front, for JPEG's sake. */
static const unsigned char prefix[6] = {'E', 'x', 'i', 'f', 0, 0};

/* Well-formed UTF-8 as UTF-16LE; every byte gives at most one unit. Returns its bytes. */
static size_t to_utf16le(unsigned char *dst, const char *s, size_t len)
{
    size_t at = 0;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        uint16_t unit[2];
        int n = 1;

        i += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                      (utf8proc_ssize_t)(len - i), &c);
        unit[0] = (uint16_t)c;
        if (c >= 0x10000) {
            unit[0] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            unit[1] = (uint16_t)(0xdc00 + ((c - 0x10000) & 0x3ff));
            n = 2;
        }
        for (int k = 0; k < n; k++) {
            dst[at++] = (unsigned char)(unit[k] & 0xff);
            dst[at++] = (unsigned char)(unit[k] >> 8);
        }
    }
    return at;
}

/* The value of UserComment. */
static enum cf_status encode_comment(const char *comment, struct cf_blob *out,
                                     struct cf_error *err)
{
    size_t len = strlen(comment);
    char *s;

    if (len > CF_EXIF_MAX)
        return cf_fail(err, CF_ERANGE, "EXIF comment: %zu bytes, expected at most %d",
                       len, CF_EXIF_MAX);
    CF_TRY(cf_utf8_repair(comment, len, &s, &len, err));
    out->data = cf_alloc(8 + 2 * len, 1, err);
    if (!out->data) {
        cf_free(s);
        return CF_ENOMEM;
    }
    memcpy(out->data, "UNICODE", 8);
    out->size = 8 + to_utf16le(out->data + 8, s, len);
    cf_free(s);
    return CF_OK;
}

/* One entry with its value copied into libexif's memory; false without memory. */
static bool add(ExifData *data, ExifMem *mem, ExifIfd ifd, ExifTag tag, ExifFormat format,
                const void *value, size_t size)
{
    ExifEntry *e = exif_entry_new_mem(mem);

    if (!e)
        return false;
    e->data = exif_mem_alloc(mem, (ExifLong)size);
    if (e->data) {
        memcpy(e->data, value, size);
        e->tag = tag;
        e->format = format;
        e->components = size;
        e->size = (unsigned int)size;
        exif_content_add_entry(data->ifd[ifd], e);
    }
    exif_entry_unref(e);
    return data->ifd[ifd]->count == 1;
}

/* Bytes of a directory with n entries whose values beyond four bytes take size. */
static size_t ifd_size(size_t n, size_t size)
{
    return 2 + 12 * n + 4 + (size > 4 ? size + size % 2 : 0);
}

/* libexif drops what it finds no memory for and says nothing: the size tells. */
static enum cf_status save(ExifData *data, ExifMem *mem, size_t want, struct cf_blob *out,
                           struct cf_error *err)
{
    unsigned char *p = NULL;
    unsigned int size = 0;
    enum cf_status status = CF_OK;

    exif_data_save_data(data, &p, &size);
    if (!p || size != sizeof prefix + want || memcmp(p, prefix, sizeof prefix) != 0) {
        status = cf_fail(err, CF_ENOMEM, "EXIF: libexif wrote %u bytes, expected %zu",
                         size, sizeof prefix + want);
    } else if (!(out->data = cf_alloc(want, 1, err))) {
        status = CF_ENOMEM;
    } else {
        memcpy(out->data, p + sizeof prefix, want);
        out->size = want;
    }
    if (p)
        exif_mem_free(mem, p);
    return status;
}

enum cf_status cf_exif_make(const char *software, const char *comment,
                            struct cf_blob *out, struct cf_error *err)
{
    size_t soft = strlen(software) + 1, want;
    struct cf_blob value = {0};
    ExifMem *mem = NULL;
    ExifData *data = NULL;
    enum cf_status status;

    *out = (struct cf_blob){0};
    if (comment)
        CF_TRY(encode_comment(comment, &value, err));
    mem = exif_mem_new_default();
    data = mem ? exif_data_new_mem(mem) : NULL;
    if (!data) {
        status = cf_fail(err, CF_ENOMEM, "EXIF: out of memory");
        goto out;
    }
    exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
    if (!add(data, mem, EXIF_IFD_0, EXIF_TAG_SOFTWARE, EXIF_FORMAT_ASCII, software,
             soft) ||
        (comment && !add(data, mem, EXIF_IFD_EXIF, EXIF_TAG_USER_COMMENT,
                         EXIF_FORMAT_UNDEFINED, value.data, value.size))) {
        status = cf_fail(err, CF_ENOMEM, "EXIF: out of memory");
        goto out;
    }
    /* TIFF header, then the first directory, then the Exif directory it points to. */
    want = 8 + ifd_size(comment ? 2 : 1, soft) + (comment ? ifd_size(1, value.size) : 0);
    status = save(data, mem, want, out, err);
out:
    if (data)
        exif_data_unref(data);
    if (mem)
        exif_mem_unref(mem);
    cf_blob_free(&value);
    return status;
}
