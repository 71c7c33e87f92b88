#include "pipeline/gallery_thumb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "store/image_read.h"
#include "store/sink.h"

enum { GAP = 8, QUALITY = 82, BACKGROUND = 0x20 };

void cf_thumb_name(char name[CF_THUMB_NAME], const struct cf_detail *d, int side)
{
    const char *hash = d->file_sha256 ? d->file_sha256 : "";

    if (strspn(hash, "0123456789abcdef") < 32)
        hash = d->key;
    snprintf(name, CF_THUMB_NAME, "%.32s-%d.webp", hash, side);
}

static enum cf_status read_image(const char *root, const struct cf_detail *d,
                                 struct cf_blob *blob, struct cf_error *err)
{
    *blob = (struct cf_blob){0};
    if (!d->path)
        return cf_fail(err, CF_ENOENT, "job %" PRId64 " has no image", d->id);
    return cf_image_read(root, d->path, d->offset, d->bytes, blob, err);
}

static enum cf_status encode(const struct cf_image *image, const char *path,
                             struct cf_error *err)
{
    struct cf_webp how;
    struct cf_blob blob;
    enum cf_status st;

    cf_webp_default(&how);
    how.quality = QUALITY;
    CF_TRY(cf_webp_encode(image, &how, &blob, err));
    st = cf_file_put(path, blob.data, blob.size, err);
    cf_blob_free(&blob);
    return st;
}

enum cf_status cf_thumb_make(const char *dir, const char *name, const char *root,
                             const struct cf_detail *d, int side, struct cf_error *err)
{
    char *path = cf_format(err, "%s/%s", dir, name);
    struct cf_webp_info info;
    struct cf_blob blob = {0};
    struct cf_image image = {0};
    struct stat sb;
    enum cf_status st = path ? CF_OK : CF_ENOMEM;

    if (st == CF_OK && lstat(path, &sb) == 0 && S_ISREG(sb.st_mode))
        goto out; /* made before: the name says of what */
    if (st == CF_OK)
        st = read_image(root, d, &blob, err);
    if (st == CF_OK)
        st = cf_webp_info(blob.data, blob.size, &info, err);
    if (st == CF_OK)
        st = cf_webp_decode_fit(blob.data, blob.size, side, &image, err);
    if (st == CF_OK && info.w <= side && info.h <= side) /* small enough as it is */
        st = cf_file_put(path, blob.data, blob.size, err);
    else if (st == CF_OK)
        st = encode(&image, path, err);
out:
    cf_free(image.rgb);
    cf_blob_free(&blob);
    cf_free(path);
    return st;
}

/* ---- the sheet ---- */

enum cf_status cf_contact_open(struct cf_contact *c, int n, int side,
                               struct cf_error *err)
{
    int columns = 1, rows;
    size_t stride;

    while (columns * columns < n)
        columns++;
    rows = (n + columns - 1) / columns;
    stride = 3 * (size_t)(columns * (side + GAP) + GAP);
    *c = (struct cf_contact){.side = side, .columns = columns};
    c->sheet.w = columns * (side + GAP) + GAP;
    c->sheet.h = rows * (side + GAP) + GAP;
    c->sheet.stride = stride;
    c->sheet.rgb = cf_alloc((size_t)c->sheet.h, stride, err);
    if (!c->sheet.rgb)
        return CF_ENOMEM;
    memset(c->sheet.rgb, BACKGROUND, stride * (size_t)c->sheet.h);
    return CF_OK;
}

/* In the middle of its place, each pixel times `times`. */
static void paste(struct cf_contact *c, const struct cf_image *image, int times)
{
    int x0 = c->n % c->columns * (c->side + GAP) + GAP + (c->side - image->w * times) / 2;
    int y0 = c->n / c->columns * (c->side + GAP) + GAP + (c->side - image->h * times) / 2;

    for (int y = 0; y < image->h * times; y++)
        for (int x = 0; x < image->w * times; x++)
            memcpy(c->sheet.rgb + (size_t)(y0 + y) * c->sheet.stride +
                       3 * (size_t)(x0 + x),
                   image->rgb + (size_t)(y / times) * image->stride +
                       3 * (size_t)(x / times),
                   3);
}

void cf_contact_add(struct cf_contact *c, const char *root, const struct cf_detail *d)
{
    struct cf_error ignored = {0};
    struct cf_image image;
    struct cf_blob blob;

    if (read_image(root, d, &blob, &ignored) == CF_OK &&
        cf_webp_decode_fit(blob.data, blob.size, c->side, &image, &ignored) == CF_OK) {
        paste(c, &image, c->side / (image.w > image.h ? image.w : image.h));
        cf_free(image.rgb);
    }
    cf_blob_free(&blob);
    c->n++;
}

enum cf_status cf_contact_write(struct cf_contact *c, const char *path,
                                struct cf_error *err)
{
    return encode(&c->sheet, path, err);
}

void cf_contact_close(struct cf_contact *c)
{
    cf_free(c->sheet.rgb);
    memset(c, 0, sizeof *c);
}
