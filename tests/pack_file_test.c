/* pack_file_test.c - packed weights on disk come back as they were, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/weights_util.h"
#include "weights/pack_file.h"
#include "weights/st_write.h"

enum { SMALL = 128, LARGE = 20 << 20 }; /* the second is more than a sample reads */

static const char key[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static char *dir;
static struct cf_error none;
static struct cf_pack_file_block block[2] = {{"panel f32 4x8", NULL, SMALL},
                                             {"onednn f32 16o", NULL, LARGE}};

static int set_up(void **state)
{
    (void)state;
    dir = util_mkdir();
    memset(&none, 0, sizeof none);
    for (int b = 0; b < 2; b++) {
        unsigned char *p = cf_alloc(block[b].bytes, 1, NULL);

        for (size_t i = 0; p && i < block[b].bytes; i++)
            p[i] = (unsigned char)(i * 7 + i / 4096 + (size_t)b);
        block[b].data = p;
    }
    return block[0].data && block[1].data ? 0 : 1;
}

static int clean_up(void **state)
{
    (void)state;
    for (int b = 0; b < 2; b++)
        cf_free((void *)(uintptr_t)block[b].data);
    util_rmdir(dir);
    return 0;
}

static void ok(enum cf_status status)
{
    if (status != CF_OK)
        fail_msg("%s", none.msg);
}

static const char *write_one(void)
{
    const char *path = util_path(dir, "w.cfpack");

    ok(cf_pack_file_write(path, key, NULL, block, 2, &none));
    return path;
}

/* Opening it fails, and the message holds what. */
static void refused(const char *path, const char *with, enum cf_status want,
                    const char *what)
{
    struct cf_pack_file *f;
    struct cf_error err = {0};

    assert_int_equal(cf_pack_file_open(&f, path, with, &err), want);
    assert_null(f);
    if (!strstr(err.msg, what))
        fail_msg("%s", err.msg);
}

static void what_was_written_is_mapped_as_it_was(void **state)
{
    const char *path = write_one();
    struct cf_pack_file *f;

    (void)state;
    ok(cf_pack_file_open(&f, path, key, &none));
    assert_int_equal(cf_pack_file_count(f), 2);
    for (int b = 0; b < 2; b++) {
        const struct cf_pack_file_block *got = cf_pack_file_block(f, b);

        assert_string_equal(got->format, block[b].format);
        assert_int_equal(got->bytes, block[b].bytes);
        assert_int_equal((uintptr_t)got->data % 64, 0);
        assert_memory_equal(got->data, block[b].data, block[b].bytes);
    }
    cf_pack_file_close(f);
}

static void no_file_is_not_there(void **state)
{
    (void)state;
    refused(util_path(dir, "none.cfpack"), key, CF_ENOENT, "none.cfpack");
}

static void a_file_for_another_key_is_not_used(void **state)
{
    static const char other[] =
        "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    (void)state;
    refused(write_one(), other, CF_EMISMATCH, "another version");
}

static void a_file_cut_short_anywhere_is_not_used(void **state)
{
    const char *path = write_one();
    struct stat info;

    (void)state;
    assert_int_equal(stat(path, &info), 0);
    for (off_t size = info.st_size - 1; size > 0; size = size * 3 / 4) {
        assert_int_equal(truncate(path, size), 0);
        refused(path, key, CF_EFORMAT, "w.cfpack");
    }
}

static void change(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    assert_int_equal(fclose(f), 0);
}

static void a_byte_changed_where_samples_are_taken_is_noticed(void **state)
{
    const char *path = write_one();
    struct stat info;

    (void)state;
    assert_int_equal(stat(path, &info), 0);
    change(path, info.st_size - 2 * 64 - 1); /* the last of the last block */
    refused(path, key, CF_EMISMATCH, "damaged");
}

static void zeros_in_place_of_a_piece_are_noticed(void **state)
{
    static const char zeros[256 << 10];
    const char *path = write_one();
    FILE *f = fopen(path, "r+b");

    (void)state;
    assert_non_null(f);
    assert_int_equal(fseek(f, 5 << 20, SEEK_SET), 0);
    assert_int_equal(fwrite(zeros, 1, sizeof zeros, f), sizeof zeros);
    assert_int_equal(fclose(f), 0);
    refused(path, key, CF_EMISMATCH, "damaged");
}

/* A safetensors file of one tensor of that name and these bytes, and two hashes. */
static const char *strange(const char *name, int64_t bytes)
{
    const char *path = util_path(dir, "strange.cfpack");
    int64_t hex = 64;
    struct cf_st_writer *w;

    ok(cf_st_writer_open(&w, path, &none));
    ok(cf_st_declare(w, name, CF_U8, 1, &bytes, &none));
    ok(cf_st_declare(w, "~key", CF_U8, 1, &hex, &none));
    ok(cf_st_declare(w, "~sample", CF_U8, 1, &hex, &none));
    ok(cf_st_begin(w, NULL, &none));
    ok(cf_st_put(w, name, block[0].data, (size_t)bytes, &none));
    ok(cf_st_put(w, "~key", key, 64, &none));
    ok(cf_st_put(w, "~sample", key, 64, &none));
    ok(cf_st_finish(w, &none));
    return path;
}

static void tensors_that_are_no_blocks_are_refused(void **state)
{
    (void)state;
    refused(strange("weight", 64), key, CF_EFORMAT, "no block");
    refused(strange("00001 panel", 64), key, CF_EFORMAT, "no block");
    refused(strange("00000 ", 64), key, CF_EFORMAT, "no block");
    refused(strange("00000 panel", 63), key, CF_EFORMAT, "no block");
    refused(strange("00000 panel", 64), key, CF_EMISMATCH, "damaged");
}

static void a_file_of_something_else_is_told(void **state)
{
    const char *path = util_path(dir, "text.cfpack");
    FILE *f = fopen(path, "wb");

    (void)state;
    assert_non_null(f);
    fputs("This is not what you are looking for.\n", f);
    assert_int_equal(fclose(f), 0);
    refused(path, key, CF_EFORMAT, "text.cfpack");
}

static void a_writer_without_space_leaves_the_old_file_and_nothing_else(void **state)
{
    const char *path = write_one();
    struct rlimit was, small;
    struct cf_pack_file *f;
    struct cf_error err = {0};

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_not_equal(cf_pack_file_write(path, key, NULL, block, 2, &err), CF_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_not_equal(access(util_path(dir, "w.cfpack.part"), F_OK), 0);
    ok(cf_pack_file_open(&f, util_path(dir, "w.cfpack"), key, &none));
    cf_pack_file_close(f);
}

static void of_two_writers_the_second_is_told(void **state)
{
    const char *path = util_path(dir, "w.cfpack");
    struct cf_st_writer *first;
    struct cf_error err = {0};

    (void)state;
    ok(cf_st_writer_open(&first, path, &none));
    assert_int_equal(cf_pack_file_write(path, key, NULL, block, 2, &err), CF_EBUSY);
    cf_st_abandon(first);
    write_one();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_mapped_as_it_was),
        cmocka_unit_test(no_file_is_not_there),
        cmocka_unit_test(a_file_for_another_key_is_not_used),
        cmocka_unit_test(a_file_cut_short_anywhere_is_not_used),
        cmocka_unit_test(a_byte_changed_where_samples_are_taken_is_noticed),
        cmocka_unit_test(zeros_in_place_of_a_piece_are_noticed),
        cmocka_unit_test(tensors_that_are_no_blocks_are_refused),
        cmocka_unit_test(a_file_of_something_else_is_told),
        cmocka_unit_test(a_writer_without_space_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(of_two_writers_the_second_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, clean_up);
}
