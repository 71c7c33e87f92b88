#include "jobs/row.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/utf8.h"
#include "jobs/recipe.h"

enum { KEY_LIMIT = 255 };

enum cf_cell cf_cell_of(const char *name, const char *column)
{
    static const char *const known[CF_NCELL] = {
        "prompt", "negative", "seed", "seeds", "width",
        "height", "priority", "key",  "size",
    };

    if (strcasecmp(name, column ? column : "prompt") == 0)
        return CF_CELL_PROMPT;
    for (int i = CF_CELL_NEGATIVE; i < CF_NCELL; i++)
        if (strcasecmp(name, known[i]) == 0)
            return (enum cf_cell)i;
    return strcasecmp(name, "recipe") == 0 ? CF_CELL_RECIPE : CF_CELL_EXTRA;
}

enum cf_status cf_defaults_open(struct cf_defaults *d, const struct cf_import *how,
                                struct cf_error *err)
{
    d->how = how;
    if (how->negative && *how->negative)
        CF_TRY(cf_prompt_check(how->negative, strlen(how->negative), "negative", err));
    return cf_recipe_merge(how->recipe, NULL, "recipe", &d->recipe, err);
}

void cf_defaults_close(struct cf_defaults *d)
{
    cf_free(d->recipe);
    d->recipe = NULL;
}

/* A whole decimal number, blanks around it or not; an absent cell leaves *v as it is. */
static enum cf_status number(const struct cf_row *row, enum cf_cell cell,
                             const char *what, int lo, int hi, int *v,
                             struct cf_error *err)
{
    const char *text = row->cell[cell].text;
    size_t len = row->cell[cell].len;
    struct cf_scan scan;
    int64_t n;

    if (!len) /* text may be NULL */
        return CF_OK;
    scan = (struct cf_scan){text, text + len};
    cf_scan_blanks(&scan);
    if (cf_scan_i64(&scan, &n) && (cf_scan_blanks(&scan), scan.p == scan.end) &&
        n >= lo && n <= hi) {
        *v = (int)n;
        return CF_OK;
    }
    return cf_fail(err, CF_EFORMAT, "%s is \"%.*s\", expected a number in %d..%d", what,
                   (int)(len < 40 ? len : 40), text, lo, hi);
}

static enum cf_status seeds(const struct cf_defaults *d, const struct cf_row *row,
                            struct cf_seeds *out, struct cf_error *err)
{
    const struct cf_seeds *from = d->how->seed;
    enum cf_cell cell = row->cell[CF_CELL_SEED].len ? CF_CELL_SEED : CF_CELL_SEEDS;

    if (row->cell[CF_CELL_SEED].len && row->cell[CF_CELL_SEEDS].len)
        return cf_fail(err, CF_EFORMAT, "both seed and seeds are given");
    if (row->cell[cell].len) {
        CF_TRY(cf_seeds_parse(out, row->cell[cell].text, row->cell[cell].len, err));
        if (cell == CF_CELL_SEED && out->n != 1)
            return cf_fail(err, CF_EFORMAT, "seed is more than one number: use seeds");
        return CF_OK;
    }
    CF_TRY(cf_grow(&out->seed, &out->cap, from && from->n ? from->n : 1,
                   sizeof *out->seed, err));
    out->n = from && from->n ? from->n : 1;
    out->seed[0] = 0;
    if (from && from->n)
        memcpy(out->seed, from->seed, from->n * sizeof *from->seed);
    return CF_OK;
}

static enum cf_status user_key(const struct cf_row *row, char **out, struct cf_error *err)
{
    const char *text = row->cell[CF_CELL_KEY].text;
    size_t len = row->cell[CF_CELL_KEY].len, at;

    if (!len)
        return CF_OK;
    if (len > KEY_LIMIT || memchr(text, 0, len) || !cf_utf8_valid(text, len, &at))
        return cf_fail(err, CF_EFORMAT,
                       "key is not UTF-8 of at most %d bytes without NUL", KEY_LIMIT);
    *out = cf_strndup(text, len, err);
    return *out ? CF_OK : CF_ENOMEM;
}

/* A row taken apart. */
struct made {
    struct cf_seeds seeds;
    char *recipe, *key, *extra;
};

static enum cf_status pixels(const struct cf_row *row, struct cf_job_spec *s,
                             struct cf_error *err)
{
    if (!row->cell[CF_CELL_WIDTH].len != !row->cell[CF_CELL_HEIGHT].len)
        return cf_fail(err, CF_EFORMAT, "width without height, or height without width");
    CF_TRY(number(row, CF_CELL_WIDTH, "width", 1, CF_SIDE_MAX, &s->width, err));
    return number(row, CF_CELL_HEIGHT, "height", 1, CF_SIDE_MAX, &s->height, err);
}

