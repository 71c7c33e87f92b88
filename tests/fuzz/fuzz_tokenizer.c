/* fuzz_tokenizer.c - any bytes as tokenizer.json; what opens must encode and decode. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "textenc/bpe.h"

static char path[] = "/tmp/cfgen-fuzz-XXXXXX";
static int fd = -1;

static void clean(void)
{
    unlink(path);
}

static void use(const struct cf_bpe *bpe)
{
    static const char text[] = "ab<|a|>bab 12\n\xc3\xa9";
    struct cf_error err = {0};
    int32_t ids[64];
    char *back;
    size_t n, len;

    if (cf_bpe_encode(bpe, text, sizeof(text) - 1, true, ids, 64, &n, &err) != CF_OK ||
        n > 64 || cf_bpe_decode(bpe, ids, n, false, &back, &len, &err) != CF_OK ||
        len != sizeof(text) - 1 || memcmp(back, text, len) != 0)
        abort();
    cf_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_bpe *bpe;

    if (fd < 0 && ((fd = mkstemp(path)) < 0 || atexit(clean) != 0))
        abort();
    if (ftruncate(fd, 0) != 0 || pwrite(fd, bytes, n, 0) != (ssize_t)n)
        abort();
    if ((cf_bpe_open(&bpe, path, &err) == CF_OK) != (bpe != NULL))
        abort();
    if (bpe)
        use(bpe);
    cf_bpe_close(bpe);
    return 0;
}
