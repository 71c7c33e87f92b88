#include "pipeline/gallery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "jobs/cmd.h"
#include "jobs/detail.h"
#include "jobs/sample.h"
#include "jobs/states.h"
#include "pipeline/gallery_html.h"
#include "pipeline/gallery_thumb.h"
#include "store/sink.h"

enum { CAPTION = 600, ALT = 200, TITLE = 120, NAME = 40, HASH = 16 };

/* What one row of links leads to: all, a batch, what failed. */
struct view {
    char base[32];     /* of its file names */
    const char *label; /* borrowed; hostile where it is a batch's name */
    const char *batch; /* NULL: any */
    int state;
    bool is_batch;
};

struct making {
    struct cf_gallery *g;
    struct cf_sample_batch *batch;
    int n_batch;
    int64_t batches;
    struct cf_sample_cause *cause;
    int n_cause;
    struct cf_counts counts;
    struct view *view;
    int n_view;
    bool contact; /* there is a sheet */
    char *thumbs; /* DIR/thumbs */
    char *way;    /* from DIR to the images; NULL: there are none */
};

/* A page of a view while it is written. */
struct page {
    struct making *m;
    const struct view *v;
    const int64_t *ids; /* of this page */
    int n, no, of;      /* no counts from 1 */
    int shown;          /* jobs on all pages of the view */
    int64_t total;      /* jobs that the view stands for */
    FILE *to;
};

/* ---- files ---- */

static void page_name(char name[64], const struct view *v, int no)
{
    if (no == 1)
        snprintf(name, 64, "%s.html", v->base);
    else
        snprintf(name, 64, "%s-%d.html", v->base, no);
}

static enum cf_status make_dir(const char *path, struct cf_error *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return cf_fail(err, CF_ECREAT, "%s: %s", path, strerror(errno));
    return CF_OK;
}

/* Somebody's own page is not written over. */
static enum cf_status check_dir(const struct cf_gallery *g, struct cf_error *err)
{
    static const char mark[] = "content=\"cfgen-jobs gallery\"";
    char *path = cf_format(err, "%s/index.html", g->dir), *text;
    struct cf_error why = {0};
    size_t size;
    bool ours;

    if (!path)
        return CF_ENOMEM;
    text = cf_file_read(path, 64 << 20, &size, &why);
    ours = text ? strstr(text, mark) != NULL : why.status == CF_ENOENT;
    if (!ours)
        cf_fail(err, CF_ECREAT,
                "%s: not a page of cfgen-jobs gallery: give another --out", path);
    cf_free(text);
    cf_free(path);
    return ours ? CF_OK : err->status;
}

/* ---- one job ---- */

static void command(FILE *to, const struct cf_gallery *g, const char *verb,
                    const char *last)
{
    char *text = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&text, &size);

    if (!line)
        return;
    fprintf(line, "cfgen-jobs %s --db=", verb);
    cf_cmd_quote_to(line, g->db);
    fprintf(line, "%s %s", g->unsafe ? " --unsafe-shared-db" : "", last);
    fclose(line);
    fputs("<code>", to);
    cf_html_text(to, text, size, SIZE_MAX);
    fputs("</code>", to);
    free(text);
}

/* A row of a list of facts. */
static void fact(FILE *to, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(to, "<dt>%s</dt><dd>", name);
    cf_html_isolated(to, value, strlen(value), CAPTION);
    fputs("</dd>", to);
}

/* Sizes as the thumbnail has them. */
static void fit(int *w, int *h, int side)
{
    int longer = *w > *h ? *w : *h;

    if (longer <= side)
        return;
    *w = (int)((int64_t)*w * side / longer);
    *h = (int)((int64_t)*h * side / longer);
    *w += *w < 1;
    *h += *h < 1;
}

