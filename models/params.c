#include "models/params.h"

#include <string.h>

#include "base/alloc.h"

enum cf_status cf_params_new(struct cf_params *pool, float **out, int64_t count,
                             struct cf_error *err)
{
    CF_TRY(cf_grow(&pool->block, &pool->cap, pool->n + 1, sizeof(void *), err));
    *out = cf_calloc((size_t)count, sizeof(float), err);
    if (*out == NULL)
        return CF_ENOMEM;
    pool->block[pool->n++] = *out;
    pool->count += (size_t)count;
    return CF_OK;
}

enum cf_status cf_params_floats(struct cf_params *pool, const float **out,
                                const struct cf_view *v, struct cf_error *err)
{
    float *p;

    *out = NULL;
    if (v->data == NULL)
        return CF_OK;
    CF_TRY(cf_params_new(pool, &p, cf_view_count(v), err));
    *out = p;
    return cf_view_floats(p, v, 0, cf_view_count(v), err);
}

void cf_params_close(struct cf_params *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        cf_free(pool->block[i]);
    cf_free(pool->block);
    memset(pool, 0, sizeof(*pool));
}
