/* copy.h - a new queue file with jobs of another one, which appears whole or not at all.
 *
 *     cf_copy_open(&c, path, NULL, uri, &err);
 *     cf_copy_jobs(&c, "state IN (0, 4)", &err);
 *     cf_copy_meta(&c, "key", "'value'", &err);
 *     st = cf_copy_close(&c, st, &err);
 *
 * The file is made beside its place without a journal, synced and renamed. The source is
 * read in one transaction, so its users go on meanwhile. Memory does not grow with the
 * rows: what must be sorted lies in SQLite's temporary files. */
#ifndef CF_JOBS_COPY_H
#define CF_JOBS_COPY_H

#include "jobs/part.h"
#include "jobs/sql.h"

struct cf_copy {
    sqlite3 *db;         /* main: the new file; src: the source */
    struct cf_part part; /* the new file until it is whole */
};

/* part: its name until it is whole, or NULL (jobs/part.h). source is a URI for SQLite.
 * path is borrowed until close; CF_ECREAT where it exists. */
enum cf_status cf_copy_open(struct cf_copy *c, const char *path, const char *part,
                            const char *source, struct cf_error *err);

/* The jobs for which the SQL condition holds, as ready ones, with all they refer to. */
enum cf_status cf_copy_jobs(struct cf_copy *c, const char *condition,
                            struct cf_error *err);

/* One row of meta; value is an SQL expression. */
enum cf_status cf_copy_meta(struct cf_copy *c, const char *key, const char *value,
                            struct cf_error *err);

/* Put it in its place when st is CF_OK, else remove it; returns what the whole came to.
 * After a failed open too. */
enum cf_status cf_copy_close(struct cf_copy *c, enum cf_status st, struct cf_error *err);

#endif
