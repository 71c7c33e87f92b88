/* settings.h - from the canonical JSON of a job row to settings, and back to a full
 * record.
 *
 * A recipe holds what changes pixels or bytes and is no column of the job; the keys and
 * their ranges are those of jobs/recipe.h, which made it canonical. */
#ifndef CF_PIPELINE_SETTINGS_H
#define CF_PIPELINE_SETTINGS_H

#include "base/digest.h"
#include "models/gen.h"
#include "store/webp.h"
#include "weights/model.h"

struct cf_settings {
    char *model; /* owned; NULL: the worker's model */
    char *size;  /* owned; a name that stands for width and height; NULL: none */
    struct cf_gen_params params;
    struct cf_webp webp;
    bool positive;                   /* pipeline/positive.h */
    char *init;                      /* owned; path of an image ... */
    int keep;                        /* ... whose first scales are kept; 0: none */
    char init_sha256[CF_DIGEST_HEX]; /* which it must have; "": any */
};

/* json: the recipe column; width and height: the job's, 0 for the model's default. */
enum cf_status cf_settings_read(struct cf_settings *r, const char *json, int width,
                                int height, struct cf_error *err);
void cf_settings_free(struct cf_settings *r);

/* A size by name becomes that of this model, once. What fails is the job's fault. */
enum cf_status cf_settings_size(struct cf_settings *r, const struct cf_model *model,
                                struct cf_error *err);

/* "f32" or "bf16" as enum cf_dtype; CF_EUSAGE about what, an option's name. */
enum cf_status cf_kv_parse(const char *word, int *kv_type, const char *what,
                           struct cf_error *err);

bool cf_settings_same_model(const struct cf_settings *a, const struct cf_settings *b);

/* True where images of both may be computed side by side. */
bool cf_settings_same_group(const struct cf_settings *a, const struct cf_settings *b);

/* Canonical JSON of what a plan came to, defaults resolved: the recipe of the record. Of
 * the settings what no plan holds counts. */
struct cf_request;
char *cf_settings_resolved(const struct cf_plan *plan, const struct cf_webp *webp,
                           const char *generator, const struct cf_request *req,
                           struct cf_error *err);

/* "4" where all steps are equal, else "4,4,3": for the record. Fresh string. which picks
 * guidance or temperature. */
enum cf_step_field { CF_STEP_GUIDANCE, CF_STEP_TEMPERATURE, CF_STEP_FLIP };
char *cf_plan_list(const struct cf_plan *plan, enum cf_step_field which,
                   struct cf_error *err);

#endif
