#include "pipeline/loaded.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/utf8.h"

struct cf_loaded {
    struct cf_loaded_options o;
    struct cf_cache *cache;
    struct cf_pool *pool;
    struct cf_packed *packed;
    struct cf_dnn *own; /* the encoder's machine, NULL: it uses the pool's */
    /* Changed by the generator's thread alone, under the lock; read by it without. */
    pthread_mutex_t lock;
    struct cf_texts *texts; /* NULL: no model */
    char *dir, *name; /* of the model, and what a job calls it; name NULL: nothing */
    struct cf_room room;
    atomic_bool turns;            /* room.turns, for the feed */
    struct cf_texts_count before; /* of models that were loaded before */
};

static void tell_packed(void *ctx, enum cf_log_level level, const char *what,
                        const char *path, const char *why)
{
    const struct cf_loaded *l = ctx;

    cf_log(l->o.log, level, what, "file=\"%s\"%s%s%s", path, why ? " error=\"" : "",
           why ? why : "", why ? "\"" : "");
}

enum cf_status cf_loaded_open(struct cf_loaded **loaded,
                              const struct cf_loaded_options *o, struct cf_error *err)
{
    struct cf_loaded *l = cf_calloc(1, sizeof *l, err);
    enum cf_status st = CF_OK;

    if (!l)
        return CF_ENOMEM;
    l->o = *o;
    pthread_mutex_init(&l->lock, NULL);
    if (o->cache && !o->held)
        st = cf_cache_open(&l->cache, o->cache, o->cache_bytes, err);
    if (st == CF_OK)
        st = cf_packed_open(&l->packed,
                            &(struct cf_packed_options){
                                .threads = o->held ? o->threads * o->workers : o->threads,
                                .cache = o->pack_cache,
                                .tell = tell_packed,
                                .ctx = l,
                            },
                            err);
    if (st == CF_OK)
        st = cf_pool_open(&l->pool,
                          &(struct cf_pool_options){.level = o->cpu,
                                                    .threads = o->threads,
                                                    .groups = o->groups,
                                                    .bind = o->bind,
                                                    .packed = l->packed,
                                                    .crew = o->workers > 1},
                          err);
    if (st == CF_OK && o->held)
        cf_pool_hold(l->pool);
    if (st == CF_OK)
        *loaded = l;
    else
        cf_loaded_close(l);
    return st;
}

enum cf_status cf_loaded_go(struct cf_loaded *l, struct cf_cancel *cancel,
                            struct cf_error *err)
{
    if (!l->o.held)
        return CF_OK;
    l->o.held = false;
    l->o.cancel = cancel;
    if (l->o.cache)
        CF_TRY(cf_cache_open(&l->cache, l->o.cache, l->o.cache_bytes, err));
    if (l->texts)
        cf_texts_adopt(l->texts, l->cache, cancel);
    if (l->own)
        CF_TRY(cf_dnn_set_threads(l->own, cf_pool_encoder(l->pool), err));
    return cf_pool_go(l->pool, err);
}

/* Under the lock, for the feed may be at it. */
static void unload(struct cf_loaded *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->texts) {
        struct cf_texts_count c = cf_texts_count(l->texts);

        l->before.memory += c.memory;
        l->before.disk += c.disk;
        l->before.encoded += c.encoded;
    }
    cf_texts_close(l->texts);
    cf_dnn_close(l->own);
    cf_free(l->dir);
    cf_free(l->name);
    l->texts = NULL;
    l->own = NULL;
    l->dir = l->name = NULL;
    pthread_mutex_unlock(&l->lock);
}

void cf_loaded_close(struct cf_loaded *l)
{
    if (!l)
        return;
    unload(l);
    cf_pool_close(l->pool);
    cf_packed_close(l->packed);
    cf_cache_close(l->cache);
    pthread_mutex_destroy(&l->lock);
    cf_free(l);
}

struct cf_pool *cf_loaded_pool(const struct cf_loaded *l)
{
    return l->pool;
}

