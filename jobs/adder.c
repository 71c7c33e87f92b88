#include "jobs/adder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/utf8.h"
#include "jobs/db.h"

enum { CACHE_MIN = 16 * 1024, CACHE_MAX = 256 * 1024 }; /* KiB */

struct cf_adder {
    struct cf_queue *q;
    struct cf_batch batch;
    int64_t batch_id;  /* 0: no row yet */
    int64_t added;     /* jobs of this batch */
    int64_t recipe_id; /* of recipe, the last one used */
    char *recipe;
    struct text {
        char *bytes; /* the last one used; len of it */
        size_t len, cap;
        int64_t id; /* -1: none */
    } prompt, negative;
    int rows; /* in this transaction */
    bool open;
    struct cf_sql find_prompt, add_prompt, add_job, find_job;
};

static enum cf_status add_batch(struct cf_adder *a, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, a->q->db,
                     "INSERT INTO batch(name, source, added_at, extra)"
                     " VALUES(?1, ?2, ?3, ?4)",
                     err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, a->batch.name ? a->batch.name : "");
        cf_sql_str(&s, 2, a->batch.source ? a->batch.source : "");
        cf_sql_int(&s, 3, cf_now_ms());
        cf_sql_str(&s, 4, a->batch.extra);
        st = cf_sql_run(&s, NULL, err);
    }
    if (st == CF_OK)
        a->batch_id = sqlite3_last_insert_rowid(a->q->db);
    cf_sql_close(&s);
    return st;
}

/* Hashes fall anywhere in the index of prompts. With the default cache of 2 MiB each page
 * would go to the log and come back many times within one transaction, and with the
 * default log of 4 MiB be copied into the file once per transaction. Memory stays
 * bounded whatever is read: a thirty-second of the machine's, in 16..256 MiB. And the
 * journal of a statement, which every row has for its trigger, takes 64 KiB from the
 * heap unless it is in memory. */
static enum cf_status tune(sqlite3 *db, bool import, struct cf_error *err)
{
    int64_t kib = sysconf(_SC_PHYS_PAGES) / 32 * (sysconf(_SC_PAGESIZE) / 1024);
    char text[140];

    if (!import)
        return cf_sql_exec(db,
                           "PRAGMA cache_size = -2000; PRAGMA wal_autocheckpoint = 1000;"
                           "PRAGMA temp_store = DEFAULT",
                           err);
    kib = kib < CACHE_MIN ? CACHE_MIN : kib > CACHE_MAX ? CACHE_MAX : kib;
    snprintf(text, sizeof text,
             "PRAGMA cache_size = -%d; PRAGMA wal_autocheckpoint = %d;"
             "PRAGMA temp_store = MEMORY",
             (int)kib, (int)kib / 4);
    return cf_sql_exec(db, text, err);
}

/* A transaction with a batch row: only one that added jobs is committed, so that
 * repeating an import leaves no trace. */
static enum cf_status begin(struct cf_adder *a, struct cf_error *err)
{
    CF_TRY(cf_sql_begin(a->q->db, err));
    a->open = true;
    a->rows = 0;
    return a->batch_id ? CF_OK : add_batch(a, err);
}

static enum cf_status end(struct cf_adder *a, enum cf_status st, struct cf_error *err)
{
    bool keep = st == CF_OK && a->added;