static void put_picture(struct page *p, const struct cf_detail *d)
{
    struct cf_gallery *g = p->m->g;
    bool plain = d->offset == 0 && p->m->way, first = p->v == p->m->view;
    int w = d->out_width, h = d->out_height;
    struct cf_error why = {0};
    char name[CF_THUMB_NAME];

    cf_thumb_name(name, d, g->thumb);
    fputs("<div class=\"well\">", p->to);
    if (cf_thumb_make(p->m->thumbs, name, g->root, d, g->thumb, &why) != CF_OK) {
        g->unreadable += first;
        fputs("<p>No picture: ", p->to);
        cf_html_text(p->to, why.msg, strlen(why.msg), ALT);
        fputs("</p></div>", p->to);
        return;
    }
    g->pictures += first;
    fit(&w, &h, g->thumb);
    if (plain) {
        fputs("<a href=\"", p->to);
        cf_html_url(p->to, p->m->way);
        cf_html_url(p->to, d->path);
        fputs("\">", p->to);
    }
    fprintf(p->to,
            "<img src=\"thumbs/%s\" width=\"%d\" height=\"%d\" loading=\"lazy\"%s alt=\"",
            name, w, h, 2 * w <= g->thumb && 2 * h <= g->thumb ? " class=\"tiny\"" : "");
    cf_html_text(p->to, d->prompt, d->prompt_len, ALT);
    fprintf(p->to, "\"/>%s</div>", plain ? "</a>" : "");
}

static void put_facts(struct page *p, const struct cf_detail *d)
{
    FILE *to = p->to;

    fprintf(to,
            "<p class=\"facts\">seed %" PRIu64 " · job\u00a0%" PRId64
            " · %d\u00a0×\u00a0%d · ",
            d->seed, d->id, d->out_width, d->out_height);
    cf_html_bytes(to, d->bytes);
    if (d->pixel_sha256) {
        fputs("<br/><code>", to);
        cf_html_text(to, d->pixel_sha256, strlen(d->pixel_sha256), HASH);
        fputs("</code>", to);
    }
    fputs("</p><details><summary>More</summary><dl>", to);
    fact(to, "Negative", d->negative);
    if (strcmp(d->recipe, "{}") != 0)
        fact(to, "Recipe", d->recipe);
    fact(to, "File", d->path);
    fact(to, "Pixels", d->pixel_sha256);
    fact(to, "Model", d->model_sha256);
    fact(to, "Build", d->build);
    fact(to, "Note", d->note);
    fputs("</dl></details>", to);
}

static void put_done(struct page *p, const struct cf_detail *d)
{
    fputs("<figure>", p->to);
    put_picture(p, d);
    fputs("<figcaption><p>", p->to);
    cf_html_isolated(p->to, d->prompt, d->prompt_len, CAPTION);
    fputs("</p>", p->to);
    put_facts(p, d);
    fputs("</figcaption></figure>\n", p->to);
}

static enum cf_status put_failed(struct page *p, const struct cf_detail *d,
                                 struct cf_error *err)
{
    char *code, *message, id[24];
    enum cf_status st = cf_detail_failure(p->m->g->q, d->id, &code, &message, err);

    if (st == CF_OK) {
        snprintf(id, sizeof id, "%" PRId64, d->id);
        fprintf(p->to, "<li><p><b>");
        cf_html_isolated(p->to, code, strlen(code), ALT);
        fprintf(p->to, "</b> · job %s · seed %" PRIu64 "</p><p>", id, d->seed);
        cf_html_isolated(p->to, message, strlen(message), CAPTION);
        fputs("</p><p class=\"soft\">", p->to);
        cf_html_isolated(p->to, d->prompt, d->prompt_len, CAPTION);
        fputs("</p><p>", p->to);
        command(p->to, p->m->g, "retry", id);
        fputs("</p></li>\n", p->to);
    }
    cf_free(code);
    cf_free(message);
    return st;
}

/* ---- what every page has ---- */

