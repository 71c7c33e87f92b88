/* meta_test.c - what is written about an image is read back; what is hostile does no
 * harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <webp/mux.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "store/exif.h"
#include "store/meta.h"
#include "store/params.h"
#include "tests/store_fail.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define FFFD "\xef\xbf\xbd"

static const struct cf_record everything = {
    .prompt = "a fox\nreads \xe2\x82\xac & <b>\r\n\ttab ",
    .negative = "noise",
    .seed = UINT64_MAX,
    .width = 1024,
    .height = 768,
    .steps = 13,
    .model_name = "infinity-2b",
    .model_sha256 = HEX64,
    .transformer_sha256 = HEX64,
    .vae_sha256 = HEX64,
    .text_sha256 = HEX64,
    .vocab_sha256 = HEX64,
    .guidance = "4,4,3",
    .temperature = "0.9",
    .sampler = "infinity bitwise, top-k 900, top-p 0.97",
    .recipe =
        "{\"seed\":\"18446744073709551615\",\"guidance\":[4,4,3],\"a\":{\"b\":null}}",
    .recipe_sha256 = HEX64,
    .job_key = HEX64,
    .pixel_sha256 = HEX64,
    .build = "0.1.0 (gcc 12)",
    .isa = "avx512",
    .date = "2026-01-31T12:00:00Z",
    .note = "prompt cut at 512 tokens",
};

static struct cf_blob make_file(void)
{
    uint8_t rgb[3 * 16];
    struct cf_image image = {.rgb = rgb, .w = 4, .h = 4, .stride = 12};
    struct cf_error err = {0};
    struct cf_blob blob;
    struct cf_webp w;

    for (int i = 0; i < 48; i++)
        rgb[i] = (uint8_t)(i * 5);
    cf_webp_default(&w);
    w.lossless = true;
    assert_int_equal(cf_webp_encode(&image, &w, &blob, &err), CF_OK);
    return blob;
}

static struct cf_blob make_attached(const struct cf_record *r, enum cf_meta_level level)
{
    struct cf_blob blob = make_file();
    struct cf_error err = {0};

    assert_int_equal(cf_meta_attach(&blob, r, level, &err), CF_OK);
    return blob;
}

/* The canonical JSON of what a file says, cf_free. */
static char *read_back(const struct cf_blob *blob)
{
    struct cf_error err = {0};
    json_t *json;
    char *text, *copy;

    assert_int_equal(cf_meta_read(blob->data, blob->size, &json, &err), CF_OK);
    text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    copy = cf_strdup(text, &err);
    free(text);
    json_decref(json);
    return copy;
}

static void the_whole_record_is_read_back(void **state)
{
    struct cf_blob blob = make_attached(&everything, CF_META_FULL);
    struct cf_error err = {0};
    char *is = read_back(&blob), *want = cf_record_json(&everything, &err);

    (void)state;
    assert_non_null(want);
    assert_string_equal(is, want);
    assert_non_null(strstr(want, "\"seed\":\"18446744073709551615\""));
    assert_non_null(strstr(want, "\"recipe\":{\"a\":{\"b\":null},\"guidance\":[4,4,3],"));
    assert_non_null(strstr(want, "\"schema\":1,"));
    cf_free(is);
    cf_free(want);
    cf_blob_free(&blob);
}

static void what_is_unknown_is_left_out(void **state)
{
    static const struct cf_record empty = {0};
    struct cf_blob blob = make_attached(&empty, CF_META_FULL);
    struct cf_error err = {0};
    char *is = read_back(&blob), *text = cf_params_text(&empty, &err), *xmp;

    (void)state;
    assert_string_equal(is, "{\"schema\":1,\"seed\":\"0\"}");
    assert_string_equal(text, "\nSeed: 0, Version: cfgen 0.1.0");
    assert_int_equal(cf_meta_read_xmp(blob.data, blob.size, &xmp, &err), CF_OK);
    assert_null(strstr(xmp, "AIPromptInformation"));
    assert_null(strstr(xmp, "dc:description"));
    assert_null(strstr(xmp, "CreateDate")); /* a date only where a rerun can repeat it */
    cf_free(xmp);
    cf_free(text);
    cf_free(is);
    cf_blob_free(&blob);
}

