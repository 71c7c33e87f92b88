/* source_test.c - one way to tensors, whatever was downloaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "tests/weights_util.h"
#include "weights/source.h"

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = util_mkdir();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    util_rmdir(dir);
    return 0;
}

static void st_file(const char *name, const char *tensor)
{
    char header[200];

    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", tensor);
    util_write_st(util_path(dir, name), header, 3);
}

static void pth_file(const char *name, const char *golden)
{
    char path[200];
    unsigned char *bytes;
    size_t n;

    snprintf(path, sizeof path, "tests/golden/pth/good/%s.pth", golden);
    bytes = util_read(util_src(path), &n);
    util_write(util_path(dir, name), bytes, n);
    free(bytes);
}

static struct cf_source *source(const char *path)
{
    struct cf_error err = {0};
    struct cf_source *s;

    if (cf_source_open(&s, path, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return s;
}

/* The directory is read as that file. */
static void takes(const char *file, const char *format, const char *tensor)
{
    struct cf_source *s = source(dir);

    assert_string_equal(cf_source_path(s), util_path(dir, file));
    assert_string_equal(cf_source_format(s), format);
    assert_true(cf_source_index(s, tensor) >= 0);
    cf_source_close(s);
}

static void refused(const char *path, enum cf_status status, const char *part)
{
    struct cf_error err = {0};
    struct cf_source *s;

    if (cf_source_open(&s, path, &err) == CF_OK)
        fail_msg("%s was read", path);
    assert_null(s);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
    assert_int_equal(err.status, status);
}

static void a_file_is_what_it_begins_with_and_not_what_it_is_called(void **state)
{
    struct cf_source *s;

    (void)state;
    st_file("a.pth", "x");
    s = source(util_path(dir, "a.pth"));
    assert_string_equal(cf_source_format(s), "safetensors");
    cf_source_close(s);
    pth_file("b.safetensors", "flat");
    s = source(util_path(dir, "b.safetensors"));
    assert_string_equal(cf_source_format(s), "pytorch");
    cf_source_close(s);
}

static void tensors_come_dense_with_type_and_shape(void **state)
{
    struct cf_source *s = source(util_src("tests/golden/pth/good/strided.pth"));
    struct cf_error err = {0};
    int i = cf_source_index(s, "transposed");
    float v[48];

    (void)state;
    assert_true(i >= 0);
    assert_int_equal(cf_source_bytes(s, i), sizeof v);
    assert_null(cf_source_shape(s, i)->data);
    assert_int_equal(cf_source_shape(s, i)->dim[0], 8);
    assert_int_equal(cf_source_read(s, i, v, &err), CF_OK);
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 6; c++)
            assert_true(v[r * 6 + c] == (float)(c * 8 + r - 7));
    cf_source_close(s);
}

static void bytes_of_safetensors_are_those_of_the_file(void **state)
{
    struct cf_error err = {0};
    unsigned char v[3];
    struct cf_source *s;

    (void)state;
    st_file("a", "x");
    s = source(util_path(dir, "a"));
    assert_int_equal(cf_source_read(s, 0, v, &err), CF_OK);
    assert_memory_equal(v, "\0\1\2", 3);
    cf_source_close(s);
}

static void a_prefix_is_entered_and_left(void **state)
{
    struct cf_source *s = source(util_src("tests/golden/pth/good/vae.pth"));
    struct cf_error err = {0}, none = {0};

    (void)state;
    assert_int_equal(cf_source_count(s), 3);
    assert_int_equal(cf_source_enter(s, "vae", &none), CF_OK);
    assert_int_equal(cf_source_count(s), 1);
    assert_string_equal(cf_source_name(s, 0), "decoder.conv_in.conv.weight");
    assert_int_equal(cf_source_index(s, "decoder.conv_in.conv.weight"), 0);
    assert_int_equal(cf_source_index(s, "vae.decoder.conv_in.conv.weight"), -1);
    assert_int_equal(cf_source_enter(s, "va", &err), CF_ENOENT);
    assert_int_equal(cf_source_count(s), 1);
    assert_int_equal(cf_source_enter(s, "ema.decoder", &none), CF_OK);
    assert_string_equal(cf_source_name(s, 0), "conv_in.conv.weight");
    assert_int_equal(cf_source_enter(s, "", &none), CF_OK);
    assert_int_equal(cf_source_count(s), 3);
    assert_string_equal(cf_source_name(s, 0), "ema.decoder.conv_in.conv.weight");
    cf_source_close(s);
}

