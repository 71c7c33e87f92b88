/* texts.h - prompts as features: the one text encoder of a process, and what it lately
 * encoded.
 *
 * Seeds of one prompt stand side by side in a queue, and the negative prompt is mostly
 * the same one: recent features are kept in memory, the oldest out first, and in a cache
 * on disk (jobs/cache.h) where there is one. A hit gives the bytes of a miss: features
 * depend on nothing but the prompt, the encoder, the build and the instruction set, and
 * all of these are the key on disk.
 *
 * Calls may come from any thread; they take turns. The threads' floating-point state is
 * that of the thread which opened the struct cf_dnn (flush-to-zero): they are its
 * children. */
#ifndef CF_PIPELINE_TEXTS_H
#define CF_PIPELINE_TEXTS_H

#include "base/cancel.h"
#include "dnn/dnn.h"
#include "jobs/cache.h"
#include "pipeline/packed.h"
#include "textenc/textenc.h"
#include "weights/model.h"

struct cf_texts;

struct cf_texts_options {
    struct cf_packed *packed;     /* borrowed, NULL: none */
    struct cf_dnn *dnn;           /* borrowed; led by whoever calls, one at a time */
    const struct cf_model *model; /* borrowed */
    int dim;                      /* features a token that the generator expects */
    struct cf_cache *cache;       /* borrowed, NULL: none; used inside the calls alone */
    struct cf_cancel *cancel;     /* polled between layers; NULL: never */
};

/* Opens the encoder, too. CF_EMISMATCH where its features are not of that width. */
enum cf_status cf_texts_open(struct cf_texts **texts, const struct cf_texts_options *o,
                             struct cf_error *err);
void cf_texts_close(struct cf_texts *texts); /* NULL is fine; references stay valid */

/* The encoder leaves memory until there is something to encode; what was lately encoded
 * stays. */
void cf_texts_rest(struct cf_texts *texts);

/* Another cache and another flag than at opening, for a process that was forked since. */
void cf_texts_adopt(struct cf_texts *texts, struct cf_cache *cache,
                    struct cf_cancel *cancel);

/* An encoded prompt that several images share: never changed, freed with its last
 * reference. */
struct cf_encoded;
const struct cf_text *cf_encoded_text(const struct cf_encoded *e);
void cf_encoded_drop(struct cf_encoded *e); /* NULL is fine; from any thread */

/* A reference for each of n prompts, encoding together what is known from nowhere.
 * remembered_only: nothing is encoded, and what is not known is NULL. On failure out is
 * all NULL. Errors are those of cf_textenc_encode; CF_ECANCEL. */
enum cf_status cf_texts_get(struct cf_texts *texts, const struct cf_prompt *prompt, int n,
                            bool remembered_only, struct cf_encoded **out,
                            struct cf_error *err);

/* Prompts asked for that were in memory, on disk, and encoded. A prompt that was only
 * looked for and not found counts when it is encoded. */
struct cf_texts_count {
    long memory, disk, encoded;
};
struct cf_texts_count cf_texts_count(struct cf_texts *texts);

#endif