static void one_record_gives_the_same_bytes_every_time(void **state)
{
    struct cf_blob a = make_attached(&everything, CF_META_FULL);
    struct cf_blob b = make_attached(&everything, CF_META_FULL);
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    /* Attached again: the chunks are replaced, not doubled. */
    assert_int_equal(cf_meta_attach(&a, &everything, CF_META_FULL, &err), CF_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    cf_blob_free(&a);
    cf_blob_free(&b);
}

static void metadata_leaves_the_pixels_alone(void **state)
{
    struct cf_blob plain = make_file(), full = make_attached(&everything, CF_META_FULL);
    struct cf_image a, b;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_webp_decode(plain.data, plain.size, &a, &err), CF_OK);
    assert_int_equal(cf_webp_decode(full.data, full.size, &b, &err), CF_OK);
    assert_memory_equal(a.rgb, b.rgb, 48);
    cf_free(a.rgb);
    cf_free(b.rgb);
    cf_blob_free(&plain);
    cf_blob_free(&full);
}

static void the_levels_say_as_much_as_they_promise(void **state)
{
    struct cf_blob none = make_attached(&everything, CF_META_NONE), plain = make_file();
    struct cf_blob minimal = make_attached(&everything, CF_META_MINIMAL);
    struct cf_error a = {0}, b = {0}, c = {0};
    json_t *json;
    char *xmp;

    (void)state;
    assert_int_equal(none.size, plain.size);
    assert_memory_equal(none.data, plain.data, plain.size);
    assert_int_equal(cf_meta_read_xmp(none.data, none.size, &xmp, &a), CF_ENOENT);
    assert_null(xmp);
    assert_int_equal(cf_meta_read_xmp(minimal.data, minimal.size, &xmp, &b), CF_OK);
    assert_non_null(strstr(xmp, "digitalsourcetype/trainedAlgorithmicMedia<"));
    assert_null(strstr(xmp, "fox"));
    assert_null(strstr(xmp, CF_META_NS));
    cf_free(xmp);
    assert_int_equal(cf_meta_read(minimal.data, minimal.size, &json, &c), CF_ENOENT);
    assert_null(json);
    cf_blob_free(&none);
    cf_blob_free(&plain);
    cf_blob_free(&minimal);
}

static void exif_starts_with_the_tiff_header(void **state)
{
    static const char head[] = "II*\0\x08\0\0\0";
    struct cf_blob blob = make_attached(&everything, CF_META_FULL);
    WebPData file = {.bytes = blob.data, .size = blob.size}, chunk;
    WebPMux *mux = WebPMuxCreate(&file, 0);

    (void)state;
    assert_int_equal(WebPMuxGetChunk(mux, "EXIF", &chunk), WEBP_MUX_OK);
    assert_true(chunk.size > 100);
    assert_memory_equal(chunk.bytes, head, 8);
    assert_non_null(memmem(chunk.bytes, chunk.size, "UNICODE\0a\0 \0f\0o\0x\0", 18));
    assert_non_null(memmem(chunk.bytes, chunk.size, "cfgen 0.1.0", 12));
    WebPMuxDelete(mux);
    cf_blob_free(&blob);
}

static void comments_of_every_length_and_plane_are_utf16(void **state)
{
    struct cf_error err = {0};
    struct cf_blob out;
    char text[64] = {0};

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        memset(text, 'x', n);
        text[n] = '\0';
        assert_int_equal(cf_exif_make("s", text, &out, &err), CF_OK);
        assert_int_equal(out.size, 8 + (2 + 24 + 4) + (2 + 12 + 4) + 8 + 2 * n);
        cf_blob_free(&out);
    }
    for (size_t n = 4; n < 10; n++) { /* odd values are padded, and libexif agrees */
        size_t soft = n + 1;

        memset(text, 'v', n);
        text[n] = '\0';
        assert_int_equal(cf_exif_make(text, NULL, &out, &err), CF_OK);
        assert_int_equal(out.size, 8 + (2 + 12 + 4) + soft + soft % 2);
        cf_blob_free(&out);
    }
    /* U+1F98A, a lone continuation byte, U+20AC */
    assert_int_equal(cf_exif_make("s", "\xf0\x9f\xa6\x8a\x80\xe2\x82\xac", &out, &err),
                     CF_OK);
    assert_memory_equal(out.data + out.size - 8, "\x3e\xd8\x8a\xdd\xfd\xff\xac\x20", 8);
    cf_blob_free(&out);
}

