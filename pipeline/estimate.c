#include "pipeline/estimate.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cli.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/team.h"
#include "base/utf8.h"
#include "jobs/history.h"
#include "pipeline/finish.h"
#include "pipeline/loaded.h"
#include "pipeline/shift.h"
#include "store/layout.h"

enum { LOOK = 64, TRIALS = 2 };

struct work {
    const struct cf_batch_options *o;
    struct cf_log *log;
    struct cf_queue *queue;
    struct cf_loaded *loaded;
    char *root, *told; /* the place, and its name made inert */
    struct cf_estimate e;
};

/* ---- opening ---- */

/* What the sink would find out by making a file. path: the root or, until it is made, the
 * directory it will be made in. */
static enum cf_status check_place(struct work *w, const char *path, struct cf_error *err)
{
    struct statvfs fs;

    if (access(path, W_OK | X_OK) != 0)
        return cf_fail_errno(err, errno, "%s", path);
    if (statvfs(path, &fs) == 0)
        w->e.free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    return CF_OK;
}

static enum cf_status check_output(struct work *w, struct cf_error *err)
{
    enum cf_status st;
    char *above;
    size_t n = strlen(w->root);

    if (access(w->root, F_OK) == 0)
        return check_place(w, w->root, err);
    while (n > 1 && w->root[n - 1] == '/')
        n--;
    while (n > 0 && w->root[n - 1] != '/')
        n--;
    above = n ? cf_strndup(w->root, n, err) : cf_strdup(".", err);
    st = above ? check_place(w, above, err) : CF_ENOMEM;
    cf_free(above);
    return st;
}

static enum cf_status open_queue(struct work *w, struct cf_error *err)
{
    const struct cf_batch_options *o = w->o;

    if (o->shard)
        return cf_fail(err, CF_EUSAGE,
                       "--dry-run with --shard: look at the whole plan, without --shard");
    CF_TRY(cf_queue_open(&w->queue, o->db,
                         cf_queue_mode(CF_QUEUE_READ, o->unsafe_shared_db), err));
    CF_TRY(cf_shift_where(w->queue, o, err));
    CF_TRY(cf_queue_due(w->queue, &w->e.jobs, err));
    if (o->max_jobs && w->e.jobs > o->max_jobs)
        w->e.jobs = o->max_jobs;
    w->root = cf_layout_root(cf_queue_dir(w->queue), o->output, err);
    if (!w->root)
        return CF_ENOMEM;
    w->told = cf_utf8_printable(w->root, strlen(w->root), 4096, err);
    w->e.root = w->told;
    return w->told ? check_output(w, err) : CF_ENOMEM;
}

static enum cf_status load(struct work *w, struct cf_error *err)
{
    const struct cf_batch_options *o = w->o;
    struct cf_team team;
    bool changed;

    CF_TRY(cf_team_count(&team, o->threads, err));
    w->e.threads = team.threads > o->workers ? team.threads / o->workers : 1;
    CF_TRY(cf_loaded_open(&w->loaded,
                          &(struct cf_loaded_options){
                              .cpu = o->cpu,
                              .threads = w->e.threads,
                              .groups = o->groups,
                              .bind = o->bind,
                              .model = o->model,
                              .model_path = o->model_path,
                              .memory = o->memory,
                              .encoder = o->encoder,
                              .workers = o->workers,
                              .log = w->log,
                          },
                          err));
    CF_TRY(cf_loaded_need(w->loaded, NULL, &changed, err));
    w->e.groups = cf_pool_groups(cf_loaded_pool(w->loaded));
    w->e.arrangement = cf_pool_why(cf_loaded_pool(w->loaded));
    return CF_OK;
}

/* ---- what an image costs ---- */

/* Images side by side with these settings, in all workers: what is shared out for them.
 * What does not fit is the job's own failure, told as a warning. */
static enum cf_status add_memory(struct work *w, const struct cf_gen_params *params,
                                 bool init, struct cf_error *err)
{
    struct cf_pool *pool = cf_loaded_pool(w->loaded);
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    struct cf_room room = *cf_loaded_room(w->loaded);
    int groups = cf_pool_groups(pool);
    int side = cf_pool_side(pool, params, w->o->side, LOOK, cf_loaded_space(w->loaded));
    enum cf_status st = CF_ENOMEM;

    if (plan)
        st = cf_engine_plan(cf_pool_engine(pool), params, (side + groups - 1) / groups,
                            plan, err);
    if (st == CF_OK) {
        side = side < groups ? side : groups;
        st = cf_room_decide(&room, plan, init, side, err);
        w->e.turns |= room.turns;
        w->e.work_bytes = fmax(w->e.work_bytes, cf_room_work(&room, plan, init, side));
    }
    cf_free(plan);
    return st;
}

