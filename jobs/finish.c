/* The ways a claimed job ends: finished, failed, released, lost. */
#include "jobs/queue.h"

#include "jobs/db.h"

enum { BACKOFF_MAX = 24 * 3600 };

static enum cf_status lost(const struct cf_job *job, struct cf_error *err)
{
    return cf_fail(err, CF_ELOST, "job %lld: the lease went to somebody else",
                   (long long)job->id);
}

/* CF_ELOST when the token is not the one stored. */
static enum cf_status lease_drop(struct cf_queue *q, const struct cf_job *job,
                                 struct cf_error *err)
{
    struct cf_sql *s;
    int gone = 0;

    CF_TRY(
        cf_queue_kept(q, "DELETE FROM lease WHERE job_id = ?1 AND token = ?2", &s, err));
    cf_sql_int(s, 1, job->id);
    cf_sql_str(s, 2, job->token);
    CF_TRY(cf_sql_run(s, &gone, err));
    return gone == 1 ? CF_OK : lost(job, err);
}

enum cf_status cf_attempt_end(struct cf_queue *q, int64_t job_id, const char *outcome,
                              const char *code, const char *message, const char *stage_ms,
                              struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(cf_queue_kept(
        q,
        "UPDATE attempt SET ended = ?2, outcome = ?3, code = ?4, message = ?5,"
        " stage_ms = ?6 WHERE job_id = ?1 AND ended IS NULL",
        &s, err));
    cf_sql_int(s, 1, job_id);
    cf_sql_int(s, 2, q->wall_ms());
    cf_sql_str(s, 3, outcome);
    cf_sql_str(s, 4, code);
    cf_sql_str(s, 5, message);
    cf_sql_str(s, 6, stage_ms);
    return cf_sql_run(s, NULL, err);
}

enum cf_status cf_job_set(struct cf_queue *q, int64_t id, const char *text,
                          struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(cf_queue_kept(q, text, &s, err));
    cf_sql_int(s, 1, id);
    return cf_sql_run(s, NULL, err);
}

enum cf_status cf_failure_put(struct cf_queue *q, int64_t job_id, const char *code,
                              const char *message, struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(cf_queue_kept(
        q, "INSERT INTO failure(job_id, code, message) VALUES(?1, ?2, ?3)", &s, err));
    cf_sql_int(s, 1, job_id);
    cf_sql_str(s, 2, code);
    cf_sql_str(s, 3, message);
    return cf_sql_run(s, NULL, err);
}

static enum cf_status model_row(struct cf_queue *q, const char *sha256,
                                struct cf_error *err)
{
    struct cf_sql *s;

    if (!sha256)
        return CF_OK;
    CF_TRY(cf_queue_kept(q,
                         "INSERT INTO model(kind, sha256) VALUES('model', ?1)"
                         " ON CONFLICT(sha256) DO NOTHING",
                         &s, err));
    cf_sql_str(s, 1, sha256);
    return cf_sql_run(s, NULL, err);
}

static enum cf_status output_row(struct cf_queue *q, int64_t job_id,
                                 const struct cf_output *out, struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(model_row(q, out->model_sha256, err));
    CF_TRY(cf_queue_kept(
        q,
        "INSERT INTO output(job_id, path, bytes, file_sha256, pixel_sha256,"
        " width, height, ended, build, isa, threads, model_id, stage_ms, note, offset)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
        " (SELECT id FROM model WHERE sha256 = ?12), ?13, ?14, ?15)",
        &s, err));
    cf_sql_int(s, 1, job_id);
    cf_sql_str(s, 2, out->path);
    cf_sql_int(s, 3, out->bytes);
    cf_sql_str(s, 4, out->file_sha256);
    cf_sql_str(s, 5, out->pixel_sha256);
    cf_sql_int(s, 6, out->width);
    cf_sql_int(s, 7, out->height);
    cf_sql_int(s, 8, q->wall_ms());
    cf_sql_str(s, 9, out->build ? out->build : "");
    cf_sql_str(s, 10, out->isa ? out->isa : "");
    cf_sql_int(s, 11, out->threads);
    cf_sql_str(s, 12, out->model_sha256);
    cf_sql_str(s, 13, out->stage_ms);
    cf_sql_str(s, 14, out->note);
    cf_sql_int(s, 15, out->offset);
    return cf_sql_run(s, NULL, err);
}

/* The lease first: where it is gone nothing is written. */
static enum cf_status finish_one(struct cf_queue *q, struct cf_finished *f,
                                 struct cf_error *err)
{
    struct cf_error lost = {0};
    enum cf_status st = lease_drop(q, f->job, &lost);

    f->lost = st == CF_ELOST;
    if (f->lost)
        return CF_OK;
    if (st != CF_OK)
        return cf_fail(err, st, "%s", lost.msg);
    CF_TRY(cf_job_set(q, f->job->id, "UPDATE job SET state = 2 WHERE id = ?1", err));
    CF_TRY(output_row(q, f->job->id, &f->out, err));
    return cf_attempt_end(q, f->job->id, "done", NULL, NULL, f->out.stage_ms, err);
}

static enum cf_status check_output(const struct cf_finished *f, struct cf_error *err)
{
    const struct cf_output *out = &f->out;

