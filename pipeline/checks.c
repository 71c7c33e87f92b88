#include "pipeline/checks.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "store/image_read.h"
#include "store/meta.h"
#include "store/webp.h"

static void find(struct cf_finding *f, const char *kind, const struct cf_error *why)
{
    if (f->kind)
        return;
    f->kind = kind;
    snprintf(f->text, sizeof f->text, "%s", why->msg);
}

/* A message without "LEAD: " in front: the finding's line has it already. */
static void strip(struct cf_error *why, const char *lead)
{
    size_t n = strlen(lead);

    if (strncmp(why->msg, lead, n) == 0 && strncmp(why->msg + n, ": ", 2) == 0)
        memmove(why->msg, why->msg + n + 2, strlen(why->msg + n + 2) + 1);
}

/* What a failed reading means: a fact about the image, or our own trouble. */
static enum cf_status judge(const char *root, const struct cf_detail *d,
                            struct cf_finding *f, struct cf_error *why,
                            struct cf_error *err)
{
    if (why->status == CF_ENOMEM || why->status == CF_EPERM)
        return cf_fail(err, why->status, "%s", why->msg);
    strip(why, root);
    strip(why, d->path);
    find(f,
         why->status == CF_ENOENT      ? "missing"
         : why->status == CF_EMISMATCH ? "size"
                                       : "file",
         why);
    return CF_OK;
}

static void differ(struct cf_finding *f, const char *kind, const char *what,
                   const char *is, const char *row)
{
    struct cf_error why = {0};

    row = row ? row : "";
    if (strcmp(is, row) == 0)
        return;
    cf_fail(&why, CF_EMISMATCH, "%s %.64s, the row says %.64s", what, is, row);
    find(f, kind, &why);
}

/* The embedded record, where the image has one of ours. */
static enum cf_status check_record(const struct cf_blob *blob, const struct cf_detail *d,
                                   struct cf_finding *f, struct cf_error *err)
{
    struct cf_error why = {0};
    json_t *record = NULL;
    const char *key, *pixels;

    if (cf_meta_read(blob->data, blob->size, &record, &why) != CF_OK) {
        if (why.status == CF_ENOMEM)
            return cf_fail(err, why.status, "%s", why.msg);
        if (why.status != CF_ENOENT) /* none: written with less metadata */
            find(f, "metadata", &why);
        return CF_OK;
    }
    key = json_string_value(json_object_get(record, "job_key"));
    pixels = json_string_value(json_object_get(record, "pixel_sha256"));
    if (key)
        differ(f, "metadata", "the image tells of job", key, d->key);
    if (pixels)
        differ(f, "metadata", "the image tells of pixels", pixels, d->pixel_sha256);
    json_decref(record);
    return CF_OK;
}

static enum cf_status check_pixels(const struct cf_blob *blob, const struct cf_detail *d,
                                   struct cf_finding *f, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];
    struct cf_webp_info info;
    struct cf_error why = {0};
    struct cf_image image;
    enum cf_status st;

    if (cf_webp_info(blob->data, blob->size, &info, &why) != CF_OK ||
        cf_webp_decode(blob->data, blob->size, &image, &why) != CF_OK) {
        if (why.status == CF_ENOMEM)
            return cf_fail(err, why.status, "%s", why.msg);
        find(f, "damaged", &why);
        return CF_OK;
    }
    st = cf_digest_mem(image.rgb, image.stride * (size_t)image.h, hex, err);
    if (image.w != d->out_width || image.h != d->out_height) {
        cf_fail(&why, CF_EMISMATCH, "%d x %d pixels, the row says %d x %d", image.w,
                image.h, d->out_width, d->out_height);
        find(f, "size", &why);
    }
    if (st == CF_OK && info.lossless)
        differ(f, "pixels", "pixels", hex, d->pixel_sha256);
    cf_free(image.rgb);
    return st;
}

static enum cf_status check_bytes(const char *root, const struct cf_detail *d,
                                  struct cf_finding *f, struct cf_error *err)
{
    struct cf_error why = {0};
    char hex[CF_DIGEST_HEX];
    struct cf_blob blob;
    enum cf_status st;

    if (cf_image_read(root, d->path, d->offset, d->bytes, &blob, &why) != CF_OK)
        return judge(root, d, f, &why, err);
    st = cf_digest_mem(blob.data, blob.size, hex, err);
    if (st == CF_OK)
        differ(f, "hash", "SHA-256", hex, d->file_sha256);
    if (st == CF_OK && !f->kind)
        st = check_pixels(&blob, d, f, err);
    if (st == CF_OK && !f->kind)
        st = check_record(&blob, d, f, err);
    cf_blob_free(&blob);
    return st;
}

enum cf_status cf_check_stored(const char *root, const struct cf_detail *d, bool deep,
                               struct cf_finding *f, struct cf_error *err)
{
    struct cf_error why = {0};

    f->kind = NULL;
    if (deep)
        return check_bytes(root, d, f, err);
    if (cf_image_look(root, d->path, d->offset, d->bytes, &why) != CF_OK)
        return judge(root, d, f, &why, err);
    return CF_OK;
}