static void the_generation_text_is_what_a1111_readers_parse(void **state)
{
    struct cf_record r = everything;
    struct cf_error err = {0};
    char *text;

    (void)state;
    r.prompt = "a, (b:1.2)";
    text = cf_params_text(&r, &err);
    assert_string_equal(
        text, "a, (b:1.2)\nNegative prompt: noise\nSteps: 13, Sampler: \"infinity "
              "bitwise, top-k 900, top-p 0.97\", CFG scale: \"4,4,3\", Seed: "
              "18446744073709551615, Size: 1024x768, Model hash: 0011223344, "
              "Model: infinity-2b, Version: cfgen 0.1.0");
    cf_free(text);
    r.negative = "";
    r.guidance = "4";
    r.model_name = "odd: \"name\"";
    text = cf_params_text(&r, &err);
    assert_null(strstr(text, "Negative"));
    assert_non_null(strstr(text, "CFG scale: 4, "));
    assert_non_null(strstr(text, "Model: \"odd: \\\"name\\\"\", "));
    cf_free(text);
}

/* s with what XML cannot hold as U+FFFD, by a second way than the writer's. */
static char *held_by_xml(const char *s)
{
    struct cf_error err = {0};
    char *fixed, *to, *p;
    size_t len;

    assert_int_equal(cf_utf8_repair(s, strlen(s), &fixed, &len, &err), CF_OK);
    p = to = cf_alloc(3 * len + 1, 1, &err);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)fixed[i];

        if (c < 0x20 && !strchr("\t\n\r", c))
            p = stpcpy(p, FFFD);
        else if (c == 0xef && (unsigned char)fixed[i + 1] == 0xbf &&
                 (unsigned char)fixed[i + 2] >= 0xbe) {
            p = stpcpy(p, FFFD);
            i += 2;
        } else
            *p++ = (char)c;
    }
    *p = '\0';
    cf_free(fixed);
    return to;
}

static void expect_prompt_survives(const char *prompt)
{
    struct cf_record r = {.prompt = prompt, .negative = prompt, .model_name = prompt};
    struct cf_blob blob = make_attached(&r, CF_META_FULL);
    char *want = held_by_xml(prompt);
    struct cf_error err = {0};
    json_t *json;

    assert_int_equal(cf_meta_read(blob.data, blob.size, &json, &err), CF_OK);
    assert_string_equal(json_string_value(json_object_get(json, "prompt")), want);
    assert_string_equal(json_string_value(json_object_get(json, "negative")), want);
    json_decref(json);
    cf_free(want);
    cf_blob_free(&blob);
}

static void any_prompt_gives_a_well_formed_packet(void **state)
{
    static const char *const hostile[] = {
        "",
        " ",
        "]]>",
        "<![CDATA[ ]]> <!-- --> <?xpacket end=\"r\"?>",
        "</rdf:li></rdf:Alt></dc:description><cfgen:seed>1</cfgen:seed>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]>&a;",
        "&amp; &#0; &#x1F; &lt;",
        "\xe2\x80\xae evil \xe2\x81\xa6 bidi \xef\xbb\xbf",
        "\x1b[2J\x1b]0;title\x07 \x7f",
        "\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd \xf0\x9f\xbf\xbe",
        "\xed\xa0\x80 \xc0\xaf \xff\xfe \xf4\x90\x80\x80 \xe2\x82",
        "--help; DROP TABLE jobs; ../../etc/passwd <|im_end|>",
        "e\xcc\x81 "
        "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
        "one\rtwo\r\nthree\n\n\tfour ",
    };
    char all[256], random[200];

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        expect_prompt_survives(hostile[i]);
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    expect_prompt_survives(all);
    for (uint32_t k = 0; k < 300; k++) {
        for (uint32_t i = 0; i < sizeof random - 1; i++) {
            uint32_t v = cf_rng_u32(3, CF_RNG_TEST, k, i, 0);

            random[i] = (char)(1 + v % 255);
        }
        random[sizeof random - 1] = '\0';
        expect_prompt_survives(random);
    }
}

