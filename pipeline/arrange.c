#include "pipeline/arrange.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/remember.h"
#include "store/owner.h"

static const char *const names[] = {"auto", "files", "tar", NULL};

enum cf_status cf_layout_parse(const char *s, enum cf_layout *layout, const char *what,
                               struct cf_error *err)
{
    int n;

    CF_TRY(cf_parse_word(s, names, &n, what, err));
    *layout = (enum cf_layout)n;
    return CF_OK;
}

/* What to choose where nothing is known yet. */
static enum cf_status wish(struct cf_queue *q, enum cf_layout asked, int64_t planned,
                           enum cf_layout *layout, struct cf_error *err)
{
    struct cf_counts c;
    int64_t n = planned;

    CF_TRY(cf_queue_counts(q, &c, err));
    for (int i = 0; i < CF_NJOBSTATE && !planned; i++)
        n += c.n[i];
    if (c.n[CF_JOB_DONE])
        *layout = CF_LAYOUT_FILES;
    else if (asked == CF_LAYOUT_AUTO)
        *layout = n > CF_LAYOUT_MANY ? CF_LAYOUT_TAR : CF_LAYOUT_FILES;
    else
        *layout = asked;
    return CF_OK;
}

enum cf_status cf_arrange_layout(struct cf_queue *q, enum cf_layout asked,
                                 int64_t planned, enum cf_layout *layout,
                                 struct cf_error *err)
{
    char *kept = NULL;
    enum cf_status st;

    CF_TRY(cf_queue_recall(q, "layout", &kept, err));
    if (!kept) {
        CF_TRY(wish(q, asked, planned, layout, err));
        CF_TRY(cf_queue_remember(q, "layout", names[*layout], &kept, err));
    }
    st = cf_layout_parse(kept, layout, "the layout kept in the queue", err);
    if (st == CF_OK && asked != CF_LAYOUT_AUTO && asked != *layout)
        st =
            cf_fail(err, CF_ECONFIG,
                    "--layout=%s: the images of this queue are laid out as %s; leave the "
                    "option out, or use another queue",
                    names[asked], kept);
    cf_free(kept);
    return st;
}

/* A queue from before queues had an id gets one that nobody else has. */
static enum cf_status make_id(struct cf_queue *q, char **id, struct cf_error *err)
{
    unsigned char raw[16];
    char hex[2 * sizeof raw + 1];

    if (getrandom(raw, sizeof raw, 0) != sizeof raw)
        return cf_fail_errno(err, errno, "id of the queue: getrandom");
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    return cf_queue_remember(q, "queue_id", hex, id, err);
}

enum cf_status cf_arrange_owner(struct cf_queue *q, const char *root,
                                struct cf_error *err)
{
    char *id = NULL;
    enum cf_status st = cf_queue_recall(q, "plan_queue", &id, err);

    if (st == CF_OK && !id)
        st = cf_queue_recall(q, "queue_id", &id, err);
    if (st == CF_OK && !id)
        st = make_id(q, &id, err);
    if (st == CF_OK)
        st = cf_owner_claim(root, id, err);
    cf_free(id);
    return st;
}
