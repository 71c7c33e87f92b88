/* inspect.h - what a model directory is, or a file that somebody downloaded: facts as
 * JSON.
 *
 * One object for each path, keys as cfgen-model(1) lists them; those that make no sense
 * for a kind are absent. Numbers of bytes are integers. */
#ifndef CF_PIPELINE_INSPECT_H
#define CF_PIPELINE_INSPECT_H

#include "base/error.h"
#include "base/json.h"

enum { CF_INSPECT_TOKENS = 64 }; /* of the prompt that memory is told for */

/* path: a model directory; or a transformer, a tokenizer (VAE) or a text encoder as
 * weights/source.h reads it. Fresh. CF_EFORMAT where it is none of these, saying what it
 * seems to be. */
enum cf_status cf_inspect(json_t **facts, const char *path, struct cf_error *err);

#endif
