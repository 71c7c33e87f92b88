/* fuzz_import.c - any bytes as a list of prompts: the first says the form (c, t, j, x for
 * CSV, TSV, JSONL, text; any other: found out), the rest is the file. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/import.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_ROWS = 64 };

static char dir[] = "/tmp/cfgen-fuzz-XXXXXX", db[64], list[64];
static struct cf_queue *queue;

static void clean(void)
{
    static const char *const tail[] = {"", "-wal", "-shm", ".lock"};
    char path[96];

    cf_queue_close(queue);
    for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) {
        snprintf(path, sizeof path, "%s%s", db, tail[i]);
        unlink(path);
    }
    unlink(list);
    rmdir(dir);
}

static void prepare(void)
{
    struct cf_error err = {0};

    if (!mkdtemp(dir) || atexit(clean) != 0)
        abort();
    snprintf(db, sizeof db, "%s/q", dir);
    snprintf(list, sizeof list, "%s/list", dir);
    if (cf_queue_open(&queue, db, CF_QUEUE_CREATE, &err) != CF_OK)
        abort();
}

static enum cf_format form(uint8_t c)
{
    switch (c) {
    case 'c':
        return CF_FORMAT_CSV;
    case 't':
        return CF_FORMAT_TSV;
    case 'j':
        return CF_FORMAT_JSONL;
    case 'x':
        return CF_FORMAT_TEXT;
    default:
        return CF_FORMAT_AUTO;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_import how = {.limit = MAX_ROWS};
    struct cf_imported done;
    struct cf_error err = {0};

    if (n == 0)
        return 0;
    if (!queue)
        prepare();
    how.format = form(bytes[0]);
    fuzz_write(list, bytes + 1, n - 1);
    cf_import_file(queue, list, &how, &done, &err);
    if (done.rows < done.bad || done.rows > MAX_ROWS ||
        done.added + done.present > (int64_t)MAX_ROWS * 10000)
        abort();
    return 0;
}
