#include "store/webp.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/encode.h>

#include "base/alloc.h"

enum { MAX_PIXELS = 1 << 26 };

void cf_blob_free(struct cf_blob *b)
{
    if (!b)
        return;
    cf_free(b->data);
    *b = (struct cf_blob){0};
}

void cf_webp_default(struct cf_webp *w)
{
    *w = (struct cf_webp){.quality = 90.0f, .method = 4, .sharp_yuv = true};
}

enum cf_status cf_webp_check(const struct cf_webp *w, struct cf_error *err)
{
    if (!(w->quality >= 0.0f && w->quality <= 100.0f)) /* also catches a NaN */
        return cf_fail(err, CF_ERANGE, "webp quality: %g, expected 0..100",
                       (double)w->quality);
    if (w->method < 0 || w->method > 6)
        return cf_fail(err, CF_ERANGE, "webp method: %d, expected 0..6", w->method);
    return CF_OK;
}

static enum cf_status check_image(const struct cf_image *image, struct cf_error *err)
{
    if (image->w < 1 || image->w > WEBP_MAX_DIMENSION || image->h < 1 ||
        image->h > WEBP_MAX_DIMENSION)
        return cf_fail(err, CF_ERANGE, "webp: image of %d x %d, expected sides 1..%d",
                       image->w, image->h, WEBP_MAX_DIMENSION);
    if (image->stride < 3 * (size_t)image->w || image->stride > INT32_MAX)
        return cf_fail(err, CF_ERANGE, "webp: stride of %zu bytes for %d pixels",
                       image->stride, image->w);
    return CF_OK;
}

static enum cf_status make_config(WebPConfig *c, const struct cf_webp *w,
                                  struct cf_error *err)
{
    if (!WebPConfigInit(c))
        return cf_fail(err, CF_ECONFIG, "libwebp: version differs from its header");
    c->lossless = w->lossless;
    c->quality = w->quality;
    c->method = w->method;
    c->use_sharp_yuv = w->sharp_yuv && !w->lossless;
    c->thread_level = 0; /* threads are the caller's business */
    if (!WebPValidateConfig(c))
        return cf_fail(err, CF_ERANGE, "libwebp refuses quality %g with method %d",
                       (double)w->quality, w->method);
    return CF_OK;
}

/* libwebp's writer callback. Not WebPMemoryWriter: the bytes land at once in memory that
 * cf_free may free. */
struct sink {
    struct cf_blob blob;
    size_t cap;
    struct cf_error *err;
};

static int take(const uint8_t *data, size_t size, const WebPPicture *picture)
{
    struct sink *s = picture->custom_ptr;

    if (size > SIZE_MAX - s->blob.size ||
        cf_grow(&s->blob.data, &s->cap, s->blob.size + size, 1, s->err) != CF_OK)
        return 0;
    if (size)
        memcpy(s->blob.data + s->blob.size, data, size);
    s->blob.size += size;
    return 1;
}

static enum cf_status encoder_error(WebPEncodingError code, struct cf_error *err)
{
    static const struct {
        enum cf_status status;
        const char *text;
    } table[VP8_ENC_ERROR_LAST] = {
        [VP8_ENC_OK] = {CF_EBUG, "no error given"},
        [VP8_ENC_ERROR_OUT_OF_MEMORY] = {CF_ENOMEM, "out of memory"},
        [VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY] = {CF_ENOMEM, "out of memory for bits"},
        [VP8_ENC_ERROR_NULL_PARAMETER] = {CF_EBUG, "NULL parameter"},
        [VP8_ENC_ERROR_INVALID_CONFIGURATION] = {CF_EBUG, "invalid configuration"},
        [VP8_ENC_ERROR_BAD_DIMENSION] = {CF_ERANGE, "bad dimension"},
        [VP8_ENC_ERROR_PARTITION0_OVERFLOW] = {CF_ERANGE, "first partition over 512 KiB"},
        [VP8_ENC_ERROR_PARTITION_OVERFLOW] = {CF_ERANGE, "a partition over 16 MiB"},
        [VP8_ENC_ERROR_BAD_WRITE] = {CF_ENOMEM, "out of memory for the file"},
        [VP8_ENC_ERROR_FILE_TOO_BIG] = {CF_ERANGE, "file over 4 GiB"},
        [VP8_ENC_ERROR_USER_ABORT] = {CF_ECANCEL, "aborted"},
    };

    if (code <= VP8_ENC_OK || code >= VP8_ENC_ERROR_LAST)
        return cf_fail(err, CF_EBUG, "webp encoder: error %d", (int)code);
    return cf_fail(err, table[code].status, "webp encoder: %s", table[code].text);
}

static int goes_on(int percent, const WebPPicture *picture)
{
    (void)percent;
    return cf_cancel_check(picture->user_data, NULL) == CF_OK;
}

enum cf_status cf_webp_encode(const struct cf_image *image, const struct cf_webp *w,
                              struct cf_blob *out, struct cf_error *err)
{
    return cf_webp_encode_until(image, w, NULL, out, err);
}

enum cf_status cf_webp_encode_until(const struct cf_image *image, const struct cf_webp *w,
                                    struct cf_cancel *cancel, struct cf_blob *out,
                                    struct cf_error *err)
{
    struct sink sink = {.err = err};
    WebPConfig config;
    WebPPicture picture;
    enum cf_status status;

