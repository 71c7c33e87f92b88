/* fuzz_index.c - any bytes as the index of two shards in a directory of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "weights/checkpoint.h"

static char dir[] = "/tmp/cfgen-fuzz-XXXXXX", shard[2][64], index_path[64];

static void clean(void)
{
    unlink(shard[0]);
    unlink(shard[1]);
    unlink(index_path);
    rmdir(dir);
}

static void prepare(void)
{
    static const char header[] =
        "{\"%c\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";

    if (!mkdtemp(dir) || atexit(clean) != 0)
        abort();
    snprintf(index_path, sizeof index_path, "%s/i.index.json", dir);
    for (int i = 0; i < 2; i++) {
        char bytes[8 + sizeof header + 2] = {0};
        int n = snprintf(bytes + 8, sizeof bytes - 8, header, 'a' + i);

        bytes[0] = (char)n;
        snprintf(shard[i], sizeof shard[i], "%s/s%d", dir, i + 1);
        fuzz_write(shard[i], bytes, (size_t)n + 10);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_ckpt *c;

    if (!shard[0][0])
        prepare();
    fuzz_write(index_path, bytes, n);
    if ((cf_ckpt_open(&c, index_path, &err) == CF_OK) != (c != NULL))
        abort();
    for (int i = 0; c && i < cf_ckpt_count(c); i++)
        if (cf_ckpt_index(c, cf_ckpt_name(c, i)) != i)
            abort();
    cf_ckpt_close(c);
    return 0;
}
