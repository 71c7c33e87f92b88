/* cfgen-jobs gallery - the queue to look at, as static pages. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/cmd.h"
#include "jobs/sample.h"
#include "pipeline/gallery.h"
#include "store/layout.h"

enum { OUT = CF_CMD_OWN, SAMPLE, BATCH, FAILED, PER_PAGE, THUMB };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {OUT, "out", "DIR", "write the pages here; made when missing"},
    {'o', "output", "DIR", "where the images are (default: images beside the queue)"},
    {SAMPLE, "sample", "N", "at most N jobs a view, spread evenly (default: 1000)"},
    {BATCH, "batch", "NAME", "only jobs of this batch"},
    {FAILED, "failed", NULL, "only jobs that failed"},
    {PER_PAGE, "per-page", "N", "jobs a page (default: 60)"},
    {THUMB, "thumb", "PIXELS", "longer side of thumbnails (default: 192)"},
    {0},
};

static enum cf_status set(struct cf_gallery *g, const char **output, int o,
                          const char *value, struct cf_error *err)
{
    switch (o) {
    case OUT:
        g->dir = value;
        return CF_OK;
    case 'o':
        *output = value;
        return CF_OK;
    case SAMPLE:
        return cf_parse_int(value, 1, CF_SAMPLE_MAX, &g->sample, "--sample", err);
    case BATCH:
        g->batch = value;
        return CF_OK;
    case FAILED:
        g->failed = true;
        return CF_OK;
    case PER_PAGE:
        return cf_parse_int(value, 1, 10000, &g->per_page, "--per-page", err);
    default:
        return cf_parse_int(value, 16, 1024, &g->thumb, "--thumb", err);
    }
}

static enum cf_status make(struct cf_call *call, struct cf_gallery *g, const char *output)
{
    enum cf_status st;
    char *root;

    if (!g->dir)
        return cf_fail(&call->err, CF_EUSAGE, "--out=DIR is missing");
    CF_TRY(cf_cmd_open(call, CF_QUEUE_READ, 0, 0));
    root = cf_layout_root(cf_queue_dir(call->q), output, &call->err);
    if (!root)
        return CF_ENOMEM;
    g->q = call->q;
    g->db = call->db;
    g->unsafe = call->unsafe;
    g->root = root;
    st = cf_gallery_make(g, &call->err);
    cf_free(root);
    return st;
}

static int run(struct cf_call *call)
{
    struct cf_gallery g = {.sample = CF_GALLERY_SAMPLE,
                           .per_page = CF_GALLERY_PAGE,
                           .thumb = CF_GALLERY_THUMB};
    const char *value, *output = NULL;
    enum cf_status st = CF_OK;
    int o = 0;

    while (st == CF_OK && (o = cf_cmd_next(call, &value)) > 0)
        st = set(&g, &output, o, value, &call->err);
    if (o != 0 || make(call, &g, output) != CF_OK)
        return cf_cmd_end(call);
    printf("%s/index.html: %" PRId64 " pages, %" PRId64 " pictures", g.dir, g.pages,
           g.pictures);
    if (g.unreadable)
        printf("; %" PRId64 " could not be read: cfgen-jobs verify tells why",
               g.unreadable);
    putchar('\n');
    return 0;
}

const struct cf_cmd cf_cmd_gallery = {
    "gallery", "--out=DIR", "Static pages of what was made and what failed", options, run,
};
