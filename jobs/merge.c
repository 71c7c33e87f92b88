/* Merging: one pass over the jobs of a result file, in the order of their ids. */
#include "jobs/shard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/lock.h"
#include "jobs/schema.h"

enum what {
    ATTEMPTS,
    ADD_ATTEMPT,
    COUNT,
    UNLEASE,
    END_ATTEMPT,
    UNDELAY,
    SET_STATE,
    ADD_OUTPUT,
    UNFAIL,
    ADD_FAILURE,
    NWHAT
};
static const char *const text[NWHAT] = {
    [ATTEMPTS] = "SELECT n, worker_id, outcome FROM res.attempt"
                 " WHERE job_id = ?1 AND ended IS NOT NULL ORDER BY n",
    [ADD_ATTEMPT] =
        "INSERT INTO main.attempt(job_id, n, worker_id, started, ended, outcome, code,"
        " message, stage_ms) SELECT a.job_id, (SELECT coalesce(max(n), 0) + 1"
        " FROM main.attempt WHERE job_id = ?1), ?3, a.started, a.ended, a.outcome, "
        "a.code,"
        " a.message, a.stage_ms FROM res.attempt a WHERE a.job_id = ?1 AND a.n = ?2"
        " AND NOT EXISTS (SELECT 1 FROM main.attempt b WHERE b.job_id = ?1"
        " AND b.worker_id = ?3 AND b.started = a.started AND b.ended = a.ended)",
    [COUNT] = "UPDATE main.job SET attempts = attempts + ?2, crashes = crashes + ?3,"
              " releases = releases + ?4 WHERE id = ?1",
    [UNLEASE] = "DELETE FROM main.lease WHERE job_id = ?1",
    [END_ATTEMPT] = "UPDATE main.attempt SET ended = ?2, outcome = 'released',"
                    " message = 'done in a shard' WHERE job_id = ?1 AND ended IS NULL",
    [UNDELAY] = "DELETE FROM main.delay WHERE job_id = ?1",
    [SET_STATE] = "UPDATE main.job SET state = ?2 WHERE id = ?1",
    [ADD_OUTPUT] =
        "INSERT INTO main.output(job_id, path, offset, bytes, file_sha256, pixel_sha256,"
        " width, height, ended, build, isa, threads, model_id, stage_ms, note)"
        " SELECT job_id, path, offset, bytes, file_sha256, pixel_sha256, width, height,"
        " ended, build, isa, threads, (SELECT h.id FROM main.model h JOIN res.model t"
        " ON t.sha256 = h.sha256 WHERE t.id = o.model_id), stage_ms, note"
        " FROM res.output o WHERE job_id = ?1",
    [UNFAIL] = "DELETE FROM main.failure WHERE job_id = ?1",
    [ADD_FAILURE] =
        "INSERT INTO main.failure(job_id, code, message)"
        " SELECT ?1, coalesce(f.code, a.code, 'UNKNOWN'), coalesce(f.message, a.message)"
        " FROM (SELECT 1) LEFT JOIN res.failure f ON f.job_id = ?1"
        " LEFT JOIN res.attempt a ON a.job_id = ?1"
        " AND a.n = (SELECT max(n) FROM res.attempt WHERE job_id = ?1)",
};

/* A row of worker there, and the same worker's here. */
struct who {
    int64_t there, here;
};

struct merge {
    struct cf_queue *q;
    struct cf_sql stmt[NWHAT];
    struct who *who; /* by there, ascending */
    size_t n_who;
    char origin[64]; /* PLAN_ID/SHARD */
    void (*told)(void *ctx, const struct cf_conflict *c);
    void *ctx;
    struct cf_merged *sum;
};

/* One job as it is there and here. */
struct pair {
    int64_t id;
    int there, here; /* states; here -1: it is not here */
    const char *pixels_there, *pixels_here;
    int seen, added; /* attempts */
};

