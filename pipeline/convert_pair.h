/* convert_pair.h - which tokenizer belongs to which transformer, as far as shapes do not
 * tell (models/detect.h).
 *
 * Two tokenizers of one shape, d32 and d32_reg, only the names of their files tell apart,
 * and a transformer with the wrong one of them draws noise without an error. */
#ifndef CF_PIPELINE_CONVERT_PAIR_H
#define CF_PIPELINE_CONVERT_PAIR_H

#include "base/error.h"

/* Names of the two files or folders, with or without directories. CF_EMISMATCH where they
 * contradict each other: a "reg" transformer or a released 2B with a tokenizer that is
 * named otherwise, "8b" with a tokenizer named for other bits, or the reverse. A name
 * that says nothing contradicts nothing. geometry: "infinity-2b" ... or NULL. */
enum cf_status cf_pair_names(const char *transformer, const char *vae,
                             const char *geometry, struct cf_error *err);

#endif
