/* cfgen-jobs verify - the rows against the files, and the files against the rows.
 *
 * Rows are read page by page and files walked directory by directory, so that memory is
 * bounded and a worker's log can be folded back meanwhile. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/audit.h"
#include "jobs/cmd.h"
#include "pipeline/checks.h"
#include "store/durable.h"
#include "store/image_read.h"
#include "store/layout.h"

enum { DEEP = CF_CMD_OWN, JSON, BATCH, REQUEUE, REMOVE };
enum { PAGE = 64, PATH_MAX_SHOWN = 200, LEVELS = 2 };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {'o', "output", "DIR", "where the images are (default: images beside the queue)"},
    {DEEP, "deep", NULL, "read and decode every image: hashes, pixels, embedded record"},
    {BATCH, "batch", "NAME", "only jobs of this batch, and no look for orphans"},
    {REQUEUE, "requeue", NULL, "make jobs ready whose image is missing or damaged"},
    {REMOVE, "remove-orphans", NULL, "remove images that no row names, and leavings"},
    {JSON, "json", NULL, "one JSON object a line, the last one the sums"},
    {0},
};

struct verify {
    struct cf_call *call;  /* its queue is opened to write where we repair */
    struct cf_queue *rows; /* of a connection that only reads */
    struct cf_audit audit;
    const char *output, *batch;
    char *root, *repair; /* the command up to its last option */
    bool deep, requeue, remove, json;
    int64_t checked, found, repaired, missing;
};

/* ---- what was found ---- */

static char *repair_command(const struct verify *v, struct cf_error *err)
{
    size_t size;
    char *text = NULL, *copy;
    FILE *to = open_memstream(&text, &size);

    if (!to) {
        cf_fail(err, CF_ENOMEM, "no memory for a command");
        return NULL;
    }
    fputs("cfgen-jobs verify --db=", to);
    cf_cmd_quote_to(to, v->call->db);
    if (v->call->unsafe)
        fputs(" --unsafe-shared-db", to);
    if (v->output) {
        fputs(" --output=", to);
        cf_cmd_quote_to(to, v->output);
    }
    copy = fclose(to) == 0 ? cf_strdup(text, err) : NULL;
    free(text);
    return copy;
}

/* One line. id 0: no job's. option NULL: repaired, and done says how; or nothing we do,
 * and done says what to do. */
static void tell(struct verify *v, const char *kind, int64_t id, const char *path,
                 const char *text, const char *option, const char *done)
{
    const char *deep = v->deep && id ? " --deep" : "";

    v->found++;
    if (v->json) {
        char *command =
            option ? cf_format(NULL, "%s%s %s", v->repair, deep, option) : NULL;
        json_t *o =
            json_pack("{s:s s:o s:s% s:s s:s? s:s?}", "finding", kind, "job",
                      id ? json_integer(id) : json_null(), "path", path, strlen(path),
                      "message", text, "repair", command, "done", done);

        if (o)
            json_dumpf(o, stdout, CF_DETAIL_FLAGS);
        else /* a file name that is no UTF-8 */
            printf("{\"finding\":\"%s\",\"path\":null}", kind);
        putchar('\n');
        json_decref(o);
        cf_free(command);
        return;
    }
    printf("%-9s ", kind);
    if (id)
        printf("job %" PRId64 " ", id);
    cf_cmd_print(path, strlen(path), PATH_MAX_SHOWN);
    printf(": %s; ", text);
    if (option)
        printf("%s%s %s\n", v->repair, deep, option);
    else
        printf("%s\n", done);
}

/* ---- rows ---- */

static enum cf_status check_row(struct verify *v, const struct cf_detail *d,
                                struct cf_error *err)
{
    struct cf_finding f;
    bool undone = false;

    v->checked++;
    CF_TRY(cf_check_stored(v->root, d, v->deep, &f, err));
    if (!f.kind)
        return CF_OK;
    v->missing += strcmp(f.kind, "missing") == 0;
    if (v->requeue)
        CF_TRY(cf_queue_undo(v->call->q, d->id, d->path, d->file_sha256, &undone, err));
    v->repaired += undone;
    tell(v, f.kind, d->id, d->path, f.text, v->requeue ? NULL : "--requeue",
         undone       ? "ready again"
         : v->requeue ? "done anew meanwhile"
                      : NULL);
    return CF_OK;
}

