/* fuzz_safetensors.c - any bytes as a safetensors file; all views are read. */
#include <stdlib.h>
#include <string.h>

#include "base/tensor.h"
#include "tests/fuzz/fuzz.h"
#include "weights/safetensors.h"

static volatile unsigned sink;

static void touch(const struct cf_view *v)
{
    const unsigned char *p = v->data;
    size_t n = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);

    for (size_t i = 0; i < n; i++)
        sink += p[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_st *st;

    if ((cf_st_parse(&st, bytes, n, "fuzz", &err) == CF_OK) != (st != NULL))
        abort();
    if ((err.status == CF_OK) != (err.msg[0] == '\0'))
        abort();
    for (int i = 0; st && i < cf_st_count(st); i++) {
        if (i > 0 && strcmp(cf_st_name(st, i - 1), cf_st_name(st, i)) >= 0)
            abort();
        touch(cf_st_view(st, i));
    }
    cf_st_close(st);
    return 0;
}