static void tell(const struct cf_loaded *l)
{
    const struct cf_model *m = cf_engine_model(cf_pool_engine(l->pool));
    char *safe = cf_utf8_printable(m->name, strlen(m->name), 200, NULL);

    cf_log(l->o.log, CF_LOG_INFO, "model loaded",
           "name=\"%s\" sha256=\"%.12s\" threads=%d groups=%d arrangement=\"%s\" cpu=%s "
           "weights=\"%s\" memory_mib=%.0f memory_by=\"%s\" encoder=%s",
           safe ? safe : "", m->hash, l->o.threads, cf_pool_groups(l->pool),
           cf_pool_why(l->pool), cf_cpu_name(cf_dnn_level(cf_pool_dnn(l->pool))),
           l->room.held.weights, (double)l->room.memory.bytes / (1 << 20),
           l->room.memory.why, l->room.turns ? "release" : "keep");
    cf_free(safe);
}

static enum cf_status open_texts(struct cf_loaded *l, struct cf_texts **texts,
                                 struct cf_error *err)
{
    const struct cf_engine *e = cf_pool_engine(l->pool);
    struct cf_dnn *machine = cf_pool_dnn(l->pool);

    if (cf_pool_groups(l->pool) > 1)
        CF_TRY(cf_dnn_open(&l->own, cf_dnn_level(machine),
                           l->o.held ? 1 : cf_pool_encoder(l->pool), err));
    return cf_texts_open(texts,
                         &(struct cf_texts_options){
                             .packed = l->packed,
                             .dnn = l->own ? l->own : machine,
                             .model = cf_engine_model(e),
                             .dim = cf_engine_text_dim(e),
                             .cache = l->cache,
                             .cancel = l->o.cancel,
                         },
                         err);
}

/* With a model whose weights are not in memory yet. How large images are the jobs will
 * say (cf_loaded_fit). */
static enum cf_status share_out(struct cf_loaded *l, struct cf_error *err)
{
    l->room = (struct cf_room){
        .memory = l->room.memory,
        .encoder = l->o.encoder,
        .workers = l->o.workers > 1 ? l->o.workers : 1,
        .copies = cf_pool_copies(l->pool),
        .held = *cf_engine_holding(cf_pool_engine(l->pool)),
    };
    return cf_room_decide(&l->room, NULL, false, 1, err);
}

/* Each is opened once before the first job is claimed, so that damaged files and parts
 * that do not go together cost no job anything; where they take turns, one by one. */
static enum cf_status open_parts(struct cf_loaded *l, struct cf_texts **texts,
                                 struct cf_error *err)
{
    if (!l->room.turns) {
        CF_TRY(cf_pool_wake(l->pool, err));
        return open_texts(l, texts, err);
    }
    CF_TRY(open_texts(l, texts, err));
    cf_texts_rest(*texts);
    return cf_pool_wake(l->pool, err);
}

/* Takes dir, whatever it returns. */
static enum cf_status load(struct cf_loaded *l, char *dir, const char *name,
                           struct cf_error *err)
{
    struct cf_texts *texts = NULL;
    char *called = NULL;
    enum cf_status st;

    unload(l);
    cf_fault_point("load", 0);
    cf_memory_find(&l->room.memory, l->o.memory);
    st = cf_pool_load(l->pool, dir, (double)l->room.memory.bytes - CF_ROOM_PROGRAM, err);
    if (st == CF_OK)
        st = share_out(l, err);
    if (st == CF_OK)
        st = open_parts(l, &texts, err);
    if (st == CF_OK && name && !(called = cf_strdup(name, err)))
        st = CF_ENOMEM;
    if (st != CF_OK) {
        cf_texts_close(texts);
        cf_free(dir);
        unload(l);
        return st;
    }
    pthread_mutex_lock(&l->lock);
    l->texts = texts;
    l->dir = dir;
    l->name = called;
    atomic_store(&l->turns, l->room.turns);
    pthread_mutex_unlock(&l->lock);
    tell(l);
    return CF_OK;
}

