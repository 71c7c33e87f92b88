#include "jobs/import.h"

#include <csv.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "jobs/input.h"
#include "jobs/row.h"

enum { COLUMNS_MAX = 256, VALUES_MAX = 10000 };

/* An import under way. */
struct import {
    const char *path;
    const struct cf_import *how;
    struct cf_input *in;
    struct cf_adder *adder;
    struct cf_defaults defaults;
    struct cf_imported *n;
    struct cf_error *err;

    /* CSV and TSV: the cells of the row being read, each followed by NUL. */
    char *text;
    size_t len, cap;
    size_t start[COLUMNS_MAX + 1];
    int n_cell;      /* may pass COLUMNS_MAX; the rest is not kept */
    int64_t line;    /* where the row begins */
    bool have_names; /* the first row was read */
    int n_name;
    char *name[COLUMNS_MAX];
    enum cf_cell cell[COLUMNS_MAX];
    enum cf_status st; /* of callbacks */
};

/* Counts a bad row and reports it; a failure when strict. */
static enum cf_status bad_row(struct import *im, int64_t line, const struct cf_error *why)
{
    im->n->bad++;
    if (im->how->strict)
        return cf_fail(im->err, CF_EFORMAT, "%s:%" PRId64 ": %s", im->path, line,
                       why->msg);
    if (im->how->bad)
        im->how->bad(im->how->ctx, im->path, line, why->msg);
    return CF_OK;
}

static enum cf_status too_long(struct import *im, int64_t line)
{
    struct cf_error why = {0};

    im->n->rows++;
    cf_fail(&why, CF_EFORMAT, "more than %d bytes in one row", CF_LINE_MAX);
    return bad_row(im, line, &why);
}

static enum cf_status add(struct import *im, const struct cf_row *row, int64_t line)
{
    struct cf_error why = {0};
    enum cf_status st;
    bool bad;

    im->n->rows++;
    st = cf_row_add(&im->defaults, row, im->adder, im->n, &bad, &why);
    if (st == CF_OK)
        return CF_OK;
    return bad ? bad_row(im, line, &why) : cf_fail(im->err, why.status, "%s", why.msg);
}

static enum cf_status next_line(struct import *im, struct cf_line *line, bool *end)
{
    if (cf_input_waits(im->in))
        CF_TRY(cf_adder_pause(im->adder, im->err));
    return cf_input_line(im->in, line, end, im->err);
}

static bool limit_reached(const struct import *im)
{
    return im->how->limit > 0 && im->n->rows >= im->how->limit;
}

/* Keeps a value of an unknown column; false when it is not UTF-8 or memory is short. */
static bool keep_extra(struct cf_row *row, const char *name, const char *text, size_t len)
{
    if (!row->extra)
        row->extra = json_object();
    return row->extra &&
           json_object_set_new(row->extra, name, json_stringn(text, len)) == 0;
}

/* Columns */

static enum cf_status take_names(struct import *im)
{
    int n_prompt = 0;

    if (im->n_cell > COLUMNS_MAX)
        return cf_fail(im->err, CF_EFORMAT, "%s: %d columns, at most %d expected",
                       im->path, im->n_cell, COLUMNS_MAX);
    for (int i = 0; i < im->n_cell; i++) {
        const char *text = im->text + im->start[i];
        size_t len = im->start[i + 1] - im->start[i] - 1, at;

        if (memchr(text, 0, len) || !cf_utf8_valid(text, len, &at))
            return cf_fail(im->err, CF_EFORMAT, "%s: the name of column %d is not UTF-8",
                           im->path, i + 1);
        im->name[i] = cf_strndup(text, len, im->err);
        if (!im->name[i])
            return CF_ENOMEM;
        im->n_name++;
        im->cell[i] = cf_cell_of(im->name[i], im->how->column);
        if (im->cell[i] == CF_CELL_RECIPE) /* an object: only JSONL has those */
            return cf_fail(im->err, CF_EFORMAT,
                           "%s: a recipe column is read from JSONL only", im->path);
        n_prompt += im->cell[i] == CF_CELL_PROMPT;
        for (int j = 0; j < i; j++)
            if (strcasecmp(im->name[i], im->name[j]) == 0)
                return cf_fail(im->err, CF_EFORMAT, "%s: two columns are called %s",
                               im->path, im->name[i]);
    }
    im->have_names = true;
    return n_prompt == 1
               ? CF_OK
               : cf_fail(im->err, CF_EFORMAT,
                         "%s: no column is called \"%s\" (--column names "
                         "it; one prompt a line is --format=text)",
                         im->path, im->how->column ? im->how->column : "prompt");
}

