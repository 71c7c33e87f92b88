#include "pipeline/arrange.h"

#include "base/alloc.h"
#include "jobs/remember.h"
#include "store/owner.h"

/* What to choose where nothing is known yet. */
static enum cf_status wish(struct cf_queue *q, enum cf_layout asked,
                           enum cf_layout *layout, struct cf_error *err)
{
    struct cf_counts c;
    int64_t n = 0;

    CF_TRY(cf_queue_counts(q, &c, err));
    for (int i = 0; i < CF_NJOBSTATE; i++)
        n += c.n[i];
    *layout = c.n[CF_JOB_DONE] ? CF_LAYOUT_FILES : cf_layout_choose(asked, n);
    return CF_OK;
}

enum cf_status cf_arrange_layout(struct cf_queue *q, enum cf_layout asked,
                                 enum cf_layout *layout, struct cf_error *err)
{
    char *kept = NULL;
    enum cf_status st;

    CF_TRY(cf_queue_recall(q, "layout", &kept, err));
    if (!kept) {
        CF_TRY(wish(q, asked, layout, err));
        CF_TRY(cf_queue_remember(q, "layout", cf_layout_name(*layout), &kept, err));
    }
    st = cf_layout_parse(kept, layout, "the layout kept in the queue", err);
    if (st == CF_OK && asked != CF_LAYOUT_AUTO && asked != *layout)
        st = cf_fail(err, CF_ECONFIG,
                     "--layout=%s: the images of this queue are laid out as %s; leave "
                     "the option out, or use another queue",
                     cf_layout_name(asked), kept);
    cf_free(kept);
    return st;
}

enum cf_status cf_arrange_owner(struct cf_queue *q, const char *root,
                                struct cf_error *err)
{
    char *plan_queue = NULL, id[CF_QUEUE_ID];
    enum cf_status st = cf_queue_recall(q, "plan_queue", &plan_queue, err);

    if (st == CF_OK && !plan_queue)
        st = cf_queue_id(q, id, err);
    if (st == CF_OK)
        st = cf_owner_claim(root, plan_queue ? plan_queue : id, err);
    cf_free(plan_queue);
    return st;
}
