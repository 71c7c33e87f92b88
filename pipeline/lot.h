/* lot.h - the jobs of one claim on their way through feed and generator.
 *
 * A slot is open while its job is the lot's to end: whoever ends the job, or hands it on,
 * clears it. */
#ifndef CF_PIPELINE_LOT_H
#define CF_PIPELINE_LOT_H

#include "jobs/queue.h"
#include "pipeline/engine.h"
#include "pipeline/settings.h"
#include "pipeline/texts.h"
#include "pipeline/variation.h"

enum { CF_LOT_MAX = 64 };

struct cf_slot {
    struct cf_job *job; /* of the lot; moved out when it is handed on */
    struct cf_settings recipe;
    char *positive; /* owned; encoded in place of the prompt; NULL: nothing is appended */
    struct cf_encoded *cond, *avoid; /* owned references; cond NULL: not encoded yet */
    struct cf_variation init;        /* pixels only while the image is made */
    bool open;
};

struct cf_lot {
    struct cf_jobs jobs;
    struct cf_slot slot[CF_LOT_MAX];
    double encode_ms; /* spent so far on the texts of an image, on average */
};

/* Takes over the jobs. NULL: no memory, and the jobs are still the caller's. */
struct cf_lot *cf_lot_new(struct cf_jobs *jobs, struct cf_error *err);
void cf_lot_free(struct cf_lot *lot); /* NULL is fine; ends no job */

/* Settings of one slot: what is wrong here is wrong for every worker. (That its texts are
 * well-formed the claim has seen to.) kv_type: of a job that names none, -1 the model's.
 */
enum cf_status cf_slot_read(struct cf_slot *slot, int kv_type, struct cf_error *err);

/* True where an open slot has texts that are not encoded. */
bool cf_slots_need(struct cf_slot *const *slot, int n);

/* References for the open slots [n] that have none, encoding what texts does not know
 * (unless remembered_only). On failure these slots have none. */
enum cf_status cf_slots_encode(struct cf_slot *const *slot, int n, struct cf_texts *texts,
                               bool remembered_only, struct cf_error *err);

/* What the generator is asked for; borrowed from the slot, whose texts are encoded and
 * whose initial image, if it has one, is read. */
struct cf_request cf_slot_request(const struct cf_slot *slot);

#endif
