/* fuzz.h - what every fuzz target offers: the entry that libFuzzer calls.
 *
 * make check replays tests/fuzz/corpus/NAME and mutations of it (replay.c); make
 * check-fuzz searches for new inputs (README.md). */
#ifndef CF_TESTS_FUZZ_H
#define CF_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Returns 0; whatever the bytes are, it neither crashes nor reads past them. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* For targets that read files: a new file, made anew each time. */
static inline void fuzz_write(const char *path, const void *bytes, size_t n)
{
    FILE *f;

    unlink(path); /* ext4 waits for the disk when a file is cut and written anew */
    f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

#endif
