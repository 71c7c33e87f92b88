/* safetensors_test.c - one file: what is read rightly, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/weights_util.h"
#include "weights/safetensors.h"

static enum cf_status parse_bytes(const char *header, size_t len, size_t data,
                                  struct cf_error *err)
{
    size_t n;
    unsigned char *p = util_blob(header, len, data, &n);
    struct cf_st *st;
    enum cf_status status = cf_st_parse(&st, p, n, "f", err);

    assert_true((status == CF_OK) == (st != NULL));
    cf_st_close(st);
    free(p);
    return status;
}

/* The header is refused with this status, and the message has this part. */
static void refused(const char *header, size_t data, enum cf_status status,
                    const char *part)
{
    struct cf_error err = {0};

    assert_int_equal(parse_bytes(header, strlen(header), data, &err), status);
    assert_int_equal(err.status, status);
    assert_int_equal(strncmp(err.msg, "f: ", 3), 0);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
}

static void accepted(const char *header, size_t data)
{
    struct cf_error err = {0};

    if (parse_bytes(header, strlen(header), data, &err) != CF_OK)
        fail_msg("%s: %s", header, err.msg);
}

/* One U8 tensor "t" with these fields. */
static void refused_field(const char *shape, const char *offsets, size_t data,
                          enum cf_status status, const char *part)
{
    char header[400];

    snprintf(header, sizeof header,
             "{\"t\":{\"dtype\":\"U8\",\"shape\":%s,\"data_offsets\":%s}}", shape,
             offsets);
    refused(header, data, status, part);
}

static void every_dtype_shape_and_order_is_read(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"z\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
        "\"scalar\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[18,20]},"
        "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0,9],\"data_offsets\":[18,18]},"
        "\"b\":{\"data_offsets\":[8,18],\"shape\":[1,1,1,1,1,5],\"dtype\":\"BF16\"}}   ";
    static const char *const name[] = {"b", "none", "scalar", "z"};
    struct cf_error err = {0};
    struct cf_st *st;
    size_t n;
    unsigned char *p = util_blob(header, sizeof header - 1, 20, &n);

    (void)state;
    assert_int_equal(cf_st_parse(&st, p, n, "f", &err), CF_OK);
    assert_int_equal(cf_st_count(st), 4);
    assert_int_equal(cf_st_bytes(st), 20);
    for (int i = 0; i < 4; i++)
        assert_string_equal(cf_st_name(st, i), name[i]);
    assert_int_equal(cf_st_view(st, 0)->ndim, 6);
    assert_int_equal(cf_st_view(st, 0)->dim[5], 5);
    assert_int_equal(cf_st_view(st, 0)->dtype, CF_BF16);
    assert_int_equal(*(const unsigned char *)cf_st_view(st, 0)->data, 8);
    assert_int_equal(cf_view_count(cf_st_view(st, 1)), 0);
    assert_int_equal(cf_view_count(cf_st_view(st, 2)), 1);
    assert_int_equal(util_touch(cf_st_view(st, 2)), 18 + 19);
    assert_int_equal(util_touch(cf_st_view(st, 3)), 28);
    cf_st_close(st);
    free(p);
    for (int t = 0; t < CF_NDTYPE; t++) {
        char one[200];
        size_t size = cf_dtype_size((enum cf_dtype)t);

        snprintf(one, sizeof one,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                 cf_dtype_name((enum cf_dtype)t), 3 * size);
        accepted(one, 3 * size);
    }
    accepted("{}", 0);
    accepted("{\"__metadata__\":{}}", 0);
}

static void the_reference_files_load_with_their_values(void **state)
{
    struct cf_error err = {0};
    struct cf_st *st;
    float f[4];

    (void)state;
    assert_int_equal(
        cf_st_open(&st, util_src("tests/golden/infinity/rope.safetensors"), &err), CF_OK);
    assert_true(cf_st_count(st) > 0);
    for (int i = 0; i < cf_st_count(st); i++) {
        const struct cf_view *v = cf_st_view(st, i);

        util_touch(v);
        if (i > 0)
            assert_true(strcmp(cf_st_name(st, i - 1), cf_st_name(st, i)) < 0);
        /* The file holds cosines and sines. */
        assert_int_equal(cf_view_floats(f, v, 0, 4, &err), CF_OK);
        for (int k = 0; k < 4; k++)
            assert_true(f[k] >= -1.0f && f[k] <= 1.0f);
    }
    cf_st_close(st);
}

