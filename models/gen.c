#include "models/gen.h"

#include <string.h>

#include "models/infinity.h"

static const struct cf_gen_ops *const table[] = {&cf_gen_infinity};

void cf_gen_params_default(struct cf_gen_params *p)
{
    memset(p, 0, sizeof(*p));
    p->top_k = -1;
    p->top_p = -1.0f;
    p->kv_type = -1;
}

const struct cf_gen_ops *cf_gen_find(const char *name)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}