static enum cf_status check_page(struct verify *v, struct cf_pick *pick, bool *more,
                                 struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_detail d;
    enum cf_status st = cf_details_pick(&it, v->rows, pick, err);
    bool row = true;

    *more = false;
    while (st == CF_OK && (st = cf_details_next(&it, &d, &row, err)) == CF_OK && row) {
        pick->after = d.id;
        *more = true;
        if (d.path)
            st = check_row(v, &d, err);
    }
    cf_details_close(&it);
    return st;
}

static enum cf_status check_rows(struct verify *v, struct cf_error *err)
{
    struct cf_pick pick = {.state = CF_JOB_DONE, .batch = v->batch, .limit = PAGE};
    bool more = true;

    while (more)
        CF_TRY(check_page(v, &pick, &more, err));
    return CF_OK;
}

/* ---- files ---- */

static bool is_level(const char *name)
{
    return strspn(name, "0123456789abcdef") == 2 && name[2] == '\0';
}

/* NNNNN.tar for a tar, its manifest and what they are called while they grow. */
static bool tar_of(const char *name, char tar[10])
{
    static const char *const kind[] = {".tar", ".tar.part", ".jsonl", ".jsonl.part"};

    if (strspn(name, "0123456789") != 5)
        return false;
    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++)
        if (strcmp(name + 5, kind[i]) == 0) {
            snprintf(tar, 10, "%.5s.tar", name);
            return true;
        }
    return false;
}

static enum cf_status on_file(struct verify *v, int dirfd, const char *name,
                              const char *path, int depth, struct cf_error *err)
{
    bool gone = false;
    char tar[10];
    pid_t pid;

    if (cf_temp_parse(name, &pid)) {
        if (!cf_temp_abandoned(dirfd, name))
            return CF_OK;
        gone = v->remove && unlinkat(dirfd, name, 0) == 0;
        v->repaired += gone;
        tell(v, "temporary", 0, path, "left by a worker that died",
             gone ? NULL : "--remove-orphans", gone ? "removed" : NULL);
        return CF_OK;
    }
    if (depth == 0)
        return tar_of(name, tar) ? cf_audit_found(&v->audit, tar, err) : CF_OK;
    return cf_audit_found(&v->audit, path, err);
}

static enum cf_status walk(struct verify *v, int fd, const char *prefix, int depth,
                           struct cf_error *err);

static enum cf_status on_entry(struct verify *v, int dirfd, const char *name,
                               const char *prefix, int depth, struct cf_error *err)
{
    char *path = cf_format(err, "%s%s%s", prefix, *prefix ? "/" : "", name);
    enum cf_status st = CF_ENOMEM;
    int sub = -1;

    if (path && depth < LEVELS && is_level(name))
        sub = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub >= 0)
        st = walk(v, sub, path, depth + 1, err);
    else if (path && (errno == EACCES || errno == EMFILE) && depth < LEVELS &&
             is_level(name))
        st = cf_fail_errno(err, errno, "%s/%s", v->root, path);
    else if (path)
        st = on_file(v, dirfd, name, path, depth, err);
    cf_free(path);
    return st;
}

/* Takes fd. */
static enum cf_status walk(struct verify *v, int fd, const char *prefix, int depth,
                           struct cf_error *err)
{
    enum cf_status st = CF_OK;
    DIR *dir = fdopendir(fd);
    struct dirent *e;

