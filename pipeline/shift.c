#include "pipeline/shift.h"

#include <string.h>

#include "base/alloc.h"
#include "base/team.h"
#include "base/utf8.h"

void cf_piece_free(struct cf_piece *p)
{
    if (!p)
        return;
    cf_job_free(&p->job);
    cf_story_free(&p->story);
    cf_free(p->image.rgb);
    cf_blob_free(&p->blob);
    cf_free(p->json);
    cf_free(p);
}

bool cf_shift_stopping(struct cf_shift *s)
{
    return cf_stop_asked(&s->stop) || cf_ledger_status(&s->ledger, NULL) != CF_OK;
}

enum cf_status cf_shift_model(struct cf_shift *s, const char *name, struct cf_error *err)
{
    enum cf_status st;
    bool changed;

    atomic_store(&s->loading, 1);
    st = cf_loaded_need(s->loaded, name, &changed, err);
    atomic_store(&s->loading, 0);
    atomic_store(&s->groups, cf_pool_groups(cf_loaded_pool(s->loaded)));
    if (changed) {
        atomic_store(&s->image_us, 0);
        cf_budget_forget(&s->budget);
    }
    return st;
}

enum cf_status cf_shift_where(struct cf_queue *q, const struct cf_batch_options *o,
                              struct cf_error *err)
{
    for (int i = 0; i < o->n_where; i++)
        CF_TRY(cf_queue_where(q, o->where[i], err));
    return CF_OK;
}

/* Warns of what looks like a slip of the pen: a --where that names what is not there,
 * more threads than processors. */
static enum cf_status tell_slips(struct cf_queue *q, const struct cf_batch_options *o,
                                 struct cf_log *log, struct cf_error *err)
{
    char text[200], *shown;
    struct cf_team team;

    CF_TRY(cf_queue_where_unknown(q, text, sizeof text, err));
    shown = cf_utf8_printable(text, strlen(text), sizeof text, err);
    if (!shown)
        return CF_ENOMEM;
    if (*text)
        cf_log(log, CF_LOG_WARN, "the queue has no such batch or recipe", "where=\"%s\"",
               shown);
    cf_free(shown);
    CF_TRY(cf_team_count(&team, o->threads, err));
    if (o->threads > team.affinity)
        cf_log(log, CF_LOG_WARN, "more threads than processors, which is slower",
               "threads=%d processors=%d", o->threads, team.affinity);
    return CF_OK;
}

enum cf_status cf_shift_work(struct cf_queue *q, const struct cf_batch_options *o,
                             struct cf_log *log, atomic_long *total, struct cf_error *err)
{
    int64_t n;

    CF_TRY(cf_queue_due(q, &n, err));
    if (!o->share)
        CF_TRY(tell_slips(q, o, log, err));
    atomic_store(total, (long)(o->max_jobs && n > o->max_jobs ? o->max_jobs : n));
    return CF_OK;
}

enum cf_status cf_shift_queue(struct cf_shift *s, struct cf_queue **q,
                              struct cf_error *err)
{
    CF_TRY(cf_queue_open(q, s->db, s->mode, err));
    cf_queue_cancel(*q, &s->stop.claims);
    return cf_shift_where(*q, s->o, err);
}
