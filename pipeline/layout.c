#include "pipeline/layout.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/remember.h"

static const char *const names[] = {"auto", "files", "tar", NULL};

enum cf_status cf_layout_parse(const char *s, enum cf_layout *layout, const char *what,
                               struct cf_error *err)
{
    int n;

    CF_TRY(cf_parse_word(s, names, &n, what, err));
    *layout = (enum cf_layout)n;
    return CF_OK;
}

static enum cf_status by_number(struct cf_queue *q, enum cf_layout *layout,
                                struct cf_error *err)
{
    struct cf_counts c;
    int64_t n = 0;

    CF_TRY(cf_queue_counts(q, &c, err));
    for (int i = 0; i < CF_NJOBSTATE; i++)
        n += c.n[i];
    *layout = n > CF_LAYOUT_MANY ? CF_LAYOUT_TAR : CF_LAYOUT_FILES;
    return CF_OK;
}

/* Images without a word about their layout are files: queues of before there was another
 * one. */
static enum cf_status is_old(struct cf_queue *q, bool *old, struct cf_error *err)
{
    struct cf_counts c;
    char *known;

    CF_TRY(cf_queue_recall(q, "layout", &known, err));
    CF_TRY(cf_queue_counts(q, &c, err));
    *old = !known && c.n[CF_JOB_DONE] > 0;
    cf_free(known);
    return CF_OK;
}

enum cf_status cf_layout_choose(struct cf_queue *q, enum cf_layout asked,
                                enum cf_layout *layout, struct cf_error *err)
{
    enum cf_layout wish = asked;
    enum cf_status st;
    char *kept;
    bool old;

    CF_TRY(is_old(q, &old, err));
    if (old)
        wish = CF_LAYOUT_FILES;
    else if (asked == CF_LAYOUT_AUTO)
        CF_TRY(by_number(q, &wish, err));
    CF_TRY(cf_queue_remember(q, "layout", names[wish], &kept, err));
    st = cf_layout_parse(kept, layout, "layout of the queue", err);
    if (st == CF_OK && asked != CF_LAYOUT_AUTO && asked != *layout)
        st = cf_fail(err, CF_ECONFIG,
                     "--layout=%s: the images of this queue are laid out as %s; leave the "
                     "option out, or use another queue",
                     names[asked], kept);
    cf_free(kept);
    return st;
}
