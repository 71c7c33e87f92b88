/* Workers: who they are, whether they live, and what happens to the jobs of dead ones. */
#include "jobs/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/self.h"

enum cf_status cf_queue_register(struct cf_queue *q, const struct cf_worker *w,
                                 int64_t *worker_id, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    CF_TRY(cf_queue_writable(q, err));
    st = cf_sql_open(
        &s, q->db,
        "INSERT INTO worker(host, boot_id, pid, started, lock_path, slurm_job,"
        " slurm_task, restart, build, cpu)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, w->host ? w->host : "");
        cf_sql_str(&s, 2, w->boot_id ? w->boot_id : "");
        cf_sql_int(&s, 3, w->pid);
        cf_sql_int(&s, 4, q->wall_ms());
        cf_sql_str(&s, 5, w->lock_path);
        cf_sql_str(&s, 6, w->slurm_job);
        cf_sql_str(&s, 7, w->slurm_task);
        cf_sql_int(&s, 8, w->restart);
        cf_sql_str(&s, 9, w->build ? w->build : "");
        cf_sql_str(&s, 10, w->cpu ? w->cpu : "");
        st = cf_sql_run(&s, NULL, err);
    }
    if (st == CF_OK)
        *worker_id = sqlite3_last_insert_rowid(q->db);
    cf_sql_close(&s);
    return st;
}

static enum cf_status worker_ended(struct cf_queue *q, int64_t worker_id, int *found,
                                   struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, q->db,
                     "UPDATE worker SET ended = coalesce(ended, ?2) WHERE id = ?1", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, worker_id);
        cf_sql_int(&s, 2, q->wall_ms());
        st = cf_sql_run(&s, found, err);
    }
    cf_sql_close(&s);
    return st;
}

/* A lease of a worker that counts as ended would never be taken back. Its beat moves, so
 * that nobody who watched it before takes it for dead at once. */
enum cf_status cf_worker_lives(struct cf_queue *q, int64_t worker_id,
                               struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int found = 0;

    st = cf_sql_open(&s, q->db,
                     "UPDATE worker SET beat = beat + (ended IS NOT NULL), ended = NULL"
                     " WHERE id = ?1",
                     err);
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

enum cf_status cf_queue_beat(struct cf_queue *q, int64_t worker_id, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int n = 0;

    CF_TRY(cf_queue_writable(q, err));
    st = cf_sql_open(&s, q->db, "UPDATE worker SET beat = beat + 1 WHERE id = ?1", err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, worker_id);
        st = cf_sql_run(&s, &n, err);
    }
    cf_sql_close(&s);
    if (st == CF_OK && n != 1)
        st = cf_fail(err, CF_ENOENT, "worker %lld is not registered",
                     (long long)worker_id);
    return st;
}

static enum cf_status take_one(struct cf_queue *q, int64_t job_id, bool charge,
                               const char *why, const struct cf_retry *retry,
                               struct cf_reaped *reaped, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row, loop = false;

    st = cf_sql_open(&s, q->db,
                     charge ? "UPDATE job SET crashes = crashes + 1,"
                              " state = iif(crashes + 1 >= ?2, 3, 0)"
                              " WHERE id = ?1 RETURNING state"
                            : "UPDATE job SET releases = releases + 1, state = 0"
                              " WHERE id = ?1 RETURNING state",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, job_id);
        if (charge)
            cf_sql_int(&s, 2, retry->max_crashes);
        while ((st = cf_sql_step(&s, &row, err)) == CF_OK && row)
            loop = cf_sql_col_int(&s, 0) == CF_JOB_FAILED;
    }
    cf_sql_close(&s);
    if (st != CF_OK)
        return st;
    reaped->jobs++;
    reaped->failed += loop;
    if (loop)
        CF_TRY(cf_failure_put(q, job_id, "CRASH_LOOP", why, err));
    return cf_attempt_end(q, job_id, charge ? "crashed" : "released",
                          loop     ? "CRASH_LOOP"
                          : charge ? "CRASH"
                                   : NULL,
                          why, NULL, err);
}

/* Every lease of a worker, inside the caller's transaction. charge: crashes + 1 and
 * CRASH_LOOP at the limit; else a release. why goes into the history; *reaped grows by
 * the jobs. */
static enum cf_status take_back(struct cf_queue *q, int64_t worker_id, bool charge,
                                const char *why, const struct cf_retry *retry,
                                struct cf_reaped *reaped, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    int64_t id = 0;
    bool row = true;

    do { /* one at a time: the rows under a reading statement are not changed */
        st = cf_sql_open(&s, q->db,
                         "DELETE FROM lease WHERE job_id ="
                         " (SELECT min(job_id) FROM lease WHERE worker_id = ?1)"
                         " RETURNING job_id",
                         err);
        if (st == CF_OK) {
            cf_sql_int(&s, 1, worker_id);
            st = cf_sql_step(&s, &row, err);
        }
        if (st == CF_OK && row)
            id = cf_sql_col_int(&s, 0);
        cf_sql_close(&s);
        if (st != CF_OK || !row)
            break;
        st = take_one(q, id, charge, why, retry, reaped, err);
    } while (st == CF_OK);
    return st;
}

