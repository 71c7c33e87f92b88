#include "pipeline/lot.h"

#include <string.h>

#include "base/alloc.h"

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
        cf_encoded_drop(lot->slot[i].cond);
        cf_encoded_drop(lot->slot[i].avoid);
    }
    cf_jobs_free(&lot->jobs);
    cf_free(lot);
}

enum cf_status cf_slot_read(struct cf_slot *s, struct cf_error *err)
{
    return cf_settings_read(&s->recipe, s->job->recipe, s->job->width, s->job->height,
                            err);
}

static bool needs(const struct cf_slot *s)
{
    return s->open && (!s->cond || (s->job->negative && !s->avoid));
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
        want[m++] = (struct cf_prompt){slot[i]->job->prompt, slot[i]->job->prompt_len};
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
    };
}
