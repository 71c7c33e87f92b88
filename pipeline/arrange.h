/* arrange.h - the layout that the images of a queue have (store/layout.h). */
#ifndef CF_PIPELINE_ARRANGE_H
#define CF_PIPELINE_ARRANGE_H

#include "jobs/queue.h"
#include "store/layout.h"

/* Chosen by the first worker and kept in the queue, so that a restart goes on as it
 * began. asked AUTO: what was chosen before, else by the number of jobs. A queue that has
 * images and no word about it is of before there was another layout than files.
 * CF_ECONFIG when another one than asked was chosen before. */
enum cf_status cf_arrange_layout(struct cf_queue *q, enum cf_layout asked,
                                 enum cf_layout *layout, struct cf_error *err);

#endif