static enum cf_status run(struct merge *m, enum what w, int64_t id, int64_t second,
                          struct cf_error *err)
{
    cf_sql_int(&m->stmt[w], 1, id);
    if (w == END_ATTEMPT || w == SET_STATE)
        cf_sql_int(&m->stmt[w], 2, second);
    return cf_sql_run(&m->stmt[w], NULL, err);
}

static int64_t here_of(const struct merge *m, int64_t there)
{
    size_t lo = 0, hi = m->n_who;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (m->who[mid].there < there)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->n_who && m->who[lo].there == there ? m->who[lo].here : 0;
}

static enum cf_status add_attempt(struct merge *m, struct pair *p, int64_t charged[3],
                                  struct cf_error *err)
{
    static const char *const outcome[3] = {"failed", "crashed", "released"};
    const struct cf_sql *a = &m->stmt[ATTEMPTS];
    struct cf_sql *add = &m->stmt[ADD_ATTEMPT];
    int64_t worker = here_of(m, cf_sql_col_int(a, 1));
    const char *how = cf_sql_col_text(a, 2, NULL);
    int changes = 0;

    if (!worker)
        return cf_fail(err, CF_EFORMAT,
                       "job %lld: an attempt of a worker that is not there",
                       (long long)p->id);
    cf_sql_int(add, 1, p->id);
    cf_sql_int(add, 2, cf_sql_col_int(a, 0));
    cf_sql_int(add, 3, worker);
    CF_TRY(cf_sql_run(add, &changes, err));
    p->seen++;
    p->added += changes;
    for (int i = 0; i < 3; i++)
        charged[i] += changes && how && strcmp(how, outcome[i]) == 0;
    return CF_OK;
}

static enum cf_status add_history(struct merge *m, struct pair *p, struct cf_error *err)
{
    int64_t charged[3] = {0};
    bool row = true;

    cf_sql_int(&m->stmt[ATTEMPTS], 1, p->id);
    while (row) {
        CF_TRY(cf_sql_step(&m->stmt[ATTEMPTS], &row, err));
        if (row)
            CF_TRY(add_attempt(m, p, charged, err));
    }
    if (!charged[0] && !charged[1] && !charged[2])
        return CF_OK;
    cf_sql_int(&m->stmt[COUNT], 1, p->id);
    for (int i = 0; i < 3; i++)
        cf_sql_int(&m->stmt[COUNT], 2 + i, charged[i]);
    return cf_sql_run(&m->stmt[COUNT], NULL, err);
}

static enum cf_status done(struct merge *m, struct pair *p, struct cf_error *err)
{
    if (!p->pixels_there)
        return cf_fail(err, CF_EFORMAT, "job %lld: done without an output",
                       (long long)p->id);
    if (p->pixels_here) {
        bool equal = strcmp(p->pixels_here, p->pixels_there) == 0;
        struct cf_conflict c = {p->id, -1, p->pixels_here, p->pixels_there};

        m->sum->present += equal;
        m->sum->conflicts += !equal;
        if (!equal && m->told)
            m->told(m->ctx, &c);
        return CF_OK;
    }
    if (p->here == CF_JOB_RUNNING) {
        CF_TRY(run(m, UNLEASE, p->id, 0, err));
        CF_TRY(run(m, END_ATTEMPT, p->id, cf_now_ms(), err));
    }
    if (p->here == CF_JOB_DELAYED)
        CF_TRY(run(m, UNDELAY, p->id, 0, err));
    CF_TRY(run(m, SET_STATE, p->id, CF_JOB_DONE, err));
    m->sum->done++;
    return run(m, ADD_OUTPUT, p->id, 0, err);
}

