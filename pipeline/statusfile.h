/* statusfile.h - how a run stands, as a small JSON file for monitors.
 *
 *   {"state": "running", "host": "n1", "pid": 7, "workers": 1, "done": 12, "failed": 0,
 *    "released": 0, "total": 100, "images_per_minute": 7.5, "eta_s": 704,
 *    "stage_ms": {"encode": .., "generate": .., "decode": .., "webp": .., "file": ..,
 *                 "row": ..},
 *    "peak_bytes": 123456789, "started": "2026-01-31T12:00:00Z", "updated": "...",
 *    "exit_status": null}
 *
 * Each time it is written whole beside and renamed over, so a reader sees the old text or
 * the new one. It is not synced: after a power loss nobody runs. Trouble with it is told
 * once and is never an error of the run. Belongs to one thread at a time. */
#ifndef CF_PIPELINE_STATUSFILE_H
#define CF_PIPELINE_STATUSFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "pipeline/stage.h"

enum { CF_STATUSFILE_INTERVAL = 10 }; /* seconds */

struct cf_statusfile {
    const char *path; /* borrowed, NULL: no file is wanted and all calls do nothing */
    struct cf_log *log;
    int64_t started;      /* Unix seconds */
    long long start, put; /* monotonic ms of the start and of the last writing */
    bool warned;
};

/* peak_bytes is the most memory that the process which writes had at once. Sums are over
 * the whole run; milliseconds are sums over images, 0 where not measured. */
struct cf_statusfile_facts {
    const char *state; /* "starting", "running", "stopping", "ended" */
    int workers;
    long done, failed, released, total;
    double stage_ms[CF_NSTAGE];
    int exit_status; /* told once the state is "ended" */
};

void cf_statusfile_start(struct cf_statusfile *s, const char *path, struct cf_log *log);

/* Time to write again? */
bool cf_statusfile_due(const struct cf_statusfile *s);

void cf_statusfile_put(struct cf_statusfile *s, const struct cf_statusfile_facts *f);

#endif
