#include "pipeline/leader.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

struct cf_leader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*fn)(void *arg); /* NULL: nothing to do */
    void *arg;
    bool end, bound;
    cpu_set_t cpus;
};

static void *lead(void *arg)
{
    struct cf_leader *l = arg;

    if (l->bound)
        sched_setaffinity(0, sizeof l->cpus, &l->cpus);
    pthread_mutex_lock(&l->lock);
    while (!l->end || l->fn) {
        if (!l->fn) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        l->fn(l->arg);
        pthread_mutex_lock(&l->lock);
        l->fn = NULL;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum cf_status cf_leader_start(struct cf_leader **leader, const cpu_set_t *cpus,
                               struct cf_error *err)
{
    struct cf_leader *l = cf_calloc(1, sizeof *l, err);
    int e;

    if (!l)
        return CF_ENOMEM;
    if (cpus) {
        l->cpus = *cpus;
        l->bound = true;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    e = pthread_create(&l->thread, NULL, lead, l);
    if (e) {
        pthread_cond_destroy(&l->changed);
        pthread_mutex_destroy(&l->lock);
        cf_free(l);
        return cf_fail(err, CF_ENOMEM, "thread of a group: %s", strerror(e));
    }
    *leader = l;
    return CF_OK;
}

void cf_leader_stop(struct cf_leader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->end = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    cf_free(l);
}

void cf_leader_begin(struct cf_leader *l, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&l->lock);
    l->arg = arg;
    l->fn = fn;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void cf_leader_wait(struct cf_leader *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->fn)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
}
