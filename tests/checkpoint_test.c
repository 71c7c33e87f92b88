/* checkpoint_test.c - shards joined by an index that may lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/weights_util.h"
#include "weights/checkpoint.h"

#define TENSOR(name)                                                                     \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}"

/* A directory with shard s1 of tensor a, s2 of tensor b, and this index. */
static char *sharded(const char *index)
{
    char *dir = util_mkdir();

    util_write_st(util_path(dir, "s1"), "{" TENSOR("a") "}", 2);
    util_write_st(util_path(dir, "s2"), "{" TENSOR("b") "}", 2);
    util_write_text(util_path(dir, "model.safetensors.index.json"), index);
    return dir;
}

static void refused_in(const char *dir, enum cf_status status, const char *part)
{
    struct cf_error err = {0};
    struct cf_ckpt *c;

    assert_int_equal(cf_ckpt_open(&c, dir, &err), status);
    assert_null(c);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
}

static void refused(const char *index, enum cf_status status, const char *part)
{
    char *dir = sharded(index);

    refused_in(dir, status, part);
    util_rmdir(dir);
}

static void shards_are_joined_in_the_order_of_names(void **state)
{
    char *dir = sharded(
        "{\"metadata\":{\"total_size\":4},\"weight_map\":{\"b\":\"s2\",\"a\":\"s1\"}}");
    const char *index = util_path(dir, "model.safetensors.index.json");
    struct cf_error err = {0};
    struct cf_ckpt *c;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cf_ckpt_open(&c, i ? index : dir, &err), CF_OK);
        assert_string_equal(cf_ckpt_path(c), i ? index : dir);
        assert_int_equal(cf_ckpt_count(c), 2);
        assert_int_equal(cf_ckpt_bytes(c), 4);
        assert_string_equal(cf_ckpt_name(c, 0), "a");
        assert_string_equal(cf_ckpt_name(c, 1), "b");
        assert_int_equal(cf_ckpt_index(c, "b"), 1);
        assert_int_equal(cf_ckpt_index(c, "c"), -1);
        assert_null(cf_ckpt_find(c, "aa"));
        assert_ptr_equal(cf_ckpt_find(c, "b"), cf_ckpt_view(c, 1));
        assert_int_equal(util_touch(cf_ckpt_find(c, "b")), 1);
        cf_ckpt_close(c);
    }
    util_rmdir(dir);
}

static void a_sharded_model_of_the_reference_library_loads(void **state)
{
    static const char dir[] = "tests/golden/textenc/qwen2-tiny-sharded";
    struct cf_error err = {0};
    struct cf_ckpt *c;
    const struct cf_view *v;
    float f[48];

    (void)state;
    assert_int_equal(cf_ckpt_open(&c, util_src(dir), &err), CF_OK);
    assert_int_equal(cf_ckpt_count(c), 75);
    assert_int_equal(cf_ckpt_bytes(c), 356064); /* metadata.total_size of the index */
    v = cf_ckpt_find(c, "model.norm.weight");
    assert_non_null(v);
    assert_int_equal(v->ndim, 1);
    assert_int_equal(v->dim[0], 48);
    assert_int_equal(cf_view_floats(f, v, 0, 48, &err), CF_OK);
    assert_true(f[0] == 0.546875f && f[1] == 1.1171875f && f[47] == 0.6171875f);
    for (int i = 0; i < cf_ckpt_count(c); i++)
        util_touch(cf_ckpt_view(c, i));
    cf_ckpt_close(c);
}

static void every_golden_file_of_the_transformer_loads(void **state)
{
    char *dir = strdup(util_src("tests/golden/infinity"));
    struct dirent *e;
    DIR *d = dir ? opendir(dir) : NULL;
    int files = 0;

    (void)state;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        struct cf_error err = {0};
        struct cf_ckpt *c;

        if (!strstr(e->d_name, ".safetensors"))
            continue;
        if (cf_ckpt_open(&c, util_path(dir, e->d_name), &err) != CF_OK)
            fail_msg("%s", err.msg);
        for (int i = 0; i < cf_ckpt_count(c); i++)
            util_touch(cf_ckpt_view(c, i));
        cf_ckpt_close(c);
        files++;
    }
    closedir(d);
    free(dir);
    assert_true(files >= 10);
}