static void what_was_entered_is_read_from_its_place(void **state)
{
    struct cf_source *s = source(util_src("tests/golden/pth/good/vae.pth"));
    struct cf_error none = {0};
    float v[36];

    (void)state;
    assert_int_equal(cf_source_enter(s, "vae", &none), CF_OK);
    assert_int_equal(cf_source_read(s, 0, v, &none), CF_OK);
    assert_true(v[0] == -7.0f);
    assert_int_equal(cf_source_enter(s, "ema", &none), CF_OK);
    assert_int_equal(cf_source_read(s, 0, v, &none), CF_OK);
    assert_true(v[0] == -2.0f);
    cf_source_close(s);
}

static void shards_of_safetensors_are_one(void **state)
{
    struct cf_source *s = source(util_src("tests/golden/textenc/qwen2-tiny-sharded"));

    (void)state;
    assert_string_equal(cf_source_format(s), "safetensors");
    assert_true(cf_source_index(s, "model.norm.weight") >= 0);
    cf_source_close(s);
}

#define INDEX "m.bin.index.json"
#define MAP(a, b)                                                                        \
    "{\"weight_map\":{\"word_embed.weight\":\"1.bin\",\"pos_start\":\"1.bin\","          \
    "\"a\":\"" a "\",\"b\":\"2.bin\",\"tail\":\"2.bin\",\"again.a\":\"2.bin\"" b "}}"

static void shards_of_pytorch_are_one(void **state)
{
    struct cf_error none = {0};
    struct cf_source *s;
    float v[8];

    (void)state;
    pth_file("1.bin", "flat");
    pth_file("2.bin", "shared");
    util_write_text(util_path(dir, INDEX), MAP("2.bin", ""));
    s = source(dir);
    assert_string_equal(cf_source_path(s), util_path(dir, INDEX));
    assert_string_equal(cf_source_format(s), "pytorch");
    assert_int_equal(cf_source_count(s), 6);
    assert_int_equal(cf_source_read(s, cf_source_index(s, "tail"), v, &none), CF_OK);
    assert_true(v[0] == 33.0f);
    cf_source_close(s);
}

static void an_index_that_says_otherwise_than_its_files_is_refused(void **state)
{
    (void)state;
    pth_file("1.bin", "flat");
    pth_file("2.bin", "shared");
    util_write_text(util_path(dir, INDEX), MAP("1.bin", ""));
    refused(dir, CF_EFORMAT, "a is not in 1.bin");
    util_write_text(util_path(dir, INDEX), MAP("2.bin", ",\"c\":\"2.bin\""));
    refused(dir, CF_EFORMAT, "c is not in 2.bin");
    util_write_text(util_path(dir, INDEX),
                    "{\"weight_map\":{\"word_embed.weight\":\"1.bin\"}}");
    refused(dir, CF_EFORMAT, "pos_start is not in the index");
    pth_file("2.bin", "flat");
    util_write_text(util_path(dir, INDEX), MAP("2.bin", ""));
    refused(dir, CF_EFORMAT, "is also in");
    util_write_text(util_path(dir, INDEX), MAP("3.bin", ""));
    refused(dir, CF_ENOENT, "3.bin");
    util_write_text(util_path(dir, INDEX), "{\"weight_map\":{\"a\":\"../2.bin\"}}");
    refused(dir, CF_EFORMAT, "plain name");
    util_write_text(util_path(dir, INDEX), "{\"weight_map\":{\"a\":\"" INDEX "\"}}");
    refused(dir, CF_EFORMAT, "is no file of weights");
}

