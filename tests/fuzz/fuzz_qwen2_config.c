/* fuzz_qwen2_config.c - any bytes as config.json; what is taken makes sense. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "textenc/qwen2_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_qwen2_config c;
    json_t *root = cf_json_parse((const char *)bytes, n, 1 << 16, "config", &err);

    if (!root)
        return 0;
    if (cf_qwen2_config_read(&c, root, "config", &err) == CF_OK &&
        (c.hidden < 1 || c.layers < 1 || c.heads < 1 || c.kv_heads < 1 ||
         c.head_dim < 2 || c.head_dim > 256 || c.heads % c.kv_heads || c.vocab < 1 ||
         !(c.eps > 0) || !(c.rope_theta >= 1) || c.pad_id >= c.vocab))
        abort();
    json_decref(root);
    return 0;
}
