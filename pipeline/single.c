#include "pipeline/single.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "pipeline/positive.h"
#include "pipeline/room.h"

enum cf_status cf_single_encode(struct cf_request *req, const struct cf_engine *engine,
                                struct cf_dnn *dnn, struct cf_cancel *cancel,
                                struct cf_encoded *text[2], double *ms,
                                struct cf_error *err)
{
    struct cf_prompt p[] = {{req->prompt, req->prompt_len},
                            {req->negative, req->negative_len}};
    const struct cf_texts_options o = {
        .packed = cf_engine_packed(engine),
        .dnn = dnn,
        .model = cf_engine_model(engine),
        .dim = cf_engine_text_dim(engine),
        .cancel = cancel,
    };
    struct cf_texts *texts;
    char *longer = NULL;
    enum cf_status st;
    double t0;

    text[0] = text[1] = NULL;
    if (req->positive)
        CF_TRY(cf_positive(&longer, req->prompt, req->prompt_len, err));
    if (longer)
        p[0] = (struct cf_prompt){longer, strlen(longer)};
    st = cf_texts_open(&texts, &o, err);
    if (st != CF_OK) {
        cf_free(longer);
        return st;
    }
    t0 = 1e3 * cf_clock();
    st = cf_texts_get(texts, p, req->negative ? 2 : 1, false, text, err);
    *ms = 1e3 * cf_clock() - t0;
    cf_texts_close(texts);
    cf_free(longer);
    if (st == CF_OK) {
        req->cond = cf_encoded_text(text[0]);
        req->avoid = text[1] ? cf_encoded_text(text[1]) : NULL;
    }
    return st;
}

enum cf_status cf_single_fit(struct cf_engine *engine, const struct cf_gen_params *params,
                             const struct cf_request *req, int64_t memory,
                             struct cf_error *err)
{
    struct cf_room room = {
        .encoder = CF_ENCODER_RELEASE,
        .workers = 1,
        .copies = 1,
        .held = *cf_engine_holding(engine),
    };
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    enum cf_status st;

    if (!plan)
        return CF_ENOMEM;
    cf_memory_find(&room.memory, memory);
    st = req ? cf_engine_plan_for(engine, params, req, 1, 1, plan, err)
             : cf_engine_plan(engine, params, 1, plan, err);
    if (st == CF_OK)
        st = cf_room_decide(&room, plan, req && cf_engine_inits(req, 1), 1, err);
    cf_free(plan);
    return st;
}