/* Pixels are the job's; a name goes into over, its recipe. */
static enum cf_status size_or_name(const struct cf_row *row, struct cf_job_spec *s,
                                   json_t *over, struct cf_error *err)
{
    enum { LONGEST = 64 };
    const size_t len = row->cell[CF_CELL_SIZE].len;
    struct cf_error why = {0};
    char text[LONGEST];

    if (row->cell[CF_CELL_WIDTH].len)
        return cf_fail(err, CF_EFORMAT, "both size and width are given");
    snprintf(text, sizeof text, "%.*s", (int)(len < LONGEST ? len : LONGEST - 1),
             row->cell[CF_CELL_SIZE].text);
    if (cf_parse_size_or_name(text, &s->width, &s->height, "size", &why) != CF_OK)
        return cf_fail(err, CF_EFORMAT, "%s", why.msg);
    if (s->width == 0 && json_object_set_new(over, "size", json_string(text)) != 0)
        return cf_fail(err, CF_ENOMEM, "size: no memory");
    return CF_OK;
}

/* The recipe of the options under that of the row, and under its size by name. */
static enum cf_status recipe(const struct cf_defaults *d, const struct cf_row *row,
                             struct made *m, struct cf_job_spec *s, struct cf_error *err)
{
    json_t *over = row->recipe ? json_copy((json_t *)row->recipe) : json_object();
    enum cf_status st = over ? CF_OK : cf_fail(err, CF_ENOMEM, "recipe: no memory");

    if (st == CF_OK && row->cell[CF_CELL_SIZE].len)
        st = size_or_name(row, s, over, err);
    if (st == CF_OK && json_object_size(over)) {
        st = cf_recipe_merge(d->how->recipe, over, "recipe", &m->recipe, err);
        s->recipe = m->recipe;
    }
    json_decref(over);
    return st;
}

static enum cf_status make(const struct cf_defaults *d, const struct cf_row *row,
                           struct made *m, struct cf_new_job *job, struct cf_error *err)
{
    const struct cf_import *how = d->how;
    struct cf_job_spec *s = &job->spec;

    *s = (struct cf_job_spec){.prompt = row->cell[CF_CELL_PROMPT].text,
                              .prompt_len = row->cell[CF_CELL_PROMPT].len,
                              .recipe = d->recipe,
                              .width = how->width,
                              .height = how->height};
    job->priority = how->priority;
    if (row->cell[CF_CELL_NEGATIVE].len) {
        s->negative = row->cell[CF_CELL_NEGATIVE].text;
        s->negative_len = row->cell[CF_CELL_NEGATIVE].len;
    } else if (how->negative && *how->negative) {
        s->negative = how->negative;
        s->negative_len = strlen(how->negative);
    }
    CF_TRY(cf_prompt_check(s->prompt, s->prompt_len, "prompt", err));
    if (s->negative)
        CF_TRY(cf_prompt_check(s->negative, s->negative_len, "negative", err));
    CF_TRY(pixels(row, s, err));
    CF_TRY(number(row, CF_CELL_PRIORITY, "priority", -1000000, 1000000, &job->priority,
                  err));
    CF_TRY(seeds(d, row, &m->seeds, err));
    CF_TRY(user_key(row, &m->key, err));
    job->user_key = m->key;
    if (row->recipe || row->cell[CF_CELL_SIZE].len)
        CF_TRY(recipe(d, row, m, s, err));
    if (row->extra && json_object_size(row->extra)) {
        m->extra = cf_json_text(
            row->extra, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15), err);
        if (!m->extra)
            return CF_ENOMEM;
        job->extra = m->extra;
    }
    return CF_OK;
}

enum cf_status cf_row_add(const struct cf_defaults *d, const struct cf_row *row,
                          struct cf_adder *a, struct cf_imported *n, bool *bad,
                          struct cf_error *err)
{
    struct cf_new_job job = {0};
    struct made m = {0};
    enum cf_status st;
    int64_t id;
    bool fresh;

    st = make(d, row, &m, &job, err);
    *bad = st != CF_OK && st != CF_ENOMEM;
    for (size_t i = 0; i < m.seeds.n && st == CF_OK; i++) {
        job.spec.seed = m.seeds.seed[i];
        st = cf_adder_row(a, &job, &id, &fresh, err);
        if (st == CF_OK)
            *(fresh ? &n->added : &n->present) += 1;
    }
    cf_seeds_free(&m.seeds);
    cf_free(m.recipe);
    cf_free(m.key);
    cf_free(m.extra);
    return st;
}