static void put_sums(struct page *p)
{
    const struct cf_counts *c = &p->m->counts;

    fputs("<ul class=\"sums\">", p->to);
    for (int i = 0; i < CF_NJOBSTATE; i++)
        if (c->n[i] || i == CF_JOB_DONE) {
            fprintf(p->to, "<li%s><b>", i == CF_JOB_FAILED ? " class=\"bad\"" : "");
            cf_html_count(p->to, c->n[i]);
            fprintf(p->to, "</b> %s</li>", cf_state_name(i));
        }
    fputs("</ul>\n", p->to);
}

static void put_views(struct page *p)
{
    struct making *m = p->m;

    fputs("<nav aria-label=\"Filters\">", p->to);
    for (int i = 0; i < m->n_view; i++) {
        const struct view *v = &m->view[i];

        fprintf(p->to, "<a href=\"%s.html\"%s>", v->base,
                v == p->v ? " aria-current=\"page\"" : "");
        if (v->is_batch && !*v->label)
            fputs("no batch name", p->to);
        else
            cf_html_isolated(p->to, v->label, strlen(v->label), NAME);
        fputs("</a>", p->to);
    }
    if (m->contact)
        fputs("<a href=\"contact.webp\">Contact sheet</a>", p->to);
    if (m->batches > m->n_batch)
        fprintf(p->to,
                "<span class=\"gap\">%" PRId64 " more batches: --batch=NAME</span>",
                m->batches - m->n_batch);
    fputs("</nav>\n", p->to);
}

static void link_to(struct page *p, int no, const char *label, const char *rel)
{
    char name[64];

    page_name(name, p->v, no);
    if (no == p->no)
        fprintf(p->to, "<a href=\"%s\" aria-current=\"page\">%s</a>", name, label);
    else
        fprintf(p->to, "<a href=\"%s\"%s>%s</a>", name, rel, label);
}

/* First, last, and two on either side of this one. */
static void put_pager(struct page *p)
{
    enum { NEAR = 2 };
    char label[16];
    int last = 0;

    if (p->of == 1)
        return;
    fputs("<nav aria-label=\"Pages\">", p->to);
    if (p->no > 1)
        link_to(p, p->no - 1, "Previous", " rel=\"prev\"");
    for (int i = 1; i <= p->of; i++) {
        if (i != 1 && i != p->of && abs(i - p->no) > NEAR)
            continue;
        if (i > last + 1)
            fputs("<span class=\"gap\">…</span>", p->to);
        snprintf(label, sizeof label, "%d", i);
        link_to(p, i, label, "");
        last = i;
    }
    if (p->no < p->of)
        link_to(p, p->no + 1, "Next", " rel=\"next\"");
    fputs("</nav>\n", p->to);
}

static const char *queue_name(const struct cf_gallery *g)
{
    const char *slash = strrchr(g->db, '/');

    return slash ? slash + 1 : g->db;
}

static void put_top(struct page *p)
{
    const struct cf_gallery *g = p->m->g;
    char *title = cf_format(NULL, "%s - cfgen gallery", queue_name(g));

    cf_html_head(p->to, title ? title : "cfgen gallery", g->thumb);
    cf_free(title);
    fputs("<header><h1>", p->to);
    cf_html_isolated(p->to, queue_name(g), strlen(queue_name(g)), TITLE);
    fputs("</h1>\n<div class=\"soft\">", p->to);
    if (p->v->is_batch || g->batch) {
        fputs("Batch ", p->to);
        cf_html_isolated(p->to, p->v->batch, strlen(p->v->batch), TITLE);
        fputs(": ", p->to);
    }
    cf_html_count(p->to, p->shown);
    fputs(" of ", p->to);
    cf_html_count(p->to, p->total);
    fprintf(p->to, " %s jobs%s</div>\n", cf_state_name(p->v->state),
            p->shown < p->total ? ", spread evenly over the queue" : "");
    put_sums(p);
    put_views(p);
    fputs("</header>\n<main>\n", p->to);
    put_pager(p);
}

