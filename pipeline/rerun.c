#include "pipeline/rerun.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/team.h"
#include "base/utf8.h"
#include "jobs/detail.h"
#include "jobs/states.h"
#include "pipeline/finish.h"
#include "pipeline/single.h"
#include "pipeline/stop.h"
#include "pipeline/variation.h"
#include "store/sink.h"

/* What is known of the image as it was. NULL: not known. Strings are owned. */
struct original {
    char *prompt, *negative, *key, *pixels, *file, *build, *isa, *model, *note, *date,
        *dir; /* where the path of an initial image begins */
    size_t prompt_len, negative_len;
    uint64_t seed;
    int threads;  /* 0: not known */
    bool kv_free; /* nothing says what keys and values were kept as */
    struct cf_settings settings;
};

/* The image as it is now. */
struct again {
    struct cf_result result;
    struct cf_story story;
    struct cf_blob blob;
    char file[CF_DIGEST_HEX], model[CF_DIGEST_HEX];
    int threads;
    bool same_file;
};

static void original_free(struct original *o)
{
    char *const text[] = {o->prompt, o->negative, o->key,  o->pixels, o->file, o->build,
                          o->isa,    o->model,    o->note, o->date,   o->dir};

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        cf_free(text[i]);
    cf_settings_free(&o->settings);
}

static void again_free(struct again *a)
{
    cf_result_free(&a->result);
    cf_story_free(&a->story);
    cf_blob_free(&a->blob);
}

/* A copy, or NULL of NULL; a failure is kept in err. */
static char *keep(const char *text, struct cf_error *err)
{
    return text ? cf_strdup(text, err) : NULL;
}

/* ---- from a row ---- */

static enum cf_status take_row(struct original *o, const struct cf_detail *d,
                               struct cf_error *err)
{
    if (!d->path)
        return cf_fail(err, CF_EUSAGE,
                       "job %" PRId64 " is %s: only a done job can be "
                       "made again",
                       d->id, cf_state_name(d->state));
    o->prompt = cf_strndup(d->prompt, d->prompt_len, err);
    o->prompt_len = d->prompt_len;
    o->negative = d->negative ? cf_strndup(d->negative, d->negative_len, err) : NULL;
    o->negative_len = d->negative_len;
    o->key = keep(d->key, err);
    o->pixels = keep(d->pixel_sha256, err);
    o->file = keep(d->file_sha256, err);
    o->build = keep(d->build, err);
    o->isa = keep(d->isa, err);
    o->model = keep(d->model_sha256, err);
    o->note = keep(d->note, err);
    o->seed = d->seed;
    o->threads = d->threads;
    if (err->status != CF_OK)
        return err->status;
    return cf_settings_read(&o->settings, d->recipe, d->width, d->height, err);
}

static enum cf_status read_row(struct original *o, const struct cf_rerun *how,
                               struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_queue *q = NULL;
    struct cf_detail d;
    enum cf_status st;
    bool row;

    st = cf_queue_open(&q, how->db, cf_queue_mode(CF_QUEUE_READ, how->unsafe), err);
    if (st == CF_OK)
        st = cf_details_one(&it, q, how->job, err);
    if (st == CF_OK)
        st = cf_details_next(&it, &d, &row, err);
    if (st == CF_OK && !(o->dir = cf_strdup(cf_queue_dir(q), err)))
        st = CF_ENOMEM;
    if (st == CF_OK)
        st = row ? take_row(o, &d, err)
                 : cf_fail(err, CF_ENOENT, "there is no job %" PRId64, how->job);
    cf_details_close(&it);
    cf_queue_close(q);
    return st;
}

/* ---- from an image ---- */

static const char *field(const json_t *record, const char *name)
{
    return json_string_value(json_object_get(record, name));
}

/* The recipe of a record is what the plan came to; its settings of WebP are an object of
 * their own there, and the model is beside it. */
