/* pool.h - how the threads of a worker are used: groups x threads per group.
 *
 * A large model is best served by all threads of a node inside one product. A small one
 * spends its time at barriers then; it runs in several groups, each with an engine, a
 * team and images of its own (pipeline/groups.h chooses). All give the same bytes, since
 * no image depends on its neighbours or on the number of threads.
 *
 * One group is led by the thread that calls. Several have leaders of their own, which
 * open, load and run their group's engine, so that weights lie on the node that reads
 * them: the thread that first writes a page decides. The caller sleeps meanwhile. */
#ifndef CF_PIPELINE_POOL_H
#define CF_PIPELINE_POOL_H

#include "pipeline/engine.h"
#include "pipeline/groups.h"

struct cf_pool;

struct cf_pool_options {
    enum cf_cpu level;
    int threads; /* in all, >= 1 */
    int groups;  /* 0: choose */
    enum cf_bind bind;
    struct cf_packed *packed; /* borrowed, or NULL (pipeline/packed.h) */
    bool crew; /* one of several processes that share the cores out among them */
};

/* Order: open, load, run ..., close. */
enum cf_status cf_pool_open(struct cf_pool **pool, const struct cf_pool_options *o,
                            struct cf_error *err);
void cf_pool_close(struct cf_pool *pool); /* NULL is fine */

/* Before a load: its machines get one thread each and no leader, as before a fork they
 * must, although there will be more; cf_pool_go gives them theirs. */
void cf_pool_hold(struct cf_pool *pool);
enum cf_status cf_pool_go(struct cf_pool *pool, struct cf_error *err);

/* Open the model of a directory in place of the one before; its weights stay on disk
 * until cf_pool_wake or a run. The weights of all groups take no more than half of `room`
 * bytes. On failure the pool has no model. */
enum cf_status cf_pool_load(struct cf_pool *pool, const char *dir, double room,
                            struct cf_error *err);

/* cf_engine_wake and cf_engine_rest of all groups. */
enum cf_status cf_pool_wake(struct cf_pool *pool, struct cf_error *err);
void cf_pool_rest(struct cf_pool *pool);

/* The first group's engine and machine: for plans and records. */
struct cf_engine *cf_pool_engine(const struct cf_pool *pool);
struct cf_dnn *cf_pool_dnn(const struct cf_pool *pool);
int cf_pool_groups(const struct cf_pool *pool);
/* Threads for the text encoder where there are several groups, and whether it may run
 * beside them; otherwise it runs while they do not. */
int cf_pool_encoder(const struct cf_pool *pool);
bool cf_pool_beside(const struct cf_pool *pool);
/* Copies of what is packed: groups of a node share one. With a model. */
int cf_pool_copies(const struct cf_pool *pool);
/* The arrangement and why, in a line. */
const char *cf_pool_why(const struct cf_pool *pool);

/* Seconds of all groups together since the pool was opened. */
struct cf_dnn_times cf_pool_times(const struct cf_pool *pool);

/* How many of `want` images of these settings are computed side by side: as asked, or (0)
 * so many in each group that another one would make the products' rows hardly better
 * used, at most eight, as far as their memory is at most `room` bytes. */
int cf_pool_side(const struct cf_pool *pool, const struct cf_gen_params *params,
                 int asked, int want, double room);

/* What a run of these requests would take: the plan of its largest group, and how many
 * groups there are. */
enum cf_status cf_pool_plan(struct cf_pool *pool, const struct cf_gen_params *params,
                            const struct cf_request *req, int n, struct cf_plan *plan,
                            int *groups, struct cf_error *err);

/* cf_engine_run with the requests split over the groups. On failure all of out is empty
 * and err is that of the first group that failed. times is that of the slowest group. */
enum cf_status cf_pool_run(struct cf_pool *pool, const struct cf_gen_params *params,
                           const struct cf_request *req, int n, struct cf_cancel *cancel,
                           struct cf_plan *plan, struct cf_result *out,
                           struct cf_engine_times *times, struct cf_error *err);

#endif
