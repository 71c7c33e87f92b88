/* progress.h - a bar on a terminal, one line per interval anywhere else. */
#ifndef CF_PIPELINE_PROGRESS_H
#define CF_PIPELINE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/log.h"
#include "pipeline/stage.h"

enum cf_progress_mode { CF_PROGRESS_AUTO, CF_PROGRESS_ALWAYS, CF_PROGRESS_NEVER };

struct cf_progress {
    struct cf_log *log;
    bool bar;              /* stderr is a terminal that can redraw a line */
    bool lines;            /* one line per interval */
    int interval;          /* seconds between lines */
    long long start, told; /* monotonic ms */
    atomic_long total, done, failed;
};

/* always: a bar even where stderr is no terminal; never: nothing but what USR2 asks for.
 */
void cf_progress_start(struct cf_progress *p, struct cf_log *log,
                       enum cf_progress_mode mode, int interval, bool quiet);

/* Called several times a second by the signal thread; now: tell at once. */
void cf_progress_tick(struct cf_progress *p, bool now);

/* One line: milliseconds an image took in each stage so far, ms in all (CF_STAGE_...). */
void cf_progress_stages(const struct cf_progress *p, const double ms[CF_NSTAGE]);

void cf_progress_end(struct cf_progress *p); /* leaves the bar's line */

#endif
