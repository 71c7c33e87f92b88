/* single.h - one image, where no worker is that encodes for many: the text encoder comes
 * and goes before the generator's weights come into memory, which a run sees to. */
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

/* Whether there is memory for the encoder, and after it for the generator: memory bytes
 * for all of the process, 0: what there is. req: its texts are encoded, or NULL: not yet.
 * CF_ENOMEM as that of cf_room_decide. */
enum cf_status cf_single_fit(struct cf_engine *engine, const struct cf_gen_params *params,
                             const struct cf_request *req, int64_t memory,
                             struct cf_error *err);

#endif
