#include "jobs/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jobs/self.h"

enum { MINUTE_MS = 60 * 1000, BINS = 10, RECENT_MAX = 100000 };

/* Speed */

/* What was done in each of the last minutes: n[0] in the one that ends now. */
struct recent {
    int64_t n[BINS], all;
    double minutes; /* that they stand for */
};

/* A cluster may finish any number of images in ten minutes: with more than RECENT_MAX of
 * them the span is shorter. */
static enum cf_status read_recent(struct cf_queue *q, int64_t first, struct recent *r,
                                  struct cf_error *err)
{
    int64_t now = cf_now_ms(), oldest = now;
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, q->db,
                     "SELECT (?1 - ended) / ?2 AS minute, count(*), min(ended) FROM"
                     " (SELECT ended FROM output WHERE ended > ?1 - ?3 AND ended <= ?1"
                     "  ORDER BY ended DESC LIMIT ?4) GROUP BY minute",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, now);
        cf_sql_int(&s, 2, MINUTE_MS);
        cf_sql_int(&s, 3, BINS * MINUTE_MS);
        cf_sql_int(&s, 4, RECENT_MAX);
    }
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        int64_t minute = cf_sql_col_int(&s, 0), ended = cf_sql_col_int(&s, 2);

        r->n[minute] = cf_sql_col_int(&s, 1);
        r->all += r->n[minute];
        oldest = ended < oldest ? ended : oldest;
    }
    cf_sql_close(&s);
    /* In the first ten minutes the clock starts with the first image, which then is the
     * one that does not count. */
    r->minutes = BINS;
    if (r->all && (first >= oldest || r->all == RECENT_MAX)) {
        r->minutes = (double)(now - oldest) / MINUTE_MS;
        r->all--;
    }
    return st;
}

/* Standard error of the images a minute, from how unlike the minutes are; never less than
 * that of events at random, since two equal minutes prove little. */
static double uncertainty(const struct recent *r, double rate)
{
    double var = 0;
    int full = (int)r->minutes;

    for (int i = 0; i < full; i++)
        var += ((double)r->n[i] - rate) * ((double)r->n[i] - rate);
    var = full > 1 ? var / (full - 1) : 0;
    return sqrt(fmax(var, rate) / r->minutes);
}

static enum cf_status read_speed(struct cf_queue *q, struct cf_report *r,
                                 struct cf_error *err)
{
    struct recent recent = {0};
    int64_t first, last, done = r->counts.n[CF_JOB_DONE];
    double wide;

    r->rate = r->rate_all = r->eta = r->eta_low = r->eta_high = -1;
    CF_TRY(cf_sql_int64(q->db, "SELECT min(ended) FROM output", &first, err));
    CF_TRY(cf_sql_int64(q->db, "SELECT max(ended) FROM output", &last, err));
    CF_TRY(read_recent(q, first, &recent, err));
    if (done > 1 && last > first)
        r->rate_all = (double)(done - 1) * MINUTE_MS / (double)(last - first);
    if (recent.all < 1 || recent.minutes <= 0)
        return CF_OK;
    r->rate = (double)recent.all / recent.minutes;
    if (!r->left)
        return CF_OK;
    wide = 2 * uncertainty(&recent, r->rate);
    r->eta = (double)r->left * 60 / r->rate;
    r->eta_low = (double)r->left * 60 / (r->rate + wide);
    if (r->rate > wide)
        r->eta_high = (double)r->left * 60 / (r->rate - wide);
    return CF_OK;
}

/* Stages */

/* What is not a JSON object of numbers counts for nothing. */
static enum cf_status read_stages(struct cf_queue *q, struct cf_report *r,
                                  struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(
        &s, q->db,
        "SELECT e.key, avg(e.value) FROM"
        " (SELECT iif(json_valid(stage_ms), stage_ms, '{}') AS stages FROM output"
        "  ORDER BY ended DESC LIMIT ?1) o, json_each(o.stages) e"
        " WHERE e.type IN ('integer', 'real') GROUP BY e.key ORDER BY 2 DESC LIMIT ?2",
        err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, CF_REPORT_SAMPLE);
        cf_sql_int(&s, 2, CF_REPORT_STAGES);
    }
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        struct cf_report_stage *stage = &r->stage[r->n_stage++];
        const char *name = cf_sql_col_text(&s, 0, NULL);

        snprintf(stage->name, sizeof stage->name, "%s", name ? name : "");
        stage->mean_ms = sqlite3_column_double(s.stmt, 1);
    }
    cf_sql_close(&s);
    return st;
}

