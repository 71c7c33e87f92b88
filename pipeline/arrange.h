/* arrange.h - the layout of a queue's images (store/layout.h), and whose the output
 * directory is: chosen once, kept in the queue. */
#ifndef CF_PIPELINE_ARRANGE_H
#define CF_PIPELINE_ARRANGE_H

#include "jobs/queue.h"
#include "store/layout.h"

/* Chosen by the first worker and kept in the queue, so that a restart goes on as it
 * began. asked AUTO: what was chosen before, else cf_layout_choose by the jobs there are
 * now. A queue that has images and no word about it is of before there was another layout
 * than files. CF_ECONFIG when another one than asked was chosen before. */
enum cf_status cf_arrange_layout(struct cf_queue *q, enum cf_layout asked,
                                 enum cf_layout *layout, struct cf_error *err);

/* Before the first tar below root, which exists: the directory is this queue's from now
 * on (store/owner.h), and that of all shards of its plans. CF_ECONFIG where it is that of
 * another queue. */
enum cf_status cf_arrange_owner(struct cf_queue *q, const char *root,
                                struct cf_error *err);

#endif