static void a_long_prompt_is_kept_and_a_longer_one_refused(void **state)
{
    struct cf_error err = {0};
    struct cf_blob blob = make_file(), was = blob;
    char *text = cf_alloc(CF_META_TEXT_MAX + 2, 1, &err);
    struct cf_record r = {.prompt = text};

    (void)state;
    memset(text, '&', CF_META_TEXT_MAX + 1);
    text[CF_META_TEXT_MAX + 1] = '\0';
    assert_int_equal(cf_meta_attach(&blob, &r, CF_META_FULL, &err), CF_ERANGE);
    assert_non_null(strstr(err.msg, "prompt: "));
    assert_ptr_equal(blob.data, was.data);
    cf_blob_free(&blob);
    text[100000] = '\0';
    expect_prompt_survives(text);
    cf_free(text);
}

static void a_recipe_that_is_no_object_stays_text(void **state)
{
    static const char *const recipe[] = {"[1]", "{\"a\":1,\"a\":2}", "nonsense", "{", ""};

    (void)state;
    for (size_t i = 0; i < sizeof recipe / sizeof recipe[0]; i++) {
        struct cf_record r = {.recipe = recipe[i]};
        struct cf_blob blob = make_attached(&r, CF_META_FULL);
        struct cf_error err = {0};
        char *is = read_back(&blob), *want = cf_record_json(&r, &err);

        assert_string_equal(is, want);
        assert_non_null(strstr(want, "\"recipe\":\""));
        cf_free(is);
        cf_free(want);
        cf_blob_free(&blob);
    }
}

static void what_is_no_webp_is_refused_and_left_alone(void **state)
{
    uint8_t *junk = cf_alloc(64, 1, NULL);
    struct cf_blob blob = {.data = junk, .size = 64};
    struct cf_error a = {0}, b = {0}, c = {0};
    json_t *json;
    char *xmp;

    (void)state;
    memset(junk, 'R', 64);
    assert_int_equal(cf_meta_attach(&blob, &everything, CF_META_FULL, &a), CF_EFORMAT);
    assert_ptr_equal(blob.data, junk);
    assert_int_equal(blob.size, 64);
    assert_int_equal(cf_meta_read_xmp(junk, 64, &xmp, &b), CF_EFORMAT);
    assert_int_equal(cf_meta_read("", 0, &json, &c), CF_EFORMAT);
    cf_blob_free(&blob);
}

/* A WebP whose XMP chunk holds these bytes. */
static struct cf_blob with_packet(const void *p, size_t size)
{
    struct cf_blob blob = make_file();
    WebPData file = {.bytes = blob.data, .size = blob.size};
    WebPData chunk = {.bytes = p, .size = size}, whole;
    WebPMux *mux = WebPMuxCreate(&file, 0);
    struct cf_error err = {0};

    assert_int_equal(WebPMuxSetChunk(mux, "XMP ", &chunk, 0), WEBP_MUX_OK);
    assert_int_equal(WebPMuxAssemble(mux, &whole), WEBP_MUX_OK);
    WebPMuxDelete(mux);
    cf_blob_free(&blob);
    blob.data = cf_alloc(whole.size, 1, &err);
    memcpy(blob.data, whole.bytes, whole.size);
    blob.size = whole.size;
    WebPDataClear(&whole);
    return blob;
}

static void packets_that_are_not_text_are_refused(void **state)
{
    static const struct {
        const char *p;
        size_t size;
    } c[] = {{"<a>\0</a>", 8}, {"<a>\xff</a>", 8}, {"\xff\xfe<\0a\0/\0>\0", 10}};

    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_blob blob = with_packet(c[i].p, c[i].size);
        struct cf_error err = {0};
        char *xmp;

        assert_int_equal(cf_meta_read_xmp(blob.data, blob.size, &xmp, &err), CF_EFORMAT);
        assert_null(xmp);
        cf_blob_free(&blob);
    }
}

