/* golden_main.c - check-golden [--threads=N] DIR: every fixture under DIR, whatever its
 * sizes, in the schemas of tests/golden. Exit status 1 where one fails or none is found.
 *
 * Recordings of the real Qwen3 tokenizer are checked where CFGEN_QWEN3_TOKENIZER names
 * its tokenizer.json (tests/qwen_real.sh fetches it); otherwise they are told as not
 * covered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden.h"
#include "tests/golden_fixture.h"

int main(int argc, char **argv)
{
    struct cf_golden g = {.threads = 1};
    const char *dir = NULL;
    int found = 0;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--threads=", 10) == 0)
            g.threads = atoi(argv[i] + 10);
        else if (argv[i][0] != '-' && dir == NULL)
            dir = argv[i];
        else
            dir = "";
    }
    if (dir == NULL || *dir == '\0' || g.threads < 1) {
        fprintf(stderr, "usage: check-golden [--threads=N] DIR\n");
        return 64;
    }
    found += cf_golden_infinity(&g, dir);
    found += cf_golden_model(&g, dir);
    found += cf_golden_textenc(&g, dir);
    if (found == 0)
        printf("%s: no fixture found\n", dir);
    printf("%d passed, %d failed\n", g.passed, g.failed);
    return g.failed > 0 || found == 0;
}
