/* out_copy.h - a part of one model taken into another as it is. */
#ifndef CF_PIPELINE_OUT_COPY_H
#define CF_PIPELINE_OUT_COPY_H

#include "pipeline/convert_out.h"
#include "weights/model_spec.h"

/* The file from as name, synced; its blocks are shared where the file system can. */
enum cf_status cf_out_copy(const struct cf_out *out, const char *name, const char *from,
                           struct cf_error *err);

/* All files of a part under the names that model's manifest gives them, into out and
 * part, which borrows from the model. CF_EMISMATCH where a file is not the one that the
 * manifest names. */
enum cf_status cf_out_copy_part(const struct cf_out *out, const struct cf_model *model,
                                enum cf_part which, struct cf_model_spec_part *part,
                                struct cf_error *err);

/* Adds the bytes of those files to *bytes. */
enum cf_status cf_out_copy_bytes(const struct cf_model *model, enum cf_part which,
                                 size_t *bytes, struct cf_error *err);

#endif