static void the_reference_values_are_the_ones_read(void **state)
{
    static const char file[] = "tests/golden/infinity/vae-p8-d14.safetensors";
    struct cf_error err = {0};
    struct cf_ckpt *c;
    size_t n;
    unsigned char *p = util_read(util_src(file), &n);
    size_t header = 8 + (size_t)p[0] + ((size_t)p[1] << 8) + ((size_t)p[2] << 16);
    const char *at, *name = "\"decoder.conv_in.conv.bias\":";
    const struct cf_view *v;
    unsigned long begin;

    (void)state;
    /* The offset, found by searching the text of the header. */
    at = memmem(p + 8, header - 8, name, strlen(name));
    assert_non_null(at);
    at = strstr(at, "\"data_offsets\":[");
    assert_non_null(at);
    begin = strtoul(at + 16, NULL, 10);
    assert_int_equal(cf_ckpt_open(&c, util_src(file), &err), CF_OK);
    v = cf_ckpt_find(c, "decoder.conv_in.conv.bias");
    assert_non_null(v);
    assert_int_equal(v->dtype, CF_F32);
    assert_memory_equal(v->data, p + header + begin, (size_t)cf_view_count(v) * 4);
    cf_ckpt_close(c);
    free(p);
}

static void a_directory_prefers_the_single_file_and_says_what_it_looked_for(void **state)
{
    char *dir = util_mkdir();
    struct cf_error err = {0};
    struct cf_ckpt *c;

    (void)state;
    refused_in(dir, CF_ENOENT,
               "neither model.safetensors nor model.safetensors.index.json");
    util_write_st(util_path(dir, "model.safetensors"), "{" TENSOR("only") "}", 2);
    util_write_text(util_path(dir, "model.safetensors.index.json"), "{}");
    assert_int_equal(cf_ckpt_open(&c, dir, &err), CF_OK);
    assert_string_equal(cf_ckpt_name(c, 0), "only");
    cf_ckpt_close(c);
    refused_in(util_path(dir, "absent"), CF_ENOENT, "absent");
    util_rmdir(dir);
}

static void an_index_cannot_name_files_elsewhere(void **state)
{
    static const char *const name[] = {"../s1", "/etc/passwd", "sub/s1", ".", "..",
                                       "",      "s1\\u0000",   "./s1"};
    char index[200];

    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
        snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\",\"b\":\"s2\"}}",
                 name[i]);
        refused(index, CF_EFORMAT, "a: \"");
    }
    snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%0150d\",\"b\":\"s2\"}}", 0);
    refused(index, CF_ENOENT, "000");
    refused("{\"weight_map\":{\"a\":1}}", CF_EFORMAT, "a: the file name is no string");
    refused("{\"weight_map\":{\"a\":null}}", CF_EFORMAT, "a: the file name is no string");
}

static void an_index_of_another_form_is_refused(void **state)
{
    (void)state;
    refused("", CF_EFORMAT, "empty");
    refused("{", CF_EFORMAT, "line 1");
    refused("[]", CF_EFORMAT, "weight_map");
    refused("{}", CF_EFORMAT, "weight_map");
    refused("{\"weight_map\":[]}", CF_EFORMAT, "weight_map");
    refused("{\"weight_map\":{}}", CF_EFORMAT, "weight_map is empty");
    refused("{\"weight_map\":{\"a\":\"s1\",\"a\":\"s2\"}}", CF_EFORMAT, "duplicate");
}

