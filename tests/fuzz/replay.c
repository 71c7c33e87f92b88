/* replay.c - runs a fuzz target over its corpus, and over deterministic mutations of it,
 * in make check. CF_FUZZ_CORPUS names the directory; a case is a file, whole, cut short
 * and with bytes changed. What fails, fails by a signal or a sanitizer report. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/fuzz/fuzz.h"

enum { MUTATIONS = 50, MAX_CUTS = 20 };

/* Bytes that mean something to JSON or to numbers in it. */
static const unsigned char magic[] = "{}[]:,\"\\ -+.eE019\0\x7f\x80\xff";

/* Exactly n bytes, so that the address sanitizer sees a read past them. */
static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    if (!copy)
        exit(2);
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void mutate(const uint8_t *bytes, size_t n, uint32_t round)
{
    uint8_t *copy = malloc(n + 1);
    size_t len = n;

    if (!copy)
        exit(2);
    memcpy(copy, bytes, n);
    for (uint32_t k = 0; len > 0 && k <= round % 3; k++) {
        uint32_t at = cf_rng_u32(2, CF_RNG_TEST, round, k, 0) % (uint32_t)len;
        uint32_t r = cf_rng_u32(2, CF_RNG_TEST, round, k, 1);

        switch (r % 4) {
        case 0:
            copy[at] ^= (uint8_t)(1u << (r >> 8) % 8);
            break;
        case 1:
            copy[at] = magic[(r >> 8) % sizeof magic];
            break;
        case 2: /* one byte less */
            memmove(copy + at, copy + at + 1, len - at - 1);
            len--;
            break;
        default: /* a stretch said twice */
            memmove(copy + at, copy + at / 2, len - at);
        }
    }
    run(copy, len);
    free(copy);
}

static void one_file(const char *path)
{
    static uint8_t buf[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n, step;

    if (!f)
        exit(2);
    n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    run(buf, n);
    step = n / MAX_CUTS + 1;
    for (size_t cut = 0; cut < n; cut += step)
        run(buf, cut);
    for (uint32_t round = 0; round < MUTATIONS; round++)
        mutate(buf, n, round);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(void)
{
    const char *src = getenv("CFGEN_SRCDIR");
    struct dirent **e;
    char path[2048];
    int n;

    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", src ? src : "..",
             CF_FUZZ_CORPUS);
    n = scandir(path, &e, visible, alphasort);
    if (n <= 0) {
        printf("Bail out! %s: %s\n", path, n ? strerror(errno) : "no inputs");
        return 1;
    }
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s/%s", src ? src : "..",
                 CF_FUZZ_CORPUS, e[i]->d_name);
        one_file(path);
        printf("ok %d - %s\n", i + 1, e[i]->d_name);
        fflush(stdout);
        free(e[i]);
    }
    free(e);
    return 0;
}
