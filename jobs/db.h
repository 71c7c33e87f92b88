/* db.h - what a struct cf_queue is, for the files of jobs/ alone. */
#ifndef CF_JOBS_DB_H
#define CF_JOBS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/queue.h"
#include "jobs/sql.h"

struct cf_queue {
    sqlite3 *db;
    char *path; /* absolute */
    char *dir;  /* absolute */
    bool writable;
};

/* Unix milliseconds by the wall clock. */
int64_t cf_now_ms(void);

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

/* Give up a lease: CF_ELOST when the token is not the one stored. */
enum cf_status cf_lease_drop(struct cf_queue *q, const struct cf_job *job,
                             struct cf_error *err);

/* Take back every lease of a worker inside the caller's transaction. charge: crashes + 1
 * and CRASH_LOOP at the limit; else a release. why goes into the history; *reaped
 * grows by the jobs. */
enum cf_status cf_lease_take_back(struct cf_queue *q, int64_t worker_id, bool charge,
                                  const char *why, const struct cf_retry *retry,
                                  struct cf_reaped *reaped, struct cf_error *err);

#endif