/* The cells of the row become a job, or the names of the columns. */
static enum cf_status end_row(struct import *im)
{
    struct cf_error why = {0};
    struct cf_row row = {0};
    enum cf_status st = CF_OK;

    if (!im->have_names)
        return take_names(im);
    if (limit_reached(im))
        return CF_OK;
    if (im->n_cell != im->n_name) {
        im->n->rows++;
        cf_fail(&why, CF_EFORMAT, "%d fields, %d expected%s", im->n_cell, im->n_name,
                im->n_name > 1 ? "" : " (a file without quoting is --format=tsv)");
        return bad_row(im, im->line, &why);
    }
    for (int i = 0; i < im->n_cell && st == CF_OK; i++) {
        const char *text = im->text + im->start[i];
        size_t len = im->start[i + 1] - im->start[i] - 1;

        if (im->cell[i] < CF_NCELL) {
            row.cell[im->cell[i]].text = text;
            row.cell[im->cell[i]].len = len;
        } else if (len && !keep_extra(&row, im->name[i], text, len)) {
            st = cf_fail(&why, CF_EFORMAT, "column %s is not UTF-8", im->name[i]);
        }
    }
    if (st == CF_OK) {
        st = add(im, &row, im->line);
    } else {
        im->n->rows++;
        st = bad_row(im, im->line, &why);
    }
    json_decref(row.extra);
    return st;
}

static void clear_cells(struct import *im)
{
    im->n_cell = 0;
    im->len = 0;
    im->start[0] = 0;
}

static enum cf_status put_cell(struct import *im, const char *text, size_t len)
{
    if (im->n_cell++ >= COLUMNS_MAX)
        return CF_OK;
    CF_TRY(cf_grow(&im->text, &im->cap, im->len + len + 1, 1, im->err));
    if (len)
        memcpy(im->text + im->len, text, len);
    im->text[im->len + len] = '\0';
    im->len += len + 1;
    im->start[im->n_cell] = im->len;
    return CF_OK;
}

/* The next line without its CR; *more is false at the end and at the limit. */
static enum cf_status next_text(struct import *im, struct cf_line *line, bool *more)
{
    bool end = limit_reached(im);

    if (!end)
        CF_TRY(next_line(im, line, &end));
    if (!end && line->len && line->text[line->len - 1] == '\r')
        line->len--;
    *more = !end;
    return CF_OK;
}

static enum cf_status read_tsv(struct import *im)
{
    struct cf_line line;
    enum cf_status st;
    bool more;

    while ((st = next_text(im, &line, &more)) == CF_OK && more) {
        if (line.too_long) {
            CF_TRY(too_long(im, line.number));
            continue;
        }
        if (line.len == 0)
            continue;
        clear_cells(im);
        im->line = line.number;
        for (const char *p = line.text, *stop = p + line.len; p <= stop;) {
            const char *tab = memchr(p, '\t', (size_t)(stop - p));
            const char *cut = tab ? tab : stop;

            CF_TRY(put_cell(im, p, (size_t)(cut - p)));
            p = cut + 1;
        }
        CF_TRY(end_row(im));
    }
    return st;
}

static void on_cell(void *text, size_t len, void *ctx)
{
    struct import *im = ctx;

    if (im->st == CF_OK)
        im->st = put_cell(im, text, len);
}

static void on_row(int c, void *ctx)
{
    struct import *im = ctx;

    (void)c;
    if (im->st == CF_OK)
        im->st = end_row(im);
    clear_cells(im);
    im->line = 0; /* the next row begins with the next line that is fed */
}

static enum cf_status start_csv(struct csv_parser *p, struct import *im)
{
    if (csv_init(p, CSV_STRICT | CSV_STRICT_FINI) != 0)
        return cf_fail(im->err, CF_ENOMEM, "%s: no memory to read it", im->path);
    return CF_OK;
}

/* After a row that is no CSV: forget it and go on with the next line. */
static enum cf_status resync(struct csv_parser *p, struct import *im,
                             const char *why_text)
{
    struct cf_error why = {0};
    int64_t line = im->line;

    csv_free(p);
    clear_cells(im);
    im->line = 0;
    im->n->rows++;
    cf_fail(&why, CF_EFORMAT, "%s", why_text);
    CF_TRY(bad_row(im, line, &why));
    return start_csv(p, im);
}

