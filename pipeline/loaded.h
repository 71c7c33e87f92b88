/* loaded.h - the model that a worker has in memory: generator groups and text encoder.
 *
 * One model at a time. The generator's thread loads and runs; the feed's thread encodes
 * ahead of it where the encoder has threads of its own beside several groups
 * (pipeline/groups.h). Otherwise the encoder runs between two of their runs, on the
 * generator's thread: a team beside them would only make both wait; the feed then looks
 * into the caches alone. So it does where generator and encoder take turns (room.h). */
#ifndef CF_PIPELINE_LOADED_H
#define CF_PIPELINE_LOADED_H

#include "base/log.h"
#include "pipeline/lot.h"
#include "pipeline/pool.h"
#include "pipeline/room.h"

struct cf_loaded;

struct cf_loaded_options {
    enum cf_cpu cpu;
    int threads, groups; /* pipeline/pool.h */
    enum cf_bind bind;
    const char *model;      /* for jobs that name none; NULL: the default model */
    const char *model_path; /* places to look, colon-separated; NULL: none */
    const char *cache;      /* directory of the features' cache, NULL: none */
    int64_t cache_bytes;
    const char *pack_cache; /* pipeline/packed.h */
    int64_t memory;         /* bytes for all of the process, 0: find out */
    enum cf_encoder_mode encoder;
    int workers;              /* processes that will share the model; 0 is 1 */
    struct cf_cancel *cancel; /* while encoding */
    struct cf_log *log;
    bool held; /* one thread and no file of the cache until cf_loaded_go: for a parent
                  that loads and children that work */
};

/* No model yet. */
enum cf_status cf_loaded_open(struct cf_loaded **loaded,
                              const struct cf_loaded_options *o, struct cf_error *err);
void cf_loaded_close(struct cf_loaded *loaded); /* NULL is fine */

/* What was held begins: all threads, the cache, the flag. In the process that works, from
 * the thread that generates; nothing to do for what was not held. */
enum cf_status cf_loaded_go(struct cf_loaded *loaded, struct cf_cancel *cancel,
                            struct cf_error *err);

/* Of the generator's thread. name NULL: the worker's own. *changed where it was not in
 * memory before. On failure none may be. */
enum cf_status cf_loaded_need(struct cf_loaded *l, const char *name, bool *changed,
                              struct cf_error *err);
struct cf_pool *cf_loaded_pool(const struct cf_loaded *l);

/* How memory is shared out for the model in it; of the generator's thread. */
const struct cf_room *cf_loaded_room(const struct cf_loaded *l);

/* True where generator and encoder take turns, so that many texts at once are best; from
 * any thread. */
bool cf_loaded_turns(const struct cf_loaded *l);

/* True where the feed's thread encodes all texts; of the generator's thread. */
bool cf_loaded_beside(const struct cf_loaded *l);

/* Bytes that images side by side may work in: half of what weights leave. */
double cf_loaded_space(const struct cf_loaded *l);

/* Before a run of n requests whose texts are encoded: that there is memory for it. The
 * encoder goes for good where it is in the way. CF_ENOMEM says what would help. */
enum cf_status cf_loaded_fit(struct cf_loaded *l, const struct cf_gen_params *params,
                             const struct cf_request *req, int n, struct cf_error *err);

/* Of the generator's thread: texts of these slots, whatever it takes. Where they take
 * turns and not all of them are known, the generator rests meanwhile, and the encoder
 * afterwards. */
enum cf_status cf_loaded_encode(struct cf_loaded *l, struct cf_slot *const *slot, int n,
                                struct cf_error *err);

/* Of the feed's thread: texts of those slots of the lot that are for the model in memory,
 * as far as that costs the generator no time. What fails here is found out again by the
 * generator, which can tell whose fault it is. */
void cf_loaded_ahead(struct cf_loaded *l, struct cf_lot *lot);

struct cf_texts_count cf_loaded_texts(struct cf_loaded *l);

#endif
