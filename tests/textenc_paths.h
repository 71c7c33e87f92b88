/* textenc_paths.h - where the tests of textenc/ find and make files. */
#ifndef CF_TESTS_TEXTENC_PATHS_H
#define CF_TESTS_TEXTENC_PATHS_H

#include <stdio.h>
#include <stdlib.h>

enum { TEST_PATH = 4096 };

/* A file of the source tree. */
static inline const char *in_tree(char buf[TEST_PATH], const char *rel)
{
    const char *top = getenv("CFGEN_SRCDIR");

    snprintf(buf, TEST_PATH, "%s/%s", top ? top : ".", rel);
    return buf;
}

/* A file that a test writes, in the build tree; name tells tests apart. */
static inline const char *in_build(char buf[TEST_PATH], const char *name)
{
    const char *top = getenv("CFGEN_BUILDDIR");

    snprintf(buf, TEST_PATH, "%s/tests/%s", top ? top : ".", name);
    return buf;
}

/* The whole file, NUL-terminated, from malloc; NULL when it cannot be read. */
static inline char *read_all(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *buf = NULL;
    long n;

    *len = 0;
    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0 &&
        (buf = malloc((size_t)n + 1)) != NULL) {
        *len = fread(buf, 1, (size_t)n, f);
        buf[*len] = '\0';
    }
    fclose(f);
    return buf;
}

static inline int write_all(const char *path, const void *p, size_t len)
{
    FILE *f = fopen(path, "wb");
    size_t n = f ? fwrite(p, 1, len, f) : 0;

    return f && fclose(f) == 0 && n == len ? 0 : -1;
}

#endif
