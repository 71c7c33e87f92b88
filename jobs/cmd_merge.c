/* cfgen-jobs merge - results of shards back into the queue. */
#include <inttypes.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "jobs/cmd.h"
#include "jobs/shard.h"

enum { JSON = CF_CMD_OWN };
enum { SHOWN_MAX = 20 };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {JSON, "json", NULL, "one JSON object a line: conflicts, files, the total"},
    {0},
};

struct report {
    bool json;
    int64_t shown; /* conflicts of this file */
    struct cf_merged total;
    int status; /* of the first file that could not be merged */
    int files;
};

static void put(json_t *obj)
{
    json_dumpf(obj, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(obj);
}

/* Conflicts in text are a message, and enough is enough; in JSON they are the answer. */
static void conflict(void *ctx, const struct cf_conflict *c)
{
    struct report *r = ctx;

    if (r->json)
        put(json_pack("{s:{s:s, s:I, s:s, s:s}}", "conflict", "kind",
                      c->job < 0 ? "tar" : "job", "id",
                      c->job < 0 ? (json_int_t)c->tar : (json_int_t)c->job, "here",
                      c->here, "there", c->there));
    else if (r->shown++ < SHOWN_MAX && c->job < 0)
        fprintf(stderr, "tar %05d: here from %s, there from %s\n", c->tar,
                *c->here ? c->here : "this queue itself", c->there);
    else if (r->shown <= SHOWN_MAX)
        fprintf(stderr, "job %" PRId64 ": pixels %s here, %s there\n", c->job, c->here,
                c->there);
}

static json_t *as_json(const struct cf_merged *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "done", (json_int_t)m->done,
                     "present", (json_int_t)m->present, "conflicts",
                     (json_int_t)m->conflicts, "failed", (json_int_t)m->failed, "unknown",
                     (json_int_t)m->unknown, "left", (json_int_t)m->left, "tar_conflicts",
                     (json_int_t)m->tar_conflicts);
}

static void tell(const char *head, const struct cf_merged *m)
{
    cf_cmd_quote(head);
    printf(": %" PRId64 " new, %" PRId64 " were there already, %" PRId64
           " conflicts, %" PRId64 " failed, %" PRId64 " left",
           m->done, m->present, m->conflicts + m->tar_conflicts, m->failed, m->left);
    if (m->unknown)
        printf(", %" PRId64 " of jobs that are not here", m->unknown);
    putchar('\n');
}

static void add(struct cf_merged *a, const struct cf_merged *b)
{
    a->done += b->done;
    a->present += b->present;
    a->conflicts += b->conflicts;
    a->failed += b->failed;
    a->unknown += b->unknown;
    a->left += b->left;
    a->tar_conflicts += b->tar_conflicts;
}

static void merged(struct report *r, const char *file, const struct cf_merged *m)
{
    char *name = cf_utf8_printable(file, strlen(file), SIZE_MAX, NULL);

    add(&r->total, m);
    r->files++;
    if (r->json)
        put(json_pack("{s:s, s:o}", "file", name ? name : "?", "merged", as_json(m)));
    else
        tell(file, m);
    if (!r->json && r->shown > SHOWN_MAX)
        fprintf(stderr, "and %" PRId64 " more conflicts\n", r->shown - SHOWN_MAX);
    cf_free(name);
}

/* What is wrong with one file stops nothing; what is wrong with the queue does. */
static bool of_the_file(enum cf_status st)
{
    return st == CF_EFORMAT || st == CF_EMISMATCH || st == CF_ECONFIG ||
           st == CF_ENOENT || st == CF_EPERM;
}

static bool merge_one(struct cf_call *call, struct report *r, const char *file)
{
    struct cf_merged m;

    r->shown = 0;
    if (cf_shard_merge(call->q, file, conflict, r, &m, &call->err) == CF_OK) {
        merged(r, file, &m);
        return true;
    }
    if (!of_the_file(call->err.status))
        return false;
    if (!r->status)
        r->status = cf_status_exit(call->err.status);
    cf_cmd_end(call);
    call->err = (struct cf_error){0};
    return true;
}

static int run(struct cf_call *call)
{
    struct report r = {0};
    const char *value;
    int o, i = 0;

    while ((o = cf_cmd_next(call, &value)) > 0)
        r.json = true;
    if (o < 0 || cf_cmd_open(call, CF_QUEUE_WRITE, 1, -1) != CF_OK)
        return cf_cmd_end(call);
    while (i < call->n && merge_one(call, &r, call->operand[i]))
        i++;
    if (r.json)
        put(json_pack("{s:i, s:o}", "files", r.files, "total", as_json(&r.total)));
    else
        tell("total", &r.total);
    if (call->err.status != CF_OK)
        return cf_cmd_end(call);
    if (r.status)
        return r.status;
    return r.total.conflicts || r.total.tar_conflicts ? 1 : 0;
}

const struct cf_cmd cf_cmd_merge = {
    "merge", "RESULT...", "Bring the results of shards into the queue", options, run,
};
