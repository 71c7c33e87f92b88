#include "jobs/remember.h"

#include "base/alloc.h"
#include "jobs/db.h"

enum cf_status cf_queue_recall(struct cf_queue *q, const char *key, char **value,
                               struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    *value = NULL;
    st = cf_sql_open(&s, q->db, "SELECT value FROM meta WHERE key = ?1", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, key);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row)
        st = cf_sql_col_dup(&s, 0, value, NULL, err);
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_id(struct cf_queue *q, char id[CF_QUEUE_ID], struct cf_error *err)
{
    CF_TRY(cf_db_meta(q->db, "main", "queue_id", id, CF_QUEUE_ID, err));
    if (*id)
        return CF_OK;
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_exec(q->db,
                       "INSERT INTO meta(key, value)"
                       " VALUES('queue_id', lower(hex(randomblob(16))))"
                       " ON CONFLICT(key) DO NOTHING",
                       err));
    return cf_db_meta(q->db, "main", "queue_id", id, CF_QUEUE_ID, err);
}

enum cf_status cf_queue_remember(struct cf_queue *q, const char *key, const char *value,
                                 char **kept, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    *kept = NULL;
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = cf_sql_open(
        &s, q->db,
        "INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO NOTHING", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, key);
        cf_sql_str(&s, 2, value);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    if (st == CF_OK)
        st = cf_queue_recall(q, key, kept, err);
    st = cf_sql_end(q->db, st, err);
    if (st != CF_OK) {
        cf_free(*kept);
        *kept = NULL;
    }
    return st;
}
