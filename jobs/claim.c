/* Claiming, and the four ways a claimed job ends: finished, failed, released, lost. */
#include "jobs/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/key.h"

enum { CLAIM_MAX = 4096, BACKOFF_MAX = 24 * 3600 };

void cf_job_free(struct cf_job *job)
{
    cf_free(job->prompt);
    cf_free(job->negative);
    cf_free(job->recipe);
    memset(job, 0, sizeof *job);
}

void cf_jobs_free(struct cf_jobs *jobs)
{
    for (int i = 0; i < jobs->n; i++)
        cf_job_free(&jobs->job[i]);
    cf_free(jobs->job);
    memset(jobs, 0, sizeof *jobs);
}

static enum cf_status make_token(char token[33], struct cf_error *err)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char raw[16];

    for (size_t got = 0; got < sizeof raw;) {
        ssize_t n = getrandom(raw + got, sizeof raw - got, 0);

        if (n < 0 && errno != EINTR)
            return cf_fail_errno(err, errno, "lease token: getrandom");
        got += n > 0 ? (size_t)n : 0;
    }
    for (int i = 0; i < 16; i++) {
        token[2 * i] = digit[raw[i] >> 4];
        token[2 * i + 1] = digit[raw[i] & 15];
    }
    token[32] = '\0';
    return CF_OK;
}

/* Delayed jobs whose time has come. A due time further ahead than its backoff was written
 * under another clock: it is drawn near first. */
static enum cf_status wake(struct cf_queue *q, struct cf_error *err)
{
    static const char *const text[] = {
        "UPDATE delay SET until = ?1 + seconds * 1000 WHERE until > ?1 + seconds * 1000",
        "UPDATE job SET state = 0 WHERE id IN (SELECT job_id FROM delay WHERE until <= "
        "?1)"
        " AND state = 4",
        "DELETE FROM delay WHERE until <= ?1",
    };
    int64_t now = cf_now_ms();

    for (int i = 0; i < 3; i++) {
        enum cf_status st;
        struct cf_sql s;

        st = cf_sql_open(&s, q->db, text[i], err);
        if (st == CF_OK) {
            cf_sql_int(&s, 1, now);
            st = cf_sql_run(&s, NULL, err);
        }
        cf_sql_close(&s);
        if (st != CF_OK)
            return st;
    }
    return CF_OK;
}

static enum cf_status read_job(const struct cf_sql *s, struct cf_job *job,
                               struct cf_error *err)
{
    struct cf_job_spec spec;

    job->id = cf_sql_col_int(s, 0);
    CF_TRY(cf_sql_col_dup(s, 1, &job->prompt, &job->prompt_len, err));
    if (cf_sql_col_int(s, 2) != 0)
        CF_TRY(cf_sql_col_dup(s, 3, &job->negative, &job->negative_len, err));
    CF_TRY(cf_sql_col_dup(s, 4, &job->recipe, NULL, err));
    job->seed = (uint64_t)cf_sql_col_int(s, 5);
    job->width = (int)cf_sql_col_int(s, 6);
    job->height = (int)cf_sql_col_int(s, 7);
    job->prompt_id = cf_sql_col_int(s, 8);
    job->attempt = (int)cf_sql_col_int(s, 9);
    job->crashes = (int)cf_sql_col_int(s, 10);
    if (!job->prompt || !job->recipe || strlen(job->prompt) != job->prompt_len ||
        (job->negative && strlen(job->negative) != job->negative_len))
        return cf_fail(err, CF_EFORMAT, "job %lld: its texts are damaged",
                       (long long)job->id);
    spec = (struct cf_job_spec){.prompt = job->prompt,
                                .prompt_len = job->prompt_len,
                                .negative = job->negative,
                                .negative_len = job->negative_len,
                                .recipe = job->recipe,
                                .seed = job->seed,
                                .width = job->width,
                                .height = job->height};
    CF_TRY(cf_job_key(&spec, job->key, err));
    return make_token(job->token, err);
}