/* News are attempts that were not known; a file without history has only news. */
static enum cf_status failed(struct merge *m, struct pair *p, struct cf_error *err)
{
    if (p->here == CF_JOB_DONE)
        return CF_OK;
    m->sum->failed++;
    if (p->here == CF_JOB_RUNNING || (p->seen && !p->added))
        return CF_OK;
    if (p->here == CF_JOB_DELAYED)
        CF_TRY(run(m, UNDELAY, p->id, 0, err));
    CF_TRY(run(m, SET_STATE, p->id, CF_JOB_FAILED, err));
    CF_TRY(run(m, UNFAIL, p->id, 0, err));
    return run(m, ADD_FAILURE, p->id, 0, err);
}

static enum cf_status merge_job(struct merge *m, struct pair *p, struct cf_error *err)
{
    if (p->here < 0) {
        m->sum->unknown++;
        return CF_OK;
    }
    if (p->here != CF_JOB_DONE)
        CF_TRY(add_history(m, p, err));
    switch (p->there) {
    case CF_JOB_DONE:
        return done(m, p, err);
    case CF_JOB_FAILED:
        return failed(m, p, err);
    case CF_JOB_CANCELLED:
        return CF_OK;
    default:
        m->sum->left += p->here != CF_JOB_DONE;
        return CF_OK;
    }
}

/* A job is the same one when what identifies it is equal: a queue that was restored from
 * a copy may have given an id once more. */
static enum cf_status merge_jobs(struct merge *m, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(
        &s, m->q->db,
        "SELECT r.id, r.state, iif(h.seed IS r.seed AND h.width IS r.width"
        " AND h.height IS r.height AND (SELECT sha256 FROM main.prompt WHERE id ="
        " h.prompt_id) IS (SELECT sha256 FROM res.prompt WHERE id = r.prompt_id)"
        " AND (SELECT sha256 FROM main.prompt WHERE id = h.negative_id) IS"
        " (SELECT sha256 FROM res.prompt WHERE id = r.negative_id)"
        " AND (SELECT sha256 FROM main.recipe WHERE id = h.recipe_id) IS"
        " (SELECT sha256 FROM res.recipe WHERE id = r.recipe_id), h.state, -1),"
        " o.pixel_sha256, ho.pixel_sha256"
        " FROM res.job r LEFT JOIN main.job h ON h.id = r.id"
        " LEFT JOIN res.output o ON o.job_id = r.id"
        " LEFT JOIN main.output ho ON ho.job_id = r.id ORDER BY r.id",
        err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        struct pair p = {.id = cf_sql_col_int(&s, 0),
                         .there = (int)cf_sql_col_int(&s, 1),
                         .here = (int)cf_sql_col_int(&s, 2),
                         .pixels_there = cf_sql_col_text(&s, 3, NULL),
                         .pixels_here = cf_sql_col_text(&s, 4, NULL)};

        st = merge_job(m, &p, err);
    }
    cf_sql_close(&s);
    return st;
}

/* Every worker there gets a row here, as one that ended. */
static enum cf_status merge_workers(struct merge *m, struct cf_error *err)
{
    static const char same[] =
        "SELECT r.id, (SELECT min(w.id) FROM main.worker w WHERE w.host = r.host"
        " AND w.boot_id = r.boot_id AND w.pid = r.pid AND w.started = r.started"
        " AND w.lock_path IS r.lock_path) FROM res.worker r ORDER BY r.id";
    size_t cap = 0;
    enum cf_status st;
    struct cf_sql s;
    bool row;

    CF_TRY(cf_sql_exec(
        m->q->db,
        "INSERT INTO main.worker(host, boot_id, pid, started, ended, lock_path,"
        " slurm_job, slurm_task, restart, beat, build, cpu) SELECT host, boot_id, pid,"
        " started, coalesce(ended, started), lock_path, slurm_job, slurm_task, restart,"
        " beat, build, cpu FROM res.worker r WHERE NOT EXISTS (SELECT 1 FROM main.worker "
        "w"
        " WHERE w.host = r.host AND w.boot_id = r.boot_id AND w.pid = r.pid"
        " AND w.started = r.started AND w.lock_path IS r.lock_path)",
        err));
    st = cf_sql_open(&s, m->q->db, same, err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        st = cf_grow(&m->who, &cap, m->n_who + 1, sizeof *m->who, err);
        if (st == CF_OK)
            m->who[m->n_who++] =
                (struct who){cf_sql_col_int(&s, 0), cf_sql_col_int(&s, 1)};
    }
    cf_sql_close(&s);
    return st;
}

