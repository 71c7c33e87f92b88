#include "config.h"

#include "store/meta.h"

#include <jansson.h>
#include <string.h>
#include <webp/mux.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/utf8.h"
#include "store/exif.h"
#include "store/fields.h"
#include "store/params.h"
#include "store/xmp.h"

enum cf_status cf_meta_level_parse(const char *s, enum cf_meta_level *level,
                                   const char *what, struct cf_error *err)
{
    static const char *const words[] = {"full", "minimal", "none", NULL};
    int n;

    CF_TRY(cf_parse_word(s, words, &n, what, err));
    *level = (enum cf_meta_level)n;
    return CF_OK;
}

static enum cf_status mux_error(WebPMuxError code, const char *what, struct cf_error *err)
{
    if (code == WEBP_MUX_MEMORY_ERROR)
        return cf_fail(err, CF_ENOMEM, "webp %s: out of memory", what);
    if (code == WEBP_MUX_BAD_DATA || code == WEBP_MUX_NOT_ENOUGH_DATA)
        return cf_fail(err, CF_EFORMAT, "webp %s: the file is damaged", what);
    return cf_fail(err, CF_EBUG, "webp %s: mux error %d", what, (int)code);
}

/* Bytes that live as long as the call. */
static WebPData view(const void *p, size_t size)
{
    return (WebPData){.bytes = p, .size = size};
}

static enum cf_status set_chunk(WebPMux *mux, const char *id, const void *p, size_t size,
                                struct cf_error *err)
{
    WebPData data = view(p, size);
    WebPMuxError code = WebPMuxSetChunk(mux, id, &data, 0);

    return code == WEBP_MUX_OK ? CF_OK : mux_error(code, id, err);
}

/* The file again, with its new chunks, in memory of ours. */
static enum cf_status assemble(WebPMux *mux, struct cf_blob *blob, struct cf_error *err)
{
    WebPData whole;
    WebPMuxError code = WebPMuxAssemble(mux, &whole);
    uint8_t *copy;

    if (code != WEBP_MUX_OK)
        return mux_error(code, "file", err);
    copy = cf_alloc(whole.size, 1, err);
    if (copy) {
        memcpy(copy, whole.bytes, whole.size);
        cf_free(blob->data);
        *blob = (struct cf_blob){.data = copy, .size = whole.size};
    }
    WebPDataClear(&whole);
    return copy ? CF_OK : CF_ENOMEM;
}

static enum cf_status make_exif(const struct cf_record *r, enum cf_meta_level level,
                                struct cf_blob *exif, struct cf_error *err)
{
    char *params = NULL;
    enum cf_status status;

    if (level == CF_META_FULL && !(params = cf_params_text(r, err)))
        return CF_ENOMEM;
    status = cf_exif_make("cfgen " PACKAGE_VERSION, params, exif, err);
    cf_free(params);
    return status;
}

enum cf_status cf_meta_attach(struct cf_blob *blob, const struct cf_record *r,
                              enum cf_meta_level level, struct cf_error *err)
{
    struct cf_blob exif = {0};
    char *xmp = NULL;
    WebPMux *mux = NULL;
    WebPData file = view(blob->data, blob->size);
    enum cf_status status;

    if (level == CF_META_NONE)
        return CF_OK;
    if ((status = cf_record_check(r, err)) != CF_OK ||
        (status = make_exif(r, level, &exif, err)) != CF_OK)
        goto out;
    xmp = cf_xmp_write(r, level, err);
    if (!xmp) {
        status = CF_ENOMEM;
        goto out;
    }
    if (strlen(xmp) > CF_META_XMP_MAX) { /* what is written can be read */
        status = cf_fail(err, CF_ERANGE, "XMP: %zu bytes, expected at most %d",
                         strlen(xmp), CF_META_XMP_MAX);
        goto out;
    }
    mux = WebPMuxCreate(&file, 0);
    if (!mux) {
        status = cf_fail(err, CF_EFORMAT, "metadata: %zu bytes are not a WebP file",
                         blob->size);
        goto out;
    }
    if ((status = set_chunk(mux, "EXIF", exif.data, exif.size, err)) != CF_OK ||
        (status = set_chunk(mux, "XMP ", xmp, strlen(xmp), err)) != CF_OK)
        goto out;
    status = assemble(mux, blob, err);
out:
    WebPMuxDelete(mux);
    cf_free(xmp);
    cf_blob_free(&exif);
    return status;
}

/* The packet inside the mux's own memory. */
static enum cf_status check_packet(const WebPData *x, struct cf_error *err)
{
    if (x->size > CF_META_XMP_MAX)
        return cf_fail(err, CF_EFORMAT, "XMP: %zu bytes, expected at most %d", x->size,
                       CF_META_XMP_MAX);
    if (!x->size)
        return cf_fail(err, CF_ENOENT, "XMP: an empty packet");
    if (memchr(x->bytes, 0, x->size) ||
        !cf_utf8_valid((const char *)x->bytes, x->size, NULL))
        return cf_fail(err, CF_EFORMAT, "XMP: not text in UTF-8");
    return CF_OK;
}

enum cf_status cf_meta_read_xmp(const void *data, size_t size, char **xmp,
                                struct cf_error *err)
{
    WebPData file = view(data, size), x = {0};
    WebPMux *mux = WebPMuxCreate(&file, 0);
    WebPMuxError code;
    enum cf_status status;

    *xmp = NULL;
    if (!mux)
        return cf_fail(err, CF_EFORMAT, "metadata: %zu bytes are not a WebP file", size);
    code = WebPMuxGetChunk(mux, "XMP ", &x);
    if (code == WEBP_MUX_NOT_FOUND)
        status = cf_fail(err, CF_ENOENT, "metadata: the file has no XMP");
    else if (code != WEBP_MUX_OK)
        status = mux_error(code, "XMP", err);
    else if ((status = check_packet(&x, err)) == CF_OK) {
        *xmp = cf_strndup((const char *)x.bytes, x.size, err);
        status = *xmp ? CF_OK : CF_ENOMEM;
    }
    WebPMuxDelete(mux);
    return status;
}

enum cf_status cf_meta_read(const void *data, size_t size, json_t **out,
                            struct cf_error *err)
{
    enum cf_status status;
    char *xmp;

    *out = NULL;
    CF_TRY(cf_meta_read_xmp(data, size, &xmp, err));
    status = cf_xmp_read(xmp, strlen(xmp), out, err);
    cf_free(xmp);
    return status;
}
