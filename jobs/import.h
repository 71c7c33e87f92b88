/* import.h - prompts from CSV, TSV, JSONL or plain text into jobs.
 *
 * CSV and TSV begin with a row of column names; JSONL is one object a line with the same
 * names as keys; text is one prompt a line (blank lines are passed over). Known names,
 * in upper or lower case:
 *
 *   prompt    the text (required)         negative  what to keep away from
 *   seed      one number                  seeds     "1,5,9" or "0..99:10" (jobs/seeds.h)
 *   width, height  pixels, both or none   priority  higher is sooner
 *   key       the user's own name         tags      kept in extra
 *   recipe    JSONL only: an object (jobs/recipe.h), laid over that of the options
 *
 * All other columns are kept in the job's extra. An empty cell is an absent one. CSV is
 * quoted by RFC 4180 and read strictly: a bare quote makes a row bad, for guessing would
 * change prompts in silence. TSV has no quoting at all.
 *
 * A bad row is reported with its line number and skipped, or ends the import (strict).
 * The same row twice is one job. */
#ifndef CF_JOBS_IMPORT_H
#define CF_JOBS_IMPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "jobs/queue.h"
#include "jobs/seeds.h"

enum cf_format {
    CF_FORMAT_AUTO,
    CF_FORMAT_CSV,
    CF_FORMAT_TSV,
    CF_FORMAT_JSONL,
    CF_FORMAT_TEXT
};

/* What rows do not say themselves. All borrowed; zeroed is the default. */
struct cf_import {
    enum cf_format format; /* AUTO: by name, else by the first line */
    const char *column;    /* which column is the prompt; NULL: "prompt" */
    bool strict;
    int64_t limit;               /* rows; 0: all */
    const json_t *recipe;        /* NULL: {} */
    const char *negative;        /* NULL: none */
    const struct cf_seeds *seed; /* NULL or empty: seed 0 */
    int width, height, priority;
    const char *batch; /* its name; NULL: none */
    /* Told of every bad row; NULL: nobody. */
    void (*bad)(void *ctx, const char *path, int64_t line, const char *why);
    void *ctx;
};

struct cf_imported {
    int64_t rows;    /* read, also bad ones */
    int64_t bad;     /* skipped */
    int64_t added;   /* jobs */
    int64_t present; /* jobs that were there already */
};

/* path "-" is standard input. *n is filled on failure too: what was committed before. A
 * bad row is a failure only when strict; look at n->bad. */
enum cf_status cf_import_file(struct cf_queue *q, const char *path,
                              const struct cf_import *how, struct cf_imported *n,
                              struct cf_error *err);

#endif
