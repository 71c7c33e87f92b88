/* fuzz_spm.c - any bytes as a SentencePiece model; what opens encodes and decodes. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "textenc/spm.h"

static void use(const struct cf_spm *spm)
{
    static const char text[] = "a cat, <0x41> \xe2\x96\x81 \xc3\xa9 12";
    struct cf_error err = {0};
    int32_t ids[256];
    char *back;
    size_t n, len;

    for (int32_t id = -1; id <= cf_spm_size(spm); id++) {
        const char *piece = cf_spm_piece(spm, id, &len);

        if ((piece != NULL) != (id >= 0 && id < cf_spm_size(spm)))
            abort();
    }
    if (cf_spm_encode(spm, text, sizeof text - 1, false, false, ids, 256, &n, &err) !=
        CF_OK)
        return;
    if (n <= 256 && cf_spm_decode(spm, ids, n, &back, &len, &err) == CF_OK)
        cf_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_spm *spm;

    if ((cf_spm_open_mem(&spm, bytes, n, "fuzz", &err) == CF_OK) != (spm != NULL))
        abort();
    if (spm)
        use(spm);
    cf_spm_close(spm);
    return 0;
}