static void a_header_length_that_cannot_be_is_refused(void **state)
{
    static const uint64_t len[] = {0,          1,          3,          1000,
                                   1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};

    (void)state;
    for (size_t i = 0; i < sizeof len / sizeof len[0]; i++) {
        struct cf_error err = {0};
        unsigned char p[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
        struct cf_st *st;

        for (int k = 0; k < 8; k++)
            p[k] = (unsigned char)(len[i] >> 8 * k);
        assert_int_equal(cf_st_parse(&st, p, sizeof p, "f", &err), CF_EFORMAT);
        assert_non_null(strstr(err.msg, "byte 0"));
        assert_null(st);
    }
}

static void what_is_no_json_object_is_refused(void **state)
{
    (void)state;
    refused("[]", 0, CF_EFORMAT, "no JSON object");
    refused(" {}", 0, CF_EFORMAT, "no JSON object");
    refused("{}{}", 0, CF_EFORMAT, "end of file");
    refused("{\"a\":}", 0, CF_EFORMAT, "line 1");
    refused("{\"a\":1}", 0, CF_EFORMAT, "a: expected an object");
    refused("{\"a\":{}}", 0, CF_EFORMAT, "a: expected an object");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":1}}", 1,
            CF_EFORMAT, "a: expected an object of dtype, shape and data_offsets");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"x\":[0,1]}}", 1, CF_EFORMAT,
            "a: data_offsets");
}

static void deep_nesting_is_refused(void **state)
{
    struct cf_error err = {0};
    char deep[20010] = "{\"a\":";

    (void)state;
    memset(deep + 5, '[', 10000);
    memset(deep + 10005, ']', 10000);
    deep[20005] = '}';
    assert_int_equal(parse_bytes(deep, 20006, 0, &err), CF_EFORMAT);
    assert_non_null(strstr(err.msg, "depth"));
}

static void names_that_cannot_be_told_apart_or_shown_are_refused(void **state)
{
    static const char nul[] =
        "{\"a\0b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    char header[800];
    struct cf_error err = {0};

    (void)state;
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2, CF_EFORMAT, "duplicate");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2, CF_EFORMAT, "duplicate");
    refused("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            CF_EFORMAT, "a name of 0 bytes");
    refused("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            CF_EFORMAT, "NUL");
    assert_int_equal(parse_bytes(nul, sizeof nul - 1, 1, &err), CF_EFORMAT);
    refused("{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            CF_EFORMAT, "unable to decode byte 0xff");
    refused("{\"a\\ud800\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            CF_EFORMAT, "line 1");
    for (int len = CF_ST_MAX_NAME; len <= CF_ST_MAX_NAME + 1; len++) {
        snprintf(header, sizeof header,
                 "{\"%0*d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                 len, 0);
        if (len == CF_ST_MAX_NAME)
            accepted(header, 1);
        else
            refused(header, 1, CF_EFORMAT, "a name of 513 bytes");
    }
    /* A name is never a path: this one is merely strange. */
    accepted("{\"../x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
}

static void metadata_is_text_to_text(void **state)
{
    (void)state;
    refused("{\"__metadata__\":[]}", 0, CF_EFORMAT, "__metadata__ is no object");
    refused("{\"__metadata__\":{\"a\":1}}", 0, CF_EFORMAT,
            "__metadata__: a is no string");
}

static void an_unknown_dtype_is_named_with_its_tensor(void **state)
{
    static const char *const dtype[] = {"\"F8_E4M3\"", "\"U16\"", "\"f32\"", "\"\"",
                                        "\"F32\\u0000\""};
    char header[200];

    (void)state;
    for (size_t i = 0; i < sizeof dtype / sizeof dtype[0]; i++) {
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":%s,\"shape\":[1],\"data_offsets\":[0,4]}}", dtype[i]);
        refused(header, 4, CF_EUNSUP, "t: dtype");
    }
    refused("{\"t\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            CF_EUNSUP, "f: t: dtype \"F8_E4M3\" is not supported");
    refused("{\"t\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, CF_EFORMAT,
            "t: dtype is missing");
}

static void a_shape_of_other_than_sane_integers_is_refused(void **state)
{
    (void)state;
    refused_field("[-1]", "[0,1]", 1, CF_EFORMAT, "t: shape[0]");
    refused_field("[1,1.0]", "[0,1]", 1, CF_EFORMAT, "t: shape[1]");
    refused_field("[1e400]", "[0,1]", 1, CF_EFORMAT, "overflow");
    refused_field("[18446744073709551616]", "[0,1]", 1, CF_EFORMAT, "line 1");
    refused_field("[\"1\"]", "[0,1]", 1, CF_EFORMAT, "t: shape[0]");
    refused_field("[null]", "[0,1]", 1, CF_EFORMAT, "t: shape[0]");
    refused_field("1", "[0,1]", 1, CF_EFORMAT, "t: shape is missing or no array");
    refused_field("{}", "[0,1]", 1, CF_EFORMAT, "t: shape is missing or no array");
    refused_field("[1,1,1,1,1,1,1]", "[0,1]", 1, CF_EUNSUP, "t: 7 dimensions");
    /* Products that wrap to the right size, or are hidden behind a zero. */
    refused_field("[4294967296,4294967296,1]", "[0,0]", 0, CF_EFORMAT, "overflows");
    refused_field("[9223372036854775807,3]", "[0,1]", 1, CF_EFORMAT, "overflows");
    refused_field("[4294967296,4294967296,0]", "[0,0]", 0, CF_EFORMAT, "overflows");
    refused_field("[0,4294967296,4294967296]", "[0,0]", 0, CF_EFORMAT, "overflows");
    refused("{\"t\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],"
            "\"data_offsets\":[0,0]}}",
            0, CF_EFORMAT, "overflows");
}

static void offsets_that_do_not_tile_the_data_are_refused(void **state)
{
    (void)state;
    refused_field("[1]", "[0]", 1, CF_EFORMAT, "t: data_offsets");
    refused_field("[1]", "[0,1,2]", 1, CF_EFORMAT, "t: data_offsets");
    refused_field("[1]", "[-1,0]", 1, CF_EFORMAT, "t: data_offsets");
    refused_field("[1]", "[0,1.0]", 1, CF_EFORMAT, "t: data_offsets");
    refused_field("[1]", "{}", 1, CF_EFORMAT, "t: data_offsets");
    refused_field("[1]", "[1,0]", 1, CF_EFORMAT, "t: bytes 1..0 of 1");
    refused_field("[2]", "[0,2]", 1, CF_EFORMAT, "t: bytes 0..2 of 1");
    refused_field("[1]", "[9223372036854775806,9223372036854775807]", 1, CF_EFORMAT,
                  "t: bytes");
    refused_field("[3]", "[0,2]", 2, CF_EFORMAT,
                  "t: U8 [3] takes 3 bytes, bytes 0..2 are 2");
    refused_field("[1]", "[1,2]", 2, CF_EFORMAT,
                  "t: starts at byte 1 of the data, leaving");
    refused_field("[1]", "[0,1]", 2, CF_EFORMAT, "end at byte 1 of 2");
    refused("{}", 1, CF_EFORMAT, "end at byte 0 of 1");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
            3, CF_EFORMAT, "b: starts at byte 1 of the data, overlapping");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
            2, CF_EFORMAT, "b: starts at byte 0 of the data, overlapping");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
            4, CF_EFORMAT, "b: starts at byte 3 of the data, leaving a gap after 2");
    /* An empty tensor inside another one points at bytes that are not its own. */
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
            2, CF_EFORMAT, "b: starts at byte 1");
}

