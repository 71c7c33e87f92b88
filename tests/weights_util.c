#include "tests/weights_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned char *util_blob(const char *header, size_t header_len, size_t data, size_t *n)
{
    unsigned char *p = malloc(8 + header_len + data);

    assert_non_null(p);
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)((uint64_t)header_len >> 8 * i);
    memcpy(p + 8, header, header_len);
    for (size_t i = 0; i < data; i++)
        p[8 + header_len + i] = (unsigned char)i;
    *n = 8 + header_len + data;
    return p;
}

char *util_mkdir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir, *real;

    assert_true(asprintf(&dir, "%s/cfgen-test-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(dir));
    real = realpath(dir, NULL);
    assert_non_null(real);
    free(dir);
    return real;
}

static void empty(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char *path;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(asprintf(&path, "%s/%s", dir, e->d_name) > 0);
        if (unlink(path) != 0) {
            empty(path);
            rmdir(path);
        }
        free(path);
    }
    closedir(d);
}

void util_rmdir(char *dir)
{
    empty(dir);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

const char *util_path(const char *dir, const char *name)
{
    static char buf[4][1024];
    static int at;
    char *p = buf[at++ & 3];

    snprintf(p, sizeof buf[0], "%s/%s", dir, name);
    return p;
}

void util_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void util_write_text(const char *path, const char *text)
{
    util_write(path, text, strlen(text));
}

void util_write_st(const char *path, const char *header, size_t data)
{
    size_t n;
    unsigned char *p = util_blob(header, strlen(header), data, &n);

    util_write(path, p, n);
    free(p);
}

unsigned char *util_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *p;
    struct stat info;

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &info), 0);
    *n = (size_t)info.st_size;
    p = malloc(*n + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

const char *util_src(const char *name)
{
    const char *src = getenv("CFGEN_SRCDIR");

    return util_path(src ? src : "..", name);
}

unsigned util_touch(const struct cf_view *v)
{
    const unsigned char *p = v->data;
    size_t n = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);
    unsigned sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += p[i];
    return sum;
}
