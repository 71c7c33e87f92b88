/* One shard: its result file, its lock, the way it is named. */
#include "jobs/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/copy.h"
#include "jobs/db.h"
#include "jobs/lock.h"
#include "jobs/tars.h"

static int lock_file(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = flock(fd, LOCK_EX | LOCK_NB);

    if (rc != 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL))
        rc = fcntl(fd, F_OFD_SETLK, &whole);
    return rc;
}

enum cf_status cf_lock_results(const char *results, int *fd, struct cf_error *err)
{
    char *path = cf_format(err, "%s.lock", results);
    enum cf_status st = CF_OK;

    *fd = -1;
    if (!path)
        return CF_ENOMEM;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*fd < 0) {
        st = cf_fail_errno(err, errno, "%s", path);
    } else if (lock_file(*fd) != 0) {
        st = errno == EWOULDBLOCK || errno == EACCES
                 ? cf_fail(err, CF_EBUSY, "%s: shard in use by another process", path)
                 : cf_fail_errno(err, errno, "%s: lock", path);
        close(*fd);
        *fd = -1;
    }
    cf_free(path);
    return st;
}

/* PLAN-NNNNN.results.sqlite, or what was asked for, as an absolute path. */
static char *results_path(const char *plan, int shard, const char *results,
                          struct cf_error *err)
{
    char *name, *dir, *slash, *path = NULL, real[PATH_MAX];
    size_t len = strlen(plan);

    if (len > 7 && strcmp(plan + len - 7, ".sqlite") == 0)
        len -= 7;
    else if (len > 3 && strcmp(plan + len - 3, ".db") == 0)
        len -= 3;
    name = results ? cf_strdup(results, err)
                   : cf_format(err, "%.*s-%05d.results.sqlite", (int)len, plan, shard);
    slash = name ? strrchr(name, '/') : NULL;
    dir = !name   ? NULL
          : slash ? cf_strndup(name, (size_t)(slash - name) + 1, err)
                  : cf_strdup(".", err);
    if (dir && !realpath(dir, real))
        cf_fail_errno(err, errno, "%s", dir);
    else if (dir)
        path = cf_format(err, "%s/%s", strcmp(real, "/") ? real : "",
                         slash ? slash + 1 : name);
    cf_free(name);
    cf_free(dir);
    return path;
}

static enum cf_status fill(struct cf_copy *c, const struct cf_plan_info *info, int shard,
                           struct cf_error *err)
{
    char condition[80], text[800];
    int64_t base, width;

    snprintf(condition, sizeof condition,
             "prompt_id IN (SELECT prompt_id FROM src.share WHERE shard = %d)", shard);
    CF_TRY(cf_copy_jobs(c, condition, err));
    CF_TRY(cf_db_meta_int(c->db, "src", "plan_tar", 0, CF_TAR_NUMBERS, &base, err));
    width = (CF_TAR_NUMBERS - base) / info->shards;
    snprintf(text, sizeof text,
             "INSERT INTO main.meta(key, value) SELECT key, value FROM src.meta WHERE"
             " key IN('plan_id', 'plan_queue', 'plan_shards', 'plan_partition');"
             "INSERT INTO main.meta(key, value) VALUES('created_by', 'cfgen'),"
             "('created_at', strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', 'now')),"
             "('queue_id', lower(hex(randomblob(16)))),"
             "('plan_shard', '%d'), ('tar_first', '%lld'), ('tar_end', '%lld')",
             shard, (long long)(base + shard * width),
             (long long)(base + (shard + 1) * width));
    return cf_sql_exec(c->db, text, err);
}

static enum cf_status make(const char *results, const char *plan,
                           const struct cf_plan_info *info, int shard,
                           struct cf_error *err)
{
    char *part = cf_format(err, "%s.new", results);
    char *uri = cf_db_uri(plan, "immutable=1", err);
    enum cf_status st = CF_ENOMEM;
    struct cf_copy c = {0};

