#include "pipeline/variation.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/lanczos.h"
#include "store/webp.h"

enum { FILE_LIMIT = 256 << 20 };

void cf_variation_free(struct cf_variation *v)
{
    cf_free(v->image.rgb);
    memset(v, 0, sizeof *v);
}

/* Formats that people have and libwebp does not read, and what makes WebP of them. */
static const struct kind {
    const char *name, *begin;
    size_t len;
    const char *tool;
} kinds[] = {
    {"PNG", "\x89PNG", 4, "cwebp -lossless"},
    {"JPEG", "\xff\xd8\xff", 3, "cwebp -lossless"},
    {"TIFF", "II*\0", 4, "cwebp -lossless"},
    {"GIF", "GIF8", 4, "gif2webp"},
};

/* path: how the user calls it, for a command to copy. */
static enum cf_status check_kind(const char *data, size_t size, const char *path,
                                 struct cf_error *err)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && dot > path && (!slash || dot > slash + 1) ? (size_t)(dot - path)
                                                                   : strlen(path);

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (size >= kinds[i].len && memcmp(data, kinds[i].begin, kinds[i].len) == 0)
            return cf_fail(err, CF_EFORMAT,
                           "a %s file, expected WebP, which '%s %s -o %.*s.webp' makes",
                           kinds[i].name, kinds[i].tool, path, (int)stem, path);
    return CF_OK;
}

static enum cf_status decode(struct cf_variation *v, const char *data, size_t size,
                             const char *path, const char *sha256, int w, int h,
                             struct cf_error *err)
{
    struct cf_image whole = {0};
    enum cf_status st;

    CF_TRY(cf_digest_mem(data, size, v->sha256, err));
    if (*sha256 && strcmp(sha256, v->sha256) != 0)
        return cf_fail(err, CF_EMISMATCH, "SHA-256 %s, expected %s", v->sha256, sha256);
    CF_TRY(check_kind(data, size, path, err));
    CF_TRY(cf_webp_decode(data, size, &whole, err));
    st = cf_lanczos_cover(&v->image, &whole, w, h, err);
    cf_free(whole.rgb);
    return st;
}

/* Unreadable for this job alone: nothing that stops a worker but want of memory. */
static enum cf_status read_file(char **data, size_t *size, const char *path,
                                struct cf_error *err)
{
    struct cf_error why = {0};

    *data = cf_file_read(path, FILE_LIMIT, size, &why);
    if (*data)
        return CF_OK;
    return cf_fail(
        err, why.status == CF_EPERM || why.status == CF_EIO ? CF_ENOENT : why.status,
        "%s", why.msg);
}

enum cf_status cf_variation_read(struct cf_variation *v, const char *dir,
                                 const char *path, const char *sha256, int w, int h,
                                 struct cf_error *err)
{
    char *full, *data = NULL;
    enum cf_status st;
    size_t size;

    memset(v, 0, sizeof *v);
    full =
        dir && *path != '/' ? cf_format(err, "%s/%s", dir, path) : cf_strdup(path, err);
    if (!full)
        return CF_ENOMEM;
    st = read_file(&data, &size, full, err);
    if (st == CF_OK && (st = decode(v, data, size, path, sha256, w, h, err)) != CF_OK)
        cf_wrap(err, "%s", path);
    if (st != CF_OK) {
        cf_variation_free(v);
        cf_wrap(err, "initial image");
    }
    cf_free(data);
    cf_free(full);
    return st;
}