static void sum_memory(struct work *w)
{
    const struct cf_room *room = cf_loaded_room(w->loaded);
    struct cf_estimate *e = &w->e;

    e->memory = room->memory;
    e->turns |= room->turns;
    e->weight_bytes = cf_room_generator(room);
    e->encoder_bytes = cf_room_encoder(room);
    e->peak_bytes = e->weight_bytes + e->work_bytes;
    e->peak_bytes = CF_ROOM_PROGRAM + (e->turns ? fmax(e->peak_bytes, e->encoder_bytes)
                                                : e->peak_bytes + e->encoder_bytes);
}

static enum cf_status look_back(struct work *w, const struct cf_lot *lot,
                                struct cf_error *err)
{
    const struct cf_model *m = cf_engine_model(cf_pool_engine(cf_loaded_pool(w->loaded)));
    double ms = 0, bytes = 0;
    int known = 0;

    for (int i = 0; i < lot->jobs.n; i++) {
        const struct cf_job *job = lot->slot[i].job;
        struct cf_history h;

        CF_TRY(cf_queue_history(w->queue, m->hash, job->width, job->height, &h, err));
        if (!h.n)
            continue;
        w->e.past = h.n > w->e.past ? h.n : w->e.past;
        ms += h.ms;
        bytes += h.bytes;
        known++;
    }
    if (known) {
        w->e.image_ms = ms / known;
        w->e.image_bytes = bytes / known;
    }
    return CF_OK;
}

static enum cf_status press(struct work *w, struct cf_slot *s,
                            const struct cf_request *req, const struct cf_plan *plan,
                            const struct cf_result *result, struct cf_error *err)
{
    const struct cf_pool *pool = cf_loaded_pool(w->loaded);
    struct cf_story story = {0};
    struct cf_blob blob = {0};
    bool proved = false;
    enum cf_status st;

    st = cf_story_make(&story, cf_pool_engine(pool), cf_pool_dnn(pool), req, plan,
                       &s->recipe.webp, result, s->job->key, err);
    if (st == CF_OK)
        st = cf_finish_encode(&result->image, &s->recipe.webp, &story, w->o->meta, NULL,
                              &proved, &blob, err);
    if (st == CF_OK)
        w->e.image_bytes += (double)blob.size;
    cf_blob_free(&blob);
    cf_story_free(&story);
    return st;
}

static enum cf_status make_one(struct work *w, struct cf_slot *s, struct cf_plan *plan,
                               struct cf_error *err)
{
    struct cf_pool *pool = cf_loaded_pool(w->loaded);
    struct cf_result result = {0};
    struct cf_engine_times times;
    double t0 = 1e3 * cf_clock();
    struct cf_request req;
    enum cf_status st;

    CF_TRY(cf_loaded_encode(w->loaded, &s, 1, err));
    req = cf_slot_request(s);
    CF_TRY(cf_loaded_fit(w->loaded, &s->recipe.params, &req, 1, err));
    CF_TRY(
        cf_pool_run(pool, &s->recipe.params, &req, 1, NULL, plan, &result, &times, err));
    /* The first one pays for what is made only once: the last one counts. */
    w->e.image_ms = (1e3 * cf_clock() - t0) / cf_pool_groups(pool) / w->o->workers;
    st = press(w, s, &req, plan, &result, err);
    w->e.made += st == CF_OK;
    cf_result_free(&result);
    return st;
}

static enum cf_status try_out(struct work *w, struct cf_lot *lot, struct cf_error *err)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    enum cf_status st = plan ? CF_OK : CF_ENOMEM;

    for (int i = 0; i < lot->jobs.n && w->e.made < TRIALS && st == CF_OK; i++)
        if (lot->slot[i].open && !lot->slot[i].recipe.model)
            st = make_one(w, &lot->slot[i], plan, err);
    if (w->e.made)
        w->e.image_bytes /= w->e.made;
    cf_free(plan);
    return st;
}

static enum cf_status measure(struct work *w, struct cf_lot *lot, struct cf_error *err)
{
    const struct cf_model *m = cf_engine_model(cf_pool_engine(cf_loaded_pool(w->loaded)));

    for (int i = 0; i < lot->jobs.n; i++) {
        struct cf_slot *s = &lot->slot[i];
        struct cf_error why = {0};

        if (cf_slot_read(s, w->o->kv_type, &why) != CF_OK ||
            (!s->recipe.model &&
             (cf_settings_size(&s->recipe, m, &why) != CF_OK ||
              add_memory(w, &s->recipe.params, s->recipe.keep, &why) != CF_OK))) {
            cf_log(w->log, CF_LOG_WARN, "job would fail", "job=%lld code=%s error=\"%s\"",
                   (long long)s->job->id, cf_status_name(why.status), why.msg);
            s->open = false;
        }
    }
    sum_memory(w);
    CF_TRY(look_back(w, lot, err));
    return w->e.past ? CF_OK : try_out(w, lot, err);
}

