#include "jobs/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "jobs/schema.h"

static enum cf_status make_part(struct cf_copy *c, const char *part, struct cf_error *err)
{
    mode_t mask = umask(0);
    int fd;

    umask(mask);
    c->part = part ? cf_strdup(part, err) : cf_format(err, "%s.part-XXXXXX", c->path);
    if (!c->part)
        return CF_ENOMEM;
    if (part)
        unlink(part);
    fd = part ? open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)
              : mkostemp(c->part, O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;

        cf_free(c->part);
        c->part = NULL;
        return errnum == ENOENT
                   ? cf_fail(err, CF_ECREAT, "%s: no such directory", c->path)
                   : cf_fail_errno(err, errnum, "%s", c->path);
    }
    fchmod(fd, 0666 & ~mask); /* where this fails, the mode stays narrower */
    close(fd);
    return CF_OK;
}

static enum cf_status attach_source(struct cf_copy *c, const char *source,
                                    struct cf_error *err)
{
    enum cf_status st;
    struct cf_sql s;

    st = cf_sql_open(&s, c->db, "ATTACH ?1 AS src", err);
    if (st == CF_OK) {
        cf_sql_str(&s, 1, source);
        st = cf_sql_run(&s, NULL, err);
    }
    cf_sql_close(&s);
    return st;
}

/* Counters are set once in the end, so the triggers that keep them are off; and there is
 * nothing to roll back to in a file that nobody has seen. */
enum cf_status cf_copy_open(struct cf_copy *c, const char *path, const char *part,
                            const char *source, struct cf_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_FULLMUTEX;
    struct stat sb;
    int rc;

    *c = (struct cf_copy){.path = path};
    if (lstat(path, &sb) == 0)
        return cf_fail(err, CF_ECREAT, "%s exists already: take another name", path);
    CF_TRY(make_part(c, part, err));
    rc = sqlite3_open_v2(c->part, &c->db, flags, NULL);
    if (rc != SQLITE_OK)
        return cf_sql_fail(c->db, rc, c->part, err);
    sqlite3_busy_timeout(c->db, 60000);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    CF_TRY(cf_sql_exec(c->db,
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                       "PRAGMA foreign_keys = OFF; PRAGMA temp_store = FILE;"
                       "PRAGMA cache_size = -65536; PRAGMA synchronous = OFF;"
                       "PRAGMA journal_mode = OFF;",
                       err));
    CF_TRY(attach_source(c, source, err));
    CF_TRY(cf_sql_exec(c->db, "BEGIN", err));
    return cf_schema_migrate(c->db, 0, err);
}

enum cf_status cf_copy_jobs(struct cf_copy *c, const char *condition,
                            struct cf_error *err)
{
    static const char job[] =
        "INSERT INTO main.job(id, prompt_id, negative_id, recipe_id, seed, width, height,"
        " priority, state, attempts, crashes, releases, max_attempts, batch_id, user_key,"
        " extra)"
        " SELECT id, prompt_id, negative_id, recipe_id, seed, width, height, priority, 0,"
        " attempts, crashes, releases, max_attempts, batch_id, user_key, extra"
        " FROM src.job WHERE %s ORDER BY id";
    static const char rest[] =
        "UPDATE main.stat SET n = (SELECT count(*) FROM main.job) WHERE state = 0;"
        "INSERT INTO main.prompt(id, sha256, text) SELECT id, sha256, text"
        " FROM src.prompt WHERE id <> 0 AND id IN"
        " (SELECT prompt_id FROM main.job UNION SELECT negative_id FROM main.job);"
        "INSERT INTO main.recipe(id, sha256, json, model_id, encoder_id, vae_id)"
        " SELECT id, sha256, json, model_id, encoder_id, vae_id FROM src.recipe"
        " WHERE id IN (SELECT recipe_id FROM main.job);"
        "INSERT INTO main.model(id, kind, name, sha256, bytes, manifest)"
        " SELECT id, kind, name, sha256, bytes, manifest FROM src.model"
        " WHERE id IN (SELECT model_id FROM main.recipe UNION SELECT encoder_id FROM"
        " main.recipe UNION SELECT vae_id FROM main.recipe);"
        "INSERT INTO main.batch(id, name, source, source_sha256, added_at, extra)"
        " SELECT id, name, source, source_sha256, added_at, extra FROM src.batch"
        " WHERE id IN (SELECT batch_id FROM main.job);";
    char *text = cf_format(err, job, condition);
    enum cf_status st = text ? cf_sql_exec(c->db, text, err) : CF_ENOMEM;

    cf_free(text);
    return st == CF_OK ? cf_sql_exec(c->db, rest, err) : st;
}

enum cf_status cf_copy_meta(struct cf_copy *c, const char *key, const char *value,
                            struct cf_error *err)
{
    char *text =
        cf_format(err, "INSERT INTO main.meta(key, value) VALUES('%s', CAST(%s AS TEXT))",
                  key, value);
    enum cf_status st = text ? cf_sql_exec(c->db, text, err) : CF_ENOMEM;

    cf_free(text);
    return st;
}

static enum cf_status sync_path(const char *path, int flags, struct cf_error *err)
{
    int fd = open(path, flags | O_CLOEXEC), errnum = 0;

    if (fd < 0 || fsync(fd) != 0)
        errnum = errno;
    if (fd >= 0)
        close(fd);
    return errnum ? cf_fail_errno(err, errnum, "%s", path) : CF_OK;
}

static enum cf_status sync_dir(const char *path, struct cf_error *err)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        slash ? cf_strndup(path, (size_t)(slash - path) + 1, err) : cf_strdup(".", err);
    enum cf_status st = dir ? sync_path(dir, O_RDONLY | O_DIRECTORY, err) : CF_ENOMEM;

    cf_free(dir);
    return st;
}

/* Not over a file that somebody put there meanwhile, where the file system can do so. */
static enum cf_status publish(const struct cf_copy *c, struct cf_error *err)
{
    int rc = renameat2(AT_FDCWD, c->part, AT_FDCWD, c->path, RENAME_NOREPLACE);

    if (rc != 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
        rc = rename(c->part, c->path);
    if (rc != 0 && errno == EEXIST)
        return cf_fail(err, CF_ECREAT, "%s exists already: take another name", c->path);
    return rc == 0 ? sync_dir(c->path, err) : cf_fail_errno(err, errno, "%s", c->path);
}

enum cf_status cf_copy_close(struct cf_copy *c, enum cf_status st, struct cf_error *err)
{
    if (st == CF_OK)
        st = cf_sql_exec(c->db, "COMMIT", err);
    sqlite3_close(c->db);
    if (st == CF_OK)
        st = sync_path(c->part, O_RDWR, err);
    if (st == CF_OK)
        st = publish(c, err);
    if (st != CF_OK && c->part)
        unlink(c->part);
    cf_free(c->part);
    *c = (struct cf_copy){0};
    return st;
}
