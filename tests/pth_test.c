/* pth_test.c - PyTorch files: the committed ones of tests/golden/pth, which its make.py
 * explains, and what only a running program can show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "tests/weights_util.h"
#include "weights/pth.h"

/* A line of NAME.txt, and what is read: name, type, shape, digest. */
static void describe(char *line, size_t max, struct cf_pth *t, int i)
{
    const struct cf_view *v = cf_pth_shape(t, i);
    size_t n = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);
    unsigned char *bytes = malloc(n + 1);
    char shape[160], hex[CF_DIGEST_HEX];
    struct cf_error err = {0};

    assert_non_null(bytes);
    if (cf_pth_read(t, i, bytes, &err) != CF_OK ||
        cf_digest_mem(bytes, n, hex, &err) != CF_OK)
        fail_msg("%s: %s", cf_pth_name(t, i), err.msg);
    free(bytes);
    assert_null(v->data);
    snprintf(line, max, "%s\t%s\t%s\t%s\n", cf_pth_name(t, i), cf_dtype_name(v->dtype),
             cf_shape_str(shape, sizeof shape, v->ndim, v->dim), hex);
}

static void holds_what_it_should(const char *dir, const char *file)
{
    char path[1024], line[1024], want[1024];
    struct cf_error err = {0};
    struct cf_pth *t;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (cf_pth_open(&t, path, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(cf_pth_path(t), path);
    snprintf(path, sizeof path, "%s/%.*s.txt", dir, (int)strlen(file) - 4, file);
    f = fopen(path, "r");
    assert_non_null(f);
    for (int i = 0; i < cf_pth_count(t); i++) {
        describe(line, sizeof line, t, i);
        assert_non_null(fgets(want, sizeof want, f));
        assert_string_equal(line, want);
    }
    assert_null(fgets(want, sizeof want, f));
    fclose(f);
    cf_pth_close(t);
}

static void is_refused(const char *dir, const char *file)
{
    char path[1024], want[1024];
    struct cf_error err = {0};
    struct cf_pth *t;
    FILE *f;

    snprintf(path, sizeof path, "%s/%.*s.txt", dir, (int)strlen(file) - 4, file);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(want, sizeof want, f));
    fclose(f);
    want[strcspn(want, "\n")] = '\0';
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (cf_pth_open(&t, path, &err) == CF_OK)
        fail_msg("%s was read", path);
    assert_null(t);
    assert_true(err.status == CF_EFORMAT || err.status == CF_EUNSUP);
    if (!strstr(err.msg, want) || strncmp(err.msg, path, strlen(path)) != 0)
        fail_msg("\"%s\" lacks \"%s\"", err.msg, want);
}

/* Every .pth of a directory of tests/golden/pth, or of CF_PTH_FIXTURES. */
static void each(const char *sub, void (*check)(const char *dir, const char *file))
{
    const char *fresh = getenv("CF_PTH_FIXTURES");
    char dir[1024];
    struct dirent *e;
    int n = 0;
    DIR *d;

    snprintf(dir, sizeof dir, "%s/%s", fresh ? fresh : util_src("tests/golden/pth"), sub);
    d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        const char *dot = strrchr(e->d_name, '.');

        if (!dot || strcmp(dot, ".pth") != 0)
            continue;
        check(dir, e->d_name);
        n++;
    }
    closedir(d);
    assert_true(n >= 10);
}

static void every_tensor_of_a_good_file_is_what_torch_says(void **state)
{
    (void)state;
    each("good", holds_what_it_should);
}

static void every_bad_file_is_refused_with_the_reason(void **state)
{
    (void)state;
    each("bad", is_refused);
}

static struct cf_pth *open_good(const char *name)
{
    struct cf_error err = {0};
    struct cf_pth *t;

    if (cf_pth_open(&t, util_src(name), &err) != CF_OK)
        fail_msg("%s", err.msg);
    return t;
}

static void what_is_no_tensor_is_passed_over(void **state)
{
    struct cf_pth *t = open_good("tests/golden/pth/good/trainer.pth");

    (void)state;
    assert_int_equal(cf_pth_count(t), 2);
    assert_string_equal(cf_pth_name(t, 0), "trainer.gpt_fsdp.pos_start");
    cf_pth_close(t);
}

static void changed_data_fail_their_checksum(void **state)
{
    struct cf_pth *t = open_good("tests/golden/pth/bad/checksum.late");
    struct cf_error err = {0};
    unsigned char bytes[24];

    (void)state;
    assert_int_equal(cf_pth_read(t, 0, bytes, &err), CF_EFORMAT);
    assert_non_null(strstr(err.msg, "archive/data/0"));
    cf_pth_close(t);
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct cf_error err = {0};
    struct cf_pth *t;

    (void)state;
    assert_int_equal(cf_pth_open(&t, "/no/such.pth", &err), CF_ENOENT);
    assert_null(t);
}

/* Cut at any place, a file is refused or its tensors are whole. */
static void a_file_cut_short_anywhere_is_refused(void **state)
{
    char *dir = util_mkdir();
    const char *path = util_path(dir, "cut.pth");
    unsigned char *bytes;
    size_t n;

    (void)state;
    bytes = util_read(util_src("tests/golden/pth/good/strided_deflated.pth"), &n);
    for (size_t cut = 0; cut < n; cut += 7) {
        struct cf_error err = {0};
        struct cf_pth *t;

        util_write(path, bytes, cut);
        if (cf_pth_open(&t, path, &err) == CF_OK)
            fail_msg("%zu of %zu bytes were read", cut, n);
    }
    free(bytes);
    util_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_of_a_good_file_is_what_torch_says),
        cmocka_unit_test(every_bad_file_is_refused_with_the_reason),
        cmocka_unit_test(what_is_no_tensor_is_passed_over),
        cmocka_unit_test(changed_data_fail_their_checksum),
        cmocka_unit_test(a_file_that_is_not_there_is_told),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
