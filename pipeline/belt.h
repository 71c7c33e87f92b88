/* belt.h - a bounded queue between two stages: who is ahead waits for who is behind.
 *
 * Items are pointers that change their owner: they are the belt's from a put that
 * returned true until a take. Any number of threads on either side. Order is kept. */
#ifndef CF_PIPELINE_BELT_H
#define CF_PIPELINE_BELT_H

#include <stdbool.h>

#include "base/error.h"

struct cf_belt;

/* room >= 1 items. */
enum cf_status cf_belt_open(struct cf_belt **belt, int room, struct cf_error *err);
/* Nobody uses it any more and it is empty. NULL is fine. */
void cf_belt_free(struct cf_belt *belt);

/* Waits while the belt is full. False when it was ended: the item stays the caller's. */
bool cf_belt_put(struct cf_belt *belt, void *item);

/* The next item, or NULL: nothing came within ms milliseconds (negative: wait for ever),
 * or the belt has ended and is empty, which *end tells. */
void *cf_belt_take(struct cf_belt *belt, int ms, bool *end);

/* Wait until the belt is empty, ms milliseconds at most; true when it is. */
bool cf_belt_wait_empty(struct cf_belt *belt, int ms);

/* No more puts: what is on it can still be taken. */
void cf_belt_end(struct cf_belt *belt);

#endif