enum cf_status cf_queue_unregister(struct cf_queue *q, int64_t worker_id,
                                   struct cf_error *err)
{
    struct cf_reaped reaped = {0};
    struct cf_retry none;
    enum cf_status st;

    CF_TRY(cf_queue_writable(q, err));
    cf_retry_default(&none);
    CF_TRY(cf_sql_begin(q->db, err));
    st = take_back(q, worker_id, false, "the worker left", &none, &reaped, err);
    if (st == CF_OK)
        st = worker_ended(q, worker_id, NULL, err);
    return cf_sql_end(q->db, st, err);
}

enum lock { LOCK_HELD, LOCK_FREE, LOCK_LEFT, LOCK_UNKNOWN };

/* Free is a lock that could be shared now: its holder wants it alone. A file that is gone
 * counts as free; an unreadable one says nothing; one that holds something was left in
 * good order (jobs/self.h). */
static enum lock ask_lock(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    enum lock answer = LOCK_FREE;
    struct stat sb;

    if (fd < 0)
        return errno == ENOENT ? LOCK_FREE : LOCK_UNKNOWN;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        answer = errno == EWOULDBLOCK ? LOCK_HELD : LOCK_UNKNOWN;
    else if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0)
        answer = LOCK_LEFT;
    close(fd);
    return answer;
}

bool cf_lock_is_free(const char *path)
{
    enum lock lock = ask_lock(path);

    return lock == LOCK_FREE || lock == LOCK_LEFT;
}

enum fate { LIVES, UNKNOWN, CRASHED, TAKEN_DOWN };

static bool same(const char *a, const char *b)
{
    return a && b && *a && strcmp(a, b) == 0;
}

/* Living workers, as ask_lock, fate_of and watch read them. */
#define LIVING                                                                           \
    "SELECT id, host, boot_id, lock_path, slurm_job, slurm_task, restart, beat"          \
    " FROM worker WHERE ended IS NULL ORDER BY id"

/* The result file of a shard is one host's at a time, and now it is ours. */
static enum fate fate_of(const struct cf_queue *q, const struct cf_sql *s,
                         const struct cf_worker *self, const char **why)
{
    const char *lock_path = cf_sql_col_text(s, 3, NULL);
    enum lock lock;

    if (same(cf_sql_col_text(s, 4, NULL), self->slurm_job) &&
        same(cf_sql_col_text(s, 5, NULL), self->slurm_task) &&
        cf_sql_col_int(s, 6) < self->restart) {
        *why = "Slurm started its task again";
        return TAKEN_DOWN;
    }
    if (!same(cf_sql_col_text(s, 1, NULL), self->host)) {
        *why = "its host let go of the shard";
        return q->shard ? CRASHED : UNKNOWN;
    }
    if (self->boot_id && *self->boot_id &&
        !same(cf_sql_col_text(s, 2, NULL), self->boot_id)) {
        *why = "its host was booted again";
        return TAKEN_DOWN;
    }
    lock = lock_path ? ask_lock(lock_path) : LOCK_UNKNOWN;
    *why = lock == LOCK_LEFT ? "its worker left while the queue was locked"
                             : "its worker died";
    switch (lock) {
    case LOCK_FREE:
        return CRASHED;
    case LOCK_LEFT:
        return TAKEN_DOWN;
    default:
        return lock == LOCK_HELD ? LIVES : UNKNOWN;
    }
}

enum cf_status cf_queue_watch(struct cf_queue *q, int64_t silence_ms,
                              struct cf_error *err)
{
    if (silence_ms < 1)
        return cf_fail(err, CF_ERANGE, "watch of %lld ms, expected 1 or more",
                       (long long)silence_ms);
    q->silence_ms = silence_ms;
    return CF_OK;
}

/* What a watch knows after this round, by id; *from goes along what it knew before. */
struct round {
    struct cf_watched *now;
    size_t n, cap, from;
};

/* Since when the beat of this worker stands, on our own clock: from the first look on. */
static enum cf_status look(struct cf_queue *q, struct round *r, const struct cf_sql *s,
                           enum fate *fate, const char **why, struct cf_error *err)
{
    struct cf_watched w = {cf_sql_col_int(s, 0), cf_sql_col_int(s, 7), q->boot_ms()};
    int64_t now = w.since;