static enum cf_status read_ready(struct cf_queue *q, int k, struct cf_jobs *jobs,
                                 struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(
        &s, q->db,
        "SELECT j.id, p.text, j.negative_id, n.text, r.json, j.seed, j.width, j.height,"
        " j.prompt_id, 1 + coalesce((SELECT max(a.n) FROM attempt a WHERE a.job_id = "
        "j.id), 0), j.crashes"
        " FROM job j JOIN prompt p ON p.id = j.prompt_id"
        " JOIN prompt n ON n.id = j.negative_id JOIN recipe r ON r.id = j.recipe_id"
        " WHERE j.state = 0 ORDER BY j.priority DESC, j.id LIMIT ?1",
        err);
    if (st == CF_OK)
        cf_sql_int(&s, 1, k);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        bool suspect = cf_sql_col_int(&s, 10) > 0;

        if (suspect && jobs->n)
            break;
        st = read_job(&s, &jobs->job[jobs->n++], err);
        if (suspect)
            break;
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status lease_all(struct cf_queue *q, int64_t worker_id,
                                const struct cf_jobs *jobs, struct cf_error *err)
{
    struct cf_sql job = {0}, lease = {0}, attempt = {0};
    int64_t now = cf_now_ms();
    enum cf_status st;

    st = cf_sql_open(&job, q->db, "UPDATE job SET state = 1 WHERE id = ?1", err);
    if (st == CF_OK)
        st = cf_sql_open(&lease, q->db,
                         "INSERT INTO lease(job_id, worker_id, token) VALUES(?1, ?2, ?3)",
                         err);
    if (st == CF_OK)
        st = cf_sql_open(&attempt, q->db,
                         "INSERT INTO attempt(job_id, n, worker_id, started)"
                         " VALUES(?1, ?2, ?3, ?4)",
                         err);
    for (int i = 0; i < jobs->n && st == CF_OK; i++) {
        cf_sql_int(&job, 1, jobs->job[i].id);
        st = cf_sql_run(&job, NULL, err);
        if (st != CF_OK)
            break;
        cf_sql_int(&lease, 1, jobs->job[i].id);
        cf_sql_int(&lease, 2, worker_id);
        cf_sql_str(&lease, 3, jobs->job[i].token);
        st = cf_sql_run(&lease, NULL, err);
        if (st != CF_OK)
            break;
        cf_sql_int(&attempt, 1, jobs->job[i].id);
        cf_sql_int(&attempt, 2, jobs->job[i].attempt);
        cf_sql_int(&attempt, 3, worker_id);
        cf_sql_int(&attempt, 4, now);
        st = cf_sql_run(&attempt, NULL, err);
    }
    cf_sql_close(&job);
    cf_sql_close(&lease);
    cf_sql_close(&attempt);
    return st;
}

/* A claim proves that the worker lives, whatever was believed before; a lease of a worker
 * that counts as ended would never be taken back. */
static enum cf_status lives(struct cf_queue *q, int64_t worker_id, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int found = 0;

    st = cf_sql_open(&s, q->db, "UPDATE worker SET ended = NULL WHERE id = ?1", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, worker_id);
        st = cf_sql_run(&s, &found, err);
    }
    cf_sql_close(&s);
    if (st == CF_OK && !found)
        st = cf_fail(err, CF_ENOENT, "worker %lld is not registered",
                     (long long)worker_id);
    return st;
}

enum cf_status cf_queue_claim(struct cf_queue *q, int64_t worker_id, int k,
                              struct cf_jobs *jobs, struct cf_error *err)
{
    enum cf_status st;

    memset(jobs, 0, sizeof *jobs);
    CF_TRY(cf_queue_writable(q, err));
    if (k < 1 || k > CLAIM_MAX)
        return cf_fail(err, CF_ERANGE, "claim of %d jobs, expected 1..%d", k, CLAIM_MAX);
    jobs->job = cf_calloc((size_t)k, sizeof *jobs->job, err);
    if (!jobs->job)
        return CF_ENOMEM;
    st = cf_sql_begin(q->db, err);
    if (st == CF_OK) {
        st = wake(q, err);
        if (st == CF_OK)
            st = read_ready(q, k, jobs, err);
        if (st == CF_OK && jobs->n)
            st = lives(q, worker_id, err);
        if (st == CF_OK)
            st = lease_all(q, worker_id, jobs, err);
        st = cf_sql_end(q->db, st, err);
    }
    if (st != CF_OK)
        cf_jobs_free(jobs);
    return st;
}

enum cf_status cf_lease_drop(struct cf_queue *q, const struct cf_job *job,
                             struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int gone = 0;

    st =
        cf_sql_open(&s, q->db, "DELETE FROM lease WHERE job_id = ?1 AND token = ?2", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job->id);
        cf_sql_str(&s, 2, job->token);
        st = cf_sql_run(&s, &gone, err);
    }
    cf_sql_close(&s);
    if (st == CF_OK && gone != 1)
        st = cf_fail(err, CF_ELOST, "job %lld: the lease went to somebody else",
                     (long long)job->id);
    return st;
}

