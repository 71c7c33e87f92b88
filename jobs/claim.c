/* Claiming. */
#include "jobs/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "jobs/db.h"
#include "jobs/key.h"

enum { CLAIM_MAX = 4096 };

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
    int64_t now = q->wall_ms();

    for (int i = 0; i < 3; i++) {
        struct cf_sql *s;

        CF_TRY(cf_queue_kept(q, text[i], &s, err));
        cf_sql_int(s, 1, now);
        CF_TRY(cf_sql_run(s, NULL, err));
    }
    return CF_OK;
}

/* What cannot be a prompt: the row or its file was damaged after the import. */
static bool damaged(const char *text, size_t len)
{
    size_t at;

    return !text || strlen(text) != len || !cf_utf8_valid(text, len, &at);
}

/* CF_EFORMAT is about this job alone. */
static enum cf_status read_job(const struct cf_sql *s, struct cf_job *job,
                               struct cf_error *err)
{
    bool plain = cf_sql_col_int(s, 2) == 0;
    struct cf_job_spec spec;
    size_t recipe_len = 0;

    job->id = cf_sql_col_int(s, 0);
    job->seed = (uint64_t)cf_sql_col_int(s, 5);
    job->width = (int)cf_sql_col_int(s, 6);
    job->height = (int)cf_sql_col_int(s, 7);
    job->prompt_id = cf_sql_col_int(s, 8);
    job->attempt = (int)cf_sql_col_int(s, 9);
    job->crashes = (int)cf_sql_col_int(s, 10);
    CF_TRY(cf_sql_col_dup(s, 1, &job->prompt, &job->prompt_len, err));
    if (!plain)
        CF_TRY(cf_sql_col_dup(s, 3, &job->negative, &job->negative_len, err));
    CF_TRY(cf_sql_col_dup(s, 4, &job->recipe, &recipe_len, err));
    if (damaged(job->prompt, job->prompt_len) || damaged(job->recipe, recipe_len) ||
        (!plain && damaged(job->negative, job->negative_len)))
        return cf_fail(err, CF_EFORMAT,
                       "job %lld: its texts are damaged: add it to the queue again",
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

/* In the order of the columns that read_job reads; a missing text is no reason not to
 * find the job. */
#define COLUMNS                                                                          \
    "SELECT j.id, p.text, j.negative_id, n.text, r.json, j.seed, j.width, j.height,"     \
    " j.prompt_id, 1 + coalesce((SELECT max(a.n) FROM attempt a WHERE a.job_id ="        \
    " j.id), 0), j.crashes FROM "
#define TEXTS                                                                            \
    " LEFT JOIN prompt p ON p.id = j.prompt_id LEFT JOIN prompt n ON n.id ="             \
    " j.negative_id LEFT JOIN recipe r ON r.id = j.recipe_id"
#define ORDER(t) " ORDER BY " t ".priority DESC, " t ".id LIMIT ?1"

/* Of a batch, its own part of the index tells the first k, whatever else is ready; two
 * batches may have one name. */
static char *ready_sql(const struct cf_queue *q, struct cf_error *err)
{
    int batch = cf_where_batch(q);
    char *where = cf_where_sql(q, err), *text = NULL;

    if (where && batch)
        text = cf_format(err,
                         COLUMNS
                         "batch b CROSS JOIN job j ON j.id IN (SELECT i.id FROM job i"
                         " INDEXED BY job_batch WHERE i.batch_id = b.id AND"
                         " i.state = 0%s" ORDER("i") ")" TEXTS
                                                     " WHERE b.name = ?%d" ORDER("j"),
                         where, batch);
    else if (where)
        text = cf_format(
            err,
            COLUMNS "job j" TEXTS " WHERE j.id IN (SELECT i.id FROM job i"
                    " INDEXED BY job_ready WHERE i.state = 0%s" ORDER("i") ")" ORDER("j"),
            where);
    cf_free(where);
    return text;
}

/* A job over which a worker died comes alone. *bad: jobs->job[0] alone is damaged, and
 * why says how. */
static enum cf_status take_rows(struct cf_sql *s, struct cf_jobs *jobs, bool *bad,
                                struct cf_error *why, struct cf_error *err)
{
    enum cf_status st;
    bool row;

    while ((st = cf_sql_step(s, &row, err)) == CF_OK && row) {
        bool suspect = cf_sql_col_int(s, 10) > 0;
        struct cf_job job = {0};

        if (suspect && jobs->n)
            break;
        st = read_job(s, &job, why);
        *bad = st == CF_EFORMAT;
        if (st != CF_OK) {
            for (int i = 0; i < jobs->n; i++)
                cf_job_free(&jobs->job[i]);
            jobs->n = 0;
        }
        jobs->job[jobs->n++] = job;
        if (st != CF_OK)
            return *bad ? CF_OK : cf_fail(err, st, "%s", why->msg);
        if (suspect)
            break;
    }
    return st;
}

static enum cf_status read_ready(struct cf_queue *q, int k, struct cf_jobs *jobs,
                                 bool *bad, struct cf_error *why, struct cf_error *err)
{
    char *text = ready_sql(q, err);
    enum cf_status st = CF_ENOMEM;
    struct cf_sql s = {0};

    *bad = false;
    if (text)
        st = cf_sql_open(&s, q->db, text, err);
    cf_free(text);
    if (st == CF_OK) {
        cf_where_bind(q, &s);
        cf_sql_int(&s, 1, k);
        st = take_rows(&s, jobs, bad, why, err);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_suspect(struct cf_queue *q, bool *suspect, struct cf_error *err)
{
    char *text = ready_sql(q, err);
    enum cf_status st = CF_ENOMEM;
    struct cf_sql s = {0};
    bool row = false;

    *suspect = false;
    if (text)
        st = cf_sql_open(&s, q->db, text, err);
    cf_free(text);
    if (st == CF_OK) {
        cf_where_bind(q, &s);
        cf_sql_int(&s, 1, 1);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row)
        *suspect = cf_sql_col_int(&s, 10) > 0;
    cf_sql_close(&s);
    return st;
}

static enum cf_status attempt_failed(struct cf_queue *q, int64_t worker_id,
                                     const struct cf_job *job, const char *code,
                                     const char *message, struct cf_error *err)
{
    int64_t now = q->wall_ms();
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db,
                     "INSERT INTO attempt(job_id, n, worker_id, started, ended, outcome,"
                     " code, message) VALUES(?1, ?2, ?3, ?4, ?4, 'failed', ?5, ?6)",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job->id);
        cf_sql_int(&s, 2, job->attempt);
        cf_sql_int(&s, 3, worker_id);
        cf_sql_int(&s, 4, now);
        cf_sql_str(&s, 5, code);
        cf_sql_str(&s, 6, message);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* A job that cannot even be read fails by itself and stands in nobody's way. */
static enum cf_status condemn(struct cf_queue *q, int64_t worker_id,
                              const struct cf_job *job, const struct cf_error *why,
                              struct cf_error *err)
{
    const char *code = cf_status_name(why->status);

    CF_TRY(cf_job_set(q, job->id,
                      "UPDATE job SET state = 3, attempts = attempts + 1 WHERE id = ?1",
                      err));
    CF_TRY(cf_failure_put(q, job->id, code, why->msg, err));
    return attempt_failed(q, worker_id, job, code, why->msg, err);
}

/* Each turn after the first has taken a damaged job out of the way. */
static enum cf_status find_jobs(struct cf_queue *q, int64_t worker_id, int k,
                                struct cf_jobs *jobs, struct cf_error *err)
{
    enum cf_status st;
    bool bad;

    do {
        struct cf_error why = {0};

        st = read_ready(q, k, jobs, &bad, &why, err);
        if (st == CF_OK && jobs->n)
            st = cf_worker_lives(q, worker_id, err);
        if (st == CF_OK && bad) {
            st = condemn(q, worker_id, &jobs->job[0], &why, err);
            cf_job_free(&jobs->job[0]);
            jobs->n = 0;
            jobs->damaged++;
        }
    } while (st == CF_OK && bad);
    return st;
}

static enum cf_status lease_one(struct cf_queue *q, int64_t worker_id,
                                const struct cf_job *job, int64_t now,
                                struct cf_error *err)
{
    struct cf_sql *s;

    CF_TRY(cf_job_set(q, job->id, "UPDATE job SET state = 1 WHERE id = ?1", err));
    CF_TRY(cf_queue_kept(
        q, "INSERT INTO lease(job_id, worker_id, token) VALUES(?1, ?2, ?3)", &s, err));
    cf_sql_int(s, 1, job->id);
    cf_sql_int(s, 2, worker_id);
    cf_sql_str(s, 3, job->token);
    CF_TRY(cf_sql_run(s, NULL, err));
    CF_TRY(cf_queue_kept(
        q, "INSERT INTO attempt(job_id, n, worker_id, started) VALUES(?1, ?2, ?3, ?4)",
        &s, err));
    cf_sql_int(s, 1, job->id);
    cf_sql_int(s, 2, job->attempt);
    cf_sql_int(s, 3, worker_id);
    cf_sql_int(s, 4, now);
    return cf_sql_run(s, NULL, err);
}

static enum cf_status lease_all(struct cf_queue *q, int64_t worker_id,
                                const struct cf_jobs *jobs, struct cf_error *err)
{
    int64_t now = q->wall_ms();

    for (int i = 0; i < jobs->n; i++)
        CF_TRY(lease_one(q, worker_id, &jobs->job[i], now, err));
    return CF_OK;
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
            st = find_jobs(q, worker_id, k, jobs, err);
        if (st == CF_OK)
            st = lease_all(q, worker_id, jobs, err);
        st = cf_sql_end(q->db, st, err);
    }
    if (st != CF_OK)
        cf_jobs_free(jobs);
    return st;
}

enum cf_status cf_queue_peek(struct cf_queue *q, int k, struct cf_jobs *jobs,
                             struct cf_error *err)
{
    struct cf_error why = {0};
    enum cf_status st;
    bool bad;

    memset(jobs, 0, sizeof *jobs);
    if (k < 1 || k > CLAIM_MAX)
        return cf_fail(err, CF_ERANGE, "look at %d jobs, expected 1..%d", k, CLAIM_MAX);
    jobs->job = cf_calloc((size_t)k, sizeof *jobs->job, err);
    if (!jobs->job)
        return CF_ENOMEM;
    st = read_ready(q, k, jobs, &bad, &why, err);
    if (st != CF_OK || bad)
        cf_jobs_free(jobs);
    return st;
}