static enum cf_status estimate(struct work *w, struct cf_error *err)
{
    struct cf_jobs jobs;
    struct cf_lot *lot;
    enum cf_status st;

    CF_TRY(open_queue(w, err));
    CF_TRY(load(w, err));
    CF_TRY(cf_queue_peek(w->queue, LOOK, &jobs, err));
    lot = cf_lot_new(&jobs, err);
    if (!lot) {
        cf_jobs_free(&jobs);
        return CF_ENOMEM;
    }
    st = measure(w, lot, err);
    cf_lot_free(lot);
    return st;
}

/* ---- telling ---- */

static const char *time_text(char buf[48], double seconds)
{
    long long s = (long long)ceil(fmin(seconds, 1e15));

    if (s >= 86400)
        snprintf(buf, 48, "%lld-%02lld:%02lld:%02lld", s / 86400, s / 3600 % 24,
                 s / 60 % 60, s % 60);
    else
        snprintf(buf, 48, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return buf;
}

static void print_lines(const struct cf_estimate *e)
{
    char a[48], b[CF_BYTES_TEXT], c[CF_BYTES_TEXT], d[CF_BYTES_TEXT], f[CF_BYTES_TEXT];

    printf("jobs    %lld\n", (long long)e->jobs);
    if (e->image_ms > 0)
        printf("time    %s, %.1f images a minute as %s\n",
               time_text(a, (double)e->jobs * e->image_ms * 1e-3), 6e4 / e->image_ms,
               e->past ? "this queue's images were made" : "tried out just now");
    else
        printf("time    unknown\n");
    printf("threads %s\n", e->arrangement);
    printf("memory  %s of %s (%s): weights %s, text encoder %s%s, working memory %s\n",
           cf_bytes_text(a, e->peak_bytes), cf_bytes_text(b, (double)e->memory.bytes),
           e->memory.why, cf_bytes_text(c, e->weight_bytes),
           cf_bytes_text(d, e->encoder_bytes), e->turns ? " in turn" : "",
           cf_bytes_text(f, e->work_bytes));
    printf("disk    %s of %s free in %s\n",
           cf_bytes_text(a, (double)e->jobs * e->image_bytes),
           cf_bytes_text(b, e->free_bytes), e->root);
}

static enum cf_status print_json(const struct cf_estimate *e, struct cf_error *err)
{
    json_t *obj = json_pack(
        "{sI si si ss sf sf ss si sI sI sI ss sI sI ss sI sI ss}", "jobs",
        (json_int_t)e->jobs, "threads", e->threads, "groups", e->groups, "arrangement",
        e->arrangement, "seconds", (double)e->jobs * e->image_ms * 1e-3, "image_ms",
        e->image_ms, "from",
        e->past   ? "history"
        : e->made ? "trial"
                  : "nothing",
        "images", e->past ? e->past : e->made, "weight_bytes",
        (json_int_t)e->weight_bytes, "encoder_bytes", (json_int_t)e->encoder_bytes,
        "work_bytes", (json_int_t)e->work_bytes, "encoder", e->turns ? "release" : "keep",
        "peak_bytes", (json_int_t)e->peak_bytes, "memory_bytes",
        (json_int_t)e->memory.bytes, "memory_by", e->memory.why, "disk_bytes",
        (json_int_t)((double)e->jobs * e->image_bytes), "disk_free_bytes",
        (json_int_t)e->free_bytes, "output", e->root);
    char *text = obj ? cf_json_text(obj, JSON_REAL_PRECISION(9), err) : NULL;

    if (text)
        printf("%s\n", text);
    cf_free(text);
    json_decref(obj);
    return text ? CF_OK : cf_fail(err, CF_ENOMEM, "estimate: no memory for its text");
}

int cf_estimate_run(const struct cf_batch_options *o, struct cf_log *log)
{
    struct work w = {.o = o, .log = log};
    struct cf_error err = {0};

    if (estimate(&w, &err) == CF_OK) {
        if (log->json)
            print_json(&w.e, &err);
        else
            print_lines(&w.e);
        cf_cli_flush(&err);
    }
    if (err.status == CF_OK && (double)w.e.jobs * w.e.image_bytes > w.e.free_bytes)
        cf_log(log, CF_LOG_WARN, "more room is needed than there is", "bytes=%.0f",
               (double)w.e.jobs * w.e.image_bytes);
    if (err.status != CF_OK)
        cf_log(log, CF_LOG_ERROR, "stopped", "code=%s error=\"%s\"",
               cf_status_name(err.status), err.msg);
    cf_loaded_close(w.loaded);
    cf_queue_close(w.queue);
    cf_free(w.root);
    cf_free(w.told);
    return err.status == CF_OK ? 0 : cf_status_exit(err.status);
}
