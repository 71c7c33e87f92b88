/* schema.h - the tables of a queue: how they are made, recognised and migrated. */
#ifndef CF_JOBS_SCHEMA_H
#define CF_JOBS_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/error.h"

enum {
    CF_SCHEMA_ID = 0x6366676e, /* application_id: "cfgn" */
    /* user_version = 1000 * major + minor. A reader may go on when only the minor part is
     * newer than its own; a writer may not. */
    CF_SCHEMA_VERSION = 1001,
};

/* Whether somebody who may write (or only read) can use user_version version: CF_ECONFIG
 * when it is too new. */
enum cf_status cf_schema_usable(int version, bool write, struct cf_error *err);

/* Make or migrate to CF_SCHEMA_VERSION inside the caller's transaction. version is the
 * user_version found: 0 for a new file. */
enum cf_status cf_schema_migrate(sqlite3 *db, int version, struct cf_error *err);

#endif
