/* packs.c - a shelf holds the blocks of one key in chunks of memory of its own.
 *
 * Chunks are large and ask for huge pages: filling hundreds of megabytes by pages of 4
 * KiB takes longer than packing. A shelf goes with its last user: layers count, and
 * machines that are between begin and end. One lock guards all; it is not held while a
 * block is filled, so others fill theirs or wait for this one. */
#include "dnn/packs.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/pack_crew.h"

enum {
    CHUNK = 64 << 20, /* bytes, where there are many */
    HUGE = 2 << 20,   /* a huge page */
};

enum state { EMPTY, FILLING, READY };

struct block {
    struct cf_pack_block is;
    enum state state;
};

struct chunk {
    struct chunk *next;
    void *memory; /* owned */
    char *at;
    size_t left;
};

struct shelf {
    struct cf_packs *packs; /* borrowed */
    struct shelf *next;
    char *key;
    int node; /* of the machines that share it */
    int users;
    struct block **block; /* [n], each owned: their places do not change */
    size_t n, cap;
    size_t ready; /* the first so many came from outside */
    bool made;    /* some did not, and nobody was told */
    struct chunk *chunk;
    size_t bytes; /* of all chunks */
    void *held;
    void (*drop)(void *held);
};

struct cf_packs {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    int threads;
    struct shelf *first;
};

/* What a machine is doing between begin and end. */
struct cf_packing {
    struct shelf *shelf;
    struct cf_pack_crew *crew; /* NULL: the machine's own threads */
    size_t at;                 /* number of the next block */
};

enum cf_status cf_packs_open(struct cf_packs **out, int threads, struct cf_error *err)
{
    struct cf_packs *p = cf_calloc(1, sizeof *p, err);

    *out = p;
    if (!p)
        return CF_ENOMEM;
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->filled, NULL);
    return CF_OK;
}

void cf_packs_close(struct cf_packs *p)
{
    if (!p)
        return;
    pthread_cond_destroy(&p->filled);
    pthread_mutex_destroy(&p->lock);
    cf_free(p);
}

/* ---- shelves ---- */

static void shelf_free(struct shelf *s)
{
    for (size_t i = 0; i < s->n; i++)
        cf_free(s->block[i]);
    while (s->chunk) {
        struct chunk *next = s->chunk->next;

        cf_free(s->chunk->memory);
        cf_free(s->chunk);
        s->chunk = next;
    }
    if (s->held)
        s->drop(s->held);
    cf_free(s->block);
    cf_free(s->key);
    cf_free(s);
}

/* One user less. */
static void leave(struct shelf *s)
{
    struct cf_packs *p = s->packs;
    struct shelf **at = &p->first;
    bool last;

    pthread_mutex_lock(&p->lock);
    last = --s->users == 0;
    if (last) {
        while (*at != s)
            at = &(*at)->next;
        *at = s->next;
    }
    pthread_mutex_unlock(&p->lock);
    if (last)
        shelf_free(s);
}

/* Not yet filled. */
static void set_kind(struct block *b, const char *format, size_t bytes)
{
    memset(b, 0, sizeof *b);
    strncpy(b->is.format, format, sizeof b->is.format - 1);
    b->is.bytes = bytes;
}

/* Block number n. */
static struct block *append(struct shelf *s, const char *format, size_t bytes,
                            struct cf_error *err)
{
    struct block *b;

    if (cf_grow(&s->block, &s->cap, s->n + 1, sizeof *s->block, err) != CF_OK)
        return NULL;
    b = cf_calloc(1, sizeof *b, err);
    if (!b)
        return NULL;
    set_kind(b, format, bytes);
    s->block[s->n++] = b;
    return b;
}

static enum cf_status take_ready(struct shelf *s, const struct cf_packs_ready *ready,
                                 struct cf_error *err)
{
    const struct cf_pack_block *block = NULL;
    int n = ready->find(ready->ctx, &block, &s->held);

    s->drop = ready->drop;
    for (int i = 0; i < n; i++) {
        struct block *b = append(s, block[i].format, block[i].bytes, err);

        if (!b)
            return CF_ENOMEM;
        b->is.data = block[i].data;
        b->state = READY;
    }
    s->ready = s->n;
    return CF_OK;
}

