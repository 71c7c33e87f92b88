/* audit.h - what a queue says of the files below its root, and what it takes back.
 *
 * Which files does no row name? Names are put into a temporary table of SQLite, which
 * lies on disk once it is large (SQLITE_TMPDIR or TMPDIR), and compared with the rows by
 * merging both in order: memory is bounded whatever the number of files and rows.
 *
 *     cf_audit_begin; cf_audit_found per file; cf_audit_lone; cf_audit_next ...;
 *     cf_audit_end
 *
 * Files first, rows after: a worker writes the file, then the row. So a file that was
 * seen is named by a row, or belongs to a job that runs, or is nobody's. With `hold` no
 * job can be claimed or ended from cf_audit_lone to cf_audit_end: only then may a file
 * that is nobody's be removed, since nobody can begin to write one of that name. */
#ifndef CF_JOBS_AUDIT_H
#define CF_JOBS_AUDIT_H

#include "jobs/detail.h"

struct cf_audit {
    struct cf_queue *q; /* borrowed */
    struct cf_sql s;
    bool open; /* a transaction is */
};

enum cf_status cf_audit_begin(struct cf_audit *a, struct cf_queue *q,
                              struct cf_error *err);

/* A file, by its name relative to the root. */
enum cf_status cf_audit_found(struct cf_audit *a, const char *path, struct cf_error *err);

/* All files were told. hold: the queue was opened to write. */
enum cf_status cf_audit_lone(struct cf_audit *a, bool hold, struct cf_error *err);

/* The next name, in order, that no row and no running job has; it lives until the next
 * call. NULL at the end. */
enum cf_status cf_audit_next(struct cf_audit *a, const char **path, struct cf_error *err);
void cf_audit_end(struct cf_audit *a); /* a zeroed one is fine */

/* A done job whose file is no good becomes ready, its output row goes: unless the row is
 * another one by now. *undone says which. */
enum cf_status cf_queue_undo(struct cf_queue *q, int64_t id, const char *path,
                             const char *file_sha256, bool *undone, struct cf_error *err);

#endif
