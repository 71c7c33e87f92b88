/* launch.h - what a command line comes to: a look ahead, one worker, or a crew. */
#ifndef CF_PIPELINE_LAUNCH_H
#define CF_PIPELINE_LAUNCH_H

#include "pipeline/batch.h"

/* The exit status of the program. With exclusive, 0 and nothing done where others are at
 * work. With workers > 1 the model is loaded here, by one thread, and N processes work
 * with it (crew.h); max_jobs then bounds all together, fail_fast each. */
int cf_launch(const struct cf_batch_options *o, struct cf_log *log);

#endif
