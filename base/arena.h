/* arena.h - one block of planned size; pieces are cut from it and given back together.
 *
 * A plan computes how many bytes an image needs; each image slot owns one arena of that
 * size. Order of calls: open once; get pieces; mark before a step and rewind after it;
 * rewind to zero per image; close. Nothing here calls malloc after open, so the hot loop
 * cannot creep. An arena belongs to one thread.
 *
 * A measuring arena (cf_arena_measure) owns no memory and hands out NULL; it counts what
 * the same sequence of calls would need, so that a plan and the run that follows it are
 * the same code. */
#ifndef CF_BASE_ARENA_H
#define CF_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cf_arena {
    char *base;  /* owned; NULL when measuring */
    size_t size; /* bytes in base; SIZE_MAX when measuring */
    size_t used; /* bytes cut so far, a multiple of CF_ALIGN */
    size_t high; /* largest value used ever had */
    bool measuring;
};

enum cf_status cf_arena_open(struct cf_arena *a, size_t size, struct cf_error *err);
void cf_arena_measure(struct cf_arena *a);
void cf_arena_close(struct cf_arena *a); /* a zeroed arena is fine */

/* count * size bytes aligned to CF_ALIGN, contents unspecified. *out is NULL when
 * measuring. CF_ENOMEM names the bytes wanted and left. */
enum cf_status cf_arena_get(struct cf_arena *a, void *out, size_t count, size_t size,
                            struct cf_error *err);

size_t cf_arena_mark(const struct cf_arena *a);
void cf_arena_rewind(struct cf_arena *a, size_t mark); /* 0 empties it */

#endif