/* Failures */

static enum cf_status read_causes(struct cf_queue *q, struct cf_report *r,
                                  struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, q->db, "SELECT code, n FROM cause ORDER BY n DESC, code", err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row &&
           r->n_cause < CF_REPORT_CAUSES) {
        struct cf_report_cause *c = &r->cause[r->n_cause++];
        const char *code = cf_sql_col_text(&s, 0, NULL);

        snprintf(c->code, sizeof c->code, "%s", code ? code : "");
        c->n = cf_sql_col_int(&s, 1);
    }
    cf_sql_close(&s);
    return st;
}

/* Workers */

static enum cf_report_life life(const struct cf_sql *s, const struct cf_worker *self)
{
    const char *host = cf_sql_col_text(s, 1, NULL), *boot = cf_sql_col_text(s, 6, NULL),
               *lock = cf_sql_col_text(s, 7, NULL);

    if (!host || strcmp(host, self->host) != 0)
        return CF_LIFE_AWAY;
    if (*self->boot_id && boot && strcmp(boot, self->boot_id) != 0)
        return CF_LIFE_GONE;
    return lock && cf_lock_is_free(lock) ? CF_LIFE_GONE : CF_LIFE_LOCAL;
}

static enum cf_status list_workers(struct cf_queue *q, struct cf_report *r,
                                   const struct cf_worker *self, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, q->db,
                     "SELECT w.id, w.host, w.pid, w.started, w.beat, count(l.job_id),"
                     " w.boot_id, w.lock_path FROM worker w"
                     " LEFT JOIN lease l ON l.worker_id = w.id WHERE w.ended IS NULL"
                     " GROUP BY w.id ORDER BY w.id LIMIT ?1",
                     err);
    if (st == CF_OK)
        cf_sql_int(&s, 1, CF_REPORT_WORKERS);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        struct cf_report_worker *w = &r->worker[r->n_listed++];
        const char *host = cf_sql_col_text(&s, 1, NULL);

        w->id = cf_sql_col_int(&s, 0);
        snprintf(w->host, sizeof w->host, "%s", host ? host : "");
        w->pid = cf_sql_col_int(&s, 2);
        w->started = cf_sql_col_int(&s, 3);
        w->beat = cf_sql_col_int(&s, 4);
        w->jobs = cf_sql_col_int(&s, 5);
        w->life = life(&s, self);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status read_workers(struct cf_queue *q, struct cf_report *r,
                                   struct cf_error *err)
{
    struct cf_self self;
    enum cf_status st;

    CF_TRY(cf_sql_int64(q->db, "SELECT count(*) FROM worker WHERE ended IS NULL",
                        &r->n_worker, err));
    CF_TRY(cf_self_open(&self, NULL, NULL, NULL, err));
    st = list_workers(q, r, &self.worker, err);
    cf_self_close(&self);
    return st;
}

static enum cf_status read_all(struct cf_queue *q, struct cf_report *r,
                               struct cf_error *err)
{
    CF_TRY(cf_queue_counts(q, &r->counts, err));
    for (int i = 0; i < CF_NJOBSTATE; i++)
        r->total += r->counts.n[i];
    r->left = r->counts.n[CF_JOB_READY] + r->counts.n[CF_JOB_RUNNING] +
              r->counts.n[CF_JOB_DELAYED];
    CF_TRY(read_speed(q, r, err));
    CF_TRY(read_stages(q, r, err));
    CF_TRY(read_causes(q, r, err));
    return read_workers(q, r, err);
}

enum cf_status cf_report_read(struct cf_report *r, struct cf_queue *q,
                              struct cf_error *err)
{
    memset(r, 0, sizeof *r);
    CF_TRY(cf_sql_exec(q->db, "BEGIN", err));
    return cf_sql_end(q->db, read_all(q, r, err), err);
}
