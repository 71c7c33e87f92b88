/* Conditions: which jobs a connection claims and counts.
 *
 * batch is the only one with an index. The others are tried on one job after another in
 * the order of the claim, so they cost what lies before the first match. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "jobs/db.h"

enum { WHERE_MAX = 32, HASH_MIN = 8, HASH_MAX = 64 };

/* %d is the parameter's number, the table is i. A text of tags is made a list first:
 * json_quote leaves commas as they are and nothing else of JSON is made of them. */
static const struct {
    const char *key, *sql;
} kind[] = {
    {"batch", "i.batch_id IN (SELECT id FROM batch WHERE name = ?%d)"},
    {"tag",
     "iif(json_valid(i.extra), EXISTS(SELECT 1 FROM json_each("
     "CASE json_type(i.extra, '$.tags')"
     " WHEN 'array' THEN json_extract(i.extra, '$.tags')"
     " WHEN 'text' THEN '[' || replace(json_quote(json_extract(i.extra, '$.tags')),"
     " ',', '\",\"') || ']' ELSE '[]' END) WHERE trim(value) = ?%d), 0)"},
    {"recipe", "i.recipe_id IN (SELECT id FROM recipe WHERE sha256 GLOB ?%d || '*')"},
    {"key", "i.user_key = ?%d"},
};
enum { NKIND = sizeof kind / sizeof kind[0], BATCH = 0, RECIPE = 2 };

void cf_where_free(struct cf_queue *q)
{
    for (size_t i = 0; i < q->n_where; i++)
        cf_free(q->where[i].value);
    cf_free(q->where);
    q->where = NULL;
    q->n_where = q->cap_where = 0;
}

/* Digits of a hash, made small. */
static enum cf_status hash(char *text, struct cf_error *err)
{
    size_t n = strlen(text);

    if (n < HASH_MIN || n > HASH_MAX || strspn(text, "0123456789abcdefABCDEF") != n)
        return cf_fail(err, CF_EUSAGE,
                       "condition recipe=%s: expected %d to %d digits of a SHA-256", text,
                       HASH_MIN, HASH_MAX);
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
    return CF_OK;
}

static int kind_of(const char *condition, size_t len)
{
    for (int k = 0; k < NKIND; k++)
        if (strlen(kind[k].key) == len && memcmp(kind[k].key, condition, len) == 0)
            return k;
    return -1;
}

enum cf_status cf_queue_where(struct cf_queue *q, const char *condition,
                              struct cf_error *err)
{
    const char *eq = strchr(condition, '=');
    struct cf_where w = {.kind = eq ? kind_of(condition, (size_t)(eq - condition)) : -1};
    enum cf_status st = CF_OK;

    if (w.kind < 0 || !eq[1])
        return cf_fail(err, CF_EUSAGE,
                       "condition \"%s\": expected batch=NAME, tag=NAME, recipe=HASH or "
                       "key=KEY",
                       condition);
    if (q->n_where == WHERE_MAX)
        return cf_fail(err, CF_EUSAGE, "more than %d conditions", WHERE_MAX);
    CF_TRY(cf_grow(&q->where, &q->cap_where, q->n_where + 1, sizeof *q->where, err));
    w.value = cf_strdup(eq + 1, err);
    if (!w.value)
        return CF_ENOMEM;
    if (w.kind == RECIPE)
        st = hash(w.value, err);
    if (st != CF_OK)
        cf_free(w.value);
    else
        q->where[q->n_where++] = w;
    return st;
}

