#include "jobs/tars.h"

#include <inttypes.h>

#include "jobs/db.h"

/* Which numbers are this queue's. */
static enum cf_status numbers(struct cf_queue *q, int64_t *first, int64_t *end,
                              struct cf_error *err)
{
    CF_TRY(cf_sql_int64(q->db,
                        "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'tar_first'",
                        first, err));
    CF_TRY(cf_sql_int64(q->db,
                        "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE"
                        " key = 'tar_end'), 100000)",
                        end, err));
    if (*first < 0 || *end < *first || *end > CF_TAR_NUMBERS)
        return cf_fail(err, CF_EFORMAT,
                       "%s: tars are numbered %" PRId64 " to %" PRId64
                       ", expected a range in 0..%d",
                       q->path, *first, *end, CF_TAR_NUMBERS);
    return CF_OK;
}

static enum cf_status read_mark(struct cf_sql *s, struct cf_tar_mark *tar, bool *found,
                                struct cf_error *err)
{
    CF_TRY(cf_sql_step(s, found, err));
    if (*found)
        *tar = (struct cf_tar_mark){.id = cf_sql_col_int(s, 0),
                                    .number = (int)cf_sql_col_int(s, 1),
                                    .members = (int)cf_sql_col_int(s, 2),
                                    .bytes = cf_sql_col_int(s, 3),
                                    .manifest_bytes = cf_sql_col_int(s, 4)};
    return CF_OK;
}

/* What this worker held before is anybody's again: it appends to one tar. */
static enum cf_status let_go(struct cf_queue *q, int64_t worker_id, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, "UPDATE tar SET worker_id = NULL WHERE worker_id = ?1",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, worker_id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status find_open(struct cf_queue *q, int after, struct cf_tar_mark *tar,
                                bool *found, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db,
                     "SELECT t.id, t.number, t.members, t.bytes, t.manifest_bytes"
                     " FROM tar t LEFT JOIN worker w ON w.id = t.worker_id"
                     " WHERE t.closed = 0 AND t.number >= ?1 AND t.origin IS NULL"
                     " AND (w.id IS NULL OR w.ended IS NOT NULL)"
                     " ORDER BY t.number LIMIT 1",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, after);
        st = read_mark(&s, tar, found, err);
    }
    cf_sql_close(&s);
    return st;
}

/* The first number from ?1 on, and after our own, that no tar of a merged shard has. */
static const char next_number[] =
    "WITH own(n) AS (SELECT max(?1, coalesce(max(number) + 1, 0)) FROM tar"
    " WHERE origin IS NULL),"
    " free(n) AS (SELECT n FROM own UNION SELECT number + 1 FROM tar)"
    " SELECT min(n) FROM free WHERE n >= (SELECT n FROM own)"
    " AND n NOT IN (SELECT number FROM tar)";

/* What a caller knows of the files. */
struct files {
    bool (*there)(const void *ctx, int number);
    const void *ctx;
};

static enum cf_status number_from(struct cf_queue *q, int64_t *next, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    st = cf_sql_open(&s, q->db, next_number, err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, *next);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row)
        *next = cf_sql_col_int(&s, 0);
    cf_sql_close(&s);
    return st;
}

static enum cf_status free_number(struct cf_queue *q, const struct files *f, int64_t end,
                                  int64_t *next, struct cf_error *err)
{
    CF_TRY(number_from(q, next, err));
    while (*next < end && f->there && f->there(f->ctx, (int)*next)) {
        ++*next;
        CF_TRY(number_from(q, next, err));
    }
    return CF_OK;
}

static enum cf_status make_new(struct cf_queue *q, const struct files *f,
                               struct cf_tar_mark *tar, struct cf_error *err)
{
    int64_t first, end, next;
    enum cf_status st;
    struct cf_sql s;
    bool found;

    CF_TRY(numbers(q, &first, &end, err));
    next = first;
    CF_TRY(free_number(q, f, end, &next, err));
    if (next >= end)
        return cf_fail(err, CF_ECONFIG,
                       "%s: all %" PRId64 " numbers of tars from %" PRId64
                       " on are used up: make the tars larger, or use more queues or "
                       "fewer shards",
                       q->path, end - first, first);
    st = cf_sql_open(&s, q->db,
                     "INSERT INTO tar(number) VALUES(?1)"
                     " RETURNING id, number, members, bytes, manifest_bytes",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, next);
        st = read_mark(&s, tar, &found, err);
    }
    cf_sql_close(&s);
    return st;
}

