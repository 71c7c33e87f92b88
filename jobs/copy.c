#include "jobs/copy.h"

#include <sys/stat.h>

#include "base/alloc.h"
#include "jobs/schema.h"

static enum cf_status attach_source(struct cf_copy *c, const char *source,
                                    struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, c->db, "ATTACH ?1 AS src", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, source);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* Counters are set once in the end, so the triggers that keep them are off; and there is
 * nothing to roll back to in a file that nobody has seen. */
enum cf_status cf_copy_open(struct cf_copy *c, const char *path, const char *part,
                            const char *source, struct cf_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_FULLMUTEX;
    struct stat sb;
    int rc;

    *c = (struct cf_copy){0};
    if (lstat(path, &sb) == 0)
        return cf_fail(err, CF_ECREAT, "%s exists already: take another name", path);
    CF_TRY(cf_part_open(&c->part, path, part, err));
    rc = sqlite3_open_v2(c->part.path, &c->db, flags, NULL);
    if (rc != SQLITE_OK)
        return cf_sql_fail(c->db, rc, c->part.path, err);
    sqlite3_busy_timeout(c->db, 60000);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    CF_TRY(cf_sql_exec(c->db,
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                       "PRAGMA foreign_keys = OFF; PRAGMA temp_store = FILE;"
                       "PRAGMA cache_size = -65536; PRAGMA synchronous = OFF;"
                       "PRAGMA journal_mode = OFF;",
                       err));
    CF_TRY(attach_source(c, source, err));
    CF_TRY(cf_sql_exec(c->db, "BEGIN", err));
    return cf_schema_migrate(c->db, 0, err);
}

enum cf_status cf_copy_jobs(struct cf_copy *c, const char *condition,
                            struct cf_error *err)
{
    static const char job[] =
        "INSERT INTO main.job(id, prompt_id, negative_id, recipe_id, seed, width, height,"
        " priority, state, attempts, crashes, releases, max_attempts, batch_id, user_key,"
        " extra)"
        " SELECT id, prompt_id, negative_id, recipe_id, seed, width, height, priority, 0,"
        " attempts, crashes, releases, max_attempts, batch_id, user_key, extra"
        " FROM src.job WHERE %s ORDER BY id";
    static const char rest[] =
        "UPDATE main.stat SET n = (SELECT count(*) FROM main.job) WHERE state = 0;"
        "INSERT INTO main.prompt(id, sha256, text) SELECT id, sha256, text"
        " FROM src.prompt WHERE id <> 0 AND id IN"
        " (SELECT prompt_id FROM main.job UNION SELECT negative_id FROM main.job);"
        "INSERT INTO main.recipe(id, sha256, json, model_id, encoder_id, vae_id)"
        " SELECT id, sha256, json, model_id, encoder_id, vae_id FROM src.recipe"
        " WHERE id IN (SELECT recipe_id FROM main.job);"
        "INSERT INTO main.model(id, kind, name, sha256, bytes, manifest)"
        " SELECT id, kind, name, sha256, bytes, manifest FROM src.model"
        " WHERE id IN (SELECT model_id FROM main.recipe UNION SELECT encoder_id FROM"
        " main.recipe UNION SELECT vae_id FROM main.recipe);"
        "INSERT INTO main.batch(id, name, source, source_sha256, added_at, extra)"
        " SELECT id, name, source, source_sha256, added_at, extra FROM src.batch"
        " WHERE id IN (SELECT batch_id FROM main.job);";
    char *text = cf_format(err, job, condition);
    enum cf_status st = text ? cf_sql_exec(c->db, text, err) : CF_ENOMEM;

    cf_free(text);
    return st == CF_OK ? cf_sql_exec(c->db, rest, err) : st;
}

enum cf_status cf_copy_meta(struct cf_copy *c, const char *key, const char *value,
                            struct cf_error *err)
{
    char *text =
        cf_format(err, "INSERT INTO main.meta(key, value) VALUES('%s', CAST(%s AS TEXT))",
                  key, value);
    enum cf_status st = text ? cf_sql_exec(c->db, text, err) : CF_ENOMEM;

    cf_free(text);
    return st;
}

enum cf_status cf_copy_close(struct cf_copy *c, enum cf_status st, struct cf_error *err)
{
    if (st == CF_OK)
        st = cf_sql_exec(c->db, "COMMIT", err);
    sqlite3_close(c->db);
    if (st == CF_OK)
        st = cf_part_keep_new(&c->part, err);
    cf_part_drop(&c->part);
    *c = (struct cf_copy){0};
    return st;
}
