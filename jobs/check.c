/* What must hold after every transaction, as SQL. */
#include "jobs/queue.h"

#include <string.h>

#include "jobs/db.h"

static const struct {
    const char *claim; /* what is wrong when the query finds something */
    const char *text;  /* how many rows break it */
} fact[] = {
    {"running jobs without a lease",
     "SELECT count(*) FROM job WHERE state = 1 AND id NOT IN (SELECT job_id FROM lease)"},
    {"leases of jobs that do not run", "SELECT count(*) FROM lease WHERE job_id NOT IN "
                                       "(SELECT id FROM job WHERE state = 1)"},
    {"done jobs without an output", "SELECT count(*) FROM job WHERE state = 2 AND id NOT "
                                    "IN (SELECT job_id FROM output)"},
    {"outputs of jobs that are not done", "SELECT count(*) FROM output WHERE job_id NOT "
                                          "IN (SELECT id FROM job WHERE state = 2)"},
    {"delayed jobs without a due time",
     "SELECT count(*) FROM job WHERE state = 4 AND id NOT IN (SELECT job_id FROM delay)"},
    {"due times of jobs that are not delayed",
     "SELECT count(*) FROM delay WHERE job_id NOT IN (SELECT id FROM job WHERE state = "
     "4)"},
    {"open attempts of jobs that do not run",
     "SELECT count(*) FROM attempt WHERE ended IS NULL"
     " AND job_id NOT IN (SELECT job_id FROM lease)"},
    {"leases of workers that ended",
     "SELECT count(*) FROM lease l JOIN worker w ON w.id = l.worker_id"
     " WHERE w.ended IS NOT NULL"},
    {"counters that differ from what they count",
     "SELECT count(*) FROM stat s WHERE n <> (SELECT count(*) FROM job WHERE state = "
     "s.state)"},
    {"failed jobs without a reason",
     "SELECT count(*) FROM job WHERE state = 3 AND id NOT "
     "IN (SELECT job_id FROM failure)"},
    {"reasons of jobs that did not fail", "SELECT count(*) FROM failure WHERE job_id NOT "
                                          "IN (SELECT id FROM job WHERE state = 3)"},
    {"counters of causes that differ from what they count",
     "SELECT count(*) FROM (SELECT code, n FROM cause EXCEPT"
     " SELECT code, count(*) FROM failure GROUP BY code UNION ALL"
     " SELECT * FROM (SELECT code, count(*) FROM failure GROUP BY code EXCEPT"
     " SELECT code, n FROM cause))"},
    {"closed tars that somebody holds",
     "SELECT count(*) FROM tar WHERE closed <> 0 AND worker_id IS NOT NULL"},
    {"workers that hold two tars",
     "SELECT count(*) FROM (SELECT t.worker_id FROM tar t JOIN worker w ON w.id ="
     " t.worker_id WHERE w.ended IS NULL GROUP BY t.worker_id HAVING count(*) > 1)"},
    {"tars with a mark below zero",
     "SELECT count(*) FROM tar WHERE members < 0 OR bytes < 0 OR manifest_bytes < 0"},
    {"rows that refer to nothing", "SELECT count(*) FROM pragma_foreign_key_check"},
};

enum cf_status cf_queue_check(struct cf_queue *q, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int64_t n;
    bool row;

    st = cf_sql_open(&s, q->db, "PRAGMA integrity_check(1)", err);
    if (st == CF_OK)
        st = cf_sql_step(&s, &row, err);
    if (st == CF_OK && (!row || strcmp(cf_sql_col_text(&s, 0, NULL), "ok") != 0))
        st = cf_fail(err, CF_EFORMAT, "%s: %s", q->path,
                     row ? cf_sql_col_text(&s, 0, NULL) : "no answer");
    cf_sql_close(&s);
    for (size_t i = 0; i < sizeof fact / sizeof fact[0] && st == CF_OK; i++) {
        st = cf_sql_int64(q->db, fact[i].text, &n, err);
        if (st == CF_OK && n)
            st = cf_fail(err, CF_EFORMAT, "%s: %lld %s", q->path, (long long)n,
                         fact[i].claim);
    }
    return st;
}
