#include "jobs/detail.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "jobs/key.h"
#include "jobs/states.h"

/* In the order of the columns that next reads. */
#define SELECT                                                                           \
    "SELECT j.id, j.state, p.text, j.negative_id, n.text, r.json, j.user_key, j.extra,"  \
    " j.seed, j.width, j.height, j.priority, j.attempts, j.crashes, j.releases,"         \
    " o.path, o.file_sha256, o.pixel_sha256, o.build, o.isa, m.sha256, o.stage_ms,"      \
    " o.note, o.bytes, o.ended, o.width, o.height, o.threads, o.offset, b.name"          \
    " FROM job j JOIN prompt p ON p.id = j.prompt_id"                                    \
    " JOIN prompt n ON n.id = j.negative_id JOIN recipe r ON r.id = j.recipe_id"         \
    " LEFT JOIN output o ON o.job_id = j.id LEFT JOIN model m ON m.id = o.model_id"      \
    " LEFT JOIN batch b ON b.id = j.batch_id"

/* With what is asked for, and the state as a literal, in the text, indexes serve it. */
enum cf_status cf_details_pick(struct cf_details *it, struct cf_queue *q,
                               const struct cf_pick *pick, struct cf_error *err)
{
    char text[1600], state[32] = "";

    if (pick->state >= 0)
        snprintf(state, sizeof state, " AND j.state = %d", pick->state);
    snprintf(
        text, sizeof text, SELECT " WHERE j.id > ?1%s%s%s ORDER BY j.id LIMIT ?2", state,
        pick->batch ? " AND j.batch_id IN (SELECT id FROM batch WHERE name = ?3)" : "",
        pick->code ? " AND j.id IN (SELECT job_id FROM failure WHERE code = ?4)" : "");
    CF_TRY(cf_sql_open(&it->s, q->db, text, err));
    cf_sql_int(&it->s, 1, pick->after);
    cf_sql_int(&it->s, 2, pick->limit);
    if (pick->batch)
        cf_sql_str(&it->s, 3, pick->batch);
    if (pick->code)
        cf_sql_str(&it->s, 4, pick->code);
    return CF_OK;
}

enum cf_status cf_details_open(struct cf_details *it, struct cf_queue *q, int state,
                               int64_t limit, struct cf_error *err)
{
    struct cf_pick pick = {.state = state, .limit = limit};

    return cf_details_pick(it, q, &pick, err);
}

enum cf_status cf_details_one(struct cf_details *it, struct cf_queue *q, int64_t id,
                              struct cf_error *err)
{
    CF_TRY(cf_sql_open(&it->s, q->db, SELECT " WHERE j.id = ?1", err));
    cf_sql_int(&it->s, 1, id);
    return CF_OK;
}

void cf_details_close(struct cf_details *it)
{
    cf_sql_close(&it->s);
}

static enum cf_status make_key(struct cf_detail *d, struct cf_error *err)
{
    struct cf_job_spec spec = {.prompt = d->prompt,
                               .prompt_len = d->prompt_len,
                               .negative = d->negative,
                               .negative_len = d->negative_len,
                               .recipe = d->recipe,
                               .seed = d->seed,
                               .width = d->width,
                               .height = d->height};

    if (!d->prompt || !d->recipe)
        return cf_fail(err, CF_EFORMAT, "job %" PRId64 ": its texts are damaged", d->id);
    return cf_job_key(&spec, d->key, err);
}

enum cf_status cf_details_next(struct cf_details *it, struct cf_detail *d, bool *row,
                               struct cf_error *err)
{
    const struct cf_sql *s = &it->s;

    memset(d, 0, sizeof *d);
    CF_TRY(cf_sql_step(&it->s, row, err));
    if (!*row)
        return CF_OK;
    d->id = cf_sql_col_int(s, 0);
    d->state = (int)cf_sql_col_int(s, 1);
    d->prompt = cf_sql_col_text(s, 2, &d->prompt_len);
    if (cf_sql_col_int(s, 3) != 0)
        d->negative = cf_sql_col_text(s, 4, &d->negative_len);
    d->recipe = cf_sql_col_text(s, 5, NULL);
    d->user_key = cf_sql_col_text(s, 6, NULL);
    d->extra = cf_sql_col_text(s, 7, NULL);
    d->seed = (uint64_t)cf_sql_col_int(s, 8);
    d->width = (int)cf_sql_col_int(s, 9);
    d->height = (int)cf_sql_col_int(s, 10);
    d->priority = (int)cf_sql_col_int(s, 11);
    d->attempts = (int)cf_sql_col_int(s, 12);
    d->crashes = (int)cf_sql_col_int(s, 13);
    d->releases = (int)cf_sql_col_int(s, 14);
    d->path = cf_sql_col_text(s, 15, NULL);
    d->file_sha256 = cf_sql_col_text(s, 16, NULL);
    d->pixel_sha256 = cf_sql_col_text(s, 17, NULL);
    d->build = cf_sql_col_text(s, 18, NULL);
    d->isa = cf_sql_col_text(s, 19, NULL);
    d->model_sha256 = cf_sql_col_text(s, 20, NULL);
    d->stage_ms = cf_sql_col_text(s, 21, NULL);
    d->note = cf_sql_col_text(s, 22, NULL);
    d->bytes = cf_sql_col_int(s, 23);
    d->ended = cf_sql_col_int(s, 24);
    d->out_width = (int)cf_sql_col_int(s, 25);
    d->out_height = (int)cf_sql_col_int(s, 26);
    d->threads = (int)cf_sql_col_int(s, 27);
    d->offset = cf_sql_col_int(s, 28);
    d->batch = cf_sql_col_text(s, 29, NULL);
    return make_key(d, err);
}

