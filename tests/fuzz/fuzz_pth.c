/* fuzz_pth.c - any bytes as a file of torch.save; every tensor of it is read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "weights/source.h"

enum { MAX_READ = 1 << 20 }; /* bytes of a tensor */

static char path[] = "/tmp/cfgen-fuzz-XXXXXX";
static int made;

static void clean(void)
{
    unlink(path);
}

static void read_all(struct cf_source *s)
{
    for (int i = 0; i < cf_source_count(s); i++) {
        struct cf_error err = {0};
        size_t n = cf_source_bytes(s, i);
        void *dst;

        if (cf_source_index(s, cf_source_name(s, i)) != i)
            abort();
        if (n > MAX_READ)
            continue;
        dst = cf_alloc(n, 1, &err);
        if (!dst)
            abort();
        cf_source_read(s, i, dst, &err);
        cf_free(dst);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_source *s;
    int fd;

    if (!made) {
        if ((fd = mkstemp(path)) < 0 || close(fd) != 0 || atexit(clean) != 0)
            abort();
        made = 1;
    }
    fuzz_write(path, bytes, n);
    if ((cf_source_open(&s, path, &err) == CF_OK) != (s != NULL))
        abort();
    if (s)
        read_all(s);
    cf_source_close(s);
    return 0;
}