static enum cf_status is_known(struct cf_queue *q, const struct cf_where *w, bool *known,
                               struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st =
        cf_sql_open(&s, q->db,
                    w->kind == BATCH ? "SELECT 1 FROM batch WHERE name = ?1"
                                     : "SELECT 1 FROM recipe WHERE sha256 GLOB ?1 || '*'",
                    err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, w->value);
        st = cf_sql_step(&s, known, err);
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_where_unknown(struct cf_queue *q, char *text, size_t size,
                                      struct cf_error *err)
{
    *text = '\0';
    for (size_t i = 0; i < q->n_where && !*text; i++) {
        const struct cf_where *w = &q->where[i];
        bool known = true;

        if (w->kind == BATCH || w->kind == RECIPE)
            CF_TRY(is_known(q, w, &known, err));
        if (!known)
            snprintf(text, size, "%s=%s", kind[w->kind].key, w->value);
    }
    return CF_OK;
}

char *cf_where_sql(const struct cf_queue *q, struct cf_error *err)
{
    char *all = cf_strdup("", err);

    for (size_t i = 0; i < q->n_where && all; i++) {
        const char *sql = kind[q->where[i].kind].sql, *gap = strstr(sql, "%d");
        char *more = cf_format(err, "%s AND (%.*s%d%s)", all, (int)(gap - sql), sql,
                               CF_WHERE_FIRST + (int)i, gap + 2);

        cf_free(all);
        all = more;
    }
    return all;
}

void cf_where_bind(const struct cf_queue *q, struct cf_sql *s)
{
    for (size_t i = 0; i < q->n_where; i++)
        cf_sql_str(s, CF_WHERE_FIRST + (int)i, q->where[i].value);
}

int cf_where_batch(const struct cf_queue *q)
{
    for (size_t i = 0; i < q->n_where; i++)
        if (q->where[i].kind == BATCH)
            return CF_WHERE_FIRST + (int)i;
    return 0;
}

/* A statement with the conditions between its halves, at its first row; ?1 is now. */
static enum cf_status ask(struct cf_queue *q, struct cf_sql *s, const char *before,
                          const char *after, bool *row, struct cf_error *err)
{
    char *where = cf_where_sql(q, err), *text = NULL;
    enum cf_status st = CF_ENOMEM;

    memset(s, 0, sizeof *s);
    if (where)
        text = cf_format(err, "%s%s%s", before, where, after);
    if (text)
        st = cf_sql_open(s, q->db, text, err);
    if (st == CF_OK) {
        cf_where_bind(q, s);
        cf_sql_int(s, 1, q->wall_ms());
        st = cf_sql_step(s, row, err);
    }
    cf_free(where);
    cf_free(text);
    return st;
}

static enum cf_status count(struct cf_queue *q, const char *from, int64_t *n,
                            struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    st = ask(q, &s, from, "", &row, err);
    if (st == CF_OK && row)
        *n += cf_sql_col_int(&s, 0);
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_queue_due(struct cf_queue *q, int64_t *n, struct cf_error *err)
{
    struct cf_counts c;

    *n = 0;
    if (!q->n_where) {
        CF_TRY(cf_queue_counts(q, &c, err));
        *n = c.n[CF_JOB_READY] + c.n[CF_JOB_DELAYED];
        return CF_OK;
    }
    CF_TRY(count(q, "SELECT count(*) FROM job i WHERE i.state = 0", n, err));
    return count(q,
                 "SELECT count(*) FROM delay d CROSS JOIN job i ON i.id = d.job_id"
                 " WHERE i.state = 4",
                 n, err);
}

enum cf_status cf_queue_next_due(struct cf_queue *q, int *seconds, struct cf_error *err)
{
    int64_t wait = 0;
    enum cf_status st;
    struct cf_sql s;
    bool row = false;

    *seconds = -1;
    st = ask(q, &s,
             q->n_where ? "SELECT min(until - ?1, seconds * 1000) FROM delay"
                          " CROSS JOIN job i ON i.id = delay.job_id WHERE i.state = 4"
                        : "SELECT min(until - ?1, seconds * 1000) FROM delay",
             " ORDER BY 1 LIMIT 1", &row, err);
    if (st == CF_OK && row) {
        wait = cf_sql_col_int(&s, 0);
        *seconds = wait <= 0 ? 0 : wait > INT_MAX ? INT_MAX : (int)((wait + 999) / 1000);
    }
    cf_sql_close(&s);
    return st;
}
