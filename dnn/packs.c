#include "dnn/packs.h"

#include <stdint.h>

#include "base/alloc.h"

enum cf_status cf_pack_get(struct cf_pack *pack, struct cf_dnn *dnn, const char *format,
                           size_t bytes, cf_pack_fill *fill, void *arg,
                           struct cf_error *err)
{
    void *data = cf_alloc(bytes, 1, err);
    enum cf_status st;

    (void)dnn;
    (void)format;
    *pack = (struct cf_pack){0};
    if (!data)
        return CF_ENOMEM;
    st = fill(data, arg, err);
    if (st != CF_OK) {
        cf_free(data);
        return st;
    }
    *pack = (struct cf_pack){data, bytes};
    return CF_OK;
}

void cf_pack_put(struct cf_pack *pack)
{
    cf_free((void *)(uintptr_t)pack->data);
    *pack = (struct cf_pack){0};
}