enum cf_status cf_detail_failure(struct cf_queue *q, int64_t id, char **code,
                                 char **message, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    *code = *message = NULL;
    st = cf_sql_open(&s, q->db, "SELECT code, message FROM failure WHERE job_id = ?1",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, id);
        st = cf_sql_step(&s, &row, err);
    }
    if (st == CF_OK && row)
        st = cf_sql_col_dup(&s, 0, code, NULL, err);
    if (st == CF_OK && row)
        st = cf_sql_col_dup(&s, 1, message, NULL, err);
    cf_sql_close(&s);
    if (st == CF_OK && !*code)
        st = (*code = cf_strdup("UNKNOWN", err)) ? CF_OK : CF_ENOMEM;
    if (st == CF_OK && !*message)
        st = (*message = cf_strdup("", err)) ? CF_OK : CF_ENOMEM;
    return st;
}

/* v is NULL where there was no memory for it, and only there. */
static int put(json_t *obj, const char *key, json_t *v)
{
    return json_object_set_new(obj, key, v);
}

/* What JSON cannot say, as the name of a file that is no UTF-8, is null. */
static json_t *text_of(const char *s, size_t n)
{
    return s && cf_utf8_valid(s, n, NULL) ? json_stringn_nocheck(s, n) : json_null();
}

static json_t *text(const char *s)
{
    return text_of(s, s ? strlen(s) : 0);
}

/* Texts that are JSON themselves go in as such. */
static json_t *nested(const char *s)
{
    struct cf_error why = {0};
    json_t *v = s ? cf_json_parse(s, strlen(s), SIZE_MAX, "job", &why) : NULL;

    return v || why.status == CF_ENOMEM ? v : text(s);
}

static json_t *seed(uint64_t v)
{
    char buf[24];

    if (v <= INT64_MAX)
        return json_integer((json_int_t)v);
    snprintf(buf, sizeof buf, "%" PRIu64, v);
    return json_string(buf);
}

static int put_job(json_t *o, const struct cf_detail *d)
{
    return put(o, "id", json_integer(d->id)) | put(o, "key", text(d->key)) |
           put(o, "user_key", text(d->user_key)) |
           put(o, "prompt", text_of(d->prompt, d->prompt_len)) |
           put(o, "negative", text_of(d->negative, d->negative_len)) |
           put(o, "seed", seed(d->seed)) | put(o, "width", json_integer(d->width)) |
           put(o, "height", json_integer(d->height)) |
           put(o, "recipe", nested(d->recipe));
}

/* Width and height of the file replace those that were asked for, which may be 0. */
static int put_output(json_t *o, const struct cf_detail *d)
{
    int bad = put(o, "path", text(d->path)) |
              put(o, "file_sha256", text(d->file_sha256)) |
              put(o, "pixel_sha256", text(d->pixel_sha256)) |
              put(o, "bytes", d->path ? json_integer(d->bytes) : json_null()) |
              put(o, "offset", d->path ? json_integer(d->offset) : json_null());

    if (d->path)
        bad |= put(o, "width", json_integer(d->out_width)) |
               put(o, "height", json_integer(d->out_height));
    return bad;
}

static int put_times(json_t *o, const struct cf_detail *d)
{
    return put(o, "ended_ms", d->path ? json_integer(d->ended) : json_null()) |
           put(o, "model_sha256", text(d->model_sha256)) |
           put(o, "build", text(d->build)) | put(o, "isa", text(d->isa)) |
           put(o, "threads", d->path ? json_integer(d->threads) : json_null()) |
           put(o, "stage_ms", nested(d->stage_ms)) | put(o, "note", text(d->note));
}

static int put_queue(json_t *o, const struct cf_detail *d)
{
    return put(o, "state", text(cf_state_name(d->state))) |
           put(o, "priority", json_integer(d->priority)) |
           put(o, "attempts", json_integer(d->attempts)) |
           put(o, "crashes", json_integer(d->crashes)) |
           put(o, "releases", json_integer(d->releases)) |
           put(o, "batch", text(d->batch)) | put(o, "extra", nested(d->extra));
}

json_t *cf_detail_json(const struct cf_detail *d, enum cf_detail_level level,
                       struct cf_error *err)
{
    json_t *o = json_object();
    int bad = !o;

    if (o)
        bad = put_job(o, d) | put_output(o, d);
    if (!bad && level >= CF_DETAIL_TIMES)
        bad = put_times(o, d);
    if (!bad && level >= CF_DETAIL_ALL)
        bad = put_queue(o, d);
    if (bad) {
        cf_fail(err, CF_ENOMEM, "job %" PRId64 ": no memory for its JSON", d->id);
        json_decref(o);
        return NULL;
    }
    return o;
}

enum cf_status cf_detail_dump(const struct cf_detail *d, enum cf_detail_level level,
                              FILE *to, struct cf_error *err)
{
    json_t *o = cf_detail_json(d, level, err);
    enum cf_status st = o ? CF_OK : CF_ENOMEM;

    if (o && (json_dumpf(o, to, CF_DETAIL_FLAGS) != 0 || putc('\n', to) == EOF))
        st = cf_fail_errno(err, errno, "writing the jobs");
    json_decref(o);
    return st;
}
