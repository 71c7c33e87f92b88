#include "pipeline/room.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

enum cf_status cf_encoder_mode_parse(const char *word, enum cf_encoder_mode *mode,
                                     struct cf_error *err)
{
    static const char *const words[] = {"auto", "keep", "release", NULL};
    int n;

    CF_TRY(cf_parse_word(word, words, &n, "--encoder", err));
    *mode = (enum cf_encoder_mode)n;
    return CF_OK;
}

enum cf_status cf_room_parse(const char *word, int64_t *bytes, struct cf_error *err)
{
    *bytes = 0;
    if (strcmp(word, "auto") == 0)
        return CF_OK;
    return cf_parse_bytes(word, 1 << 20, INT64_MAX, bytes, "--memory", err);
}

static double all_of(struct cf_held h)
{
    return (double)h.mapped + (double)h.own;
}

double cf_room_generator(const struct cf_room *r)
{
    const struct cf_held *t = &r->held.transformer, *v = &r->held.vae;

    return (double)t->mapped + (double)v->mapped +
           r->copies * ((double)t->own + (double)v->own);
}

double cf_room_encoder(const struct cf_room *r)
{
    return all_of(r->held.text);
}

double cf_room_left(const struct cf_room *r)
{
    double left = (double)r->memory.bytes - CF_ROOM_PROGRAM - cf_room_generator(r);

    return r->turns ? left : left - cf_room_encoder(r);
}

static enum cf_status no_room(const struct cf_room *r, const struct cf_plan *plan,
                              double work, struct cf_error *err)
{
    char all[CF_BYTES_TEXT], part[CF_BYTES_TEXT], rest[CF_BYTES_TEXT], is[CF_BYTES_TEXT],
        own[CF_BYTES_TEXT];
    double weights = cf_room_generator(r);
    bool f32 = plan && plan->params.kv_type != CF_BF16;
    char what[96] = "";

    if (plan)
        snprintf(what, sizeof what, ", working memory of %d x %d pixels %s", plan->width,
                 plan->height, cf_bytes_text(rest, work));
    return cf_fail(
        err, CF_ENOMEM,
        "memory: the generator takes %s (weights %s%s, the program %s), there are "
        "%s (%s); "
        "what helps: %s%s%sweights of fewer bits (cfgen-model quantize)",
        cf_bytes_text(all, CF_ROOM_PROGRAM + weights + work),
        cf_bytes_text(part, weights), what, cf_bytes_text(own, CF_ROOM_PROGRAM),
        cf_bytes_text(is, (double)r->memory.bytes), r->memory.why,
        f32 ? "--kv-type=bf16, " : "",
        plan && plan->batch > 1 ? "--side-by-side=1, " : "",
        plan ? "a smaller size, " : "");
}

static enum cf_status no_turns(const struct cf_room *r, double need, struct cf_error *err)
{
    char a[CF_BYTES_TEXT], b[CF_BYTES_TEXT];

    return cf_fail(err, CF_ENOMEM,
                   "memory: generator and text encoder take %s together, there are %s "
                   "(%s), and %d workers cannot take turns; what helps: --workers=1, "
                   "weights of fewer bits (cfgen-model quantize)",
                   cf_bytes_text(a, need), cf_bytes_text(b, (double)r->memory.bytes),
                   r->memory.why, r->workers);
}

double cf_room_work(const struct cf_room *r, const struct cf_plan *plan, bool init,
                    int side)
{
    double arena = (double)plan->arena_bytes;

    if (init)
        arena = fmax(arena, (double)plan->encode_bytes + (double)r->held.image.own);
    return arena * side * r->workers + (init ? (double)r->held.image.mapped * side : 0);
}

enum cf_status cf_room_decide(struct cf_room *r, const struct cf_plan *plan, bool init,
                              int side, struct cf_error *err)
{
    double work = plan ? cf_room_work(r, plan, init, side) : 0;
    double generator = CF_ROOM_PROGRAM + cf_room_generator(r) + work;
    double encoder = CF_ROOM_PROGRAM + cf_room_encoder(r), all = (double)r->memory.bytes;
    char a[CF_BYTES_TEXT], b[CF_BYTES_TEXT];

    if (generator > all)
        return no_room(r, plan, work, err);
    if (r->encoder == CF_ENCODER_KEEP || r->turns)
        return CF_OK;
    if (r->encoder == CF_ENCODER_AUTO && generator + cf_room_encoder(r) <= all)
        return CF_OK;
    if (r->workers > 1)
        return no_turns(r, generator + cf_room_encoder(r), err);
    if (encoder > all)
        return cf_fail(err, CF_ENOMEM,
                       "memory: the text encoder takes %s, there are %s (%s); what "
                       "helps: weights of fewer bits (cfgen-model quantize)",
                       cf_bytes_text(a, encoder), cf_bytes_text(b, all), r->memory.why);
    r->turns = true;
    return CF_OK;
}