    if (!out->path || !out->file_sha256 || !out->pixel_sha256)
        return cf_fail(err, CF_EBUG, "job %lld: an output without path or hashes",
                       (long long)f->job->id);
    if (out->offset < 0 || out->bytes < 0)
        return cf_fail(err, CF_EBUG, "job %lld: an output of %lld bytes at %lld",
                       (long long)f->job->id, (long long)out->bytes,
                       (long long)out->offset);
    return CF_OK;
}

enum cf_status cf_queue_finish_many(struct cf_queue *q, struct cf_finished *f, int n,
                                    const struct cf_tar_mark *tar, struct cf_error *err)
{
    enum cf_status st = CF_OK;

    CF_TRY(cf_queue_writable(q, err));
    if (n < 1)
        return cf_fail(err, CF_ERANGE, "%d finished jobs, expected 1 or more", n);
    for (int i = 0; i < n; i++)
        CF_TRY(check_output(&f[i], err));
    CF_TRY(cf_sql_begin(q->db, err));
    for (int i = 0; i < n && st == CF_OK; i++)
        st = finish_one(q, &f[i], err);
    if (st == CF_OK && tar)
        st = cf_tar_move(q, f[0].job, tar, err);
    return cf_sql_end(q->db, st, err);
}

enum cf_status cf_queue_finish(struct cf_queue *q, const struct cf_job *job,
                               const struct cf_output *out, struct cf_error *err)
{
    struct cf_finished f = {job, *out, false};

    CF_TRY(cf_queue_finish_many(q, &f, 1, NULL, err));
    return f.lost ? lost(job, err) : CF_OK;
}

void cf_retry_default(struct cf_retry *r)
{
    r->max_attempts = 3;
    r->max_crashes = 5;
    r->backoff = 60;
}

/* Charged already: how often, and how often the job may be. */
static enum cf_status charged(struct cf_queue *q, int64_t id,
                              const struct cf_retry *retry, int *attempts, int *limit,
                              struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    st = cf_sql_open(&s, q->db,
                     "SELECT attempts, coalesce(max_attempts, ?2) FROM job WHERE id = ?1",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        cf_sql_int(&s, 2, retry->max_attempts);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && !row)
        st = cf_fail(err, CF_EFORMAT, "job %lld: leased, but not there", (long long)id);
    if (st == CF_OK) {
        *attempts = (int)cf_sql_col_int(&s, 0);
        *limit = (int)cf_sql_col_int(&s, 1);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status delay_row(struct cf_queue *q, int64_t job_id, int64_t seconds,
                                struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(cf_queue_kept(
        q, "INSERT INTO delay(job_id, until, seconds) VALUES(?1, ?2, ?3)", &s, err));
    cf_sql_int(s, 1, job_id);
    cf_sql_int(s, 2, q->wall_ms() + seconds * 1000);
    cf_sql_int(s, 3, seconds);
    return cf_sql_run(s, NULL, err);
}

/* The first wait is backoff, each further one twice as long, a day at most. */
static int64_t backoff(const struct cf_retry *retry, int attempts)
{
    int64_t s = retry->backoff > 0 ? retry->backoff : 0;

    while (attempts-- > 0 && s < BACKOFF_MAX)
        s *= 2;
    return s < BACKOFF_MAX ? s : BACKOFF_MAX;
}

static enum cf_status charge(struct cf_queue *q, const struct cf_job *job,
                             const struct cf_error *why, const struct cf_retry *retry,
                             bool *final, struct cf_error *err)
{
    const char *code = cf_status_name(why->status);
    int attempts, limit;

    CF_TRY(lease_drop(q, job, err));
    CF_TRY(charged(q, job->id, retry, &attempts, &limit, err));
    *final =
        !(cf_status_retryable(why->status) || retry->suspect) || attempts + 1 >= limit;
    CF_TRY(cf_job_set(
        q, job->id,
        *final ? "UPDATE job SET state = 3, attempts = attempts + 1 WHERE id = ?1"
               : "UPDATE job SET state = 4, attempts = attempts + 1 WHERE id = ?1",
        err));
    if (!*final)
        CF_TRY(delay_row(q, job->id, backoff(retry, attempts), err));
    if (*final)
        CF_TRY(cf_failure_put(q, job->id, code, why->msg, err));
    return cf_attempt_end(q, job->id, "failed", code, why->msg, NULL, err);
}

enum cf_status cf_queue_fail(struct cf_queue *q, const struct cf_job *job,
                             const struct cf_error *why, const struct cf_retry *retry,
                             bool *final, struct cf_error *err)
{
    bool last = false;
    enum cf_status st;

    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = charge(q, job, why, retry, &last, err);
    st = cf_sql_end(q->db, st, err);
    if (final)
        *final = st == CF_OK && last;
    return st;
}

enum cf_status cf_queue_release(struct cf_queue *q, const struct cf_job *job,
                                const char *why, struct cf_error *err)
{
    enum cf_status st;

    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = lease_drop(q, job, err);
    if (st == CF_OK)
        st = cf_job_set(q, job->id,
                        "UPDATE job SET state = 0, releases = releases + 1 WHERE id = ?1",
                        err);
    if (st == CF_OK)
        st = cf_attempt_end(q, job->id, "released", NULL, why, NULL, err);
    return cf_sql_end(q->db, st, err);
}
