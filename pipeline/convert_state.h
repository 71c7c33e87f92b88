/* convert_state.h - the weights inside what a training program saved.
 *
 * A file that people download may be the weights themselves, or hold them some levels
 * down (trainer.gpt_fsdp, vae, state_dict, module, _orig_mod ...) beside an optimizer and
 * averaged copies (ema, model_ema). Wherever a name ends in a tensor that every such
 * model has, what stands before it is a candidate:
 *
 *     trainer.gpt_fsdp.word_embed.weight  ->  trainer.gpt_fsdp
 *
 * Of several the one that is no average is taken, and an average only when it is asked
 * for by name: it makes other images. cfgen-model inspect looks where convert does. */
#ifndef CF_PIPELINE_CONVERT_STATE_H
#define CF_PIPELINE_CONVERT_STATE_H

#include "weights/shapes.h"
#include "weights/source.h"

enum { CF_STATE_NAME = 256, CF_STATES = 32 };

/* What was found in one file: where sets of weights lie ("" is the top). */
struct cf_state {
    char prefix[CF_STATES][CF_STATE_NAME];
    int n, chosen;
    int outside; /* tensors of the file that are not under the chosen prefix */
};

/* Anchors: tensors that every transformer, and every tokenizer (VAE) in either spelling,
 * has. */
extern const char *const cf_state_of_transformer[], *const cf_state_of_vae[];

/* Finds the candidates by anchor (ends with NULL, names without what stands before them),
 * chooses one and enters it (cf_source_enter). key is a candidate, or what stands before
 * a single one; NULL: the rule above. what is "transformer", "vae" ... in messages.
 * CF_ENOENT where nothing of the kind is in the file, or not under key; CF_EMISMATCH
 * where the choice is the user's: only averages, or several that are none. */
enum cf_status cf_state_enter(struct cf_state *state, struct cf_source *src,
                              const char *what, const char *const *anchor,
                              const char *key, struct cf_error *err);

/* True for a tensor, by its name after the choice, that belongs to a candidate that was
 * not chosen: the weights lie at the top and averages beside them. */
bool cf_state_is_other(const struct cf_state *state, const char *name);

/* True where a word of a prefix says that it is an average, in any case: ema, model_ema,
 * EMA_model, ema0.999. */
bool cf_state_is_average(const char *prefix);

/* One of the patterns of fnmatch(3) fits the name; ignore ends with NULL, or is NULL. */
bool cf_state_ignores(const char *const *ignore, const char *name);

/* All borrowed. */
struct cf_state_seen {
    const struct cf_source *src; /* entered by cf_state_enter */
    const struct cf_state *state;
    const char *const *ignore;
};

/* Names and shapes of the chosen weights, for models/detect.h: without those of another
 * candidate and those that are ignored. Borrows seen. */
struct cf_shapes cf_state_shapes(const struct cf_state_seen *seen);

#endif
