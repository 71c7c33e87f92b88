/* convert_origin.h - where the parts of a model came from, for "source" in model.json. */
#ifndef CF_PIPELINE_CONVERT_ORIGIN_H
#define CF_PIPELINE_CONVERT_ORIGIN_H

#include "base/json.h"
#include "weights/source.h"

/* Adds to origin under what: { key, files: [ { file, sha256 } ... ] }: the file that was
 * read, or the index and its shards; names without directories. key is the prefix that
 * was taken, left out where it is "". Reads all of the files. */
enum cf_status cf_origin_add(json_t *origin, const char *what,
                             const struct cf_source *src, const char *key,
                             struct cf_error *err);

#endif