static enum cf_status feed_csv(struct csv_parser *p, struct import *im,
                               const struct cf_line *line)
{
    static const char bare[] =
        "a bare or unfinished quote (a file without quoting is --format=tsv or text)";

    if (!im->line)
        im->line = line->number;
    if (line->too_long)
        return resync(p, im, "more than 1048576 bytes in one line");
    if (csv_parse(p, line->text, line->len, on_cell, on_row, im) != line->len ||
        csv_parse(p, "\n", 1, on_cell, on_row, im) != 1) {
        if (im->st != CF_OK)
            return im->st;
        if (csv_error(p) != CSV_EPARSE)
            return cf_fail(im->err, CF_ENOMEM, "%s: no memory to read it", im->path);
        return resync(p, im, bare);
    }
    if (im->st == CF_OK && csv_get_buffer_size(p) > 2 * CF_LINE_MAX)
        return resync(p, im, "a quote that is not closed for a million bytes");
    return im->st;
}

static enum cf_status read_csv(struct import *im)
{
    struct csv_parser p;
    struct cf_line line;
    enum cf_status st;
    bool end = false;

    CF_TRY(start_csv(&p, im));
    do {
        st = next_line(im, &line, &end);
        if (st == CF_OK && !end)
            st = feed_csv(&p, im, &line);
    } while (st == CF_OK && !end && !limit_reached(im));
    if (st == CF_OK && end && csv_fini(&p, on_cell, on_row, im) != 0)
        st = resync(&p, im, "a quote that is never closed");
    if (st == CF_OK)
        st = im->st;
    csv_free(&p);
    return st;
}

static enum cf_status read_text(struct import *im)
{
    struct cf_line line;
    enum cf_status st;
    bool more;

    while ((st = next_text(im, &line, &more)) == CF_OK && more) {
        struct cf_row row = {0};

        if (line.len == 0)
            continue;
        row.cell[CF_CELL_PROMPT].text = line.text;
        row.cell[CF_CELL_PROMPT].len = line.len;
        CF_TRY(line.too_long ? too_long(im, line.number) : add(im, &row, line.number));
    }
    return st;
}

/* JSONL */

/* The text of a JSON value as a cell; *owned (cf_free) when it had to be made. */
static const char *cell_text(const json_t *v, size_t *len, char **owned)
{
    if (json_is_string(v)) {
        *len = json_string_length(v);
        return json_string_value(v);
    }
    *owned = cf_json_text(v, JSON_ENCODE_ANY | JSON_COMPACT, NULL);
    *len = *owned ? strlen(*owned) : 0;
    if (json_is_array(v) && *len >= 2) { /* seeds: [1,2] as "1,2" */
        *len -= 2;
        return *owned + 1;
    }
    return *owned;
}

static bool fits(enum cf_cell cell, const json_t *v)
{
    switch (cell) {
    case CF_CELL_PROMPT:
    case CF_CELL_NEGATIVE:
    case CF_CELL_KEY:
        return json_is_string(v);
    case CF_CELL_SEEDS:
        return json_is_string(v) || json_is_integer(v) || json_is_array(v);
    case CF_CELL_RECIPE:
        return json_is_object(v);
    default:
        return json_is_string(v) || json_is_integer(v);
    }
}

static enum cf_status fill_row(struct import *im, json_t *obj, struct cf_row *row,
                               char **owned, struct cf_error *why)
{
    const char *key;
    json_t *v;

    json_object_foreach(obj, key, v)
    {
        enum cf_cell cell = cf_cell_of(key, im->how->column);

        if (json_is_null(v))
            continue;
        if (cell == CF_CELL_EXTRA) {
            if (!row->extra)
                row->extra = json_object();
            if (!row->extra || json_object_set(row->extra, key, v) != 0)
                return cf_fail(why, CF_ENOMEM, "no memory");
            continue;
        }
        if (!fits(cell, v))
            return cf_fail(why, CF_EFORMAT, "%.60s is of the wrong type", key);
        if (cell == CF_CELL_RECIPE) {
            row->recipe = v;
            continue;
        }
        if (row->cell[cell].text)
            return cf_fail(why, CF_EFORMAT, "%.60s is given twice", key);
        row->cell[cell].text = cell_text(v, &row->cell[cell].len, &owned[cell]);
        if (!row->cell[cell].text)
            return cf_fail(why, CF_ENOMEM, "no memory");
    }
    return CF_OK;
}

static enum cf_status json_row(struct import *im, const struct cf_line *line)
{
    char *owned[CF_NCELL] = {0};
    struct cf_error why = {0};
    struct cf_row row = {0};
    enum cf_status st;
    json_t *obj;

    obj = cf_json_parse(line->text, line->len, VALUES_MAX, "JSON", &why);
    st = obj ? CF_OK : why.status;
    if (obj && !json_is_object(obj))
        st = cf_fail(&why, CF_EFORMAT, "not a JSON object");
    if (st == CF_OK)
        st = fill_row(im, obj, &row, owned, &why);
    if (st == CF_OK) {
        st = add(im, &row, line->number);
    } else {
        im->n->rows++;
        st = st == CF_ENOMEM ? cf_fail(im->err, st, "%s", why.msg)
                             : bad_row(im, line->number, &why);
    }
    for (int i = 0; i < CF_NCELL; i++)
        cf_free(owned[i]);
    json_decref(row.extra);
    json_decref(obj);
    return st;
}