static void control_bytes_of_a_name_do_not_reach_the_message(void **state)
{
    (void)state;
    refused("{\"a\\u001b[31m\":1}", 0, CF_EFORMAT, "a?[31m");
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
    struct cf_error missing = {0}, dir = {0}, fifo = {0}, empty = {0};
    char *tmp = util_mkdir();
    struct cf_st *st;

    (void)state;
    assert_int_equal(cf_st_open(&st, util_path(tmp, "no"), &missing), CF_ENOENT);
    assert_int_equal(cf_st_open(&st, tmp, &dir), CF_EFORMAT);
    assert_int_equal(mkfifo(util_path(tmp, "p"), 0600), 0);
    assert_int_equal(cf_st_open(&st, util_path(tmp, "p"), &fifo), CF_EFORMAT);
    util_write_text(util_path(tmp, "e"), "");
    assert_int_equal(cf_st_open(&st, util_path(tmp, "e"), &empty), CF_EFORMAT);
    assert_null(st);
    util_rmdir(tmp);
}

/* Opens bytes[0 .. n-1] as a file and reads all that its views claim. */
static enum cf_status open_touch(const char *path, const void *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_st *st;
    enum cf_status status;

    util_write(path, bytes, n);
    status = cf_st_open(&st, path, &err);
    assert_int_equal(status, err.status);
    for (int i = 0; st && i < cf_st_count(st); i++)
        util_touch(cf_st_view(st, i));
    cf_st_close(st);
    return status;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    size_t n, header;
    unsigned char *p = util_read(util_src("tests/golden/infinity/rope.safetensors"), &n);
    char *tmp = util_mkdir();
    char path[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/cut.safetensors", tmp);
    header = 8 + (size_t)p[0] + ((size_t)p[1] << 8) + ((size_t)p[2] << 16);
    assert_true(header < n);
    for (size_t cut = 0; cut <= header; cut++)
        assert_int_equal(open_touch(path, p, cut), CF_EFORMAT);
    for (size_t cut = 4096; cut < n; cut += 4096)
        assert_int_equal(open_touch(path, p, cut), CF_EFORMAT);
    assert_int_equal(open_touch(path, p, n - 1), CF_EFORMAT);
    assert_int_equal(open_touch(path, p, n), CF_OK);
    free(p);
    util_rmdir(tmp);
}

static void flipped_bits_never_make_a_view_outside_the_file(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[24,26]},"
        "\"c\":{\"dtype\":\"I8\",\"shape\":[1,9],\"data_offsets\":[26,35]}}";
    int good = 0;

    (void)state;
    for (uint32_t round = 0; round < 6000; round++) {
        struct cf_error err = {0};
        size_t n;
        unsigned char *p = util_blob(header, sizeof header - 1, 35, &n);
        struct cf_st *st;

        /* Every single bit once, then one to four at random. */
        if (round < 8 * (n - 35))
            p[round / 8] ^= (unsigned char)(1 << round % 8);
        else
            for (uint32_t k = 0; k <= round % 4; k++) {
                uint32_t r = cf_rng_u32(1, CF_RNG_TEST, round, k, 0);

                p[r / 8 % (n - 35)] ^= (unsigned char)(1 << r % 8);
            }
        cf_st_parse(&st, p, n, "f", &err);
        for (int i = 0; st && i < cf_st_count(st); i++)
            util_touch(cf_st_view(st, i));
        good += st != NULL;
        cf_st_close(st);
        free(p);
    }
    assert_true(good > 0); /* some flips only rename a tensor */
}

