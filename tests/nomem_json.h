/* nomem_json.h - memory that runs out in Jansson too, and what it left behind. For programs
 * linked with --wrap=aligned_alloc and --wrap=malloc: base/json.c stands between Jansson and
 * malloc, so what fails is malloc, and what is counted are the blocks that Jansson holds. */
#ifndef CF_TESTS_NOMEM_JSON_H
#define CF_TESTS_NOMEM_JSON_H

#include <jansson.h>

#include "tests/nomem.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return nomem_fails() ? NULL : __real_malloc(size);
}

static long nomem_json_blocks;
static json_malloc_t nomem_json_take;
static json_free_t nomem_json_give;

static inline void *nomem_json_malloc(size_t size)
{
    void *p = nomem_json_take(size);

    nomem_json_blocks += p != NULL;
    return p;
}

static inline void nomem_json_free(void *p)
{
    nomem_json_blocks -= p != NULL;
    nomem_json_give(p);
}

/* At the beginning of main. */
static inline void nomem_json_count(void)
{
    json_get_alloc_funcs(&nomem_json_take, &nomem_json_give);
    json_set_alloc_funcs(nomem_json_malloc, nomem_json_free);
}

static inline void no_json_is_left(void)
{
    assert_int_equal(nomem_json_blocks, 0);
}

#endif
