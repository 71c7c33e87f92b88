/* workdb.h - which database a worker works on: a queue, or the result file of a shard. */
#ifndef CF_PIPELINE_WORKDB_H
#define CF_PIPELINE_WORKDB_H

#include "jobs/shard.h"
#include "pipeline/batch.h"

struct cf_workdb {
    const char *db;          /* borrowed from the options or from shard */
    enum cf_queue_mode mode; /* to open it with */
    char *dir;               /* owned, absolute: of the queue or the plan */
    int64_t planned;         /* jobs of all shards of the plan; 0: no plan */
    struct cf_shard shard;
};

void cf_workdb_none(struct cf_workdb *s); /* nothing that close would close */

/* CF_ECONFIG for a plan without a shard or a shard of what is no plan. Holds the shard's
 * lock until it is closed. */
enum cf_status cf_workdb_open(struct cf_workdb *s, const struct cf_batch_options *o,
                              struct cf_error *err);
void cf_workdb_close(struct cf_workdb *s);

#endif
