/* detail.h - all that is known of a job, for people and programs: list, show, export.
 *
 * Order: open or one; next until *row is false; close. */
#ifndef CF_JOBS_DETAIL_H
#define CF_JOBS_DETAIL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/digest.h"
#include "jobs/db.h"

/* Texts live until the next call; NULL where there is none. */
struct cf_detail {
    int64_t id;
    int state;
    char key[CF_DIGEST_HEX];
    const char *prompt, *negative, *recipe, *user_key, *extra, *batch;
    size_t prompt_len, negative_len;
    uint64_t seed;
    int width, height, priority, attempts, crashes, releases;
    /* of the output; path NULL: none yet */
    const char *path, *file_sha256, *pixel_sha256, *build, *isa, *model_sha256, *stage_ms,
        *note;
    int64_t offset, bytes, ended; /* offset: in the tar at path; 0: path is the image */
    int out_width, out_height, threads;
};

struct cf_details {
    struct cf_sql s;
};

/* state -1: any. limit -1: all. */
enum cf_status cf_details_open(struct cf_details *it, struct cf_queue *q, int state,
                               int64_t limit, struct cf_error *err);
/* Jobs above the id `after`, in order, at most limit. Readers of a whole large queue go
 * from page to page with it: one endless read would keep the log from being folded back
 * for as long as it lasts. state -1, batch and code NULL: any; limit -1: all. */
struct cf_pick {
    int state;
    const char *batch; /* its name */
    const char *code;  /* of the failure */
    int64_t after, limit;
};
enum cf_status cf_details_pick(struct cf_details *it, struct cf_queue *q,
                               const struct cf_pick *pick, struct cf_error *err);
enum cf_status cf_details_one(struct cf_details *it, struct cf_queue *q, int64_t id,
                              struct cf_error *err);
enum cf_status cf_details_next(struct cf_details *it, struct cf_detail *d, bool *row,
                               struct cf_error *err);
void cf_details_close(struct cf_details *it);

/* Why a failed job failed: its code ("UNKNOWN" where nothing tells) and message ("" for
 * none), both fresh (cf_free). */
enum cf_status cf_detail_failure(struct cf_queue *q, int64_t id, char **code,
                                 char **message, struct cf_error *err);

/* MANIFEST: a function of the job and its pixels, the same on every machine. TIMES adds
 * when and where it was made, ALL also how it stands in the queue. */
enum cf_detail_level { CF_DETAIL_MANIFEST, CF_DETAIL_TIMES, CF_DETAIL_ALL };

/* For Jansson: 15 digits bring numbers out as people wrote them (0.9, not
 * 0.90000000000000002). */
enum { CF_DETAIL_FLAGS = JSON_COMPACT | JSON_REAL_PRECISION(15) };

/* A fresh object; keys in a fixed order, absent facts null. A seed above 2^63 - 1 is a
 * string, since JSON readers lose its digits otherwise. */
json_t *cf_detail_json(const struct cf_detail *d, enum cf_detail_level level,
                       struct cf_error *err);

/* The same as one line. */
enum cf_status cf_detail_dump(const struct cf_detail *d, enum cf_detail_level level,
                              FILE *to, struct cf_error *err);

#endif