/* Why jobs failed, with the command that tries each kind again. */
static void put_causes(struct page *p)
{
    fputs(
        "<h2>Causes</h2>\n<table><tr><th>Jobs</th><th>Code</th><th>Try again</th></tr>\n",
        p->to);
    for (int i = 0; i < p->m->n_cause; i++) {
        const struct cf_sample_cause *c = &p->m->cause[i];
        char *last = NULL;
        size_t size;
        FILE *to = open_memstream(&last, &size);

        if (!to)
            return;
        fputs("--code=", to);
        cf_cmd_quote_to(to, c->code);
        fclose(to);
        fputs("<tr><td class=\"n\">", p->to);
        cf_html_count(p->to, c->n);
        fputs("</td><td>", p->to);
        cf_html_isolated(p->to, c->code, strlen(c->code), ALT);
        fputs("</td><td>", p->to);
        command(p->to, p->m->g, "retry", last);
        fputs("</td></tr>\n", p->to);
        free(last);
    }
    fputs("</table>\n<h2>Jobs</h2>\n", p->to);
}

/* ---- pages ---- */

static enum cf_status put_jobs(struct page *p, struct cf_error *err)
{
    enum cf_status st = CF_OK;
    struct cf_details it;
    struct cf_detail d;
    bool row;

    for (int i = 0; i < p->n && st == CF_OK; i++) {
        st = cf_details_one(&it, p->m->g->q, p->ids[i], err);
        if (st == CF_OK)
            st = cf_details_next(&it, &d, &row, err);
        if (st == CF_OK && row && p->v->state == CF_JOB_FAILED)
            st = put_failed(p, &d, err);
        else if (st == CF_OK && row)
            put_done(p, &d);
        cf_details_close(&it);
    }
    return st;
}

static enum cf_status write_page(struct page *p, struct cf_error *err)
{
    bool failed = p->v->state == CF_JOB_FAILED;
    char *text = NULL, *path = NULL, name[64];
    enum cf_status st = CF_ENOMEM;
    size_t size;

    p->to = open_memstream(&text, &size);
    if (!p->to)
        return cf_fail(err, CF_ENOMEM, "no memory for a page");
    put_top(p);
    if (failed && p->m->n_cause && p->no == 1)
        put_causes(p);
    fputs(failed ? "<ul class=\"failed\">\n" : "<div class=\"grid\">\n", p->to);
    st = put_jobs(p, err);
    fputs(failed ? "</ul>\n" : "</div>\n", p->to);
    if (!p->n)
        fprintf(p->to, "<p>No %s jobs here.</p>\n", cf_state_name(p->v->state));
    put_pager(p);
    fputs("</main>\n<footer>Made by cfgen-jobs gallery.</footer>\n</body>\n</html>\n",
          p->to);
    if (fclose(p->to) != 0 && st == CF_OK)
        st = cf_fail(err, CF_ENOMEM, "no memory for a page");
    page_name(name, p->v, p->no);
    if (st == CF_OK)
        st = (path = cf_format(err, "%s/%s", p->m->g->dir, name)) ? CF_OK : CF_ENOMEM;
    if (st == CF_OK)
        st = cf_file_put(path, text, size, err);
    p->m->g->pages += st == CF_OK;
    cf_free(path);
    free(text);
    return st;
}

static enum cf_status write_contact(struct making *m, const int64_t *ids, int n,
                                    struct cf_error *err)
{
    int want = n < CF_CONTACT_MAX ? n : CF_CONTACT_MAX;
    char *path = cf_format(err, "%s/contact.webp", m->g->dir);
    enum cf_status st = path ? CF_OK : CF_ENOMEM;
    struct cf_contact sheet = {0};
    struct cf_details it;
    struct cf_detail d;
    bool row;

    if (st == CF_OK)
        st = cf_contact_open(&sheet, want, m->g->thumb, err);
    for (int i = 0; i < want && st == CF_OK; i++) {
        st = cf_details_one(&it, m->g->q, ids[(int64_t)i * n / want], err);
        if (st == CF_OK)
            st = cf_details_next(&it, &d, &row, err);
        if (st == CF_OK && row)
            cf_contact_add(&sheet, m->g->root, &d);
        cf_details_close(&it);
    }
    if (st == CF_OK)
        st = cf_contact_write(&sheet, path, err);
    cf_contact_close(&sheet);
    cf_free(path);
    return st;
}

