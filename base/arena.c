#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

enum cf_status cf_arena_open(struct cf_arena *a, size_t size, struct cf_error *err)
{
    memset(a, 0, sizeof *a);
    a->base = cf_alloc(size, 1, err);
    if (!a->base)
        return CF_ENOMEM;
    a->size = size;
    return CF_OK;
}

void cf_arena_measure(struct cf_arena *a)
{
    memset(a, 0, sizeof *a);
    a->size = SIZE_MAX;
    a->measuring = true;
}

void cf_arena_close(struct cf_arena *a)
{
    cf_free(a->base);
    memset(a, 0, sizeof *a);
}

enum cf_status cf_arena_get(struct cf_arena *a, void *out, size_t count, size_t size,
                            struct cf_error *err)
{
    size_t want, end;
    void *p;

    if (!cf_mul_size(count, size, &want) || !cf_round_size(want, CF_ALIGN, &want) ||
        !cf_add_size(a->used, want, &end))
        return cf_fail(err, CF_ENOMEM, "arena: %zu x %zu bytes wanted, too many", count,
                       size);
    if (end > a->size)
        return cf_fail(err, CF_ENOMEM, "arena: %zu bytes wanted, %zu of %zu left", want,
                       a->size - a->used, a->size);
    p = a->measuring ? NULL : a->base + a->used;
    a->used = end;
    if (end > a->high)
        a->high = end;
    memcpy(out, &p, sizeof p);
    return CF_OK;
}

size_t cf_arena_mark(const struct cf_arena *a)
{
    return a->used;
}

void cf_arena_rewind(struct cf_arena *a, size_t mark)
{
    a->used = mark;
}
