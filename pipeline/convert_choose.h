/* convert_choose.h - what weights do not say: name, sizes, settings, how they are held.
 *
 * Chosen by the geometry that was detected, overridden by options, and told in a line
 * each with the reason: nothing in a manifest comes about silently. */
#ifndef CF_PIPELINE_CONVERT_CHOOSE_H
#define CF_PIPELINE_CONVERT_CHOOSE_H

#include "models/geometry.h"
#include "pipeline/convert_args.h"
#include "pipeline/convert_text.h"

/* Fills name, hold, sizes, text and sampling of the manifest, whose infinity, vae and
 * source are the caller's; the caller frees all of them (cf_choose_free). Prints each
 * choice to stdout.
 *   inf       the transformer, paired (cf_pair_vae)
 *   known     its row of the table, NULL for a geometry of nobody's
 *   bytes     of transformer and text encoder as they will be written
 *   quantized some matrix becomes int8 or 4bit
 * CF_EUSAGE for options that contradict the model, CF_EFORMAT for a prefix that is no
 * UTF-8. */
enum cf_status cf_choose(struct cf_model_spec *m, const struct cf_convert_args *args,
                         const struct cf_inf_shape *inf, const struct cf_geometry *known,
                         const struct cf_convert_text *text, size_t bytes, bool quantized,
                         struct cf_error *err);
void cf_choose_free(struct cf_model_spec *m);

#endif