static enum cf_status take_recipe(struct original *o, const json_t *record,
                                  struct cf_error *err)
{
    const json_t *recipe = json_object_get(record, "recipe");
    int64_t w = json_integer_value(json_object_get(record, "width"));
    int64_t h = json_integer_value(json_object_get(record, "height"));
    json_t *flat = json_is_object(recipe) ? json_copy((json_t *)recipe) : NULL;
    enum cf_status st;
    char *text;

    if (!flat)
        return cf_fail(err, CF_EFORMAT, "the image's record has no recipe");
    json_object_update(flat, json_object_get(recipe, "webp"));
    if (field(record, "model_name"))
        json_object_set(flat, "model", json_object_get(record, "model_name"));
    text = cf_json_text(flat, JSON_COMPACT, err);
    st = text ? cf_settings_read(&o->settings, text, (int)w, (int)h, err) : CF_ENOMEM;
    cf_free(text);
    json_decref(flat);
    return st;
}

static enum cf_status take_record(struct original *o, const json_t *record,
                                  struct cf_error *err)
{
    const char *seed = field(record, "seed");

    if (!field(record, "prompt") || !seed)
        return cf_fail(err, CF_EFORMAT, "the image's record has no prompt or no seed");
    o->prompt = keep(field(record, "prompt"), err);
    o->negative = keep(field(record, "negative"), err);
    o->key = keep(field(record, "job_key"), err);
    o->pixels = keep(field(record, "pixel_sha256"), err);
    o->build = keep(field(record, "build"), err);
    o->isa = keep(field(record, "isa"), err);
    o->model = keep(field(record, "model_sha256"), err);
    o->note = keep(field(record, "note"), err);
    o->date = keep(field(record, "date"), err);
    if (err->status != CF_OK)
        return err->status;
    o->prompt_len = strlen(o->prompt);
    o->negative_len = o->negative ? strlen(o->negative) : 0;
    o->seed = strtoull(seed, NULL, 10);
    return take_recipe(o, record, err);
}

static enum cf_status read_image(struct original *o, const char *path,
                                 struct cf_error *err)
{
    enum { LIMIT = 256 << 20 };
    json_t *record = NULL;
    size_t size;
    char *data = cf_file_read(path, LIMIT, &size, err);
    char hex[CF_DIGEST_HEX];
    enum cf_status st;

    if (!data)
        return err->status;
    st = cf_meta_read(data, size, &record, err);
    if (st == CF_OK)
        st = take_record(o, record, err);
    if (st == CF_OK)
        st = cf_digest_mem(data, size, hex, err);
    if (st == CF_OK)
        st = (o->file = keep(hex, err)) ? CF_OK : CF_ENOMEM;
    json_decref(record);
    cf_free(data);
    return st == CF_OK ? st : cf_wrap(err, "%s", path);
}

/* ---- made again ---- */

/* Rows do not say how much metadata their files have: the level that gives the same bytes
 * is the one; where none does, the first is kept. */
static enum cf_status encode(struct again *a, const struct original *o,
                             struct cf_stop *stop, struct cf_error *err)
{
    struct cf_blob blob = {0};
    bool proved = true;

    for (int level = CF_META_FULL; level <= CF_META_NONE && !a->same_file; level++) {
        char hex[CF_DIGEST_HEX];

        CF_TRY(cf_finish_encode(&a->result.image, &o->settings.webp, &a->story,
                                (enum cf_meta_level)level, &stop->cancel, &proved, &blob,
                                err));
        if (cf_digest_mem(blob.data, blob.size, hex, err) != CF_OK) {
            cf_blob_free(&blob);
            return err->status;
        }
        a->same_file = o->file && strcmp(hex, o->file) == 0;
        if (a->same_file || level == CF_META_FULL) {
            cf_blob_free(&a->blob);
            a->blob = blob;
            memcpy(a->file, hex, sizeof hex);
            blob = (struct cf_blob){0};
        }
        cf_blob_free(&blob);
    }
    return CF_OK;
}