/* The same tar may have grown since the last merge; one of another origin is another. */
static enum cf_status merge_tars(struct merge *m, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, m->q->db,
                     "SELECT t.number, h.origin FROM res.tar t JOIN main.tar h"
                     " ON h.number = t.number WHERE h.origin IS NOT ?1 ORDER BY 1",
                     err);
    if (st == CF_OK)
        cf_sql_str(&s, 1, m->origin);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        const char *whose = cf_sql_col_text(&s, 1, NULL);
        struct cf_conflict c = {-1, (int)cf_sql_col_int(&s, 0), whose ? whose : "",
                                m->origin};

        m->sum->tar_conflicts++;
        if (m->told)
            m->told(m->ctx, &c);
    }
    cf_sql_close(&s);
    if (st == CF_OK)
        st = cf_sql_open(
            &s, m->q->db,
            "INSERT INTO main.tar(number, members, bytes, manifest_bytes, closed, origin)"
            " SELECT number, members, bytes, manifest_bytes, 1, ?1 FROM res.tar WHERE 1"
            " ON CONFLICT(number) DO UPDATE SET members = excluded.members,"
            " bytes = excluded.bytes, manifest_bytes = excluded.manifest_bytes"
            " WHERE origin IS ?1 AND excluded.bytes > bytes",
            err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, m->origin);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status merge_all(struct merge *m, struct cf_error *err)
{
    CF_TRY(cf_sql_exec(m->q->db,
                       "INSERT INTO main.model(kind, name, sha256, bytes, manifest)"
                       " SELECT kind, name, sha256, bytes, manifest FROM res.model"
                       " WHERE true ON CONFLICT(sha256) DO NOTHING",
                       err));
    CF_TRY(merge_workers(m, err));
    CF_TRY(merge_tars(m, err));
    for (int i = 0; i < NWHAT; i++)
        CF_TRY(cf_sql_open(&m->stmt[i], m->q->db, text[i], err));
    return merge_jobs(m, err);
}

static enum cf_status belongs(struct merge *m, struct cf_error *err)
{
    char queue[33], there[33], plan[33];
    int64_t version, shard;

    CF_TRY(cf_sql_int64(m->q->db, "PRAGMA res.user_version", &version, err));
    CF_TRY(cf_schema_usable((int)version, false, err));
    CF_TRY(cf_db_meta(m->q->db, "res", "plan_shard", plan, sizeof plan, err));
    if (!*plan)
        return cf_fail(err, CF_ECONFIG, "a queue or a plan, not the results of a shard");
    CF_TRY(cf_db_meta_int(m->q->db, "res", "plan_shard", 0, CF_SHARDS_MAX, &shard, err));
    CF_TRY(cf_db_meta(m->q->db, "res", "plan_id", plan, sizeof plan, err));
    CF_TRY(cf_db_meta(m->q->db, "res", "plan_queue", there, sizeof there, err));
    CF_TRY(cf_db_meta(m->q->db, "main", "queue_id", queue, sizeof queue, err));
    if (!*queue || strcmp(queue, there) != 0)
        return cf_fail(err, CF_EMISMATCH,
                       "results of plan %s, which was made from another queue (%s, this "
                       "is %s)",
                       plan, there, *queue ? queue : "one without an id");
    snprintf(m->origin, sizeof m->origin, "%s/%d", plan, (int)shard);
    return CF_OK;
}