static void flipped_bits_do_no_harm(void **state)
{
    struct cf_blob blob = make_attached(&everything, CF_META_FULL);

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t r = cf_rng_u32(11, CF_RNG_TEST, i, 0, 0);
        struct cf_error err = {0};
        json_t *json;

        blob.data[(r >> 3) % blob.size] ^= (uint8_t)(1u << (r & 7));
        (void)cf_meta_read(blob.data, blob.size, &json, &err);
        json_decref(json);
        if (i % 16 == 0) { /* up to sixteen at once, then afresh */
            cf_blob_free(&blob);
            blob = make_attached(&everything, CF_META_FULL);
        }
    }
    for (size_t n = 0; n < blob.size; n += 7) {
        uint8_t *cut = malloc(n ? n : 1);
        struct cf_error err = {0};
        json_t *json;

        memcpy(cut, blob.data, n);
        (void)cf_meta_read(cut, n, &json, &err);
        json_decref(json);
        free(cut);
    }
    cf_blob_free(&blob);
}

/* ---- failing memory: ours alone. Jansson does not tell "no memory" from "not JSON", and
 * libxml2 2.9.14 follows a NULL ---- */

static enum cf_status try_attach(struct cf_error *err)
{
    struct cf_blob blob, was;
    enum cf_status status;
    long at = fail_at;

    fail_at = 0;
    was = blob = make_file();
    fail_arm(at);
    status = cf_meta_attach(&blob, &everything, CF_META_FULL, err);
    if (status != CF_OK)
        assert_ptr_equal(blob.data, was.data);
    cf_blob_free(&blob);
    return status;
}

static enum cf_status try_json(struct cf_error *err)
{
    char *text = cf_record_json(&everything, err);

    cf_free(text);
    return text ? CF_OK : err->status;
}

static enum cf_status try_read(struct cf_error *err)
{
    struct cf_blob blob;
    enum cf_status status;
    long at = fail_at;
    json_t *json;

    fail_at = 0;
    blob = make_attached(&everything, CF_META_FULL);
    fail_arm(at);
    status = cf_meta_read(blob.data, blob.size, &json, err);
    assert_true((json != NULL) == (status == CF_OK));
    json_decref(json);
    cf_blob_free(&blob);
    return status;
}

static void without_memory_the_file_is_as_it_was(void **state)
{
    enum cf_status (*const tries[])(struct cf_error *) = {try_attach, try_json, try_read};

    (void)state;
    for (size_t k = 0; k < sizeof tries / sizeof tries[0]; k++) {
        bool hit = true;
        long n = 0;

        while (hit) {
            struct cf_error err = {0};
            enum cf_status status;

            fail_arm(++n);
            status = tries[k](&err);
            hit = fail_hit();
            assert_int_equal(status, hit ? CF_ENOMEM : CF_OK);
            assert_int_equal(status, err.status);
        }
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_record_is_read_back),
        cmocka_unit_test(what_is_unknown_is_left_out),
        cmocka_unit_test(one_record_gives_the_same_bytes_every_time),
        cmocka_unit_test(metadata_leaves_the_pixels_alone),
        cmocka_unit_test(the_levels_say_as_much_as_they_promise),
        cmocka_unit_test(exif_starts_with_the_tiff_header),
        cmocka_unit_test(comments_of_every_length_and_plane_are_utf16),
        cmocka_unit_test(the_generation_text_is_what_a1111_readers_parse),
        cmocka_unit_test(any_prompt_gives_a_well_formed_packet),
        cmocka_unit_test(a_long_prompt_is_kept_and_a_longer_one_refused),
        cmocka_unit_test(a_recipe_that_is_no_object_stays_text),
        cmocka_unit_test(what_is_no_webp_is_refused_and_left_alone),
        cmocka_unit_test(packets_that_are_not_text_are_refused),
        cmocka_unit_test(flipped_bits_do_no_harm),
        cmocka_unit_test(without_memory_the_file_is_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