/* Settings that need the model: a size by name, and what an initial image becomes. */
static enum cf_status prepare(struct original *o, const struct cf_rerun *how,
                              struct cf_engine *engine, struct cf_plan *plan,
                              struct cf_variation *init, struct cf_request *req,
                              struct cf_error *err)
{
    struct cf_settings *s = &o->settings;
    const char *path = how->init ? how->init : s->init;

    if (s->params.kv_type == -1)
        s->params.kv_type = how->kv_type;
    o->kv_free = s->params.kv_type == -1;
    CF_TRY(cf_settings_size(s, cf_engine_model(engine), err));
    CF_TRY(cf_single_fit(engine, &s->params, NULL, how->memory, err));
    if (!s->keep)
        return CF_OK;
    if (!path)
        return cf_fail(err, CF_EUNSUP,
                       "made from another image, whose path its record does not hold: "
                       "give it with --init-image");
    CF_TRY(cf_engine_plan(engine, &s->params, 1, plan, err));
    CF_TRY(cf_variation_read(init, how->init ? NULL : o->dir, path, s->init_sha256,
                             plan->width, plan->height, err));
    req->init = &init->image;
    req->init_sha256 = init->sha256;
    req->keep = s->keep;
    return CF_OK;
}

static enum cf_status generate(struct again *a, struct original *o,
                               const struct cf_rerun *how, struct cf_engine *engine,
                               struct cf_dnn *dnn, struct cf_stop *stop,
                               struct cf_error *err)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    struct cf_request req = {
        .prompt = o->prompt,
        .prompt_len = o->prompt_len,
        .negative = o->negative,
        .negative_len = o->negative_len,
        .seed = o->seed,
        .positive = o->settings.positive,
        .watch = how->watch,
    };
    struct cf_variation init = {0};
    struct cf_encoded *text[2] = {NULL, NULL};
    enum cf_status st = CF_ENOMEM;
    double ms;

    memcpy(a->model, cf_engine_model(engine)->hash, sizeof a->model);
    if (plan)
        st = prepare(o, how, engine, plan, &init, &req, err);
    if (st == CF_OK)
        st = cf_single_encode(&req, engine, dnn, &stop->cancel, text, &ms, err);
    if (st == CF_OK)
        st = cf_single_fit(engine, &o->settings.params, &req, how->memory, err);
    if (st == CF_OK)
        st = cf_engine_run(engine, &o->settings.params, &req, 1, &stop->cancel, plan,
                           &a->result, NULL, err);
    if (st == CF_OK)
        st = cf_story_make(&a->story, engine, dnn, &req, plan, &o->settings.webp,
                           &a->result, o->key, err);
    if (st == CF_OK)
        st = encode(a, o, stop, err);
    for (int i = 0; i < 2; i++)
        cf_encoded_drop(text[i]);
    cf_variation_free(&init);
    cf_free(plan);
    return st;
}

static enum cf_status make(struct again *a, struct original *o,
                           const struct cf_rerun *how, struct cf_error *err)
{
    const char *name = how->model          ? how->model
                       : o->settings.model ? o->settings.model
                                           : how->usual;
    struct cf_packed *packed = NULL;
    struct cf_engine *engine = NULL;
    struct cf_dnn *dnn = NULL;
    struct cf_team team;
    struct cf_stop stop;
    enum cf_status st;
    char *dir = NULL;

    CF_TRY(cf_team_count(&team, how->threads, err));
    CF_TRY(cf_stop_start(&stop, 0, NULL, NULL, err));
    a->threads = team.threads;
    st = cf_model_find(&dir, name, how->model_path, err);
    if (st == CF_OK)
        st = cf_dnn_open(&dnn, how->cpu, team.threads, err);
    if (st == CF_OK)
        st = cf_packed_open(&packed,
                            &(struct cf_packed_options){.threads = team.threads,
                                                        .cache = how->pack_cache},
                            err);
    if (st == CF_OK)
        st = cf_engine_open(&engine, dnn, dir, packed, err);
    if (st == CF_OK)
        st = generate(a, o, how, engine, dnn, &stop, err);
    cf_engine_close(engine);
    cf_packed_close(packed);
    cf_dnn_close(dnn);
    cf_free(dir);
    cf_stop_end(&stop);
    return st;
}

