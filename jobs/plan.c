/* Plans: written once from a queue, read by every shard. */
#include "jobs/shard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/copy.h"
#include "jobs/db.h"
#include "jobs/remember.h"
#include "jobs/schema.h"

enum { BLOCK = 128 }; /* prompts */

enum cf_status cf_db_meta(sqlite3 *db, const char *schema, const char *key, char *value,
                          size_t size, struct cf_error *err)
{
    char text[80];
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    *value = '\0';
    snprintf(text, sizeof text, "SELECT value FROM %s.meta WHERE key = ?1", schema);
    st = cf_sql_open(&s, db, text, err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, key);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row) {
        const char *found = cf_sql_col_text(&s, 0, NULL);

        if (!found || strlen(found) >= size)
            st = cf_fail(err, CF_EFORMAT, "the value of %s is damaged", key);
        else
            strcpy(value, found);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_db_meta_int(sqlite3 *db, const char *schema, const char *key,
                              int64_t lo, int64_t hi, int64_t *value,
                              struct cf_error *err)
{
    struct cf_error local = {0};
    char text[33];

    CF_TRY(cf_db_meta(db, schema, key, text, sizeof text, err));
    if (cf_parse_i64(text, lo, hi, value, key, &local) != CF_OK)
        return cf_fail(err, CF_EFORMAT, "%s is '%s', expected a number in %lld..%lld",
                       key, text, (long long)lo, (long long)hi);
    return CF_OK;
}

/* Prompts that have jobs are dealt out in turn, in the order of their ids: whichever are
 * left of a queue, and whatever ids its negative texts took, no shard has more than one
 * prompt more than another. BLOCK at a time for as long as every shard gets as many, one
 * at a time from there on: the rows of a block lie on pages that no other shard's rows
 * lie on, so merging writes each page of a large queue once or twice and not once per
 * shard. */
static enum cf_status partition(struct cf_copy *c, int shards, struct cf_error *err)
{
    int64_t prompts, blocks;
    char text[1000];

    CF_TRY(cf_sql_int64(c->db,
                        "SELECT count(*) FROM (SELECT DISTINCT prompt_id FROM main.job)",
                        &prompts, err));
    blocks = prompts / shards / BLOCK * BLOCK * shards;
    snprintf(text, sizeof text,
             "CREATE TABLE main.share(prompt_id INTEGER PRIMARY KEY, shard INTEGER NOT"
             " NULL) STRICT;"
             "INSERT INTO main.share(prompt_id, shard)"
             " SELECT prompt_id, iif(n < %lld, n / %d, n) %% %d FROM"
             " (SELECT prompt_id, row_number() OVER (ORDER BY prompt_id) - 1 AS n"
             " FROM (SELECT DISTINCT prompt_id FROM main.job));"
             "CREATE INDEX main.share_shard ON share(shard);"
             "CREATE TEMP TABLE size AS SELECT count(*) AS n FROM main.job"
             " JOIN main.share USING(prompt_id) GROUP BY shard;"
             "INSERT INTO main.meta(key, value)"
             " SELECT 'plan_smallest', CAST(iif(count(*) < %d, 0, min(n)) AS TEXT)"
             " FROM size UNION ALL"
             " SELECT 'plan_largest', CAST(coalesce(max(n), 0) AS TEXT) FROM size"
             " UNION ALL"
             " SELECT 'plan_jobs', CAST(coalesce(sum(n), 0) AS TEXT) FROM size UNION ALL"
             " SELECT 'plan_shards', '%d'",
             (long long)blocks, BLOCK, shards, shards, shards);
    return cf_sql_exec(c->db, text, err);
}

static enum cf_status fill(struct cf_copy *c, int shards, int64_t *jobs,
                           struct cf_error *err)
{
    CF_TRY(cf_copy_jobs(c, "state IN (0, 4)", err));
    CF_TRY(cf_copy_meta(c, "created_by", "'cfgen'", err));
    CF_TRY(cf_copy_meta(c, "created_at", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", err));
    CF_TRY(cf_copy_meta(c, "plan_id", "lower(hex(randomblob(16)))", err));
    CF_TRY(cf_copy_meta(c, "plan_queue",
                        "(SELECT value FROM src.meta WHERE key = 'queue_id')", err));
    CF_TRY(cf_copy_meta(c, "plan_partition", "'prompts in turn'", err));
    CF_TRY(cf_copy_meta(c, "plan_tar",
                        "(SELECT coalesce(max(number) + 1, 0) FROM src.tar)", err));
    CF_TRY(partition(c, shards, err));
    return cf_sql_int64(c->db, "SELECT count(*) FROM main.job", jobs, err);
}

enum cf_status cf_plan_write(struct cf_queue *q, const char *path, int shards,
                             int64_t *jobs, struct cf_error *err)
{
    struct cf_copy c;
    enum cf_status st;
    char id[CF_QUEUE_ID], *uri;

    if (shards < 1 || shards > CF_SHARDS_MAX)
        return cf_fail(err, CF_ERANGE, "%d shards, expected 1..%d", shards,
                       CF_SHARDS_MAX);
    CF_TRY(cf_queue_id(q, id, err)); /* made here where there is none */
    uri = cf_queue_read_uri(q, err);
    if (!uri)
        return CF_ENOMEM;
    st = cf_copy_open(&c, path, NULL, uri, err);
    cf_free(uri);
    if (st == CF_OK)
        st = fill(&c, shards, jobs, err);
    return cf_copy_close(&c, st, err);
}

enum cf_status cf_db_look(sqlite3 **db, const char *path, const char *query, int flags,
                          struct cf_error *err)
{
    char *uri = cf_db_uri(path, query, err);
    int64_t version;
    int rc;

    *db = NULL;
    if (!uri)
        return CF_ENOMEM;
    rc = sqlite3_open_v2(uri, db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_FULLMUTEX, NULL);
    cf_free(uri);
    if (rc != SQLITE_OK)
        return cf_sql_fail(*db, rc, "database", err);
    sqlite3_busy_timeout(*db, 60000);
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    CF_TRY(cf_sql_exec(*db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                       err));
    CF_TRY(cf_sql_int64(*db, "PRAGMA user_version", &version, err));
    return cf_schema_usable((int)version, false, err);
}

static enum cf_status read_info(sqlite3 *db, struct cf_plan_info *info,
                                struct cf_error *err)
{
    char shard[33];
    int64_t shards = 0;

    CF_TRY(cf_db_meta(db, "main", "plan_id", info->id, sizeof info->id, err));
    CF_TRY(cf_db_meta(db, "main", "plan_shard", shard, sizeof shard, err));
    if (!*info->id)
        return cf_fail(err, CF_ECONFIG,
                       "a queue, not a plan: make one by 'cfgen-jobs plan'");
    if (*shard)
        return cf_fail(err, CF_ECONFIG, "the results of shard %s, not a plan", shard);
    CF_TRY(cf_db_meta(db, "main", "plan_queue", info->queue, sizeof info->queue, err));
    CF_TRY(cf_db_meta_int(db, "main", "plan_shards", 1, CF_SHARDS_MAX, &shards, err));
    info->shards = (int)shards;
    CF_TRY(cf_db_meta_int(db, "main", "plan_jobs", 0, INT64_MAX, &info->jobs, err));
    CF_TRY(
        cf_db_meta_int(db, "main", "plan_smallest", 0, INT64_MAX, &info->smallest, err));
    return cf_db_meta_int(db, "main", "plan_largest", 0, INT64_MAX, &info->largest, err);
}

/* Immutable: no lock is asked for, which some shared file systems do not have, and
 * nothing is made beside it. */
enum cf_status cf_plan_read(const char *path, struct cf_plan_info *info,
                            struct cf_error *err)
{
    struct cf_error local = {0};
    sqlite3 *db = NULL;
    enum cf_status st;
    struct stat sb;

    memset(info, 0, sizeof *info);
    if (!err)
        err = &local;
    if (stat(path, &sb) != 0 && errno == ENOENT)
        return cf_fail(err, CF_ENOENT,
                       "%s: there is no such plan: cfgen-jobs plan makes one", path);
    if (stat(path, &sb) != 0)
        return cf_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(sb.st_mode) || sb.st_size == 0)
        return cf_fail(err, CF_EFORMAT, "%s: not an SQLite database", path);
    st = cf_db_probe(path, err);
    if (st == CF_OK)
        st = cf_db_look(&db, path, "immutable=1", SQLITE_OPEN_READONLY, err);
    if (st == CF_OK)
        st = read_info(db, info, err);
    sqlite3_close(db);
    return st == CF_OK ? st : cf_wrap(err, "%s", path);
}
