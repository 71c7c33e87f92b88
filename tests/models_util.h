/* models_util.h - small models for tests: the recorded tiny ones, as they are or
 * rewritten. */
#ifndef CF_TESTS_MODELS_UTIL_H
#define CF_TESTS_MODELS_UTIL_H

#include "base/json.h"
#include "models/gen.h"

enum { UTIL_PATH = 1024 };

/* tests/golden/infinity/NAME in the source tree. */
void util_golden(char path[UTIL_PATH], const char *name);

/* model.json of two weight fixtures with scales 1, 2, 4, 6 unless the text of another
 * "sizes" object is given. Sampling defaults: cfg 3, tau 1, top_k 0, top_p 0. */
json_t *util_model_json(const char *model, const char *vae, const char *sizes);

/* Copies a safetensors file; name returns the name in the copy (may be buf), or NULL to
 * leave the tensor out. extra: name of one more F32 tensor [2], or NULL. */
void util_rewrite(const char *to, const char *from,
                  const char *(*name)(const char *old, char buf[256]), const char *extra);

struct cf_gen *util_open(const json_t *json, const char *transformer, const char *vae,
                         struct cf_dnn *dnn);

/* The same with a choice. */
struct cf_gen *util_open_held(const json_t *json, const char *transformer,
                              const char *vae, enum cf_hold hold, struct cf_dnn *dnn);

/* Text features [n, dim] from a seed; util_text_free. */
struct cf_text util_text(int n, int dim, uint32_t seed);

/* Runs all steps of one group and returns its pixels, [n][h * w * 3] (cf_free); *plan may
 * be NULL. Fails the case unless the arena's high-water mark is the plan's. */
uint8_t *util_run(const struct cf_gen *gen, const struct cf_gen_params *params,
                  const struct cf_gen_item *item, int n, const struct cf_probe *probe,
                  struct cf_plan *plan);

#endif