/* The shelf of key on this node, one user more. Under the lock. */
static struct shelf *enter(struct cf_packs *p, int node, const char *key,
                           const struct cf_packs_ready *ready, struct cf_error *err)
{
    struct shelf *s = p->first;

    while (s && (s->node != node || strcmp(s->key, key) != 0))
        s = s->next;
    if (!s) {
        s = cf_calloc(1, sizeof *s, err);
        if (!s)
            return NULL;
        s->packs = p;
        s->node = node;
        s->key = cf_strdup(key, err);
        if (!s->key || (ready && take_ready(s, ready, err) != CF_OK)) {
            shelf_free(s);
            return NULL;
        }
        s->next = p->first;
        p->first = s;
    }
    s->users++;
    return s;
}

enum cf_status cf_packs_begin(struct cf_packs *packs, struct cf_dnn *dnn, const char *key,
                              const struct cf_packs_ready *ready, struct cf_error *err)
{
    struct cf_packing *now = cf_calloc(1, sizeof *now, err);
    enum cf_status st = CF_OK;

    if (!now)
        return CF_ENOMEM;
    pthread_mutex_lock(&packs->lock);
    now->shelf = enter(packs, dnn->node, key, ready, err);
    pthread_mutex_unlock(&packs->lock);
    if (now->shelf && packs->threads > dnn->threads) {
        struct cf_call call; /* the crew inherits how its maker treats subnormals */

        cf_call_begin(&call, dnn, &dnn->times.other);
        st = cf_pack_crew_open(&now->crew, packs->threads, err);
        cf_call_end(&call, dnn);
    }
    if (!now->shelf || st != CF_OK) {
        if (now->shelf)
            leave(now->shelf);
        cf_free(now);
        return CF_ENOMEM;
    }
    dnn->packing = now;
    return CF_OK;
}

void cf_packs_end(struct cf_dnn *dnn)
{
    struct cf_packing *now = dnn->packing;

    if (!now)
        return;
    dnn->packing = NULL;
    cf_pack_crew_close(now->crew);
    leave(now->shelf);
    cf_free(now);
}

enum cf_status cf_packs_made(struct cf_dnn *dnn, struct cf_pack_block **block, int *n,
                             struct cf_error *err)
{
    struct shelf *s = dnn->packing ? dnn->packing->shelf : NULL;
    enum cf_status st = CF_OK;

    *block = NULL;
    *n = 0;
    if (!s)
        return CF_OK;
    pthread_mutex_lock(&s->packs->lock);
    if (s->made && !(*block = cf_alloc(s->n, sizeof **block, err)))
        st = CF_ENOMEM;
    for (size_t i = 0; *block && i < s->n && i < dnn->packing->at; i++)
        (*block)[(*n)++] = s->block[i]->is;
    s->made = false;
    pthread_mutex_unlock(&s->packs->lock);
    return st;
}

/* ---- blocks ---- */

