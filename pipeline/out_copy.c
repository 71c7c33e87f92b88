#include "config.h"

#include "pipeline/out_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum { COPY_BLOCK = 1 << 20 };

/* What is left of in: inside the kernel where it can, else through memory. */
static enum cf_status copy_bytes(int to, int in, size_t size, char *block,
                                 const char *path, struct cf_error *err)
{
    bool inside = true;

    while (size > 0) {
        ssize_t n = inside ? copy_file_range(in, NULL, to, NULL, size, 0)
                           : read(in, block, size < COPY_BLOCK ? size : COPY_BLOCK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && inside) { /* another file system, an old kernel, a full disk */
            inside = false;
            continue;
        }
        if (n <= 0) /* 0: it became shorter */
            return cf_fail_errno(err, n ? errno : EIO, "%.300s: copy of %zu bytes", path,
                                 size);
        if (!inside)
            CF_TRY(cf_file_write(to, block, (size_t)n, path, err));
        size -= (size_t)n;
    }
    return fsync(to) == 0 ? CF_OK : cf_fail_errno(err, errno, "%.300s: sync", path);
}

enum cf_status cf_out_copy(const struct cf_out *out, const char *name, const char *from,
                           struct cf_error *err)
{
    char *path = cf_out_path(out, name, err), *block = cf_alloc(COPY_BLOCK, 1, err);
    int in = -1, to = -1;
    size_t size = 0;
    enum cf_status st = path && block ? CF_OK : CF_ENOMEM;

    if (st == CF_OK && (in = cf_file_open(from, &size, err)) < 0)
        st = cf_fail(err, CF_EIO, "%s", from);
    if (st == CF_OK &&
        (to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0)
        st = cf_fail_errno(err, errno, "%.300s: create", path);
    if (st == CF_OK)
        st = copy_bytes(to, in, size, block, path, err);
    if (to >= 0 && close(to) != 0 && st == CF_OK)
        st = cf_fail_errno(err, errno, "%.300s: close", path);
    if (in >= 0)
        close(in);
    cf_free(block);
    cf_free(path);
    return st;
}

/* ---- a whole part ---- */

/* { dir, files } or { file, sha256 }. */
static const json_t *entry_of(const struct cf_model *model, enum cf_part which)
{
    static const char *const key[CF_NPART] = {"transformer", "vae", "text_encoder",
                                              "tokenizer"};

    return json_object_get(json_object_get(model->json, "parts"), key[which]);
}

/* File i of an entry that cf_model_open has checked; NULL behind the last. */
static const json_t *file_of(const json_t *entry, size_t i)
{
    const json_t *files = json_object_get(entry, "files");

    return files ? json_array_get(files, i) : i == 0 ? entry : NULL;
}

static const char *text_of(const json_t *file, const char *key)
{
    return json_string_value(json_object_get(file, key));
}

static enum cf_status copy_file(const struct cf_out *out, const struct cf_model *model,
                                const json_t *file, struct cf_model_spec_part *part,
                                struct cf_error *err)
{
    const char *name = text_of(file, "file"), *hash = text_of(file, "sha256");
    char *from = cf_format(err, "%s/%s", model->dir, name);
    enum cf_status st = from ? cf_out_copy(out, name, from, err) : CF_ENOMEM;

    cf_free(from);
    if (st == CF_OK)
        st = cf_model_spec_file(part, cf_out_dir(out), name, err);
    if (st == CF_OK && strcmp(part->file[part->n - 1].sha256, hash) != 0)
        st = cf_fail(err, CF_EMISMATCH, "%.150s: sha256 is %s, model.json expects %s",
                     name, part->file[part->n - 1].sha256, hash);
    return st;
}

/* The directories that name lies in, which may be there from another part. */
static enum cf_status make_dirs(const struct cf_out *out, const char *name, bool itself,
                                struct cf_error *err)
{
    char *dir = cf_strdup(name, err);
    struct cf_error why = {0};

    if (!dir)
        return CF_ENOMEM;
    for (char *at = dir; at && why.status == CF_OK;) {
        char *slash = strchr(at, '/'), *path;
        struct stat info;

        if (!slash && !itself)
            break;
        if (slash)
            *slash = '\0';
        path = cf_out_path(out, dir, &why);
        if (path && stat(path, &info) != 0)
            cf_out_mkdir(out, dir, &why);
        cf_free(path);
        if (slash)
            *slash = '/';
        at = slash ? slash + 1 : NULL;
    }
    cf_free(dir);
    return why.status ? cf_fail(err, why.status, "%s", why.msg) : CF_OK;
}

enum cf_status cf_out_copy_part(const struct cf_out *out, const struct cf_model *model,
                                enum cf_part which, struct cf_model_spec_part *part,
                                struct cf_error *err)
{
    const json_t *entry = entry_of(model, which), *file;

    part->dir = text_of(entry, "dir");
    if (part->dir)
        CF_TRY(make_dirs(out, part->dir, true, err));
    else
        CF_TRY(make_dirs(out, text_of(entry, "file"), false, err));
    for (size_t i = 0; (file = file_of(entry, i)) != NULL; i++)
        CF_TRY(copy_file(out, model, file, part, err));
    return CF_OK;
}

enum cf_status cf_out_copy_bytes(const struct cf_model *model, enum cf_part which,
                                 size_t *bytes, struct cf_error *err)
{
    const json_t *entry = entry_of(model, which), *file;

    for (size_t i = 0; (file = file_of(entry, i)) != NULL; i++) {
        char *path = cf_format(err, "%s/%s", model->dir, text_of(file, "file"));
        struct stat info;

        if (!path)
            return CF_ENOMEM;
        if (stat(path, &info) == 0)
            *bytes += (size_t)info.st_size;
        cf_free(path);
    }
    return CF_OK;
}
