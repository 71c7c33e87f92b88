/* finish.h - from pixels to the bytes of a file that tells how it was made.
 *
 * Shared by the worker's WebP stage (press.h) and by the single-image tool. Needs no
 * model: all it says was collected in a cf_story before, so it may run on another thread.
 */
#ifndef CF_PIPELINE_FINISH_H
#define CF_PIPELINE_FINISH_H

#include "pipeline/engine.h"
#include "pipeline/settings.h"
#include "store/meta.h"

/* Everything that the metadata of one image says; strings owned. */
struct cf_story {
    char *prompt, *negative, *encoded; /* encoded NULL: the prompt itself was */
    char *model_name, *weights, *recipe, *guidance, *temperature, *sampler, *note;
    char model_sha256[CF_DIGEST_HEX], part_sha256[CF_NPART][CF_DIGEST_HEX];
    char recipe_sha256[CF_DIGEST_HEX], pixel_sha256[CF_DIGEST_HEX],
        job_key[CF_DIGEST_HEX];
    uint64_t seed;
    int width, height, steps;
    const char *isa; /* static */
};

/* req, plan and result of one image; job_key may be NULL. */
enum cf_status cf_story_make(struct cf_story *story, const struct cf_engine *engine,
                             const struct cf_dnn *dnn, const struct cf_request *req,
                             const struct cf_plan *plan, const struct cf_webp *webp,
                             const struct cf_result *result, const char *job_key,
                             struct cf_error *err);
void cf_story_free(struct cf_story *story); /* zeroes it */

/* Whether SOURCE_DATE_EPOCH, where it is set, is a date: CF_EUSAGE otherwise. Once, at
 * the start; after that it is taken as it is. */
enum cf_status cf_finish_date(struct cf_error *err);

/* The record of the image as one line of JSON, whatever the metadata level (store/meta.h,
 * cf_record_json). Fresh (cf_free). */
char *cf_finish_json(const struct cf_story *story, struct cf_error *err);

/* Pixels to the bytes of a WebP file with metadata.
 *   cancel  polled while a large image is encoded; NULL: never
 *   proved  false at first and kept by the caller for the life of the process: the first
 *           lossless file is decoded again and compared with its pixels, which sets it.
 * CF_EMISMATCH where they differ: the library, or the memory, is broken. */
enum cf_status cf_finish_encode(const struct cf_image *image, const struct cf_webp *webp,
                                const struct cf_story *story, enum cf_meta_level level,
                                struct cf_cancel *cancel, bool *proved,
                                struct cf_blob *blob, struct cf_error *err);

/* "cfgen 0.1.0, oneDNN 2.6.3": what made it, into buf. */
enum { CF_BUILD_ID = 96 };
const char *cf_build_id(char buf[CF_BUILD_ID]);

#endif
