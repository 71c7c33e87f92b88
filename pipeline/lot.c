#include "pipeline/lot.h"

#include <string.h>

#include "base/alloc.h"
#include "pipeline/positive.h"

struct cf_lot *cf_lot_new(struct cf_jobs *jobs, struct cf_error *err)
{
    struct cf_lot *lot = cf_calloc(1, sizeof *lot, err);

    if (!lot)
        return NULL;
    lot->jobs = *jobs;
    memset(jobs, 0, sizeof *jobs);
    for (int i = 0; i < lot->jobs.n; i++) {
        lot->slot[i].job = &lot->jobs.job[i];
        lot->slot[i].open = true;
    }
    return lot;
}

void cf_lot_free(struct cf_lot *lot)
{
    if (!lot)
        return;
    for (int i = 0; i < lot->jobs.n; i++) {
        cf_settings_free(&lot->slot[i].recipe);
        cf_variation_free(&lot->slot[i].init);
        cf_free(lot->slot[i].positive);
        cf_encoded_drop(lot->slot[i].cond);
        cf_encoded_drop(lot->slot[i].avoid);
    }
    cf_jobs_free(&lot->jobs);
    cf_free(lot);
}

enum cf_status cf_slot_read(struct cf_slot *s, int kv_type, struct cf_error *err)
{
    CF_TRY(
        cf_settings_read(&s->recipe, s->job->recipe, s->job->width, s->job->height, err));
    if (s->recipe.keep && !s->recipe.init)
        return cf_fail(err, CF_EFORMAT, "recipe: keep_scales without an init_image");
    if (s->recipe.params.kv_type == -1)
        s->recipe.params.kv_type = kv_type;
    return s->recipe.positive
               ? cf_positive(&s->positive, s->job->prompt, s->job->prompt_len, err)
               : CF_OK;
}

/* What goes to the encoder. */
static struct cf_prompt prompt_of(const struct cf_slot *s)
{
    if (s->positive)
        return (struct cf_prompt){s->positive, strlen(s->positive)};
    return (struct cf_prompt){s->job->prompt, s->job->prompt_len};
}

static bool needs(const struct cf_slot *s)
{
    return s->open && (!s->cond || (s->job->negative && !s->avoid));
}

bool cf_slots_need(struct cf_slot *const *slot, int n)
{
    for (int i = 0; i < n; i++)
        if (needs(slot[i]))
            return true;
    return false;
}

static void forget(struct cf_slot *s)
{
    cf_encoded_drop(s->cond);
    cf_encoded_drop(s->avoid);
    s->cond = s->avoid = NULL;
}

enum cf_status cf_slots_encode(struct cf_slot *const *slot, int n, struct cf_texts *texts,
                               bool remembered_only, struct cf_error *err)
{
    struct cf_prompt want[2 * CF_LOT_MAX];
    struct cf_encoded *got[2 * CF_LOT_MAX];
    int m = 0;

    for (int i = 0; i < n; i++) {
        if (!needs(slot[i]))
            continue;
        forget(slot[i]);
        want[m++] = prompt_of(slot[i]);
        if (slot[i]->job->negative)
            want[m++] =
                (struct cf_prompt){slot[i]->job->negative, slot[i]->job->negative_len};
    }
    if (!m)
        return CF_OK;
    CF_TRY(cf_texts_get(texts, want, m, remembered_only, got, err));
    m = 0;
    for (int i = 0; i < n; i++) {
        if (!needs(slot[i]))
            continue;
        slot[i]->cond = got[m++];
        if (slot[i]->job->negative)
            slot[i]->avoid = got[m++];
    }
    return CF_OK;
}

struct cf_request cf_slot_request(const struct cf_slot *s)
{
    return (struct cf_request){
        .prompt = s->job->prompt,
        .prompt_len = s->job->prompt_len,
        .negative = s->job->negative,
        .negative_len = s->job->negative_len,
        .cond = cf_encoded_text(s->cond),
        .avoid = s->avoid ? cf_encoded_text(s->avoid) : NULL,
        .seed = s->job->seed,
        .positive = s->recipe.positive,
        .init = s->init.image.rgb ? &s->init.image : NULL,
        .keep = s->recipe.keep,
        .init_sha256 = s->init.sha256,
    };
}
