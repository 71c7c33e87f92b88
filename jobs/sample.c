#include "jobs/sample.h"

#include "base/alloc.h"
#include "jobs/db.h"
#include "jobs/detail.h"

/* The jobs to choose from; parameters as cf_sql_* of pick binds them. */
#define OF                                                                               \
    " FROM job WHERE state = ?1 AND (?2 IS NULL OR batch_id IN"                          \
    " (SELECT id FROM batch WHERE name = ?2))"

static enum cf_status open_pick(struct cf_sql *s, struct cf_queue *q, const char *text,
                                int state, const char *batch, struct cf_error *err)
{
    CF_TRY(cf_sql_open(s, q->db, text, err));
    cf_sql_int(s, 1, state);
    cf_sql_str(s, 2, batch);
    return CF_OK;
}

static enum cf_status count(struct cf_queue *q, int state, const char *batch,
                            int64_t *total, struct cf_error *err)
{
    struct cf_counts counts;
    enum cf_status st;
    struct cf_sql s;
    bool row;

    if (!batch) { /* at once, whatever the size */
        CF_TRY(cf_queue_counts(q, &counts, err));
        *total = counts.n[state];
        return CF_OK;
    }
    st = open_pick(&s, q, "SELECT count(*)" OF, state, batch, err);
    if (st == CF_OK)
        st = cf_sql_step(&s, &row, err);
    if (st == CF_OK)
        *total = cf_sql_col_int(&s, 0);
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_sample_ids(struct cf_queue *q, int state, const char *batch, int want,
                             int64_t **ids, int *n, int64_t *total, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    *ids = NULL;
    *n = 0;
    if (want < 1 || want > CF_SAMPLE_MAX)
        return cf_fail(err, CF_ERANGE, "a sample of %d jobs, expected 1..%d", want,
                       CF_SAMPLE_MAX);
    CF_TRY(count(q, state, batch, total, err));
    if (*total < want)
        want = (int)*total;
    *ids = cf_calloc((size_t)want, sizeof **ids, err);
    if (!*ids)
        return CF_ENOMEM;
    st = open_pick(&s, q, "SELECT id" OF " ORDER BY id", state, batch, err);
    for (int64_t i = 0; st == CF_OK && *n < want; i++) {
        st = cf_sql_step(&s, &row, err);
        if (st != CF_OK || !row)
            break;
        /* The k-th chosen is that of place k * total / want. */
        if (i >= *n * *total / want)
            (*ids)[(*n)++] = cf_sql_col_int(&s, 0);
    }
    cf_sql_close(&s);
    return st;
}

/* Up to CF_SAMPLE_BATCHES pairs of a number and a text. */
struct pair {
    int64_t number;
    char *text;
};

static enum cf_status pairs(struct cf_queue *q, const char *text, struct pair *pair,
                            int *n, struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;
    bool row;

    *n = 0;
    st = cf_sql_open(&s, q->db, text, err);
    while (st == CF_OK && *n < CF_SAMPLE_BATCHES &&
           (st = cf_sql_step(&s, &row, err)) == CF_OK && row) {
        pair[*n].number = cf_sql_col_int(&s, 0);
        st = cf_sql_col_dup(&s, 1, &pair[*n].text, NULL, err);
        *n += st == CF_OK;
    }
    cf_sql_close(&s);
    return st;
}

enum cf_status cf_sample_batches(struct cf_queue *q, struct cf_sample_batch **batch,
                                 int *n, int64_t *total, struct cf_error *err)
{
    struct pair pair[CF_SAMPLE_BATCHES];
    enum cf_status st;

    *batch = NULL;
    CF_TRY(cf_sql_int64(q->db, "SELECT count(DISTINCT name) FROM batch", total, err));
    st = pairs(q, "SELECT min(id), name FROM batch GROUP BY name ORDER BY 1", pair, n,
               err);
    *batch = cf_calloc(CF_SAMPLE_BATCHES, sizeof **batch, err);
    for (int i = 0; i < *n; i++)
        if (*batch)
            (*batch)[i] = (struct cf_sample_batch){pair[i].number, pair[i].text};
        else
            cf_free(pair[i].text);
    return *batch ? st : CF_ENOMEM;
}

void cf_sample_batches_free(struct cf_sample_batch *batch, int n)
{
    for (int i = 0; batch && i < n; i++)
        cf_free(batch[i].name);
    cf_free(batch);
}

enum cf_status cf_sample_causes(struct cf_queue *q, struct cf_sample_cause **cause,
                                int *n, struct cf_error *err)
{
    struct pair pair[CF_SAMPLE_BATCHES];
    enum cf_status st;

    *cause = NULL;
    *n = 0;
    st = pairs(q, "SELECT n, code FROM cause ORDER BY n DESC, code", pair, n, err);
    *cause = cf_calloc(CF_SAMPLE_BATCHES, sizeof **cause, err);
    for (int i = 0; i < *n; i++)
        if (*cause)
            (*cause)[i] = (struct cf_sample_cause){pair[i].text, pair[i].number};
        else
            cf_free(pair[i].text);
    return *cause ? st : CF_ENOMEM;
}

void cf_sample_causes_free(struct cf_sample_cause *cause, int n)
{
    for (int i = 0; cause && i < n; i++)
        cf_free(cause[i].code);
    cf_free(cause);
}
