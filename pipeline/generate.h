/* generate.h - the stage that turns encoded prompts into pixels, on the caller's thread.
 *
 * Inside a lot, jobs with equal settings run side by side; a group that fails is run
 * again one by one, so that one bad job fails alone. Where images go into tars, only
 * neighbours run side by side and images leave in the order of their jobs. */
#ifndef CF_PIPELINE_GENERATE_H
#define CF_PIPELINE_GENERATE_H

#include "pipeline/shift.h"

/* Until shift->lots has ended and is empty. q: a connection of this thread, for jobs that
 * fail. What is not done stays leased; unregistering the worker gives it back. */
void cf_generate(struct cf_shift *shift, struct cf_queue *q);

#endif
