/* image_read_test.c - images back from both layouts, whatever a row says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/image_read.h"
#include "tests/tar_util.h"

static enum cf_status image(const char *path, int64_t offset, int64_t bytes,
                            struct cf_blob *blob)
{
    struct cf_error err = {0};
    enum cf_status st = cf_image_read(root, path, offset, bytes, blob, &err);

    assert_int_equal(blob->data == NULL, st != CF_OK);
    /* A look finds what reading finds. */
    assert_int_equal(cf_image_look(root, path, offset, bytes, NULL), st);
    return st;
}

static void an_image_is_read_from_a_tar_that_grows_or_is_finished(void **state)
{
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 3);
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 3; n++) {
            struct cf_blob blob;

            assert_int_equal(image("00007.tar", n * SAMPLE + IMAGE_AT, 600 + n, &blob),
                             CF_OK);
            assert_int_equal(blob.size, 600 + n);
            assert_int_equal(blob.data[0], 'a' + n);
            assert_memory_equal(blob.data, blob.data + 1, blob.size - 1);
            cf_blob_free(&blob);
        }
        if (i == 0)
            finish(tar);
    }
}

static void an_image_is_read_from_a_file_of_its_own(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_blob blob;

    (void)state;
    assert_int_equal(put(sink, STEM, "pixels", NULL), CF_OK);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_OK);
    assert_memory_equal(blob.data, "pixels", 6);
    cf_blob_free(&blob);
    assert_int_equal(image(PATH, 0, 5, &blob), CF_EMISMATCH);
    assert_int_equal(image(PATH, 0, 7, &blob), CF_EMISMATCH);
    assert_int_equal(image(PATH, 512, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("cd 01/23 && mv *.webp x && ln -s x " STEM ".webp"), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("rm 01/23/*; mkdir " PATH), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("rmdir " PATH), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_ENOENT);
    assert_int_equal(sh("mv 01/23 01/45; ln -s 45 01/23"), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    cf_sink_close(sink);
}

static void a_path_that_is_none_of_ours_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "../x",
                                      "/etc/passwd",
                                      "../00007.tar",
                                      "00007.tar/",
                                      "0007.tar",
                                      "000007.tar",
                                      "00007.tar.part",
                                      "x0007.tar",
                                      "00007.TAR",
                                      "./00007.tar",
                                      "01/23/../../x",
                                      "01/24/" STEM ".webp",
                                      "01/23/" STEM ".web",
                                      "01/23/" STEM ".webpx",
                                      "01/23/" STEM,
                                      "0a/../" STEM ".webp"};
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 1);
    finish(tar);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int k = 0; k < 2; k++) {
            struct cf_blob blob;

            fault_arm("open", 1, 0);
            assert_int_equal(image(bad[i], k * IMAGE_AT, 600, &blob), CF_EFORMAT);
            assert_int_equal(fault.seen, 0);
        }
}

static void a_place_in_a_tar_without_its_image_is_refused(void **state)
{
    static const struct {
        int64_t offset, bytes;
        enum cf_status status;
    } c[] = {{0, 600, CF_EFORMAT},
             {-512, 600, CF_EFORMAT},
             {IMAGE_AT + 1, 600, CF_EFORMAT},
             {512, 12, CF_EFORMAT},            /* the .json */
             {1024, 600, CF_EFORMAT},          /* behind no header */
             {IMAGE_AT + 512, 88, CF_EFORMAT}, /* in the middle of it */
             {SAMPLE, 600, CF_EFORMAT},        /* behind its end */
             {IMAGE_AT, 599, CF_EMISMATCH},
             {IMAGE_AT, 601, CF_EMISMATCH},
             {IMAGE_AT, 100000, CF_EFORMAT},
             {INT64_MAX / 512 * 512, 600, CF_EFORMAT},
             {IMAGE_AT, 0, CF_ERANGE},
             {IMAGE_AT, -1, CF_ERANGE},
             {IMAGE_AT, INT64_MAX, CF_ERANGE}};
    struct cf_tar *tar = tar_at(&zero);
    struct cf_blob blob;

    (void)state;
    grow(tar, 0, 1);
    finish(tar);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        assert_int_equal(image("00007.tar", c[i].offset, c[i].bytes, &blob), c[i].status);
    assert_int_equal(image("00008.tar", IMAGE_AT, 600, &blob), CF_ENOENT);
    assert_int_equal(sh("mv 00007.tar 00008.tar"), 0); /* its names are of another */
    assert_int_equal(image("00008.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
    assert_int_equal(sh("mv 00008.tar x; ln -s x 00007.tar"), 0);
    assert_int_equal(image("00007.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
    assert_int_equal(sh("rm 00007.tar; mkdir 00007.tar"), 0);
    assert_int_equal(image("00007.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_image_is_read_from_a_tar_that_grows_or_is_finished),
        TEST(an_image_is_read_from_a_file_of_its_own),
        TEST(a_path_that_is_none_of_ours_is_refused),
        TEST(a_place_in_a_tar_without_its_image_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