/* ---- compared ---- */

static void put_text(const char *text, size_t len)
{
    char *safe = cf_utf8_printable(text, len, CF_ERROR_MAX, NULL);

    fputs(safe ? safe : "?", stdout);
    cf_free(safe);
}

/* A line where both are known and differ. */
static void differ(const char *what, const char *was, size_t was_len, const char *is,
                   size_t is_len)
{
    if (was_len == is_len && memcmp(was, is, is_len) == 0)
        return;
    printf("  %-16s was ", what);
    put_text(was_len ? was : "none", was_len ? was_len : 4);
    fputs(", is ", stdout);
    put_text(is_len ? is : "none", is_len ? is_len : 4);
    putchar('\n');
}

static void differ_text(const char *what, const char *was, const char *is)
{
    if (was && is)
        differ(what, was, strlen(was), is, strlen(is));
}

/* "cfgen 0.1.0, oneDNN 2.6.3" are two facts. */
static void differ_build(const char *was)
{
    static const char mark[] = ", oneDNN ";
    char is[CF_BUILD_ID];
    const char *a, *b;

    if (!was)
        return;
    cf_build_id(is);
    a = strstr(was, mark);
    b = strstr(is, mark);
    if (!a || !b) {
        differ_text("build", was, is);
        return;
    }
    differ("build", was, (size_t)(a - was), is, (size_t)(b - is));
    differ_text("oneDNN", a + sizeof mark - 1, b + sizeof mark - 1);
}

static void report(const struct original *o, const struct again *a, bool same_pixels)
{
    printf("%s, %s\n", same_pixels ? "identical pixels" : "other pixels",
           a->same_file ? "identical bytes" : "other bytes");
    differ_text("pixels", o->pixels, a->result.pixel_sha256);
    if (!a->same_file)
        differ_text("file", o->file, a->file);
    differ_text("model", o->model, a->model);
    differ_build(o->build);
    differ_text("instruction set", o->isa, a->story.isa);
    if (o->kv_free && !same_pixels && !a->same_file)
        printf("  %-16s the job names none: if its worker had --kv-type, give it here\n",
               "kv-type");
    if (!a->same_file) {
        differ_text("note", o->note ? o->note : "", a->story.note ? a->story.note : "");
        if (o->date && !getenv("SOURCE_DATE_EPOCH"))
            differ_text("date", o->date, "none: set SOURCE_DATE_EPOCH");
    }
    if (o->threads && o->threads != a->threads && !(same_pixels && a->same_file))
        printf("  %-16s were %d, are %d; this never changes an image\n", "threads",
               o->threads, a->threads);
}

enum cf_status cf_rerun(const struct cf_rerun *how, bool *same, struct cf_error *err)
{
    struct original o = {0};
    struct again a = {0};
    enum cf_status st;
    bool same_pixels;

    *same = false;
    st = how->from ? read_image(&o, how->from, err) : read_row(&o, how, err);
    if (st == CF_OK)
        st = make(&a, &o, how, err);
    if (st == CF_OK && how->output)
        st = cf_file_put(how->output, a.blob.data, a.blob.size, err);
    if (st == CF_OK) {
        same_pixels = o.pixels && strcmp(o.pixels, a.result.pixel_sha256) == 0;
        report(&o, &a, same_pixels);
        *same = same_pixels && a.same_file;
    }
    again_free(&a);
    original_free(&o);
    return st;
}