enum cf_status cf_loaded_need(struct cf_loaded *l, const char *name, bool *changed,
                              struct cf_error *err)
{
    char *dir;

    *changed = false;
    CF_TRY(cf_model_find(&dir, name ? name : l->o.model, l->o.model_path, err));
    if (l->dir && strcmp(dir, l->dir) == 0) {
        cf_free(dir);
        return CF_OK;
    }
    *changed = true;
    return load(l, dir, name, err);
}

const struct cf_room *cf_loaded_room(const struct cf_loaded *l)
{
    return &l->room;
}

bool cf_loaded_turns(const struct cf_loaded *l)
{
    return atomic_load(&l->turns);
}

bool cf_loaded_beside(const struct cf_loaded *l)
{
    return cf_pool_beside(l->pool) && !l->room.turns;
}

double cf_loaded_space(const struct cf_loaded *l)
{
    return cf_room_left(&l->room) / l->room.workers / 2;
}

enum cf_status cf_loaded_fit(struct cf_loaded *l, const struct cf_gen_params *params,
                             const struct cf_request *req, int n, struct cf_error *err)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    enum cf_status st = CF_ENOMEM;
    bool before = l->room.turns;
    int side;

    if (plan)
        st = cf_pool_plan(l->pool, params, req, n, plan, &side, err);
    if (st == CF_OK)
        st = cf_room_decide(&l->room, plan, cf_engine_inits(req, n), side, err);
    cf_free(plan);
    if (l->room.turns && !before) {
        atomic_store(&l->turns, true);
        pthread_mutex_lock(&l->lock); /* the feed may be encoding */
        cf_texts_rest(l->texts);
        pthread_mutex_unlock(&l->lock);
        cf_log(l->o.log, CF_LOG_INFO,
               "text encoder and generator take turns from here on",
               "memory_mib=%.0f memory_by=\"%s\" encoder=release",
               (double)l->room.memory.bytes / (1 << 20), l->room.memory.why);
    }
    return st;
}

enum cf_status cf_loaded_encode(struct cf_loaded *l, struct cf_slot *const *slot, int n,
                                struct cf_error *err)
{
    enum cf_status st;

    if (!l->room.turns)
        return cf_slots_encode(slot, n, l->texts, false, err);
    CF_TRY(cf_slots_encode(slot, n, l->texts, true, err));
    if (!cf_slots_need(slot, n))
        return CF_OK;
    cf_pool_rest(l->pool);
    st = cf_slots_encode(slot, n, l->texts, false, err);
    cf_texts_rest(l->texts);
    return st;
}

static bool same_name(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void cf_loaded_ahead(struct cf_loaded *l, struct cf_lot *lot)
{
    struct cf_slot *slot[CF_LOT_MAX];
    double t0 = 1e3 * cf_clock();
    struct cf_error why = {0};
    int n = 0;

    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < lot->jobs.n && l->texts; i++)
        if (lot->slot[i].open && same_name(lot->slot[i].recipe.model, l->name))
            slot[n++] = &lot->slot[i];
    if (n &&
        cf_slots_encode(slot, n, l->texts, !cf_pool_beside(l->pool) || cf_loaded_turns(l),
                        &why) == CF_OK)
        lot->encode_ms += (1e3 * cf_clock() - t0) / lot->jobs.n;
    pthread_mutex_unlock(&l->lock);
}

struct cf_texts_count cf_loaded_texts(struct cf_loaded *l)
{
    struct cf_texts_count c;

    pthread_mutex_lock(&l->lock);
    c = l->before;
    if (l->texts) {
        struct cf_texts_count now = cf_texts_count(l->texts);

        c.memory += now.memory;
        c.disk += now.disk;
        c.encoded += now.encoded;
    }
    pthread_mutex_unlock(&l->lock);
    return c;
}
