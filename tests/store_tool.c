/* store_tool.c - writes one image with hostile metadata, for store_readers.sh.
 *
 *     store_tool write full|minimal|none FILE     a WebP file of 5 x 7 pixels
 *     store_tool ppm                              its pixels, lossless, as dwebp -ppm
 *     store_tool expect FIELD                     what a reader should show
 *     store_tool xmp FILE                         the packet
 *     store_tool json FILE                        cf_meta_read as canonical JSON */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/meta.h"
#include "store/sink.h"
#include "store/webp.h"

enum { W = 5, H = 7 };

/* emoji, Hebrew and Arabic, XML specials, the end of CDATA, a control character, NULs no
 */
#define PROMPT_HEAD                                                                      \
    "a \xf0\x9f\xa6\x8a reads \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xd8\xb3\xd9\x84 "        \
    "<&>\"' ]]> &amp; 50% bell"
#define PROMPT_TAIL "rung, <lora:x:1>"

static const struct cf_record record = {
    .prompt = PROMPT_HEAD "\x07" PROMPT_TAIL,
    .negative = "blurry, \xe4\xbd\x8e\xe8\xb4\xa8\xe9\x87\x8f <text> & \"noise\"",
    .seed = UINT64_MAX,
    .width = W,
    .height = H,
    .steps = 13,
    .model_name = "infinity-2b",
    .model_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .vae_sha256 = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
    .guidance = "4,4,3",
    .temperature = "1",
    .sampler = "infinity bitwise, top-k 900, top-p 0.97",
    .recipe = "{\"prompt\":\"bell\\u0007\",\"seed\":\"18446744073709551615\"}",
    .job_key = "00112233445566778899aabbccddeeff",
    .isa = "avx2",
};

static void pixels(struct cf_image *image, uint8_t *rgb)
{
    *image = (struct cf_image){.rgb = rgb, .w = W, .h = H, .stride = 3 * W};
    for (int i = 0; i < 3 * W * H; i++)
        rgb[i] = (uint8_t)(i * 37 + i / 5);
}

static int fail(const struct cf_error *err)
{
    fprintf(stderr, "store_tool: %s\n", err->msg);
    return 1;
}

static int write_file(const char *level, const char *path)
{
    enum cf_meta_level l = strcmp(level, "full") == 0      ? CF_META_FULL
                           : strcmp(level, "minimal") == 0 ? CF_META_MINIMAL
                                                           : CF_META_NONE;
    struct cf_error err = {0};
    struct cf_blob blob = {0};
    struct cf_image image;
    uint8_t rgb[3 * W * H];
    struct cf_webp w;

    pixels(&image, rgb);
    cf_webp_default(&w);
    w.lossless = true;
    if (cf_webp_encode(&image, &w, &blob, &err) == CF_OK &&
        cf_meta_attach(&blob, &record, l, &err) == CF_OK)
        cf_file_put(path, blob.data, blob.size, &err);
    cf_blob_free(&blob);
    return err.status ? fail(&err) : 0;
}

static int show_pixels(void)
{
    struct cf_image image;
    uint8_t rgb[3 * W * H];

    pixels(&image, rgb);
    printf("P6\n%d %d\n255\n", W, H);
    fwrite(rgb, 1, sizeof rgb, stdout);
    return 0;
}

static int expect(const char *field)
{
    if (strcmp(field, "prompt") == 0)
        puts(PROMPT_HEAD "\xef\xbf\xbd" PROMPT_TAIL);
    else if (strcmp(field, "negative") == 0)
        puts(record.negative);
    else if (strcmp(field, "software") == 0)
        puts("cfgen " PACKAGE_VERSION);
    else
        return 1;
    return 0;
}

static int show(const char *what, const char *path)
{
    static unsigned char file[1 << 20];
    struct cf_error err = {0};
    FILE *in = fopen(path, "rb");
    size_t size = in ? fread(file, 1, sizeof file, in) : 0;
    json_t *json = NULL;
    char *text = NULL;

    if (in)
        fclose(in);
    if (strcmp(what, "xmp") == 0) {
        if (cf_meta_read_xmp(file, size, &text, &err) == CF_OK)
            puts(text);
        cf_free(text);
    } else if (cf_meta_read(file, size, &json, &err) == CF_OK) {
        text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
        puts(text);
        free(text);
        json_decref(json);
    }
    return err.status ? fail(&err) : 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0)
        return write_file(argv[2], argv[3]);
    if (argc == 2 && strcmp(argv[1], "ppm") == 0)
        return show_pixels();
    if (argc == 3 && strcmp(argv[1], "expect") == 0)
        return expect(argv[2]);
    if (argc == 3 && (strcmp(argv[1], "xmp") == 0 || strcmp(argv[1], "json") == 0))
        return show(argv[1], argv[2]);
    fprintf(stderr,
            "usage: store_tool write LEVEL FILE | ppm | expect FIELD | xmp FILE | "
            "json FILE\n");
    return 64;
}