    *out = (struct cf_blob){0};
    CF_TRY(cf_webp_check(w, err));
    CF_TRY(check_image(image, err));
    CF_TRY(make_config(&config, w, err));
    if (!WebPPictureInit(&picture))
        return cf_fail(err, CF_ECONFIG, "libwebp: version differs from its header");
    picture.width = image->w;
    picture.height = image->h;
    /* Sharp YUV too starts from ARGB; only plain lossy converts while importing. */
    picture.use_argb = config.lossless || config.use_sharp_yuv;
    picture.writer = take;
    picture.custom_ptr = &sink;
    picture.progress_hook = goes_on;
    picture.user_data = cancel;
    if (WebPPictureImportRGB(&picture, image->rgb, (int)image->stride) &&
        WebPEncode(&config, &picture)) {
        *out = sink.blob;
        sink.blob = (struct cf_blob){0};
        status = CF_OK;
    } else {
        status = encoder_error(picture.error_code, err);
    }
    WebPPictureFree(&picture);
    cf_blob_free(&sink.blob);
    return status;
}

static enum cf_status decoder_error(VP8StatusCode code, struct cf_error *err)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return cf_fail(err, CF_ENOMEM, "webp decoder: out of memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return cf_fail(err, CF_EUNSUP, "webp decoder: a feature it does not support");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return cf_fail(err, CF_EFORMAT, "webp decoder: the file ends too early");
    case VP8_STATUS_BITSTREAM_ERROR:
        return cf_fail(err, CF_EFORMAT, "webp decoder: not WebP, or damaged");
    default:
        return cf_fail(err, CF_EBUG, "webp decoder: error %d", (int)code);
    }
}

/* The file's own words, before memory is asked for. */
static enum cf_status read_head(const void *data, size_t size, WebPBitstreamFeatures *f,
                                struct cf_error *err)
{
    VP8StatusCode code = WebPGetFeatures(data, size, f);

    if (code != VP8_STATUS_OK)
        return decoder_error(code, err);
    if (f->has_animation)
        return cf_fail(err, CF_EUNSUP, "webp: an animation, expected one image");
    if (f->width < 1 || f->height < 1 || (int64_t)f->width * f->height > MAX_PIXELS)
        return cf_fail(err, CF_ERANGE, "webp: %d x %d pixels, expected at most %d",
                       f->width, f->height, MAX_PIXELS);
    return CF_OK;
}

enum cf_status cf_webp_info(const void *data, size_t size, struct cf_webp_info *info,
                            struct cf_error *err)
{
    enum { LOSSLESS = 2 };
    WebPBitstreamFeatures f;

    CF_TRY(read_head(data, size, &f, err));
    *info = (struct cf_webp_info){f.width, f.height, f.format == LOSSLESS};
    return CF_OK;
}

/* Sizes of the scaled image; what fits stays as it is. */
static void fit(WebPDecoderConfig *c, int side, int *w, int *h)
{
    int longer = *w > *h ? *w : *h;

    if (longer <= side)
        return;
    *w = (int)((int64_t)*w * side / longer);
    *h = (int)((int64_t)*h * side / longer);
    *w = *w < 1 ? 1 : *w;
    *h = *h < 1 ? 1 : *h;
    c->options.use_scaling = 1;
    c->options.scaled_width = *w;
    c->options.scaled_height = *h;
}

enum cf_status cf_webp_decode_fit(const void *data, size_t size, int side,
                                  struct cf_image *image, struct cf_error *err)
{
    WebPDecoderConfig c;
    VP8StatusCode code;
    size_t stride;
    int w, h;

    *image = (struct cf_image){0};
    if (!WebPInitDecoderConfig(&c))
        return cf_fail(err, CF_ECONFIG, "libwebp: version differs from its header");
    CF_TRY(read_head(data, size, &c.input, err));
    w = c.input.width;
    h = c.input.height;
    fit(&c, side, &w, &h);
    stride = 3 * (size_t)w;
    image->rgb = cf_calloc((size_t)h, stride, err);
    if (!image->rgb)
        return CF_ENOMEM;
    c.output.colorspace = MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA.rgba = image->rgb;
    c.output.u.RGBA.stride = (int)stride;
    c.output.u.RGBA.size = stride * (size_t)h;
    code = WebPDecode(data, size, &c);
    WebPFreeDecBuffer(&c.output);
    if (code != VP8_STATUS_OK) {
        cf_free(image->rgb);
        *image = (struct cf_image){0};
        return decoder_error(code, err);
    }
    image->w = w;
    image->h = h;
    image->stride = stride;
    return CF_OK;
}

enum cf_status cf_webp_decode(const void *data, size_t size, struct cf_image *image,
                              struct cf_error *err)
{
    return cf_webp_decode_fit(data, size, WEBP_MAX_DIMENSION, image, err);
}

enum cf_status cf_webp_verify(const struct cf_blob *blob, const struct cf_image *image,
                              struct cf_error *err)
{
    enum cf_status status = CF_OK;
    struct cf_image is;

    CF_TRY(cf_webp_decode(blob->data, blob->size, &is, err));
    if (is.w != image->w || is.h != image->h)
        status = cf_fail(err, CF_EMISMATCH, "webp: decoded %d x %d, expected %d x %d",
                         is.w, is.h, image->w, image->h);
    for (int y = 0; status == CF_OK && y < is.h; y++) {
        const uint8_t *a = is.rgb + (size_t)y * is.stride;
        const uint8_t *b = image->rgb + (size_t)y * image->stride;
        int x = 0;

        if (memcmp(a, b, 3 * (size_t)is.w) == 0)
            continue;
        while (memcmp(a + 3 * x, b + 3 * x, 3) == 0)
            x++;
        status = cf_fail(err, CF_EMISMATCH,
                         "webp: pixel (%d, %d) is not what was encoded", x, y);
    }
    cf_free(is.rgb);
    return status;
}
