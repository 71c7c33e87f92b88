/* engine.h - one loaded model: encoded prompts in (pipeline/texts.h), pixels out.
 *
 * An engine belongs to the thread of its struct cf_dnn. The bytes of an image depend on
 * its request, the settings, the model, the build and the instruction set; never on the
 * requests beside it. */
#ifndef CF_PIPELINE_ENGINE_H
#define CF_PIPELINE_ENGINE_H

#include "base/cancel.h"
#include "base/digest.h"
#include "models/gen.h"
#include "pipeline/holding.h"
#include "pipeline/packed.h"
#include "weights/model.h"

struct cf_engine;

/* packed: borrowed, or NULL: the engine packs for itself (pipeline/packed.h).
 * dir: a model directory (weights/model.h); its parts are compared with their hashes, or
 * large ones with samples, and its settings are tried. No weight is in memory yet: plans
 * can be made. */
enum cf_status cf_engine_open(struct cf_engine **engine, struct cf_dnn *dnn,
                              const char *dir, struct cf_packed *packed,
                              struct cf_error *err);
/* Another engine of the same model: nothing is read or compared again. first outlives it.
 */
enum cf_status cf_engine_open_beside(struct cf_engine **engine, struct cf_dnn *dnn,
                                     const struct cf_engine *first, struct cf_error *err);
void cf_engine_close(struct cf_engine *engine);

/* The generator's weights come into memory, unless they are there; a run sees to that
 * itself. CF_EMISMATCH where parts do not belong together. */
enum cf_status cf_engine_wake(struct cf_engine *engine, struct cf_error *err);

/* The generator's weights and working memory leave until the next wake or run: what is
 * mapped is dropped, what is packed is closed. */
void cf_engine_rest(struct cf_engine *engine);

struct cf_packed *cf_engine_packed(const struct cf_engine *engine); /* as given */
const struct cf_model *cf_engine_model(const struct cf_engine *engine);

/* The class of the plan's size where the model was not trained for it, else NULL. */
const char *cf_engine_untrained(const struct cf_engine *engine,
                                const struct cf_plan *plan);

const struct cf_holding *cf_engine_holding(const struct cf_engine *engine);

int cf_engine_text_dim(const struct cf_engine *engine);

/* One image to make; all borrowed for the call. The words are for the record, the
 * features for the work: of cf_engine_text_dim each. */
struct cf_request {
    const char *prompt, *negative; /* well-formed UTF-8 */
    size_t prompt_len, negative_len;
    const struct cf_text *cond, *avoid; /* of prompt and negative; avoid NULL: the learned
                                           null condition */
    uint64_t seed;
    const struct cf_image *init;      /* NULL, or an image of the plan's size ... */
    int keep;                         /* ... whose first keep scales are kept */
    const char *init_sha256;          /* of the file it came from */
    bool positive;                    /* cond is of the prompt with pipeline/positive.h */
    const struct cf_preview *preview; /* NULL: none */
    const struct cf_watch *watch;     /* NULL: none */
};

/* step is called when each step is done, with what it took, of the whole group and
 * without previews; end, which may be NULL, when the run is over, whatever became of it.
 */
struct cf_watch {
    void (*step)(const struct cf_plan *plan, int step, double ms);
    void (*end)(void);
};

/* Told of the image as it is after each step, coarse to fine, the finished one last;
 * pixels are borrowed for the call. What it returns ends the run unless it is CF_OK. */
struct cf_preview {
    enum cf_status (*show)(void *ctx, int step, const struct cf_image *image,
                           struct cf_error *err);
    void *ctx;
};

struct cf_result {
    struct cf_image image; /* rgb owned: cf_result_free */
    char pixel_sha256[CF_DIGEST_HEX];
    int truncated; /* tokens of the prompt that did not fit */
};
void cf_result_free(struct cf_result *r);

/* What the settings come to for this model, with no work done: sizes, steps, defaults
 * resolved. Errors say which setting does not fit. */
enum cf_status cf_engine_plan(struct cf_engine *engine,
                              const struct cf_gen_params *params, int batch,
                              struct cf_plan *plan, struct cf_error *err);
/* The same for `batch` images side by side whose texts are among those of n requests:
 * what cf_engine_run will take. */
enum cf_status cf_engine_plan_for(struct cf_engine *engine,
                                  const struct cf_gen_params *params,
                                  const struct cf_request *req, int n, int batch,
                                  struct cf_plan *plan, struct cf_error *err);

/* The arithmetic of a step, or of what comes before (-1) or after (n_step) them. */
struct cf_work cf_engine_work(const struct cf_engine *engine, const struct cf_plan *plan,
                              int step);

/* Whether one of them keeps scales of an image. */
bool cf_engine_inits(const struct cf_request *req, int n);

/* n requests side by side with the same settings; out[0 .. n-1] filled, or none on
 * failure. times, where given, receives milliseconds of generating and decoding of the
 * whole group (encode, which the caller knows, is 0). */
struct cf_engine_times {
    double encode, generate, decode;
};
enum cf_status cf_engine_run(struct cf_engine *engine, const struct cf_gen_params *params,
                             const struct cf_request *req, int n,
                             struct cf_cancel *cancel, struct cf_plan *plan,
                             struct cf_result *out, struct cf_engine_times *times,
                             struct cf_error *err);

#endif
