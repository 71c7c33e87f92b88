#include "pipeline/workdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void cf_workdb_none(struct cf_workdb *s)
{
    memset(s, 0, sizeof *s);
    s->shard.lock_fd = -1;
}

void cf_workdb_close(struct cf_workdb *s)
{
    cf_shard_close(&s->shard);
    cf_free(s->dir);
    cf_workdb_none(s);
}

/* The absolute directory that path lies in. */
static enum cf_status dir_of(char **dir, const char *path, struct cf_error *err)
{
    char *real = realpath(path, NULL), *slash;

    if (!real && errno == ENOENT)
        return cf_fail(err, CF_ENOENT,
                       "%s: there is no such queue: cfgen-jobs init makes one", path);
    if (!real)
        return cf_fail_errno(err, errno, "%s", path);
    slash = strrchr(real, '/');
    *dir = cf_strndup(real, slash == real ? 1 : (size_t)(slash - real), err);
    free(real);
    return *dir ? CF_OK : CF_ENOMEM;
}

static enum cf_status open_shard(struct cf_workdb *s, const struct cf_batch_options *o,
                                 struct cf_error *err)
{
    struct cf_plan_info plan;
    int index;

    CF_TRY(cf_plan_read(o->db, &plan, err));
    CF_TRY(cf_shard_parse(o->shard, &plan, &index, err));
    CF_TRY(cf_shard_open(&s->shard, o->db, index, o->results, err));
    s->db = s->shard.results;
    s->planned = plan.jobs;
    s->mode = (enum cf_queue_mode)(CF_QUEUE_WRITE | CF_QUEUE_SHARD);
    return CF_OK;
}

enum cf_status cf_workdb_open(struct cf_workdb *s, const struct cf_batch_options *o,
                              struct cf_error *err)
{
    struct cf_plan_info plan;

    if (o->source) { /* the parent holds the lock, and its memory is ours too */
        s->db = o->source->db;
        s->mode = o->source->mode;
        s->planned = o->source->planned;
        return dir_of(&s->dir, o->db, err);
    }
    if (o->shard) {
        CF_TRY(open_shard(s, o, err));
    } else if (cf_plan_read(o->db, &plan, NULL) == CF_OK) {
        return cf_fail(err, CF_ECONFIG,
                       "%s is a plan of %d shards: say which one to work on, "
                       "--shard=0 to --shard=%d or --shard=auto",
                       o->db, plan.shards, plan.shards - 1);
    } else {
        s->db = o->db;
        s->mode = cf_queue_mode(CF_QUEUE_WRITE, o->unsafe_shared_db);
    }
    return dir_of(&s->dir, o->db, err);
}