    if (part && uri) {
        st = cf_copy_open(&c, results, part, uri, err);
        if (st == CF_OK)
            st = fill(&c, info, shard, err);
        st = cf_copy_close(&c, st, err);
    }
    cf_free(part);
    cf_free(uri);
    return st;
}

/* Opened to write, so that SQLite can roll back what a killed writer left. */
static enum cf_status belongs(const char *results, const struct cf_plan_info *info,
                              int shard, struct cf_error *err)
{
    sqlite3 *db = NULL;
    char id[33];
    int64_t found;
    enum cf_status st;

    CF_TRY(cf_db_probe(results, err));
    st = cf_db_look(&db, results, "mode=rw", SQLITE_OPEN_READWRITE, err);
    if (st == CF_OK)
        st = cf_db_meta(db, "main", "plan_id", id, sizeof id, err);
    if (st == CF_OK && strcmp(id, info->id) != 0)
        st = cf_fail(err, CF_EMISMATCH, "results of plan %s, expected plan %s",
                     *id ? id : "(none)", info->id);
    if (st == CF_OK)
        st = cf_db_meta_int(db, "main", "plan_shard", 0, CF_SHARDS_MAX, &found, err);
    if (st == CF_OK && found != shard)
        st = cf_fail(err, CF_EMISMATCH, "results of shard %d, expected shard %d",
                     (int)found, shard);
    sqlite3_close(db);
    return st;
}

static enum cf_status in_range(int shard, const struct cf_plan_info *info,
                               const char *from, struct cf_error *err)
{
    if (shard >= 0 && shard < info->shards)
        return CF_OK;
    return cf_fail(err, CF_ERANGE, "%s %d: the plan has shards 0..%d", from, shard,
                   info->shards - 1);
}

enum cf_status cf_shard_open(struct cf_shard *s, const char *plan, int shard,
                             const char *results, struct cf_error *err)
{
    struct cf_error local = {0};
    struct cf_plan_info info;
    enum cf_status st;
    struct stat sb;

    *s = (struct cf_shard){.lock_fd = -1};
    if (!err)
        err = &local;
    CF_TRY(cf_plan_read(plan, &info, err));
    CF_TRY(in_range(shard, &info, "shard", err));
    s->results = results_path(plan, shard, results, err);
    if (!s->results)
        return err->status;
    st = cf_lock_results(s->results, &s->lock_fd, err);
    if (st == CF_OK && (lstat(s->results, &sb) == 0
                            ? belongs(s->results, &info, shard, err)
                            : make(s->results, plan, &info, shard, err)) != CF_OK)
        st = cf_wrap(err, "%s", s->results);
    if (st != CF_OK)
        cf_shard_close(s);
    return st;
}

void cf_shard_close(struct cf_shard *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    cf_free(s->results);
    *s = (struct cf_shard){.lock_fd = -1};
}

enum cf_status cf_shard_parse(const char *text, const struct cf_plan_info *plan,
                              int *shard, struct cf_error *err)
{
    struct cf_scan s = {text, text + strlen(text)};
    const char *from = "shard";
    uint64_t i, n = (uint64_t)plan->shards;

    if (strcmp(text, "auto") == 0) {
        CF_TRY(cf_shard_rank(shard, &from, err));
        return in_range(*shard, plan, from, err);
    }
    if (!cf_scan_u64(&s, &i) || i > INT_MAX ||
        (s.p < s.end && (!cf_scan_lit(&s, "/") || !cf_scan_u64(&s, &n))) || s.p != s.end)
        return cf_fail(err, CF_EUSAGE, "--shard: '%.40s', expected I, I/N or auto", text);
    if (n != (uint64_t)plan->shards)
        return cf_fail(err, CF_ECONFIG,
                       "--shard=%.40s: the plan has %d shards; leave /%" PRIu64 " out",
                       text, plan->shards, n);
    *shard = (int)i;
    return in_range(*shard, plan, from, err);
}
