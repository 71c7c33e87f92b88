/* row.h - one row of an import: named cells in, jobs out. */
#ifndef CF_JOBS_ROW_H
#define CF_JOBS_ROW_H

#include "jobs/adder.h"
#include "jobs/import.h"

enum cf_cell {
    CF_CELL_PROMPT,
    CF_CELL_NEGATIVE,
    CF_CELL_SEED,
    CF_CELL_SEEDS,
    CF_CELL_WIDTH,
    CF_CELL_HEIGHT,
    CF_CELL_PRIORITY,
    CF_CELL_KEY,
    CF_CELL_SIZE, /* in place of width and height: pixels or a name */
    CF_NCELL,
    CF_CELL_EXTRA = CF_NCELL, /* every other column */
    CF_CELL_RECIPE,
};

struct cf_row {
    struct {
        const char *text; /* NULL or empty: absent; borrowed */
        size_t len;
    } cell[CF_NCELL];
    json_t *extra;        /* object, or NULL */
    const json_t *recipe; /* object, or NULL; borrowed */
};

/* Which cell a column of that name is; column as in struct cf_import. */
enum cf_cell cf_cell_of(const char *name, const char *column);

/* Options turned into what rows need. Zeroed, then cf_defaults_open. */
struct cf_defaults {
    const struct cf_import *how;
    char *recipe; /* canonical, owned */
};
enum cf_status cf_defaults_open(struct cf_defaults *d, const struct cf_import *how,
                                struct cf_error *err);
void cf_defaults_close(struct cf_defaults *d);

/* All jobs of a row, variants side by side. *bad: the row is wrong and err says why;
 * nothing of it was added and the import can go on. Else a failure is one of the queue.
 */
enum cf_status cf_row_add(const struct cf_defaults *d, const struct cf_row *row,
                          struct cf_adder *a, struct cf_imported *n, bool *bad,
                          struct cf_error *err);

#endif
