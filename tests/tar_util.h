/* tar_util.h - samples, tars and what lies on disk afterwards. Included once per program,
 * which is linked with -Wl,--wrap for the calls of tests/store_calls.h. */
#ifndef CF_TESTS_TAR_UTIL_H
#define CF_TESTS_TAR_UTIL_H

#include <inttypes.h>

#include "store/tar.h"
#include "tests/store_calls.h"

enum { NUMBER = 7, FILE_MAX = 1 << 16 };
/* Of a sample below: three headers, one block for each text, two for the image. */
enum { SAMPLE = 7 * 512, IMAGE_AT = 5 * 512, END = 1024 };
static const struct cf_tar_size zero;

/* Sample n < 10: texts and bytes that no other has. */
static inline enum cf_status add(struct cf_tar *tar, int n, struct cf_error *err)
{
    char json[64], line[64], prompt[64], path[CF_TAR_PATH];
    uint8_t bytes[700];
    struct cf_blob webp = {.data = bytes, .size = 600 + (size_t)n};
    struct cf_tar_sample s = {.webp = &webp, .prompt = prompt, .json = json};
    int64_t offset;

    memset(bytes, 'a' + n, sizeof bytes);
    snprintf(json, sizeof json, "{\"sample\":%d}", n);
    s.prompt_len = (size_t)snprintf(prompt, sizeof prompt, "a cat, no. %d", n);
    CF_TRY(cf_tar_add(tar, &s, &offset, path, err));
    assert_string_equal(path, "00007.tar");
    assert_int_equal(offset % SAMPLE, IMAGE_AT);
    snprintf(line, sizeof line, "{\"line\":%d,\"offset\":%" PRId64 "}", n, offset);
    return cf_tar_line(tar, line, err);
}

static inline struct cf_tar *tar_at(const struct cf_tar_size *at)
{
    struct cf_error err = {0};
    struct cf_tar *tar;

    mkdir(root, 0777);
    if (cf_tar_open(&tar, root, NUMBER, at, &err) != CF_OK)
        print_message("# %s\n", err.msg);
    assert_non_null(tar);
    return tar;
}

/* An open that fails so. */
static inline void no_tar_at(const struct cf_tar_size *at, enum cf_status want)
{
    struct cf_error err = {0};
    struct cf_tar *tar;

    assert_int_equal(cf_tar_open(&tar, root, NUMBER, at, &err), want);
    assert_null(tar);
    assert_non_null(strstr(err.msg, root));
    assert_non_null(strstr(err.msg, "00007"));
}

/* Samples from .. to - 1 and a sync. */
static struct cf_tar_size grow(struct cf_tar *tar, int from, int to)
{
    struct cf_tar_size size = {0};
    struct cf_error err = {0};

    for (int i = from; i < to; i++)
        assert_int_equal(add(tar, i, &err), CF_OK);
    assert_int_equal(cf_tar_sync(tar, &size, &err), CF_OK);
    assert_int_equal(size.members, to);
    assert_int_equal(size.bytes, to * SAMPLE);
    return size;
}

static inline void finish(struct cf_tar *tar)
{
    struct cf_error err = {0};

    assert_int_equal(cf_tar_finish(tar, &err), CF_OK);
    assert_true(cf_tar_finished(tar));
    cf_tar_close(tar);
}

static const char *file(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static inline int64_t size_of(const char *name)
{
    struct stat st;

    return lstat(file(name), &st) == 0 ? st.st_size : -1;
}

struct content {
    char data[FILE_MAX];
    size_t size;
};

static inline void load(const char *name, struct content *c)
{
    FILE *in = fopen(file(name), "rb");

    assert_non_null(in);
    c->size = fread(c->data, 1, sizeof c->data, in);
    assert_true(c->size < sizeof c->data);
    fclose(in);
}

static inline void save(const char *name, const struct content *c, size_t size)
{
    FILE *out = fopen(file(name), "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(c->data, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static inline void expect_same(const char *name, const struct content *want)
{
    static struct content is;

    load(name, &is);
    assert_int_equal(is.size, want->size);
    assert_memory_equal(is.data, want->data, is.size);
}

/* Commands in the root. */
static inline int sh(const char *commands)
{
    char all[2000];

    snprintf(all, sizeof all, "cd '%s' && {\n%s\n}", root, commands);
    return system(all);
}

/* What an undisturbed run of three samples leaves; the root is empty again. */
static struct content want_tar, want_lines;

static inline void undisturbed(void)
{
    struct cf_tar *tar = tar_at(&zero);

    grow(tar, 0, 3);
    finish(tar);
    load("00007.tar", &want_tar);
    load("00007.jsonl", &want_lines);
    assert_int_equal(sh("rm -f 00*"), 0);
}

static inline void expect_undisturbed(void)
{
    expect_same("00007.tar", &want_tar);
    expect_same("00007.jsonl", &want_lines);
    assert_int_equal(count("-name '00*'"), 2);
}

#endif
