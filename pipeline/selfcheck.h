/* selfcheck.h - does a model compute something sensible? Every weight and one image.
 *
 * In this order: what the files' shapes say fits together and fits the manifest; every
 * weight is finite; the text encoder opens and gives finite features of a fixed prompt;
 * the generator opens, and an image of the smallest size goes through all its scales with
 * finite activations and logits that are not all alike; its pixels are finite. It cannot
 * say whether the pictures are any good. */
#ifndef CF_PIPELINE_SELFCHECK_H
#define CF_PIPELINE_SELFCHECK_H

#include "dnn/dnn.h"
#include "weights/model.h"

/* A check that was passed, and what it found. */
typedef void cf_check_fn(void *ctx, const char *name, const char *found);

/* Stops at the first check that fails, whose name stands before the message: CF_EFORMAT
 * names the weight that is no number, CF_ENUMERIC the scale, CF_EMISMATCH and CF_ESHAPE
 * the tensors that do not fit. */
enum cf_status cf_selfcheck(const struct cf_model *model, struct cf_dnn *dnn,
                            cf_check_fn *tell, void *ctx, struct cf_error *err);

#endif
