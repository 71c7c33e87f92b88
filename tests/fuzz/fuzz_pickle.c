/* fuzz_pickle.c - any bytes as the pickle of a PyTorch file; what is read is walked. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "weights/flatten.h"
#include "weights/pickle.h"

/* No element lies outside the storage. */
static void check(const struct cf_pickle_tensor *t)
{
    int64_t size = (int64_t)cf_dtype_size(t->view.dtype), last = t->offset;

    if (t->bytes < 0 || t->offset < 0)
        abort();
    for (int i = 0; i < t->view.ndim; i++) {
        if (t->view.dim[i] == 0)
            return;
        last += (t->view.dim[i] - 1) * t->stride[i];
    }
    if (last >= t->bytes / size || cf_view_count(&t->view) < 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_flat_list list;
    struct cf_pickle *p;

    if ((cf_pickle_parse(&p, bytes, n, "fuzz", &err) == CF_OK) != (p != NULL))
        abort();
    if (p && cf_flatten(&list, p, "fuzz", &err) == CF_OK) {
        for (size_t i = 0; i < list.count; i++) {
            if (i > 0 && strcmp(list.flat[i - 1].name, list.flat[i].name) >= 0)
                abort();
            check(list.flat[i].tensor);
        }
        cf_flat_free(&list);
    }
    cf_pickle_close(p);
    return 0;
}