    if (!dir) {
        st = cf_fail_errno(err, errno, "read directory %s/%s", v->root, prefix);
        close(fd);
        return st;
    }
    while (st == CF_OK && (errno = 0, e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            st = on_entry(v, fd, e->d_name, prefix, depth, err);
    if (st == CF_OK && errno)
        st = cf_fail_errno(err, errno, "read directory %s/%s", v->root, prefix);
    closedir(dir);
    return st;
}

static enum cf_status remove_image(struct verify *v, const char *path, bool *gone,
                                   struct cf_error *err)
{
    char *full = cf_format(err, "%s/%s", v->root, path);
    struct stat sb;

    if (!full)
        return CF_ENOMEM;
    if (lstat(full, &sb) == 0 && S_ISREG(sb.st_mode)) {
        *gone = unlink(full) == 0;
        if (!*gone)
            cf_fail_errno(err, errno, "remove %s", full);
    }
    cf_free(full);
    return err->status;
}

static enum cf_status on_orphan(struct verify *v, const char *path, struct cf_error *err)
{
    bool ours = cf_image_is_file(path), gone = false;
    char tar[10];

    if (ours && v->remove)
        CF_TRY(remove_image(v, path, &gone, err));
    v->repaired += gone;
    tell(v, "orphan", 0, path, "no row names it",
         ours && !v->remove ? "--remove-orphans" : NULL,
         gone                ? "removed"
         : ours && v->remove ? "no plain file: left alone"
         : ours              ? NULL
         : tar_of(path, tar) ? "a tar is never removed: look into it, then do it by hand"
                             : "not a name of cfgen's: left alone");
    return CF_OK;
}

static enum cf_status check_files(struct verify *v, struct cf_error *err)
{
    enum cf_status st;
    const char *path;
    int fd = open(v->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return cf_fail_errno(err, errno, "%s", v->root);
    st = cf_audit_begin(&v->audit, v->remove ? v->call->q : v->rows, err);
    if (st == CF_OK)
        st = walk(v, fd, "", 0, err);
    else
        close(fd);
    if (st == CF_OK)
        st = cf_audit_lone(&v->audit, v->remove, err);
    while (st == CF_OK && (st = cf_audit_next(&v->audit, &path, err)) == CF_OK && path)
        st = on_orphan(v, path, err);
    cf_audit_end(&v->audit);
    return st;
}

/* ---- the command ---- */

/* A root that is not there is a wrong option, not ten million missing files. */
static enum cf_status open_all(struct verify *v, struct cf_error *err)
{
    bool write = v->requeue || v->remove;

    CF_TRY(cf_cmd_open(v->call, write ? CF_QUEUE_WRITE : CF_QUEUE_READ, 0, 0));
    v->rows = v->call->q;
    if (write) {
        v->rows = NULL;
        CF_TRY(cf_queue_open(&v->rows, v->call->db,
                             cf_queue_mode(CF_QUEUE_READ, v->call->unsafe), err));
    }
    v->root = cf_layout_root(cf_queue_dir(v->call->q), v->output, err);
    v->repair = repair_command(v, err);
    if (!v->root || !v->repair)
        return CF_ENOMEM;
    if (access(v->root, R_OK | X_OK) != 0)
        return cf_fail_errno(err, errno, "%s: the images cannot be looked at (--output)",
                             v->root);
    return CF_OK;
}

static void sums(const struct verify *v)
{
    printf(v->json ? "{\"checked\":%" PRId64 ",\"found\":%" PRId64
                     ",\"repaired\":%" PRId64 "}\n"
                   : "%" PRId64 " images checked, %" PRId64 " findings, %" PRId64
                     " repaired\n",
           v->checked, v->found, v->repaired);
    if (!v->json && v->missing > v->checked / 2)
        printf("most images are not in %s: is it the --output of cfgen-batch?\n",
               v->root);
}

static void set(struct verify *v, int o, const char *value)
{
    if (o == 'o')
        v->output = value;
    if (o == BATCH)
        v->batch = value;
    v->deep |= o == DEEP;
    v->requeue |= o == REQUEUE;
    v->remove |= o == REMOVE;
    v->json |= o == JSON;
}

static int run(struct cf_call *call)
{
    struct verify v = {.call = call};
    struct cf_error *err = &call->err;
    const char *value;
    enum cf_status st;
    int o;

    while ((o = cf_cmd_next(call, &value)) > 0)
        set(&v, o, value);
    if (o < 0)
        return cf_cmd_end(call);
    st = v.batch && v.remove
             ? cf_fail(err, CF_EUSAGE, "--remove-orphans needs all jobs, not a --batch")
             : open_all(&v, err);
    if (st == CF_OK)
        st = check_rows(&v, err);
    if (st == CF_OK && !v.batch)
        st = check_files(&v, err);
    if (st == CF_OK)
        sums(&v);
    if (v.rows != call->q)
        cf_queue_close(v.rows);
    cf_free(v.root);
    cf_free(v.repair);
    return st == CF_OK && v.found ? 1 : cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_verify = {
    "verify", "",  "Compare the images with their rows, and the rows with the images",
    options,  run,
};