enum cf_status cf_attempt_end(struct cf_queue *q, int64_t job_id, const char *outcome,
                              const char *code, const char *message, const char *stage_ms,
                              struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(
        &s, q->db,
        "UPDATE attempt SET ended = ?2, outcome = ?3, code = ?4, message = ?5,"
        " stage_ms = ?6 WHERE job_id = ?1 AND ended IS NULL",
        err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job_id);
        cf_sql_int(&s, 2, cf_now_ms());
        cf_sql_str(&s, 3, outcome);
        cf_sql_str(&s, 4, code);
        cf_sql_str(&s, 5, message);
        cf_sql_str(&s, 6, stage_ms);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* UPDATE job with one SET clause for one id. */
static enum cf_status set_job(struct cf_queue *q, int64_t id, const char *text,
                              struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, text, err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status model_row(struct cf_queue *q, const char *sha256,
                                struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    if (!sha256)
        return CF_OK;
    st = cf_sql_open(&s, q->db,
                     "INSERT INTO model(kind, sha256) VALUES('model', ?1)"
                     " ON CONFLICT(sha256) DO NOTHING",
                     err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, sha256);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status output_row(struct cf_queue *q, int64_t job_id,
                                 const struct cf_output *out, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    CF_TRY(model_row(q, out->model_sha256, err));
    st = cf_sql_open(
        &s, q->db,
        "INSERT INTO output(job_id, path, bytes, file_sha256, pixel_sha256,"
        " width, height, ended, build, isa, threads, model_id, stage_ms, note)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
        " (SELECT id FROM model WHERE sha256 = ?12), ?13, ?14)",
        err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job_id);
        cf_sql_str(&s, 2, out->path);
        cf_sql_int(&s, 3, out->bytes);
        cf_sql_str(&s, 4, out->file_sha256);
        cf_sql_str(&s, 5, out->pixel_sha256);
        cf_sql_int(&s, 6, out->width);
        cf_sql_int(&s, 7, out->height);
        cf_sql_int(&s, 8, cf_now_ms());
        cf_sql_str(&s, 9, out->build ? out->build : "");
        cf_sql_str(&s, 10, out->isa ? out->isa : "");
        cf_sql_int(&s, 11, out->threads);
        cf_sql_str(&s, 12, out->model_sha256);
        cf_sql_str(&s, 13, out->stage_ms);
        cf_sql_str(&s, 14, out->note);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_finish(struct cf_queue *q, const struct cf_job *job,
                               const struct cf_output *out, struct cf_error *err)
{
    enum cf_status st;

    CF_TRY(cf_queue_writable(q, err));
    if (!out->path || !out->file_sha256 || !out->pixel_sha256)
        return cf_fail(err, CF_EBUG, "job %lld: an output without path or hashes",
                       (long long)job->id);
    CF_TRY(cf_sql_begin(q->db, err));
    st = cf_lease_drop(q, job, err);
    if (st == CF_OK)
        st = set_job(q, job->id, "UPDATE job SET state = 2 WHERE id = ?1", err);
    if (st == CF_OK)
        st = output_row(q, job->id, out, err);
    if (st == CF_OK)
        st = cf_attempt_end(q, job->id, "done", NULL, NULL, out->stage_ms, err);
    return cf_sql_end(q->db, st, err);
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
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db,
                     "INSERT INTO delay(job_id, until, seconds) VALUES(?1, ?2, ?3)", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job_id);
        cf_sql_int(&s, 2, cf_now_ms() + seconds * 1000);
        cf_sql_int(&s, 3, seconds);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
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
    int attempts, limit;

    CF_TRY(cf_lease_drop(q, job, err));
    CF_TRY(charged(q, job->id, retry, &attempts, &limit, err));
    *final = !cf_status_retryable(why->status) || attempts + 1 >= limit;
    CF_TRY(set_job(
        q, job->id,
        *final ? "UPDATE job SET state = 3, attempts = attempts + 1 WHERE id = ?1"
               : "UPDATE job SET state = 4, attempts = attempts + 1 WHERE id = ?1",
        err));
    if (!*final)
        CF_TRY(delay_row(q, job->id, backoff(retry, attempts), err));
    return cf_attempt_end(q, job->id, "failed", cf_status_name(why->status), why->msg,
                          NULL, err);
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
    st = cf_lease_drop(q, job, err);
    if (st == CF_OK)
        st = set_job(q, job->id,
                     "UPDATE job SET state = 0, releases = releases + 1 WHERE id = ?1",
                     err);
    if (st == CF_OK)
        st = cf_attempt_end(q, job->id, "released", NULL, why, NULL, err);
    return cf_sql_end(q->db, st, err);
}