static void a_directory_is_searched_in_the_order_that_is_written(void **state)
{
    (void)state;
    util_write_text(util_path(dir, "config.json"), "{}");
    pth_file("weights.ckpt", "flat");
    takes("weights.ckpt", "pytorch", "pos_start");
    st_file("some.safetensors", "s");
    takes("some.safetensors", "safetensors", "s");
    pth_file("pytorch_model.bin", "shared");
    takes("pytorch_model.bin", "pytorch", "tail");
    st_file("model.safetensors", "m");
    takes("model.safetensors", "safetensors", "m");
}

static void a_directory_of_unrelated_files_names_them(void **state)
{
    (void)state;
    pth_file("infinity_2b_reg.pth", "flat");
    pth_file("infinity_vae_d32reg.pth", "vae");
    refused(dir, CF_EFORMAT, "infinity_2b_reg.pth, infinity_vae_d32reg.pth");
}

static void what_holds_no_weights_is_refused(void **state)
{
    (void)state;
    refused(dir, CF_ENOENT, "holds no file of weights");
    refused(util_path(dir, "no"), CF_ENOENT, "no");
    util_write_text(util_path(dir, "x.pth"),
                    "version https://git-lfs.github.com/spec/v1\n");
    refused(util_path(dir, "x.pth"), CF_EFORMAT, "Git LFS");
    util_write_text(util_path(dir, "y.json"), "{\"model_type\": \"t5\"}");
    refused(util_path(dir, "y.json"), CF_EFORMAT, "weight_map");
    util_write_text(util_path(dir, "z"), "BZh91AY&SY\001");
    refused(util_path(dir, "z"), CF_EFORMAT, "expected a file of torch.save");
    util_write_text(util_path(dir, "z.safetensors"), "BZh91AY&SY\001");
    refused(util_path(dir, "z.safetensors"), CF_EFORMAT, "no safetensors file?");
}

static void a_failed_download_is_named(void **state)
{
    static const struct {
        const char *text, *why;
    } what[] = {
        {"", "empty"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
         "Git LFS"},
        {"\n<!DOCTYPE html>\n<title>404</title>\n", "a web page"},
        {"<HTML>", "a web page"},
        {"Entry not found", "\"Entry not found\""},
        {"Access denied\n", "\"Access denied\""},
        {"\x1f\x8b\x08", "gzip"},
    };
    static const char *const name[] = {"w.pth", "w.safetensors", "w.index.json"};

    (void)state;
    for (size_t n = 0; n < sizeof name / sizeof name[0]; n++)
        for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
            util_write_text(util_path(dir, name[n]), what[i].text);
            refused(util_path(dir, name[n]), CF_EFORMAT, what[i].why);
        }
    st_file("cut.safetensors", "s");
    assert_int_equal(truncate(util_path(dir, "cut.safetensors"), 62), 0);
    refused(util_path(dir, "cut.safetensors"), CF_EFORMAT, "cut short?");
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_file_is_what_it_begins_with_and_not_what_it_is_called),
        T(tensors_come_dense_with_type_and_shape),
        T(bytes_of_safetensors_are_those_of_the_file),
        T(a_prefix_is_entered_and_left),
        T(what_was_entered_is_read_from_its_place),
        T(shards_of_safetensors_are_one),
        T(shards_of_pytorch_are_one),
        T(an_index_that_says_otherwise_than_its_files_is_refused),
        T(a_directory_is_searched_in_the_order_that_is_written),
        T(a_directory_of_unrelated_files_names_them),
        T(what_holds_no_weights_is_refused),
        T(a_failed_download_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
