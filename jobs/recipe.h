/* recipe.h - what changes pixels and is no column of a job, as canonical JSON.
 *
 * An object with any of these keys; a missing one means the default of the model or of
 * the encoder, so {} is the default recipe.
 *
 *   model                string         name of a model; absent: the worker's
 *   cfg                  number, list   guidance per step, 0..100
 *   tau                  number, list   temperature per step, 0.001..100
 *   top_k                integer        0 off, 1..2^30
 *   top_p                number         0 off, ..1
 *   cfg_insertion_layer  list of int    0 logits, -k after block depth - k; -1000..0
 *   flip_bits            number, list   probability of a wrong bit per step, 0..1
 *   quality              number         WebP, 0..100
 *   lossless, sharp_yuv  true, false    WebP
 *   method               integer        WebP effort, 0..6
 *   strict_size          true, false    refuse a size that is no template of the model
 *   size                 string         by name, "3:2", "0.25M" or "3:2@0.25M" (base/
 *                                       parse.h), for jobs without width and height
 *   kv_type              "f32", "bf16"  of the keys and values that attention keeps
 *   positive_prompt      true, false    a sentence about faces where people are named
 *   init_image           string         WebP file whose coarse scales are kept; relative
 *                                       to the directory of the database
 *   init_sha256          string         of that file: another one is refused
 *   keep_scales          integer        how many of them, 1..256; not one without the
 *                                       other
 *   cfg_skip             integer        no guidance at so many last steps, 0..256
 *   prune_tokens         number, list   share of tokens left out at the last step, or at
 *                                       as many last steps as there are numbers, 0..1
 *
 * Canonical: keys sorted, no blanks, null members dropped, numbers that are not counts
 * always with a fraction and at most nine digits (what a float can hold), -0.0 as 0.0. So
 * 3, 3.0 and 3e0 are one recipe. Lists hold 1..256 numbers. */
#ifndef CF_JOBS_RECIPE_H
#define CF_JOBS_RECIPE_H

#include <jansson.h>

#include "base/error.h"

/* The canonical text of a recipe in *canon (cf_free). CF_EFORMAT names the key, what was
 * found and what was expected; unknown keys are refused. where names the text. */
enum cf_status cf_recipe_canon(const char *json, size_t len, const char *where,
                               char **canon, struct cf_error *err);

/* The same from a tree; over (may be NULL) is laid over base (may be NULL) key by key. */
enum cf_status cf_recipe_merge(const json_t *base, const json_t *over, const char *where,
                               char **canon, struct cf_error *err);

#endif
