/* fuzz_text.c - any bytes as a prompt: cut into pieces that lose nothing, normalized the
 * same when it is done twice, and lower-cased into well-formed text. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "textenc/pretok.h"
#include "textenc/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text, *nfc, *again, *lower;
    size_t len, nfc_len, again_len, lower_len, size;
    struct cf_error err = {0};

    if (cf_utf8_repair((const char *)bytes, n, &text, &len, &err) != CF_OK ||
        cf_unicode_nfc(text, len, &nfc, &nfc_len, &err) != CF_OK ||
        cf_unicode_nfc(nfc, nfc_len, &again, &again_len, &err) != CF_OK ||
        cf_unicode_lower(text, len, &lower, &lower_len, &err) != CF_OK)
        abort();
    if (again_len != nfc_len || memcmp(again, nfc, nfc_len) != 0 ||
        !cf_utf8_valid(nfc, nfc_len, NULL) || !cf_utf8_valid(lower, lower_len, NULL))
        abort();
    for (size_t i = 0; i < nfc_len; i += size) {
        size = cf_pretok_next(nfc + i, nfc_len - i);
        if (size == 0 || size > nfc_len - i || !cf_utf8_valid(nfc + i, size, NULL))
            abort();
    }
    cf_free(text);
    cf_free(nfc);
    cf_free(again);
    cf_free(lower);
    return 0;
}