static enum cf_status hold(struct cf_queue *q, int64_t worker_id,
                           const struct cf_tar_mark *tar, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db, "UPDATE tar SET worker_id = ?2 WHERE id = ?1", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, tar->id);
        cf_sql_int(&s, 2, worker_id);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* f NULL: never a new one. */
static enum cf_status take(struct cf_queue *q, int64_t worker_id, int after,
                           const struct files *f, struct cf_tar_mark *tar, bool *found,
                           struct cf_error *err)
{
    CF_TRY(cf_worker_lives(q, worker_id, err));
    CF_TRY(let_go(q, worker_id, err));
    CF_TRY(find_open(q, after, tar, found, err));
    if (!*found && !f)
        return CF_OK;
    if (!*found)
        CF_TRY(make_new(q, f, tar, err));
    return hold(q, worker_id, tar, err);
}

static enum cf_status take_one(struct cf_queue *q, int64_t worker_id, int after,
                               const struct files *f, struct cf_tar_mark *tar,
                               bool *found, struct cf_error *err)
{
    enum cf_status st;

    *tar = (struct cf_tar_mark){0};
    *found = false;
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = take(q, worker_id, after, f, tar, found, err);
    return cf_sql_end(q->db, st, err);
}

enum cf_status cf_queue_tar_take(struct cf_queue *q, int64_t worker_id, int after,
                                 bool (*there)(const void *ctx, int number),
                                 const void *ctx, struct cf_tar_mark *tar,
                                 struct cf_error *err)
{
    const struct files f = {there, ctx};
    bool found;

    return take_one(q, worker_id, after, &f, tar, &found, err);
}

enum cf_status cf_queue_tar_left(struct cf_queue *q, int64_t worker_id, int after,
                                 struct cf_tar_mark *tar, bool *found,
                                 struct cf_error *err)
{
    return take_one(q, worker_id, after, NULL, tar, found, err);
}

static enum cf_status lost(const struct cf_queue *q, const struct cf_tar_mark *tar,
                           struct cf_error *err)
{
    return cf_fail(err, CF_ELOST, "%s: tar %05d went to another worker", q->path,
                   tar->number);
}

enum cf_status cf_queue_tar_close(struct cf_queue *q, int64_t worker_id,
                                  const struct cf_tar_mark *tar, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int n = 0;

    CF_TRY(cf_queue_writable(q, err));
    st = cf_sql_open(&s, q->db,
                     "UPDATE tar SET closed = 1, worker_id = NULL"
                     " WHERE id = ?1 AND worker_id = ?2 AND closed = 0",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, tar->id);
        cf_sql_int(&s, 2, worker_id);
        st = cf_sql_run(&s, &n, err);
    }
    cf_sql_close(&s);
    return st == CF_OK && n != 1 ? lost(q, tar, err) : st;
}

/* Whose claim it was, the attempt tells even after the lease is gone. A worker that was
 * taken for dead holds nothing, though nobody has taken it yet. */
enum cf_status cf_tar_move(struct cf_queue *q, const struct cf_job *job,
                           const struct cf_tar_mark *tar, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int n = 0;

    st = cf_sql_open(&s, q->db,
                     "UPDATE tar SET members = ?2, bytes = ?3, manifest_bytes = ?4"
                     " WHERE id = ?1 AND closed = 0 AND worker_id ="
                     " (SELECT w.id FROM attempt a JOIN worker w ON w.id = a.worker_id"
                     " WHERE a.job_id = ?5 AND a.n = ?6 AND w.ended IS NULL)",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, tar->id);
        cf_sql_int(&s, 2, tar->members);
        cf_sql_int(&s, 3, tar->bytes);
        cf_sql_int(&s, 4, tar->manifest_bytes);
        cf_sql_int(&s, 5, job->id);
        cf_sql_int(&s, 6, job->attempt);
        st = cf_sql_run(&s, &n, err);
    }
    cf_sql_close(&s);
    return st == CF_OK && n != 1 ? lost(q, tar, err) : st;
}
