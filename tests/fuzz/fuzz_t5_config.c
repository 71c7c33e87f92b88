/* fuzz_t5_config.c - any bytes as config.json of T5; what is taken makes sense. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "textenc/t5_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_t5_config c;
    json_t *root = cf_json_parse((const char *)bytes, n, 1 << 16, "config", &err);

    if (!root)
        return 0;
    if (cf_t5_config_read(&c, root, "config", &err) == CF_OK &&
        (c.hidden < 1 || c.hidden > 65536 || c.layers < 1 || c.layers > 1024 ||
         c.heads < 1 || c.heads > 1024 || c.head_dim < 1 || c.head_dim > 256 ||
         c.intermediate < 1 || c.vocab < 1 || c.buckets < 1 || c.max_distance < 1 ||
         !(c.eps > 0)))
        abort();
    json_decref(root);
    return 0;
}
