/* An older schema brought up to date, with a copy of the file as it was. */
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/part.h"
#include "jobs/schema.h"

static enum cf_status copy_to(struct cf_queue *q, const char *name, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, "VACUUM INTO ?1", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, name);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* Another process may do the same at once. Whoever migrates has put its backup in place
 * before; so a copy of what is migrated already is told by the backup that is there. */
static enum cf_status back_up(struct cf_queue *q, struct cf_error *err)
{
    struct cf_part part = {0};
    enum cf_status st;

    if (access(q->backup, F_OK) == 0)
        return CF_OK;
    st = cf_part_open(&part, q->backup, NULL, err);
    if (st == CF_OK)
        st = copy_to(q, part.path, err);
    if (st == CF_OK && access(q->backup, F_OK) != 0)
        st = cf_part_keep(&part, err);
    cf_part_drop(&part);
    return st == CF_OK ? CF_OK : cf_wrap(err, "backup of the older schema");
}

enum cf_status cf_migrate(struct cf_queue *q, int version, struct cf_error *err)
{
    enum cf_status st;
    int64_t found;

    if (!q->writable)
        return cf_fail(err, CF_ECONFIG,
                       "schema version %d.%d is older than %d.%d of this program: run "
                       "cfgen-jobs migrate",
                       version / 1000, version % 1000, CF_SCHEMA_VERSION / 1000,
                       CF_SCHEMA_VERSION % 1000);
    q->backup = cf_format(err, "%s.v%d.bak", q->path, version);
    if (!q->backup)
        return CF_ENOMEM;
    CF_TRY(back_up(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = cf_sql_int64(q->db, "PRAGMA user_version", &found, err);
    if (st == CF_OK)
        st = cf_schema_migrate(q->db, (int)found, err);
    q->old_version = version;
    return cf_sql_end(q->db, st, err);
}

enum cf_status cf_queue_migrate(const char *path, bool unsafe_shared,
                                struct cf_migrated *m, struct cf_error *err)
{
    struct cf_queue *q;

    *m = (struct cf_migrated){CF_SCHEMA_VERSION, CF_SCHEMA_VERSION, NULL};
    CF_TRY(cf_queue_open(&q, path, cf_queue_mode(CF_QUEUE_WRITE, unsafe_shared), err));
    if (q->old_version) {
        m->from = q->old_version;
        m->backup = q->backup;
        q->backup = NULL;
    }
    cf_queue_close(q);
    return CF_OK;
}
