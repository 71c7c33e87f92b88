#include "base/cancel.h"

void cf_cancel_set(struct cf_cancel *c)
{
    atomic_store(&c->stop, 1);
}

enum cf_status cf_cancel_check(struct cf_cancel *c, struct cf_error *err)
{
    if (c && atomic_load_explicit(&c->stop, memory_order_relaxed))
        return cf_fail(err, CF_ECANCEL, "stopped on request");
    return CF_OK;
}
