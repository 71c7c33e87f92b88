#include "dnn/pack_crew.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

enum { SHARES = 4 }; /* parts a thread: threads start and pages come at uneven speed */

struct cf_pack_crew {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    pthread_t *thread; /* [others] */
    int others;
    bool quit;
    /* The run at hand; next >= n: nothing to take. */
    void (*fn)(void *arg, int64_t first, int64_t last);
    void *arg;
    int64_t n, part, next;
    int busy;
};

/* Takes parts until there are none. Under the lock, which is given up meanwhile. */
static void take_parts(struct cf_pack_crew *c)
{
    while (c->next < c->n) {
        int64_t first = c->next, last = c->n - first > c->part ? first + c->part : c->n;

        c->next = last;
        c->busy++;
        pthread_mutex_unlock(&c->lock);
        c->fn(c->arg, first, last);
        pthread_mutex_lock(&c->lock);
        c->busy--;
    }
}

static void *member(void *arg)
{
    struct cf_pack_crew *c = arg;

    pthread_mutex_lock(&c->lock);
    while (!c->quit) {
        take_parts(c);
        if (c->busy == 0)
            pthread_cond_signal(&c->done);
        if (!c->quit && c->next >= c->n)
            pthread_cond_wait(&c->work, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum cf_status cf_pack_crew_open(struct cf_pack_crew **out, int threads,
                                 struct cf_error *err)
{
    struct cf_pack_crew *c = cf_calloc(1, sizeof *c, err);
    int e = 0;

    *out = NULL;
    if (!c)
        return CF_ENOMEM;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, NULL);
    c->thread = cf_alloc((size_t)threads, sizeof *c->thread, err);
    while (c->thread && c->others < threads - 1 &&
           (e = pthread_create(&c->thread[c->others], NULL, member, c)) == 0)
        c->others++;
    if (!c->thread || e != 0) {
        if (e != 0)
            cf_fail(err, CF_ENOMEM, "%d threads to pack weights: %s", threads,
                    strerror(e));
        cf_pack_crew_close(c);
        return CF_ENOMEM;
    }
    *out = c;
    return CF_OK;
}

void cf_pack_crew_close(struct cf_pack_crew *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->others; i++)
        pthread_join(c->thread[i], NULL);
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    cf_free(c->thread);
    cf_free(c);
}

void cf_pack_crew_run(struct cf_pack_crew *c, int64_t n, int64_t grain,
                      void (*fn)(void *arg, int64_t first, int64_t last), void *arg)
{
    int64_t grains = n / grain + (n % grain != 0), parts = (c->others + 1) * SHARES;

    pthread_mutex_lock(&c->lock);
    c->fn = fn;
    c->arg = arg;
    c->next = 0;
    c->part = (grains + parts - 1) / parts * grain;
    c->n = n;
    if (c->part < n)
        pthread_cond_broadcast(&c->work);
    take_parts(c);
    while (c->busy > 0)
        pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}
