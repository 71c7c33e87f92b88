/* db.h - what a struct cf_queue is, for the files of jobs/ alone. */
#ifndef CF_JOBS_DB_H
#define CF_JOBS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/queue.h"
#include "jobs/sql.h"

/* The beat of a worker whose lock cannot be asked for, and since when it stands. */
struct cf_watched {
    int64_t worker_id, beat, since;
};

/* A statement that stays prepared as long as its connection is open. */
struct cf_kept {
    const char *text;
    struct cf_sql sql;
};
enum { CF_KEPT_MAX = 32 };

struct cf_queue {
    sqlite3 *db;
    char *path; /* absolute */
    char *dir;  /* absolute */
    bool writable;
    bool shard; /* CF_QUEUE_SHARD */
    struct cf_sql_wait wait;
    int old_version; /* found at opening, and migrated; 0: it was not older */
    char *backup;    /* of it */
    struct cf_kept kept[CF_KEPT_MAX];
    struct cf_where *where;
    size_t n_where, cap_where;
    int64_t silence_ms;         /* 0: no watch */
    struct cf_watched *watched; /* by id */
    size_t n_watched;
    int64_t (*wall_ms)(void); /* cf_now_ms; tests have others */
    int64_t (*boot_ms)(void); /* CLOCK_BOOTTIME */
};

/* text prepared, once per connection: for what is done to every job. text is a literal,
 * for its address tells it from others. *s is the queue's; use it up with cf_sql_run
 * before the same text is asked for again. */
enum cf_status cf_queue_kept(struct cf_queue *q, const char *text, struct cf_sql **s,
                             struct cf_error *err);

/* Unix milliseconds by the wall clock. */
int64_t cf_now_ms(void);

/* One condition of cf_queue_where. */
struct cf_where {
    int kind;
    char *value;
};
void cf_where_free(struct cf_queue *q);

/* SQL for " AND (...)" over job as the table alias i; its values are bound from parameter
 * CF_WHERE_FIRST on. cf_free; "" without conditions. */
enum { CF_WHERE_FIRST = 20 };
char *cf_where_sql(const struct cf_queue *q, struct cf_error *err);
void cf_where_bind(const struct cf_queue *q, struct cf_sql *s);
/* The number of the parameter that holds the name of a batch, 0 when any will do. */
int cf_where_batch(const struct cf_queue *q);

/* Bring an older schema up to date: the backup PATH.vNNNN.bak first, unless it is there
 * already, then one transaction. */
enum cf_status cf_migrate(struct cf_queue *q, int version, struct cf_error *err);

/* Whether the file at path says that it is ours, read before SQLite may touch it:
 * CF_EFORMAT (no database), CF_ECONFIG (of another program). */
enum cf_status cf_db_probe(const char *path, struct cf_error *err);

/* file:PATH?QUERY with everything escaped that a URI could misread; cf_free. */
char *cf_db_uri(const char *path, const char *query, struct cf_error *err);

/* A connection of its own, by cf_db_uri(path, query), to a file of a schema that we can
 * read; sqlite3_close, also after a failure. */
enum cf_status cf_db_look(sqlite3 **db, const char *path, const char *query, int flags,
                          struct cf_error *err);

/* A row of meta in the database that is attached as schema; "" where there is none. */
enum cf_status cf_db_meta(sqlite3 *db, const char *schema, const char *key, char *value,
                          size_t size, struct cf_error *err);
/* The same as a number in lo..hi: CF_EFORMAT for none. */
enum cf_status cf_db_meta_int(sqlite3 *db, const char *schema, const char *key,
                              int64_t lo, int64_t hi, int64_t *value,
                              struct cf_error *err);

/* The URI by which another connection may read q as it does itself; cf_free. */
char *cf_queue_read_uri(const struct cf_queue *q, struct cf_error *err);

/* CF_EPERM when the queue was opened to read. */
enum cf_status cf_queue_writable(const struct cf_queue *q, struct cf_error *err);

/* Close the running attempt of a job. code and message may be NULL. */
enum cf_status cf_attempt_end(struct cf_queue *q, int64_t job_id, const char *outcome,
                              const char *code, const char *message, const char *stage_ms,
                              struct cf_error *err);

/* text: an UPDATE of job where its id is ?1, a literal (cf_queue_kept). */
enum cf_status cf_job_set(struct cf_queue *q, int64_t id, const char *text,
                          struct cf_error *err);

/* In the caller's transaction: the mark of the tar that the worker of job's claim holds.
 * CF_ELOST where it does not hold it. */
enum cf_status cf_tar_move(struct cf_queue *q, const struct cf_job *job,
                           const struct cf_tar_mark *tar, struct cf_error *err);

/* Why a job, that went to state 3 in this transaction, failed. message may be NULL. */
enum cf_status cf_failure_put(struct cf_queue *q, int64_t job_id, const char *code,
                              const char *message, struct cf_error *err);

/* A worker that does something lives, whatever was believed before: CF_ENOENT for one
 * that is not registered. */
enum cf_status cf_worker_lives(struct cf_queue *q, int64_t worker_id,
                               struct cf_error *err);

/* Whether the lock file of a worker of this host has no owner any more. An unreadable
 * file says nothing, and then the worker is taken to live. */
bool cf_lock_is_free(const char *path);

#endif
