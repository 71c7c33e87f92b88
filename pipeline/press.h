/* press.h - the stage that turns pixels into the bytes of WebP files, on a thread of its
 * own. Touches neither disk nor queue: what it cannot encode goes on to the commit stage
 * with the reason. */
#ifndef CF_PIPELINE_PRESS_H
#define CF_PIPELINE_PRESS_H

#include "pipeline/shift.h"

struct cf_press;

enum cf_status cf_press_start(struct cf_press **press, struct cf_shift *shift,
                              struct cf_error *err);

/* Joins the thread, which ends when shift->images has ended and is empty; then ends
 * shift->files. NULL is fine. */
void cf_press_join(struct cf_press *press);

#endif