/* The costliest headers known, at the limit of size: a key is held three times by the
 * parser, values cost most as empty objects. */
static char *costly(int kind, size_t len)
{
    char *h = malloc(len + 1);
    size_t at;

    assert_non_null(h);
    memset(h, 'x', len);
    if (kind == 0) {
        memcpy(h, "{\"", 2);
        memcpy(h + len - 4, "\":1}", 4);
        return h;
    }
    memcpy(h, "{\"__metadata__\":{\"a\":\"", 22);
    at = len - 3 * (CF_ST_MAX_VALUES / 2 - 10) - 30;
    at += (size_t)sprintf(h + at, "\"},\"t\":[{}");
    h[at] = ',';
    while (at + 5 <= len) {
        memcpy(h + at, ",{}", 3);
        at += 3;
    }
    memset(h + at, ' ', len - at);
    memcpy(h + len - 2, "]}", 2);
    return h;
}

static void a_hostile_header_costs_bounded_memory(void **state)
{
    char *tmp = util_mkdir();
    char path[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/big.safetensors", tmp);
    for (int kind = 0; kind < 2; kind++) {
        char *h = costly(kind, CF_ST_MAX_HEADER);
        struct rusage used;
        pid_t child;
        size_t n;
        unsigned char *p = util_blob(h, CF_ST_MAX_HEADER, 0, &n);
        int status;

        util_write(path, p, n);
        free(p);
        free(h);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct cf_error err = {0};
            struct cf_st *st;

            _exit(cf_st_open(&st, path, &err) == CF_EFORMAT ? 0 : 1);
        }
        assert_int_equal(wait4(child, &status, 0, &used), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#if !defined __SANITIZE_ADDRESS__ /* whose quarantine keeps what was freed */
        assert_in_range(used.ru_maxrss, 0, 200 * 1000);
#endif
    }
    util_rmdir(tmp);
}

static void a_header_of_a_hundred_megabytes_is_refused_unread(void **state)
{
    struct cf_error err = {0};
    char *tmp = util_mkdir();
    char path[1024];
    struct cf_st *st;

    (void)state;
    snprintf(path, sizeof path, "%s/big.safetensors", tmp);
    util_write(path, "\0\xe1\xf5\x05\0\0\0\0{", 9); /* 100000000 */
    assert_int_equal(truncate(path, 100000008), 0);
    assert_int_equal(cf_st_open(&st, path, &err), CF_EUNSUP);
    assert_non_null(strstr(err.msg, "a header of 100000000 bytes, at most 25000000"));
    util_rmdir(tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_shape_and_order_is_read),
        cmocka_unit_test(the_reference_files_load_with_their_values),
        cmocka_unit_test(a_header_length_that_cannot_be_is_refused),
        cmocka_unit_test(what_is_no_json_object_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(names_that_cannot_be_told_apart_or_shown_are_refused),
        cmocka_unit_test(metadata_is_text_to_text),
        cmocka_unit_test(an_unknown_dtype_is_named_with_its_tensor),
        cmocka_unit_test(a_shape_of_other_than_sane_integers_is_refused),
        cmocka_unit_test(offsets_that_do_not_tile_the_data_are_refused),
        cmocka_unit_test(control_bytes_of_a_name_do_not_reach_the_message),
        cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(flipped_bits_never_make_a_view_outside_the_file),
        cmocka_unit_test(a_hostile_header_costs_bounded_memory),
        cmocka_unit_test(a_header_of_a_hundred_megabytes_is_refused_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