/* Whoever holds the lock is at work and will roll back himself. Where the lock cannot be
 * had for another reason, reading tells whether there is something to roll back. */
static enum cf_status recover(const char *results, struct cf_error *err)
{
    struct cf_error local = {0};
    sqlite3 *db = NULL;
    enum cf_status st;
    char *journal = cf_format(err, "%s-journal", results);
    struct stat sb;
    int64_t n;
    int fd;

    if (!journal)
        return CF_ENOMEM;
    st = stat(journal, &sb) == 0 && sb.st_size ? CF_OK : CF_ENOENT;
    cf_free(journal);
    if (st != CF_OK || cf_lock_results(results, &fd, &local) != CF_OK)
        return CF_OK;
    st = cf_db_look(&db, results, "mode=rw", SQLITE_OPEN_READWRITE, err);
    if (st == CF_OK)
        st = cf_sql_int64(db, "SELECT count(*) FROM sqlite_schema", &n, err);
    sqlite3_close(db);
    close(fd);
    return st;
}

static enum cf_status attach(struct cf_queue *q, const char *results,
                             struct cf_error *err)
{
    enum cf_status st = CF_ENOMEM;
    struct cf_sql s = {0};
    char *uri = cf_db_uri(results, "mode=ro", err);

    if (uri)
        st = cf_sql_open(&s, q->db, "ATTACH ?1 AS res", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, uri);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    cf_free(uri);
    return st;
}

/* With SQLite's 2 MB, pages that several jobs change would be written as often. And each
 * statement that fires a trigger has a journal of its own: as a file it takes 64 KiB from
 * the heap before its first byte, in memory what it needs. Nothing else is temporary
 * here. */
#define TUNED "PRAGMA main.cache_size = -65536; PRAGMA temp_store = MEMORY"
#define NORMAL "PRAGMA main.cache_size = -2000; PRAGMA temp_store = DEFAULT"

static enum cf_status merge_file(struct merge *m, const char *results,
                                 struct cf_error *err)
{
    enum cf_status st;
    struct stat sb;

    if (stat(results, &sb) != 0)
        return cf_fail_errno(err, errno, "results");
    if (!S_ISREG(sb.st_mode) || sb.st_size == 0)
        return cf_fail(err, CF_EFORMAT, "not an SQLite database");
    CF_TRY(cf_db_probe(results, err));
    CF_TRY(recover(results, err));
    CF_TRY(attach(m->q, results, err));
    sqlite3_exec(m->q->db, TUNED, NULL, NULL, NULL);
    st = belongs(m, err);
    if (st == CF_EPERM)
        st = cf_wrap(err, "a killed writer left a journal, and rolling it back needs the "
                          "permission to write");
    if (st == CF_OK && (st = cf_sql_begin(m->q->db, err)) == CF_OK)
        st = cf_sql_end(m->q->db, merge_all(m, err), err);
    for (int i = 0; i < NWHAT; i++)
        cf_sql_close(&m->stmt[i]);
    sqlite3_exec(m->q->db, NORMAL, NULL, NULL, NULL);
    sqlite3_exec(m->q->db, "DETACH res", NULL, NULL, NULL);
    return st;
}

enum cf_status cf_shard_merge(struct cf_queue *q, const char *results,
                              void (*told)(void *ctx, const struct cf_conflict *c),
                              void *ctx, struct cf_merged *sum, struct cf_error *err)
{
    struct merge m = {.q = q, .told = told, .ctx = ctx, .sum = sum};
    struct cf_error local = {0};
    enum cf_status st;

    memset(sum, 0, sizeof *sum);
    if (!err)
        err = &local;
    CF_TRY(cf_queue_writable(q, err));
    st = merge_file(&m, results, err);
    cf_free(m.who);
    if (st != CF_OK)
        memset(sum, 0, sizeof *sum);
    return st == CF_OK ? st : cf_wrap(err, "%s", results);
}
