#include "pipeline/finish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "config.h"
#include "pipeline/positive.h"

const char *cf_build_id(char buf[CF_BUILD_ID])
{
    snprintf(buf, CF_BUILD_ID, "%s %s, oneDNN %s", PACKAGE_NAME, PACKAGE_VERSION,
             cf_dnn_version());
    return buf;
}

static char *sampler_text(const struct cf_plan *plan, const char *generator,
                          struct cf_error *err)
{
    if (plan->params.top_k == 1)
        return cf_format(err, "%s bitwise, greedy", generator);
    return cf_format(err, "%s bitwise, top-k %d, top-p %g", generator, plan->params.top_k,
                     (double)plan->params.top_p);
}

/* Facts that a reader should know: a cut prompt, a replaced size, injected errors. */
static char *note_text(const struct cf_plan *plan, int truncated, struct cf_error *err)
{
    char cut[96] = "", flip[64] = "";
    bool flipped = false;

    for (int k = 0; k < plan->n_step; k++)
        flipped = flipped || plan->step[k].flip > 0;
    if (truncated)
        snprintf(cut, sizeof cut, "prompt cut: %d tokens did not fit; ", truncated);
    if (flipped)
        snprintf(flip, sizeof flip, "bit errors injected on purpose; ");
    if (!*cut && !*flip && !*plan->note)
        return NULL;
    return cf_format(err, "%s%s%s", cut, flip, plan->note);
}

enum cf_status cf_story_make(struct cf_story *s, const struct cf_engine *engine,
                             const struct cf_dnn *dnn, const struct cf_request *req,
                             const struct cf_plan *plan, const struct cf_webp *webp,
                             const struct cf_result *result, const char *job_key,
                             struct cf_error *err)
{
    const struct cf_model *m = cf_engine_model(engine);
    struct cf_error failed = {0};

    memset(s, 0, sizeof *s);
    s->prompt = cf_strndup(req->prompt, req->prompt_len, &failed);
    if (req->negative)
        s->negative = cf_strndup(req->negative, req->negative_len, &failed);
    if (req->positive)
        cf_positive(&s->encoded, req->prompt, req->prompt_len, &failed);
    s->model_name = cf_strdup(m->name, &failed);
    s->weights = cf_strdup(cf_engine_holding(engine)->weights, &failed);
    s->recipe = cf_settings_resolved(plan, webp, m->generator, req, &failed);
    s->guidance = cf_plan_list(plan, CF_STEP_GUIDANCE, &failed);
    s->temperature = cf_plan_list(plan, CF_STEP_TEMPERATURE, &failed);
    s->sampler = sampler_text(plan, m->generator, &failed);
    s->note = note_text(plan, result->truncated, &failed);
    memcpy(s->model_sha256, m->hash, sizeof s->model_sha256);
    memcpy(s->part_sha256, m->sha256, sizeof s->part_sha256);
    memcpy(s->pixel_sha256, result->pixel_sha256, sizeof s->pixel_sha256);
    if (job_key)
        snprintf(s->job_key, sizeof s->job_key, "%s", job_key);
    s->seed = req->seed;
    s->width = plan->width;
    s->height = plan->height;
    s->steps = plan->n_step;
    s->isa = cf_cpu_name(cf_dnn_level(dnn));
    if (failed.status == CF_OK)
        cf_digest_mem(s->recipe, strlen(s->recipe), s->recipe_sha256, &failed);
    if (failed.status != CF_OK) {
        cf_story_free(s);
        return cf_fail(err, failed.status, "%s", failed.msg);
    }
    return CF_OK;
}

void cf_story_free(struct cf_story *s)
{
    cf_free(s->prompt);
    cf_free(s->negative);
    cf_free(s->encoded);
    cf_free(s->model_name);
    cf_free(s->weights);
    cf_free(s->recipe);
    cf_free(s->guidance);
    cf_free(s->temperature);
    cf_free(s->sampler);
    cf_free(s->note);
    memset(s, 0, sizeof *s);
}

enum cf_status cf_finish_date(struct cf_error *err)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    char date[CF_CLOCK_UTC];
    int64_t t;

    if (!epoch || !*epoch)
        return CF_OK;
    CF_TRY(cf_parse_i64(epoch, INT64_MIN, INT64_MAX, &t, "SOURCE_DATE_EPOCH", err));
    if (!cf_clock_utc(date, t))
        return cf_fail(err, CF_EUSAGE,
                       "SOURCE_DATE_EPOCH: no date %.40s seconds from 1970", epoch);
    return CF_OK;
}

/* The one time an image may carry: that of SOURCE_DATE_EPOCH, which a rerun repeats. */
static const char *date_of_record(char buf[CF_CLOCK_UTC])
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    int64_t t;

    if (!epoch || !*epoch ||
        cf_parse_i64(epoch, INT64_MIN, INT64_MAX, &t, "SOURCE_DATE_EPOCH", NULL) != CF_OK)
        return NULL;
    return cf_clock_utc(buf, t);
}

/* A record whose texts are the story's; date and build are where it may keep its own. */
static struct cf_record record_of(const struct cf_story *s, char date[CF_CLOCK_UTC],
                                  char build[CF_BUILD_ID])
{
    return (struct cf_record){
        .prompt = s->prompt,
        .negative = s->negative,
        .prompt_encoded = s->encoded,
        .seed = s->seed,
        .width = s->width,
        .height = s->height,
        .steps = s->steps,
        .weights = s->weights,
        .model_name = s->model_name,
        .model_sha256 = s->model_sha256,
        .transformer_sha256 = s->part_sha256[CF_PART_TRANSFORMER],
        .vae_sha256 = s->part_sha256[CF_PART_VAE],
        .text_sha256 = s->part_sha256[CF_PART_TEXT],
        .vocab_sha256 = s->part_sha256[CF_PART_VOCAB],
        .guidance = s->guidance,
        .temperature = s->temperature,
        .sampler = s->sampler,
        .recipe = s->recipe,
        .recipe_sha256 = s->recipe_sha256,
        .job_key = s->job_key[0] ? s->job_key : NULL,
        .pixel_sha256 = s->pixel_sha256,
        .build = cf_build_id(build),
        .isa = s->isa,
        .date = date_of_record(date),
        .note = s->note,
    };
}

char *cf_finish_json(const struct cf_story *s, struct cf_error *err)
{
    char date[CF_CLOCK_UTC], build[CF_BUILD_ID];
    const struct cf_record r = record_of(s, date, build);

    return cf_record_json(&r, err);
}

enum cf_status cf_finish_encode(const struct cf_image *image, const struct cf_webp *webp,
                                const struct cf_story *s, enum cf_meta_level level,
                                struct cf_cancel *cancel, bool *proved,
                                struct cf_blob *blob, struct cf_error *err)
{
    char date[CF_CLOCK_UTC], build[CF_BUILD_ID];
    const struct cf_record r = record_of(s, date, build);

    CF_TRY(cf_webp_encode_until(image, webp, cancel, blob, err));
    CF_TRY(cf_meta_attach(blob, &r, level, err));
    if (webp->lossless && !*proved) {
        CF_TRY(cf_webp_verify(blob, image, err));
        *proved = true;
    }
    return CF_OK;
}
