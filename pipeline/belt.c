#include "pipeline/belt.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/alloc.h"

struct cf_belt {
    pthread_mutex_t lock;
    pthread_cond_t more, less; /* something came or it ended; something left */
    int room, head, n;
    bool ended;
    void *item[];
};

/* Waiting is measured by a clock that nobody sets. */
static void open_cond(pthread_cond_t *c)
{
    pthread_condattr_t a;

    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

enum cf_status cf_belt_open(struct cf_belt **belt, int room, struct cf_error *err)
{
    struct cf_belt *b = cf_calloc(1, sizeof *b + (size_t)room * sizeof b->item[0], err);

    if (!b)
        return CF_ENOMEM;
    b->room = room;
    pthread_mutex_init(&b->lock, NULL);
    open_cond(&b->more);
    open_cond(&b->less);
    *belt = b;
    return CF_OK;
}

void cf_belt_free(struct cf_belt *b)
{
    if (!b)
        return;
    pthread_cond_destroy(&b->more);
    pthread_cond_destroy(&b->less);
    pthread_mutex_destroy(&b->lock);
    cf_free(b);
}

bool cf_belt_put(struct cf_belt *b, void *item)
{
    bool taken;

    pthread_mutex_lock(&b->lock);
    while (b->n == b->room && !b->ended)
        pthread_cond_wait(&b->less, &b->lock);
    taken = !b->ended;
    if (taken) {
        b->item[(b->head + b->n++) % b->room] = item;
        pthread_cond_signal(&b->more);
    }
    pthread_mutex_unlock(&b->lock);
    return taken;
}

static struct timespec from_now(int ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

void *cf_belt_take(struct cf_belt *b, int ms, bool *end)
{
    struct timespec until = from_now(ms < 0 ? 0 : ms);
    void *item = NULL;
    int e = 0;

    pthread_mutex_lock(&b->lock);
    while (!b->n && !b->ended && e != ETIMEDOUT)
        e = ms < 0 ? pthread_cond_wait(&b->more, &b->lock)
                   : pthread_cond_timedwait(&b->more, &b->lock, &until);
    if (b->n) {
        item = b->item[b->head];
        b->head = (b->head + 1) % b->room;
        b->n--;
        pthread_cond_broadcast(&b->less);
    }
    *end = !item && b->ended;
    pthread_mutex_unlock(&b->lock);
    return item;
}

bool cf_belt_wait_empty(struct cf_belt *b, int ms)
{
    struct timespec until = from_now(ms);
    bool empty;
    int e = 0;

    pthread_mutex_lock(&b->lock);
    while (b->n && e != ETIMEDOUT)
        e = pthread_cond_timedwait(&b->less, &b->lock, &until);
    empty = !b->n;
    pthread_mutex_unlock(&b->lock);
    return empty;
}

void cf_belt_end(struct cf_belt *b)
{
    pthread_mutex_lock(&b->lock);
    b->ended = true;
    pthread_cond_broadcast(&b->more);
    pthread_cond_broadcast(&b->less);
    pthread_mutex_unlock(&b->lock);
}