static void index_and_shards_agree_on_every_tensor(void **state)
{
    char *dir;

    (void)state;
    refused("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\",\"c\":\"s2\"}}", CF_EFORMAT,
            "c is not in s2");
    refused("{\"weight_map\":{\"a\":\"s2\",\"b\":\"s1\"}}", CF_EFORMAT, "b is not in s1");
    refused("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s1\"}}", CF_EFORMAT, "b is not in s1");
    refused("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s9\"}}", CF_ENOENT, "s9");
    dir = sharded("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}");
    util_write_st(
        util_path(dir, "s2"),
        "{" TENSOR("b") ",\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":"
                        "[2,3]}}",
        3);
    refused_in(dir, CF_EFORMAT, "s2: x is not in the index");
    util_rmdir(dir);
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    char *dir = sharded("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}");

    (void)state;
    util_write_st(
        util_path(dir, "s2"),
        "{" TENSOR("b") ",\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":"
                        "[2,3]}}",
        3);
    refused_in(dir, CF_EFORMAT, "s2: a is also in ");
    util_rmdir(dir);
}

static void a_damaged_shard_is_named(void **state)
{
    char *dir = sharded("{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}");

    (void)state;
    assert_int_equal(truncate(util_path(dir, "s2"), 40), 0);
    refused_in(dir, CF_EFORMAT, "/s2: byte 0: a header of");
    assert_int_equal(unlink(util_path(dir, "s2")), 0);
    assert_int_equal(mkdir(util_path(dir, "s2"), 0700), 0);
    refused_in(dir, CF_EFORMAT, "/s2: not a regular file");
    util_rmdir(dir);
}

/* Resident bytes of maps of files, those in memory (tmpfs) too. */
static long mapped_now(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    long kb, all = 0;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "RssFile: %ld", &kb) == 1 ||
            sscanf(line, "RssShmem: %ld", &kb) == 1)
            all += kb * 1024;
    if (f)
        fclose(f);
    return all;
}

static void tensors_at_rest_are_out_of_memory_and_come_back(void **state)
{
    enum { SIZE = 16 << 20 };
    char *dir = util_mkdir();
    struct cf_error err = {0};
    struct cf_ckpt *c;
    unsigned first = 0, again = 0;
    long before, read, rested;

    (void)state;
    if (mapped_now() == 0)
        skip(); /* a system that does not tell */
    util_write_st(util_path(dir, "s1"),
                  "{\"a\":{\"dtype\":\"U8\",\"shape\":[16777216],"
                  "\"data_offsets\":[0,16777216]}}",
                  SIZE);
    util_write_st(util_path(dir, "s2"),
                  "{\"b\":{\"dtype\":\"U8\",\"shape\":[16777216],"
                  "\"data_offsets\":[0,16777216]}}",
                  SIZE);
    util_write_text(util_path(dir, "model.safetensors.index.json"),
                    "{\"weight_map\":{\"a\":\"s1\",\"b\":\"s2\"}}");
    assert_int_equal(cf_ckpt_open(&c, dir, &err), CF_OK);
    before = mapped_now();
    for (int i = 0; i < 2; i++)
        first += util_touch(cf_ckpt_view(c, i));
    read = mapped_now();
    cf_ckpt_rest(c);
    rested = mapped_now();
    assert_true(read - before > SIZE * 3 / 2);
    assert_true(rested - before < SIZE / 4);
    for (int i = 0; i < 2; i++)
        again += util_touch(cf_ckpt_view(c, i));
    assert_int_equal(first, again);
    cf_ckpt_close(c);
    util_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_joined_in_the_order_of_names),
        cmocka_unit_test(a_sharded_model_of_the_reference_library_loads),
        cmocka_unit_test(every_golden_file_of_the_transformer_loads),
        cmocka_unit_test(the_reference_values_are_the_ones_read),
        cmocka_unit_test(a_directory_prefers_the_single_file_and_says_what_it_looked_for),
        cmocka_unit_test(an_index_cannot_name_files_elsewhere),
        cmocka_unit_test(an_index_of_another_form_is_refused),
        cmocka_unit_test(index_and_shards_agree_on_every_tensor),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(a_damaged_shard_is_named),
        cmocka_unit_test(tensors_at_rest_are_out_of_memory_and_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
