/* scales.h - a run's steps told on standard error by a program that makes one image:
 *
 *     cfgen: scale 7 of 13, 24x24 tokens, 12.3 s
 *
 * A line each with verbose; otherwise, on a terminal that can, one line that is redrawn
 * and gone in the end; otherwise nothing. */
#ifndef CF_PIPELINE_SCALES_H
#define CF_PIPELINE_SCALES_H

#include <stdbool.h>

#include "pipeline/engine.h"

/* For cf_request.watch: static, NULL for nothing. */
const struct cf_watch *cf_scales_watch(bool verbose);

#endif