static enum cf_status write_view(struct making *m, const struct view *v,
                                 struct cf_error *err)
{
    int per = m->g->per_page;
    int64_t *ids, total = 0;
    enum cf_status st;
    int n;

    st = cf_sample_ids(m->g->q, v->state, v->batch, m->g->sample, &ids, &n, &total, err);
    if (st == CF_OK && n && v == m->view && v->state == CF_JOB_DONE) {
        st = write_contact(m, ids, n, err);
        m->contact = true;
    }
    for (int at = 0, no = 1; st == CF_OK && (at < n || no == 1); at += per, no++) {
        struct page p = {
            .m = m,
            .v = v,
            .ids = ids + at,
            .n = n - at < per ? n - at : per,
            .no = no,
            .of = n ? (n + per - 1) / per : 1,
            .shown = n,
            .total = total,
        };

        st = write_page(&p, err);
    }
    cf_free(ids);
    return st;
}

/* ---- all of it ---- */

static void add_view(struct making *m, const char *base, int64_t id, const char *label,
                     const char *batch, int state)
{
    struct view *v = &m->view[m->n_view++];

    *v =
        (struct view){.label = label, .batch = batch, .state = state, .is_batch = id > 0};
    if (id)
        snprintf(v->base, sizeof v->base, "%s-%" PRId64, base, id);
    else
        snprintf(v->base, sizeof v->base, "%s", base);
}

static enum cf_status plan_views(struct making *m, struct cf_error *err)
{
    struct cf_gallery *g = m->g;

    CF_TRY(cf_queue_counts(g->q, &m->counts, err));
    CF_TRY(cf_sample_causes(g->q, &m->cause, &m->n_cause, err));
    if (!g->batch && !g->failed)
        CF_TRY(cf_sample_batches(g->q, &m->batch, &m->n_batch, &m->batches, err));
    m->view = cf_calloc((size_t)m->n_batch + 2, sizeof *m->view, err);
    if (!m->view)
        return CF_ENOMEM;
    if (g->failed) {
        add_view(m, "index", 0, "Failed", g->batch, CF_JOB_FAILED);
        return CF_OK;
    }
    add_view(m, "index", 0, g->batch ? "Done" : "All", g->batch, CF_JOB_DONE);
    for (int i = 0; i < m->n_batch && m->batches > 1; i++)
        add_view(m, "batch", m->batch[i].id, m->batch[i].name, m->batch[i].name,
                 CF_JOB_DONE);
    if (m->counts.n[CF_JOB_FAILED])
        add_view(m, "failed", 0, "Failed", g->batch, CF_JOB_FAILED);
    return CF_OK;
}

enum cf_status cf_gallery_make(struct cf_gallery *g, struct cf_error *err)
{
    struct making m = {.g = g};
    struct stat sb;
    enum cf_status st;

    g->pages = g->pictures = g->unreadable = 0;
    CF_TRY(make_dir(g->dir, err));
    CF_TRY(check_dir(g, err));
    m.thumbs = cf_format(err, "%s/thumbs", g->dir);
    st = m.thumbs ? make_dir(m.thumbs, err) : CF_ENOMEM;
    if (st == CF_OK && stat(g->root, &sb) == 0)
        st = (m.way = cf_html_way(g->dir, g->root, err)) ? CF_OK : CF_ENOMEM;
    if (st == CF_OK)
        st = plan_views(&m, err);
    for (int i = 0; i < m.n_view && st == CF_OK; i++)
        st = write_view(&m, &m.view[i], err);
    cf_sample_batches_free(m.batch, m.n_batch);
    cf_sample_causes_free(m.cause, m.n_cause);
    cf_free(m.view);
    cf_free(m.thumbs);
    cf_free(m.way);
    return st;
}