/* Room for bytes on the shelf. Under the lock. */
static void *room(struct shelf *s, size_t bytes, struct cf_error *err)
{
    struct chunk *c = s->chunk;
    size_t size;
    char *at;

    if (!c || c->left < bytes) {
        if (!cf_round_size(bytes, HUGE, &size)) {
            cf_fail(err, CF_ENOMEM, "packed weights: %zu bytes", bytes);
            return NULL;
        }
        if (size < s->bytes && size < CHUNK)
            size = s->bytes < CHUNK ? s->bytes : CHUNK; /* few chunks, little unused */
        c = cf_calloc(1, sizeof *c, err);
        if (!c || !(c->memory = cf_alloc(size + HUGE, 1, err))) {
            cf_free(c);
            return NULL;
        }
        c->at = (char *)(((uintptr_t)c->memory + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
        c->left = size;
        (void)madvise(c->at, size, MADV_HUGEPAGE); /* where there are none, small ones */
        c->next = s->chunk;
        s->chunk = c;
        s->bytes += size;
    }
    at = c->at;
    c->at += bytes;
    c->left -= bytes;
    return at;
}

/* Pages come in here, each by one thread: where several meet in one huge page, all of
 * them clear one and all but one throw theirs away. */
static void touch(void *arg, int64_t first, int64_t last)
{
    volatile char *at = (char *)arg + first;

    *at = 0;
    for (at += HUGE - (uintptr_t)at % HUGE; at < (char *)arg + last; at += HUGE)
        *at = 0;
}

static enum cf_status fill_block(struct cf_dnn *dnn, cf_pack_fill *fill, void *data,
                                 void *arg, struct cf_error *err)
{
    struct cf_call call;
    enum cf_status st;

    cf_call_begin(&call, dnn, &dnn->times.other);
    st = fill(data, arg, err);
    cf_call_end(&call, dnn);
    return st;
}

/* Memory of its own. */
static enum cf_status get_alone(struct cf_pack *pack, struct cf_dnn *dnn, size_t bytes,
                                cf_pack_fill *fill, void *arg, struct cf_error *err)
{
    void *data = cf_alloc(bytes, 1, err);
    enum cf_status st = data ? fill_block(dnn, fill, data, arg, err) : CF_ENOMEM;

    if (st != CF_OK) {
        cf_free(data);
        return st;
    }
    *pack = (struct cf_pack){data, bytes, NULL};
    return CF_OK;
}

static bool fits(const struct block *b, const char *format, size_t bytes)
{
    return b->is.bytes == bytes && strcmp(b->is.format, format) == 0;
}

/* The block to be used, or to be filled by the caller (FILLING); NULL with err OK where
 * another kind of block has that number. Under the lock. */
static struct block *claim(struct shelf *s, size_t i, const char *format, size_t bytes,
                           bool *mine, struct cf_error *err)
{
    struct block *b = i < s->n ? s->block[i] : append(s, format, bytes, err);

    *mine = false;
    if (b && !fits(b, format, bytes) && i < s->ready)
        set_kind(b, format, bytes); /* who uses what lay there keeps it */
    if (!b || !fits(b, format, bytes))
        return NULL;
    while (b->state == FILLING)
        pthread_cond_wait(&s->packs->filled, &s->packs->lock);
    if (b->state == EMPTY) {
        if (!b->is.data && !(b->is.data = room(s, bytes, err)))
            return NULL;
        b->state = FILLING;
        *mine = true;
    }
    return b;
}

static enum cf_status get_shared(struct cf_pack *pack, struct cf_dnn *dnn,
                                 const char *format, size_t bytes, cf_pack_fill *fill,
                                 void *arg, struct cf_error *err)
{
    struct shelf *s = dnn->packing->shelf;
    struct cf_error why = {0};
    struct block *b;
    size_t size;
    bool mine;

    if (!cf_round_size(bytes, CF_ALIGN, &size))
        return cf_fail(err, CF_ENOMEM, "packed weights: %zu bytes", bytes);
    pthread_mutex_lock(&s->packs->lock);
    b = claim(s, dnn->packing->at++, format, size, &mine, &why);
    pthread_mutex_unlock(&s->packs->lock);
    if (why.status != CF_OK)
        return cf_fail(err, why.status, "%s", why.msg);
    if (!b)
        return get_alone(pack, dnn, bytes, fill, arg, err);
    if (mine) {
        char *data = (char *)(uintptr_t)b->is.data;

        cf_pack_split(dnn, (int64_t)size, HUGE, touch, data);
        memset(data + bytes, 0, size - bytes);
        fill_block(dnn, fill, data, arg, &why);
    }
    pthread_mutex_lock(&s->packs->lock);
    if (mine) {
        b->state = why.status == CF_OK ? READY : EMPTY;
        s->made = true;
        pthread_cond_broadcast(&s->packs->filled);
    }
    s->users += why.status == CF_OK;
    pthread_mutex_unlock(&s->packs->lock);
    if (why.status != CF_OK)
        return cf_fail(err, why.status, "%s", why.msg);
    *pack = (struct cf_pack){b->is.data, bytes, s};
    return CF_OK;
}

enum cf_status cf_pack_get(struct cf_pack *pack, struct cf_dnn *dnn, const char *format,
                           size_t bytes, cf_pack_fill *fill, void *arg,
                           struct cf_error *err)
{
    *pack = (struct cf_pack){0};
    if (dnn->packing && strlen(format) < CF_PACK_FORMAT)
        return get_shared(pack, dnn, format, bytes, fill, arg, err);
    return get_alone(pack, dnn, bytes, fill, arg, err);
}

void cf_pack_put(struct cf_pack *pack)
{
    if (pack->shelf)
        leave(pack->shelf);
    else
        cf_free((void *)(uintptr_t)pack->data);
    *pack = (struct cf_pack){0};
}

/* ---- threads ---- */

struct part {
    void (*fn)(void *arg, int64_t first, int64_t last);
    void *arg;
};

static void run_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct part *p = arg;

    (void)thread;
    p->fn(p->arg, first, last);
}

void cf_pack_split(struct cf_dnn *dnn, int64_t n, int64_t grain,
                   void (*fn)(void *arg, int64_t first, int64_t last), void *arg)
{
    struct part part = {fn, arg};

    if (dnn->packing && dnn->packing->crew)
        cf_pack_crew_run(dnn->packing->crew, n, grain, fn, arg);
    else
        cf_split(dnn, n, grain, run_part, &part);
}