    while (r->from < q->n_watched && q->watched[r->from].worker_id < w.worker_id)
        r->from++;
    if (r->from < q->n_watched && q->watched[r->from].worker_id == w.worker_id &&
        q->watched[r->from].beat == w.beat)
        w.since = q->watched[r->from].since;
    CF_TRY(cf_grow(&r->now, &r->cap, r->n + 1, sizeof *r->now, err));
    r->now[r->n++] = w;
    if (now - w.since >= q->silence_ms) {
        *fate = CRASHED;
        *why = "its worker was silent for too long";
    }
    return CF_OK;
}

struct dead {
    int64_t id;
    enum fate fate;
    const char *why;
    char *left; /* its lock file, which may want to be removed */
};

static enum cf_status find_dead(struct cf_queue *q, const struct cf_worker *self,
                                struct dead **dead, size_t *n, struct cf_error *err)
{
    struct round r = {0};
    size_t cap = 0;
    enum cf_status st;
    struct cf_sql s;
    bool row;

    st = cf_sql_open(&s, q->db, LIVING, err);
    while (st == CF_OK && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        struct dead d = {.id = cf_sql_col_int(&s, 0)};

        d.fate = fate_of(q, &s, self, &d.why);
        if (d.fate == UNKNOWN && q->silence_ms)
            st = look(q, &r, &s, &d.fate, &d.why, err);
        if (st != CF_OK || d.fate == LIVES || d.fate == UNKNOWN)
            continue;
        st = cf_grow(dead, &cap, *n + 1, sizeof **dead, err);
        if (st == CF_OK && d.fate == TAKEN_DOWN)
            st = cf_sql_col_dup(&s, 3, &d.left, NULL, err);
        if (st == CF_OK)
            (*dead)[(*n)++] = d;
    }
    cf_sql_close(&s);
    if (st == CF_OK) {
        cf_free(q->watched);
        q->watched = r.now;
        q->n_watched = r.n;
    } else {
        cf_free(r.now);
    }
    return st;
}

enum cf_status cf_queue_in_use(struct cf_queue *q, const struct cf_worker *self,
                               bool *in_use, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    *in_use = false;
    st = cf_sql_open(&s, q->db, LIVING, err);
    while (st == CF_OK && !*in_use && (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        const char *path = cf_sql_col_text(&s, 3, NULL);

        *in_use = path && same(cf_sql_col_text(&s, 1, NULL), self->host) &&
                  !same(path, self->lock_path) && ask_lock(path) == LOCK_HELD;
    }
    cf_sql_close(&s);
    return st;
}

/* The lock file of a worker that left has told what it had to. The path is a row's, so it
 * is looked at twice. */
static void remove_left(const struct cf_queue *q, const char *path)
{
    size_t n = strlen(q->dir);
    const char *base = strrchr(path, '/');

    if (base && (size_t)(base - path) == n && strncmp(path, q->dir, n) == 0 &&
        strncmp(base + 1, CF_LOCK_PREFIX, sizeof CF_LOCK_PREFIX - 1) == 0 &&
        ask_lock(path) == LOCK_LEFT)
        unlink(path);
}

enum cf_status cf_queue_reap(struct cf_queue *q, const struct cf_worker *self,
                             const struct cf_retry *retry, struct cf_reaped *reaped,
                             struct cf_error *err)
{
    struct dead *dead = NULL;
    size_t n_dead = 0;
    enum cf_status st;

    *reaped = (struct cf_reaped){0};
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = find_dead(q, self, &dead, &n_dead, err);
    for (size_t i = 0; i < n_dead && st == CF_OK; i++) {
        st = take_back(q, dead[i].id, dead[i].fate == CRASHED, dead[i].why, retry, reaped,
                       err);
        if (st == CF_OK)
            st = worker_ended(q, dead[i].id, NULL, err);
    }
    st = cf_sql_end(q->db, st, err);
    for (size_t i = 0; i < n_dead; i++) {
        if (st == CF_OK && dead[i].left)
            remove_left(q, dead[i].left);
        cf_free(dead[i].left);
    }
    cf_free(dead);
    return st;
}

enum cf_status cf_queue_reap_worker(struct cf_queue *q, int64_t worker_id,
                                    const struct cf_retry *retry,
                                    struct cf_reaped *reaped, struct cf_error *err)
{
    enum cf_status st;
    int found = 0;

    *reaped = (struct cf_reaped){0};
    CF_TRY(cf_queue_writable(q, err));
    CF_TRY(cf_sql_begin(q->db, err));
    st = worker_ended(q, worker_id, &found, err);
    if (st == CF_OK && !found)
        st = cf_fail(err, CF_ENOENT, "worker %lld is not registered",
                     (long long)worker_id);
    if (st == CF_OK)
        st = take_back(q, worker_id, true, "taken back by force", retry, reaped, err);
    return cf_sql_end(q->db, st, err);
}
