/* feed.h - the stage that claims jobs, reads their settings and has their texts encoded,
 * on a thread and a connection of its own.
 *
 * It keeps one lot in reserve, so that the generator never waits for a disk. A job over
 * which a worker died is alone in the whole process: nothing is claimed ahead of it, and
 * it is handed on only when all else has ended. When nothing is ready it waits for jobs
 * that are due soon, and for new ones as long as --wait says. */
#ifndef CF_PIPELINE_FEED_H
#define CF_PIPELINE_FEED_H

#include "pipeline/shift.h"

struct cf_feed;

enum cf_status cf_feed_start(struct cf_feed **feed, struct cf_shift *shift,
                             struct cf_error *err);

/* Joins the thread, which ends shift->lots when it will bring nothing more. *left where
 * it stopped although there was work. NULL is fine. */
void cf_feed_join(struct cf_feed *feed, bool *left);

#endif
