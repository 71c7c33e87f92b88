/* single.h - the texts of one image, where no worker is that encodes for many. */
#ifndef CF_PIPELINE_SINGLE_H
#define CF_PIPELINE_SINGLE_H

#include "pipeline/engine.h"
#include "pipeline/texts.h"

/* Fills in req->cond and req->avoid from its prompt (with req->positive as
 * pipeline/positive.h makes it) and its negative; they are borrowed from
 * text, whose members the caller drops (cf_encoded_drop) when the image is made, also on
 * failure. *ms: how long it took, without the loading of the encoder. */
enum cf_status cf_single_encode(struct cf_request *req, const struct cf_engine *engine,
                                struct cf_dnn *dnn, struct cf_cancel *cancel,
                                struct cf_encoded *text[2], double *ms,
                                struct cf_error *err);

#endif
