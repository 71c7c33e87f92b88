#include "jobs/history.h"

#include "jobs/db.h"

/* By id, which is the order of the queue: near enough to the latest for an estimate. */
static const char latest[] =
    "SELECT count(*), total(ms), total(bytes) FROM"
    " (SELECT iif(json_valid(o.stage_ms), coalesce(json_extract(o.stage_ms, '$.encode'),"
    " 0) + coalesce(json_extract(o.stage_ms, '$.generate'), 0)"
    " + coalesce(json_extract(o.stage_ms, '$.decode'), 0), 0) AS ms, o.bytes AS bytes"
    " FROM (SELECT * FROM output ORDER BY job_id DESC LIMIT ?4) o"
    " JOIN job j ON j.id = o.job_id"
    " JOIN model m ON m.id = o.model_id WHERE m.sha256 = ?1 AND j.width = ?2 AND "
    "j.height = ?3) WHERE ms > 0";

enum cf_status cf_queue_history(struct cf_queue *q, const char *model_sha256, int width,
                                int height, struct cf_history *h, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    *h = (struct cf_history){0};
    st = cf_sql_open(&s, q->db, latest, err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, model_sha256);
        cf_sql_int(&s, 2, width);
        cf_sql_int(&s, 3, height);
        cf_sql_int(&s, 4, CF_HISTORY_ROWS);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row && cf_sql_col_int(&s, 0) > 0) {
        h->n = (int)cf_sql_col_int(&s, 0);
        h->ms = sqlite3_column_double(s.stmt, 1) / h->n;
        h->bytes = sqlite3_column_double(s.stmt, 2) / h->n;
    }
    cf_sql_close(&s);
    return st;
}
