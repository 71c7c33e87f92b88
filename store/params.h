/* params.h - the generation text that A1111-style readers parse.
 *
 *     PROMPT
 *     Negative prompt: NEGATIVE
 *     Steps: 13, Sampler: "...", CFG scale: 4, Seed: 7, Size: 1024x1024, Model hash: ...
 *
 * As stable-diffusion-webui writes it (modules/infotext_utils.py): a value that holds a
 * comma, a colon or a line end is quoted as a JSON string. */
#ifndef CF_STORE_PARAMS_H
#define CF_STORE_PARAMS_H

#include "base/error.h"
#include "store/meta.h"

/* Fresh string (cf_free); what the record does not know is left out. */
char *cf_params_text(const struct cf_record *r, struct cf_error *err);

#endif