static enum cf_status read_jsonl(struct import *im)
{
    struct cf_line line;
    enum cf_status st;
    bool more;

    while ((st = next_text(im, &line, &more)) == CF_OK && more) {
        if (strspn(line.len ? line.text : "", " \t") < line.len)
            CF_TRY(line.too_long ? too_long(im, line.number) : json_row(im, &line));
    }
    return st;
}

/* Which format */

static enum cf_format by_name(const char *path)
{
    static const struct {
        const char *end;
        enum cf_format format;
    } table[] = {
        {".csv", CF_FORMAT_CSV},     {".tsv", CF_FORMAT_TSV},
        {".jsonl", CF_FORMAT_JSONL}, {".ndjson", CF_FORMAT_JSONL},
        {".txt", CF_FORMAT_TEXT},    {".text", CF_FORMAT_TEXT},
    };
    size_t len = strlen(path);

    if (len > 3 && strcasecmp(path + len - 3, ".gz") == 0)
        len -= 3;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t n = strlen(table[i].end);

        if (len > n && strncasecmp(path + len - n, table[i].end, n) == 0)
            return table[i].format;
    }
    return CF_FORMAT_AUTO;
}

/* True when one of the words between the separators is the name of the prompt column. */
static bool names_prompt(const struct import *im, const struct cf_line *line,
                         char separator)
{
    const char *want = im->how->column ? im->how->column : "prompt";
    size_t n = strlen(want);

    for (const char *p = line->text, *stop = p + line->len; p <= stop;) {
        const char *cut = memchr(p, separator, (size_t)(stop - p));
        size_t len = (size_t)((cut ? cut : stop) - p);

        if (len == n + 2 && p[0] == '"' && strncasecmp(p + 1, want, n) == 0)
            return true;
        if (len == n && strncasecmp(p, want, n) == 0)
            return true;
        p += len + 1;
    }
    return false;
}

static enum cf_status by_content(struct import *im, enum cf_format *format)
{
    struct cf_line line;
    bool more;

    *format = CF_FORMAT_TEXT;
    CF_TRY(next_text(im, &line, &more));
    if (!more)
        return CF_OK;
    cf_input_again(im->in);
    if (!line.len)
        return CF_OK;
    if (line.text[0] == '{')
        *format = CF_FORMAT_JSONL;
    else if (memchr(line.text, '\t', line.len) && names_prompt(im, &line, '\t'))
        *format = CF_FORMAT_TSV;
    else if (memchr(line.text, ',', line.len) && names_prompt(im, &line, ','))
        *format = CF_FORMAT_CSV;
    return CF_OK;
}

static enum cf_status read_all(struct import *im)
{
    enum cf_format format = im->how->format;

    if (format == CF_FORMAT_AUTO)
        format = by_name(im->path);
    if (format == CF_FORMAT_AUTO)
        CF_TRY(by_content(im, &format));
    switch (format) {
    case CF_FORMAT_CSV:
        return read_csv(im);
    case CF_FORMAT_TSV:
        return read_tsv(im);
    case CF_FORMAT_JSONL:
        return read_jsonl(im);
    default:
        return read_text(im);
    }
}

enum cf_status cf_import_file(struct cf_queue *q, const char *path,
                              const struct cf_import *how, struct cf_imported *n,
                              struct cf_error *err)
{
    struct import im = {.path = path, .how = how, .n = n};
    struct cf_batch batch = {.name = how->batch, .source = path};
    char hex[CF_DIGEST_HEX];
    struct cf_error local = {0};
    enum cf_status st, closed;

    memset(n, 0, sizeof *n);
    im.err = err ? err : &local;
    st = cf_defaults_open(&im.defaults, how, im.err);
    if (st == CF_OK)
        st = cf_input_open(&im.in, path, im.err);
    if (st == CF_OK)
        st = cf_adder_open(&im.adder, q, &batch, im.err);
    if (st == CF_OK)
        st = read_all(&im);
    if (st == CF_OK)
        st = cf_input_hash(im.in, hex, im.err);
    closed = cf_adder_close(im.adder, st == CF_OK, st == CF_OK ? hex : NULL, im.err);
    cf_input_close(im.in);
    cf_defaults_close(&im.defaults);
    for (int i = 0; i < im.n_name; i++)
        cf_free(im.name[i]);
    cf_free(im.text);
    return st == CF_OK ? closed : st;
}
