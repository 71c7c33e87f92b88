/* fuzz_webp.c - any bytes as a WebP file: its size, its pixels, and what its metadata say
 * about how it was made. */
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/meta.h"
#include "store/webp.h"
#include "tests/fuzz/fuzz.h"

enum { SIDE = 64, MAX_PIXELS = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_image image = {0};
    struct cf_webp_info info;
    json_t *record = NULL;
    char *xmp = NULL;

    if (cf_meta_read_xmp(bytes, n, &xmp, &err) == CF_OK)
        cf_free(xmp);
    err = (struct cf_error){0};
    if (cf_meta_read(bytes, n, &record, &err) == CF_OK)
        json_decref(record);
    err = (struct cf_error){0};
    if (cf_webp_info(bytes, n, &info, &err) != CF_OK)
        return 0;
    if (info.w < 1 || info.h < 1)
        abort();
    if ((int64_t)info.w * info.h <= MAX_PIXELS &&
        cf_webp_decode_fit(bytes, n, SIDE, &image, &err) == CF_OK)
        cf_free(image.rgb);
    return 0;
}