    a->open = false;
    cf_free(a->recipe); /* what is remembered may be rolled back */
    a->recipe = NULL;
    a->prompt.id = a->negative.id = -1;
    if (keep)
        return cf_sql_end(a->q->db, st, err);
    if (!a->added)
        a->batch_id = 0;
    if (!sqlite3_get_autocommit(a->q->db))
        sqlite3_exec(a->q->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static enum cf_status prepare(struct cf_adder *a, struct cf_error *err)
{
    sqlite3 *db = a->q->db;

    CF_TRY(
        cf_sql_open(&a->find_prompt, db, "SELECT id FROM prompt WHERE sha256 = ?1", err));
    CF_TRY(cf_sql_open(&a->add_prompt, db,
                       "INSERT INTO prompt(sha256, text) VALUES(?1, ?2)", err));
    CF_TRY(cf_sql_open(&a->add_job, db,
                       "INSERT INTO job(prompt_id, negative_id, recipe_id, seed, width,"
                       " height, priority, batch_id, user_key, extra)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
                       " ON CONFLICT DO NOTHING",
                       err));
    return cf_sql_open(&a->find_job, db,
                       "SELECT id FROM job WHERE prompt_id = ?1 AND negative_id = ?2 AND"
                       " recipe_id = ?3 AND seed = ?4 AND width = ?5 AND height = ?6",
                       err);
}

enum cf_status cf_adder_open(struct cf_adder **out, struct cf_queue *q,
                             const struct cf_batch *batch, struct cf_error *err)
{
    struct cf_adder *a;
    enum cf_status st;

    *out = NULL;
    CF_TRY(cf_queue_writable(q, err));
    a = cf_calloc(1, sizeof *a, err);
    if (!a)
        return CF_ENOMEM;
    a->q = q;
    a->batch = *batch;
    a->prompt.id = a->negative.id = -1;
    st = tune(q->db, true, err);
    if (st == CF_OK)
        st = prepare(a, err);
    if (st != CF_OK) {
        cf_adder_close(a, false, NULL, NULL);
        return st;
    }
    *out = a;
    return CF_OK;
}

enum cf_status cf_prompt_check(const char *text, size_t len, const char *what,
                               struct cf_error *err)
{
    size_t at;

    if (len == 0)
        return cf_fail(err, CF_EFORMAT, "%s is empty", what);
    if (len > CF_PROMPT_MAX)
        return cf_fail(err, CF_EFORMAT, "%s has %zu bytes, at most %d expected", what,
                       len, CF_PROMPT_MAX);
    if (memchr(text, 0, len))
        return cf_fail(err, CF_EFORMAT, "%s holds a NUL", what);
    if (!cf_utf8_valid(text, len, &at))
        return cf_fail(err, CF_EFORMAT, "%s is not UTF-8 (byte %zu is 0x%02x)", what,
                       at + 1, (unsigned char)text[at]);
    return CF_OK;
}

static enum cf_status one_id(struct cf_sql *s, int64_t *id, struct cf_error *err)
{
    bool row;

    *id = -1;
    CF_TRY(cf_sql_step(s, &row, err));
    if (!row)
        return CF_OK;
    *id = cf_sql_col_int(s, 0);
    return cf_sql_run(s, NULL, err);
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static enum cf_status text_id(struct cf_adder *a, const char *text, size_t len,
                              int64_t *id, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];
    unsigned char raw[32];

    CF_TRY(cf_digest_mem(text, len, hex, err));
    for (int i = 0; i < 32; i++)
        raw[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    cf_sql_blob(&a->find_prompt, 1, raw, sizeof raw);
    CF_TRY(one_id(&a->find_prompt, id, err));
    if (*id >= 0)
        return CF_OK;
    cf_sql_blob(&a->add_prompt, 1, raw, sizeof raw);
    cf_sql_text(&a->add_prompt, 2, text, len);
    CF_TRY(cf_sql_run(&a->add_prompt, NULL, err));
    *id = sqlite3_last_insert_rowid(a->q->db);
    return CF_OK;
}

/* The same, but the variants of a row, side by side, are hashed and looked up once. */
static enum cf_status prompt_id(struct cf_adder *a, struct text *last, const char *text,
                                size_t len, int64_t *id, struct cf_error *err)
{
    if (last->id < 0 || last->len != len || memcmp(last->bytes, text, len) != 0) {
        last->id = -1;
        CF_TRY(cf_grow(&last->bytes, &last->cap, len, 1, err));
        CF_TRY(text_id(a, text, len, &last->id, err));
        memcpy(last->bytes, text, len);
        last->len = len;
    }
    *id = last->id;
    return CF_OK;
}

static enum cf_status find_recipe(struct cf_adder *a, const char *hex, const char *json,
                                  struct cf_error *err)
{
    struct cf_sql add = {0}, find = {0};
    enum cf_status st;

    st = cf_sql_open(&add, a->q->db,
                     "INSERT INTO recipe(sha256, json) VALUES(?1, ?2)"
                     " ON CONFLICT(sha256) DO NOTHING",
                     err);
    if (st == CF_OK)
        st = cf_sql_open(&find, a->q->db, "SELECT id FROM recipe WHERE sha256 = ?1", err);
    if (st == CF_OK) {
        cf_sql_str(&add, 1, hex);
        cf_sql_str(&add, 2, json);
        cf_sql_str(&find, 1, hex);
        st = cf_sql_run(&add, NULL, err);
    }
    if (st == CF_OK)
        st = one_id(&find, &a->recipe_id, err);
    cf_sql_close(&add);
    cf_sql_close(&find);
    return st;
}

static enum cf_status recipe_id(struct cf_adder *a, const char *json,
                                struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];

    if (a->recipe && strcmp(a->recipe, json) == 0)
        return CF_OK;
    cf_free(a->recipe);
    a->recipe = NULL;
    CF_TRY(cf_digest_mem(json, strlen(json), hex, err));
    CF_TRY(find_recipe(a, hex, json, err));
    a->recipe = cf_strdup(json, err);
    return a->recipe ? CF_OK : CF_ENOMEM;
}

static void bind_spec(struct cf_sql *s, int64_t prompt, int64_t negative, int64_t recipe,
                      const struct cf_job_spec *spec)
{
    cf_sql_int(s, 1, prompt);
    cf_sql_int(s, 2, negative);
    cf_sql_int(s, 3, recipe);
    cf_sql_int(s, 4, (int64_t)spec->seed);
    cf_sql_int(s, 5, spec->width);
    cf_sql_int(s, 6, spec->height);
}

static enum cf_status insert(struct cf_adder *a, const struct cf_new_job *job,
                             int64_t *id, bool *fresh, struct cf_error *err)
{
    int64_t prompt, negative = 0;
    int n;

    CF_TRY(recipe_id(a, job->spec.recipe, err));
    CF_TRY(
        prompt_id(a, &a->prompt, job->spec.prompt, job->spec.prompt_len, &prompt, err));
    if (job->spec.negative)
        CF_TRY(prompt_id(a, &a->negative, job->spec.negative, job->spec.negative_len,
                         &negative, err));
    bind_spec(&a->add_job, prompt, negative, a->recipe_id, &job->spec);
    cf_sql_int(&a->add_job, 7, job->priority);
    cf_sql_int(&a->add_job, 8, a->batch_id);
    cf_sql_str(&a->add_job, 9, job->user_key);
    cf_sql_str(&a->add_job, 10, job->extra);
    CF_TRY(cf_sql_run(&a->add_job, &n, err));
    *fresh = n == 1;
    a->added += n;
    if (*fresh) {
        *id = sqlite3_last_insert_rowid(a->q->db);
        return CF_OK;
    }
    bind_spec(&a->find_job, prompt, negative, a->recipe_id, &job->spec);
    return one_id(&a->find_job, id, err);
}

enum cf_status cf_adder_row(struct cf_adder *a, const struct cf_new_job *job, int64_t *id,
                            bool *fresh, struct cf_error *err)
{
    const struct cf_job_spec *s = &job->spec;
    enum cf_status st;

    CF_TRY(cf_prompt_check(s->prompt, s->prompt_len, "prompt", err));
    if (s->negative)
        CF_TRY(cf_prompt_check(s->negative, s->negative_len, "negative", err));
    if (s->width < 0 || s->height < 0 || s->width > CF_SIDE_MAX ||
        s->height > CF_SIDE_MAX || !s->width != !s->height)
        return cf_fail(err, CF_ERANGE, "size %dx%d, expected sides of 1..%d or 0x0",
                       s->width, s->height, CF_SIDE_MAX);
    if (!a->open)
        CF_TRY(begin(a, err));
    st = insert(a, job, id, fresh, err);
    if (st != CF_OK || ++a->rows >= CF_ADDER_ROWS)
        st = end(a, st, err);
    return st;
}

enum cf_status cf_adder_pause(struct cf_adder *a, struct cf_error *err)
{
    return a->open ? end(a, CF_OK, err) : CF_OK;
}

static enum cf_status note_source(struct cf_adder *a, const char *sha256,
                                  struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    if (!sha256 || !a->batch_id)
        return CF_OK;
    st = cf_sql_open(&s, a->q->db, "UPDATE batch SET source_sha256 = ?2 WHERE id = ?1",
                     err);
    if (st == CF_OK) {
        cf_sql_int(&s, 1, a->batch_id);
        cf_sql_str(&s, 2, sha256);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_adder_close(struct cf_adder *a, bool keep, const char *sha256,
                              struct cf_error *err)
{
    enum cf_status st = keep ? CF_OK : CF_ECANCEL;

    if (!a)
        return CF_OK;
    if (keep)
        st = note_source(a, sha256, err);
    if (a->open)
        st = end(a, st, err);
    cf_sql_close(&a->find_prompt);
    cf_sql_close(&a->add_prompt);
    cf_sql_close(&a->add_job);
    cf_sql_close(&a->find_job);
    (void)tune(a->q->db, false, NULL);
    cf_free(a->recipe);
    cf_free(a->prompt.bytes);
    cf_free(a->negative.bytes);
    cf_free(a);
    return keep ? st : CF_OK;
}
