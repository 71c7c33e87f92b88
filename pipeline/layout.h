/* layout.h - how images are laid out on disk: a file each, or many in a tar. */
#ifndef CF_PIPELINE_LAYOUT_H
#define CF_PIPELINE_LAYOUT_H

#include "jobs/queue.h"

enum cf_layout { CF_LAYOUT_AUTO, CF_LAYOUT_FILES, CF_LAYOUT_TAR };

enum { CF_LAYOUT_MANY = 100000 }; /* jobs above which auto takes tars */

/* "auto", "files" or "tar"; else CF_EUSAGE about what, an option's name. */
enum cf_status cf_layout_parse(const char *s, enum cf_layout *layout, const char *what,
                               struct cf_error *err);

/* What this queue's images have: chosen by the first worker, kept in the queue, so that a
 * restart goes on as it began. asked auto: what was chosen before, else by the number of
 * jobs. CF_ECONFIG when another one was chosen before. */
enum cf_status cf_layout_choose(struct cf_queue *q, enum cf_layout asked,
                                enum cf_layout *layout, struct cf_error *err);

#endif
