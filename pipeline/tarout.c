#include "pipeline/tarout.h"

#include "base/alloc.h"
#include "jobs/manifest.h"

struct cf_tarout {
    char *root;
    int64_t worker_id;
    int per_tar;
    struct cf_tar *tar;       /* NULL: none at hand */
    struct cf_tar_mark count; /* how far it counts */
    int added;                /* samples beyond that */
};

enum cf_status cf_tarout_open(struct cf_tarout **out, const char *root, int64_t worker_id,
                              int per_tar, struct cf_error *err)
{
    struct cf_tarout *t = cf_calloc(1, sizeof *t, err);

    if (!t)
        return CF_ENOMEM;
    t->worker_id = worker_id;
    t->per_tar = per_tar;
    t->root = cf_strdup(root, err);
    if (!t->root) {
        cf_free(t);
        return CF_ENOMEM;
    }
    *out = t;
    return CF_OK;
}

static void leave(struct cf_tarout *t)
{
    cf_tar_close(t->tar);
    t->tar = NULL;
    t->added = 0;
}

void cf_tarout_close(struct cf_tarout *t)
{
    if (!t)
        return;
    leave(t);
    cf_free(t->root);
    cf_free(t);
}

static struct cf_tar_size size_of(const struct cf_tar_mark *m)
{
    return (struct cf_tar_size){m->members, m->bytes, m->manifest_bytes};
}

bool cf_tarout_full(const struct cf_tarout *t)
{
    return t->tar && t->count.members + t->added >= t->per_tar;
}

enum cf_status cf_tarout_end(struct cf_tarout *t, struct cf_queue *q,
                             struct cf_error *err)
{
    enum cf_status st = CF_OK;

    if (!t->tar)
        return CF_OK;
    if (!cf_tar_finished(t->tar))
        st = cf_tar_finish(t->tar, err);
    if (st == CF_OK)
        st = cf_queue_tar_close(q, t->worker_id, &t->count, err);
    leave(t);
    return st;
}

static bool there(const void *root, int number)
{
    return cf_tar_exists(root, number);
}

/* Opened at what counts, or why not: a file whose lock is held belongs to a process that
 * the queue takes for dead and that is not, and is left alone; one that was finished by
 * somebody whose records were lost stays as it is too, its row ends where it counts. */
static enum cf_status open_tar(struct cf_tarout *t, struct cf_queue *q,
                               struct cf_error *err)
{
    const struct cf_tar_size at = size_of(&t->count);
    struct cf_error why = {0};

    if (cf_tar_open(&t->tar, t->root, t->count.number, &at, &why) == CF_OK)
        return CF_OK;
    t->tar = NULL;
    if (why.status == CF_ELOST)
        return cf_queue_tar_close(q, t->worker_id, &t->count, err);
    return why.status == CF_EBUSY ? CF_OK : cf_fail(err, why.status, "%s", why.msg);
}

/* One that this worker may append to. */
static enum cf_status take(struct cf_tarout *t, struct cf_queue *q, struct cf_error *err)
{
    int after = 0;

    while (!t->tar) {
        CF_TRY(cf_queue_tar_take(q, t->worker_id, after, there, t->root, &t->count, err));
        after = t->count.number + 1;
        CF_TRY(open_tar(t, q, err));
        if (t->tar && (cf_tar_finished(t->tar) || cf_tarout_full(t)))
            CF_TRY(cf_tarout_end(t, q, err));
    }
    return CF_OK;
}

/* Written, and its line too; what fails in between is cut off with all that was added
 * since the last transaction. */
static enum cf_status append(struct cf_tarout *t, json_t *line,
                             const struct cf_tar_sample *sample, struct cf_output *out,
                             char *path, struct cf_error *err)
{
    enum cf_status st = cf_tar_add(t->tar, sample, &out->offset, path, err);
    char *text;

    out->path = path;
    if (st != CF_OK) {
        json_decref(line);
        return st;
    }
    text = cf_manifest_close(line, path, out->offset, err);
    st = text ? cf_tar_line(t->tar, text, err) : CF_ENOMEM;
    cf_free(text);
    t->added += st == CF_OK;
    return st;
}

enum cf_status cf_tarout_add(struct cf_tarout *t, struct cf_queue *q,
                             const struct cf_job *job, const struct cf_tar_sample *sample,
                             struct cf_output *out, char *path, struct cf_error *err)
{
    json_t *line;

    CF_TRY(take(t, q, err));
    CF_TRY(cf_manifest_open(&line, q, job, out, err));
    return append(t, line, sample, out, path, err);
}

enum cf_status cf_tarout_sync(struct cf_tarout *t, struct cf_tar_mark *mark,
                              struct cf_error *err)
{
    struct cf_tar_size size;

    CF_TRY(cf_tar_sync(t->tar, &size, err));
    *mark = t->count;
    mark->members = size.members;
    mark->bytes = size.bytes;
    mark->manifest_bytes = size.manifest_bytes;
    return CF_OK;
}

void cf_tarout_counted(struct cf_tarout *t, const struct cf_tar_mark *mark)
{
    t->count = *mark;
    t->added = 0;
}

enum cf_status cf_tarout_back(struct cf_tarout *t, bool keep, struct cf_error *err)
{
    const struct cf_tar_size at = size_of(&t->count);

    t->added = 0;
    if (!t->tar)
        return CF_OK;
    if (keep && cf_tar_cut(t->tar, &at, err) == CF_OK)
        return CF_OK;
    leave(t);
    return keep ? err->status : CF_OK;
}

enum cf_status cf_tarout_drained(struct cf_tarout *t, struct cf_queue *q,
                                 struct cf_error *err)
{
    int after = 0;
    bool found;

    CF_TRY(cf_tarout_end(t, q, err));
    for (;;) {
        CF_TRY(cf_queue_tar_left(q, t->worker_id, after, &t->count, &found, err));
        if (!found)
            return CF_OK;
        after = t->count.number + 1;
        CF_TRY(open_tar(t, q, err));
        CF_TRY(cf_tarout_end(t, q, err));
    }
}
