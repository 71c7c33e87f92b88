/* st_write_test.c - a safetensors file appears whole or not at all, and reads back. */
#include <setjmp.h>
#include <signal.h>
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

#include "tests/weights_util.h"
#include "weights/safetensors.h"
#include "weights/st_write.h"

static char *dir;
static struct cf_error none;

static int make_dir(void **state)
{
    (void)state;
    dir = util_mkdir();
    memset(&none, 0, sizeof none);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    util_rmdir(dir);
    return 0;
}

static void ok(enum cf_status status)
{
    if (status != CF_OK)
        fail_msg("%s", none.msg);
}

static struct cf_st_writer *writer(const char *name)
{
    struct cf_st_writer *w;

    ok(cf_st_writer_open(&w, util_path(dir, name), &none));
    return w;
}

static void declare(struct cf_st_writer *w, const char *name, enum cf_dtype type,
                    int ndim, int64_t a, int64_t b)
{
    ok(cf_st_declare(w, name, type, ndim, (int64_t[]){a, b}, &none));
}

/* n bytes that start with first and count up. */
static void put(struct cf_st_writer *w, const char *name, size_t n, unsigned char first)
{
    unsigned char *p = malloc(n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(first + i);
    ok(cf_st_put(w, name, p, n, &none));
    free(p);
}

static void holds(const struct cf_st *st, int i, const char *name, enum cf_dtype type,
                  int ndim, size_t n, unsigned char first)
{
    const struct cf_view *v = cf_st_view(st, i);
    const unsigned char *p = v->data;

    assert_string_equal(cf_st_name(st, i), name);
    assert_int_equal(v->dtype, type);
    assert_int_equal(v->ndim, ndim);
    assert_int_equal((size_t)cf_view_count(v) * cf_dtype_size(type), n);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(p[k], (unsigned char)(first + k));
}

/* For tests/pth_torch.sh: the file under a name that stays. */
static void keep(const char *path)
{
    const char *kept = getenv("CF_ST_KEEP");
    unsigned char *bytes;
    size_t n;

    if (!kept)
        return;
    bytes = util_read(path, &n);
    util_write(kept, bytes, n);
    free(bytes);
}

/* Entries of the test's directory. */
static int files(void)
{
    char *list;
    FILE *p;
    int n = 0;

    assert_true(asprintf(&list, "ls -A '%s' | wc -l", dir) > 0);
    p = popen(list, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    free(list);
    return n;
}

static void what_was_put_in_any_order_reads_back(void **state)
{
    struct cf_st_writer *w = writer("m.safetensors");
    struct cf_st *st;

    (void)state;
    declare(w, "z.weight", CF_F32, 2, 3, 5);
    declare(w, "a.weight", CF_BF16, 2, 32, 3);
    declare(w, "scalar", CF_I64, 0, 0, 0);
    declare(w, "empty", CF_F16, 2, 0, 7);
    declare(w, "m\xc3\xa9 \"q\"", CF_U8, 1, 3, 0);
    ok(cf_st_begin(w, NULL, &none));
    put(w, "m\xc3\xa9 \"q\"", 3, 9);
    put(w, "scalar", 8, 50);
    put(w, "empty", 0, 0);
    put(w, "z.weight", 60, 1);
    put(w, "a.weight", 192, 7);
    ok(cf_st_finish(w, &none));
    assert_int_equal(files(), 1);
    ok(cf_st_open(&st, util_path(dir, "m.safetensors"), &none));
    assert_int_equal(cf_st_count(st), 5);
    holds(st, 0, "a.weight", CF_BF16, 2, 192, 7);
    holds(st, 1, "empty", CF_F16, 2, 0, 0);
    holds(st, 2, "m\xc3\xa9 \"q\"", CF_U8, 1, 3, 9);
    holds(st, 3, "scalar", CF_I64, 0, 8, 50);
    holds(st, 4, "z.weight", CF_F32, 2, 60, 1);
    cf_st_close(st);
    keep(util_path(dir, "m.safetensors"));
}

static void tensors_of_whole_lines_start_at_a_line_and_all_at_their_element(void **state)
{
    struct cf_st_writer *w = writer("m.safetensors");
    struct cf_st *st;

    (void)state;
    declare(w, "a", CF_U8, 1, 3, 0);
    declare(w, "b", CF_F32, 1, 16, 0);
    declare(w, "c", CF_F16, 1, 7, 0);
    declare(w, "d", CF_I8, 2, 64, 3);
    declare(w, "e", CF_F64, 1, 1, 0);
    ok(cf_st_begin(w, NULL, &none));
    put(w, "a", 3, 0);
    put(w, "b", 64, 0);
    put(w, "c", 14, 0);
    put(w, "d", 192, 0);
    put(w, "e", 8, 0);
    ok(cf_st_finish(w, &none));
    ok(cf_st_open(&st, util_path(dir, "m.safetensors"), &none));
    for (int i = 0; i < cf_st_count(st); i++) {
        const struct cf_view *v = cf_st_view(st, i);
        size_t size = cf_dtype_size(v->dtype);
        size_t n = (size_t)cf_view_count(v) * size;

        assert_int_equal((uintptr_t)v->data % (n % 64 == 0 ? 64 : size), 0);
    }
    cf_st_close(st);
}

static void metadata_becomes_the_entry_of_that_name(void **state)
{
    struct cf_st_writer *w = writer("m.safetensors");
    json_t *meta = json_pack("{s:s}", "format", "pt");
    unsigned char *bytes;
    size_t n;

    (void)state;
    declare(w, "a", CF_U8, 1, 1, 0);
    ok(cf_st_begin(w, meta, &none));
    json_decref(meta);
    put(w, "a", 1, 0);
    ok(cf_st_finish(w, &none));
    bytes = util_read(util_path(dir, "m.safetensors"), &n);
    assert_non_null(memmem(bytes, n, "{\"__metadata__\":{\"format\":\"pt\"}", 31));
    free(bytes);
}

static void no_tensor_at_all_is_a_file_too(void **state)
{
    struct cf_st_writer *w = writer("m.safetensors");
    struct cf_st *st;

    (void)state;
    ok(cf_st_begin(w, NULL, &none));
    ok(cf_st_finish(w, &none));
    ok(cf_st_open(&st, util_path(dir, "m.safetensors"), &none));
    assert_int_equal(cf_st_count(st), 0);
    cf_st_close(st);
}

static void what_is_abandoned_leaves_the_old_file_and_nothing_else(void **state)
{
    struct cf_st_writer *w;
    unsigned char *bytes;
    size_t n;

    (void)state;
    util_write_text(util_path(dir, "m"), "old");
    w = writer("m");
    declare(w, "a", CF_U8, 1, 1, 0);
    ok(cf_st_begin(w, NULL, &none));
    assert_int_equal(files(), 2);
    cf_st_abandon(w);
    assert_int_equal(files(), 1);
    bytes = util_read(util_path(dir, "m"), &n);
    assert_int_equal(n, 3);
    free(bytes);
}

static void a_tensor_that_was_not_put_is_not_forgotten(void **state)
{
    struct cf_st_writer *w = writer("m");

    (void)state;
    declare(w, "a", CF_U8, 1, 1, 0);
    declare(w, "b", CF_U8, 1, 1, 0);
    ok(cf_st_begin(w, NULL, &none));
    put(w, "b", 1, 0);
    assert_int_equal(cf_st_finish(w, &none), CF_EBUG);
    assert_non_null(strstr(none.msg, "tensor a was not written"));
    assert_int_equal(files(), 0);
}

static void put_takes_what_was_declared_and_once(void **state)
{
    struct cf_st_writer *w = writer("m");
    struct cf_error early = {0}, size = {0}, name = {0}, twice = {0};

    (void)state;
    declare(w, "a", CF_U8, 1, 2, 0);
    assert_int_equal(cf_st_put(w, "a", "xy", 2, &early), CF_EBUG);
    ok(cf_st_begin(w, NULL, &none));
    assert_int_equal(cf_st_put(w, "a", "x", 1, &size), CF_EBUG);
    assert_int_equal(cf_st_put(w, "b", "xy", 2, &name), CF_EBUG);
    put(w, "a", 2, 0);
    assert_int_equal(cf_st_put(w, "a", "xy", 2, &twice), CF_EBUG);
    ok(cf_st_finish(w, &none));
}

static void names_and_shapes_that_are_none_are_refused(void **state)
{
    struct cf_st_writer *w = writer("m");
    char name[CF_ST_MAX_NAME + 2] = "";
    const int64_t huge[] = {INT64_MAX, 4}, negative[] = {-1};
    const char *bad[] = {"", "__metadata__", "\xff", name};

    (void)state;
    memset(name, 'x', CF_ST_MAX_NAME + 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cf_error err = {0};

        assert_int_equal(cf_st_declare(w, bad[i], CF_U8, 0, NULL, &err), CF_EFORMAT);
    }
    assert_int_equal(cf_st_declare(w, "a", CF_F32, 2, huge, NULL), CF_ERANGE);
    assert_int_equal(cf_st_declare(w, "a", CF_F32, 1, negative, NULL), CF_ERANGE);
    assert_int_equal(cf_st_declare(w, "a", CF_F32, CF_MAX_DIM + 1, huge, NULL),
                     CF_ERANGE);
    name[CF_ST_MAX_NAME] = '\0';
    ok(cf_st_declare(w, name, CF_U8, 0, NULL, &none));
    cf_st_abandon(w);
}

static void a_name_that_comes_twice_is_refused(void **state)
{
    struct cf_st_writer *w = writer("m");

    (void)state;
    declare(w, "a", CF_U8, 1, 1, 0);
    declare(w, "b", CF_U8, 1, 1, 0);
    declare(w, "a", CF_F32, 1, 1, 0);
    assert_int_equal(cf_st_begin(w, NULL, &none), CF_EFORMAT);
    assert_non_null(strstr(none.msg, "a comes twice"));
    cf_st_abandon(w);
}

static void what_a_killed_process_left_is_taken_over(void **state)
{
    struct cf_st_writer *w;
    struct cf_st *st;
    char *rest = malloc(100000);

    (void)state;
    assert_non_null(rest);
    memset(rest, 'x', 100000);
    util_write(util_path(dir, "m.part"), rest, 100000);
    free(rest);
    w = writer("m");
    declare(w, "a", CF_U8, 1, 1, 0);
    ok(cf_st_begin(w, NULL, &none));
    put(w, "a", 1, 3);
    ok(cf_st_finish(w, &none));
    assert_int_equal(files(), 1);
    ok(cf_st_open(&st, util_path(dir, "m"), &none));
    holds(st, 0, "a", CF_U8, 1, 1, 3);
    cf_st_close(st);
}

static void two_writers_of_one_file_do_not_mix(void **state)
{
    struct cf_st_writer *w = writer("m"), *second;

    (void)state;
    assert_int_equal(cf_st_writer_open(&second, util_path(dir, "m"), &none), CF_EBUSY);
    assert_null(second);
    cf_st_abandon(w);
    memset(&none, 0, sizeof none);
    cf_st_abandon(writer("m"));
}

/* In a child: files may be 4096 bytes long at most. */
static int no_space(void)
{
    struct rlimit limit = {4096, 4096};
    struct cf_error err = {0};
    struct cf_st_writer *w;
    int64_t n = 100000;

    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    if (cf_st_writer_open(&w, util_path(dir, "m"), &err) != CF_OK ||
        cf_st_declare(w, "a", CF_F32, 1, &n, &err) != CF_OK)
        return 2;
    if (cf_st_begin(w, NULL, &err) == CF_OK)
        return 3;
    cf_st_abandon(w);
    return 0;
}

static void space_is_asked_for_before_any_data(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(no_space());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(files(), 0);
}

/* Three tensors, put by the order of the data or against it. */
static void hash_is_that_of_the_file(bool in_order)
{
    char hex[CF_DIGEST_HEX], found[CF_DIGEST_HEX];
    struct cf_st_writer *w = writer("m");

    declare(w, "c", CF_U8, 1, 64, 0);
    declare(w, "b", CF_U8, 1, 3, 0);
    declare(w, "a", CF_F32, 2, 16, 4);
    ok(cf_st_begin(w, NULL, &none));
    assert_null(cf_st_place(w, 3));
    for (size_t i = 0; i < 3; i++) {
        const char *name = cf_st_place(w, in_order ? i : 2 - i);

        put(w, name, *name == 'a' ? 256 : *name == 'b' ? 3 : 64, 7);
    }
    ok(cf_st_finish_hash(w, hex, &none));
    ok(cf_digest_file(util_path(dir, "m"), found, &none));
    assert_string_equal(hex, found);
}

static void the_hash_of_a_file_does_not_depend_on_the_order_of_writing(void **state)
{
    (void)state;
    hash_is_that_of_the_file(true);
    hash_is_that_of_the_file(false);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
    struct cf_st_writer *w;

    (void)state;
    assert_int_equal(cf_st_writer_open(&w, util_path(dir, "no/m"), &none), CF_ENOENT);
    assert_null(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_put_in_any_order_reads_back),
        T(tensors_of_whole_lines_start_at_a_line_and_all_at_their_element),
        T(metadata_becomes_the_entry_of_that_name),
        T(no_tensor_at_all_is_a_file_too),
        T(what_is_abandoned_leaves_the_old_file_and_nothing_else),
        T(a_tensor_that_was_not_put_is_not_forgotten),
        T(put_takes_what_was_declared_and_once),
        T(names_and_shapes_that_are_none_are_refused),
        T(a_name_that_comes_twice_is_refused),
        T(what_a_killed_process_left_is_taken_over),
        T(two_writers_of_one_file_do_not_mix),
        T(space_is_asked_for_before_any_data),
        T(the_hash_of_a_file_does_not_depend_on_the_order_of_writing),
        T(a_directory_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
