/* room.h - whether generator and text encoder are in memory together or take turns.
 *
 * Together they are fastest. Where they do not fit, the encoder comes first, encodes all
 * prompts of a claim and goes, and then the generator comes: there is never memory for
 * both. Where one of them does not even fit alone, the error says what would help. No
 * image depends on any of this. */
#ifndef CF_PIPELINE_ROOM_H
#define CF_PIPELINE_ROOM_H

#include <stdbool.h>

#include "base/memory.h"
#include "models/gen.h"
#include "pipeline/holding.h"

/* Code, libraries, queue, WebP in the making: what a worker takes without any model. */
enum { CF_ROOM_PROGRAM = 64 << 20 };

enum cf_encoder_mode {
    CF_ENCODER_AUTO,
    CF_ENCODER_KEEP,   /* in memory for good, whatever it takes */
    CF_ENCODER_RELEASE /* turns in any case */
};

struct cf_room {
    struct cf_memory memory;
    enum cf_encoder_mode encoder;
    int workers; /* processes that share the weights, each with its working memory */
    int copies;  /* of what is packed, in one process; what is mapped is there once */
    struct cf_holding held;
    bool turns; /* as decided */
};

/* "auto", "keep" or "release"; CF_EUSAGE about --encoder. */
enum cf_status cf_encoder_mode_parse(const char *word, enum cf_encoder_mode *mode,
                                     struct cf_error *err);
/* "auto" (0) or bytes, perhaps with K, M or G; CF_EUSAGE about --memory. */
enum cf_status cf_room_parse(const char *word, int64_t *bytes, struct cf_error *err);

/* Bytes of weights in memory while images are made (encoder: with the text encoder
 * there), and while texts are encoded and they take turns. */
double cf_room_generator(const struct cf_room *r);
double cf_room_encoder(const struct cf_room *r);

/* Bytes that working memory may take now, of all workers. */
double cf_room_left(const struct cf_room *r);

/* Working memory of plan in `side` groups of each worker: one arena each, and where init,
 * for requests that begin with an image, what its encoding takes: the image encoder's
 * weights, and an arena before the other one is there (pipeline/engine.h). */
double cf_room_work(const struct cf_room *r, const struct cf_plan *plan, bool init,
                    int side);

/* Before a run of plan in `side` groups of each worker: sets r->turns where it must be,
 * and never takes it back. plan NULL: before any is known. CF_ENOMEM names what is
 * needed, what there is, and what helps. */
enum cf_status cf_room_decide(struct cf_room *r, const struct cf_plan *plan, bool init,
                              int side, struct cf_error *err);

#endif
