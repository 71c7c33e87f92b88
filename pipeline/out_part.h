/* out_part.h - files of a model in the making, and their entries in the manifest
 * (weights/model.h). */
#ifndef CF_PIPELINE_OUT_PART_H
#define CF_PIPELINE_OUT_PART_H

#include "base/json.h"
#include "pipeline/convert_out.h"

/* *entry: { file, sha256 }, of a large file with bytes and sample; fresh. name is below
 * the model's directory and was written. */
enum cf_status cf_out_entry(const struct cf_out *out, json_t **entry, const char *name,
                            struct cf_error *err);

/* The file from as name, synced; its blocks are shared where the file system can. */
enum cf_status cf_out_copy(const struct cf_out *out, const char *name, const char *from,
                           struct cf_error *err);

#endif
