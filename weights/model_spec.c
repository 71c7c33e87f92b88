#include "weights/model_spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

enum cf_status cf_model_spec_hashed(struct cf_model_spec_part *part, const char *dir,
                                    const char *file, const char *sha256,
                                    struct cf_error *err)
{
    struct cf_model_spec_file f = {.bytes = -1};
    enum cf_status status = CF_ENOMEM;
    struct stat info;
    char *path;

    CF_TRY(cf_grow(&part->file, &part->cap, part->n + 1, sizeof *part->file, err));
    path = cf_format(err, "%s/%s", dir, file);
    f.file = cf_strdup(file, err);
    if (path && f.file)
        status = stat(path, &info) == 0 ? CF_OK : cf_fail_errno(err, errno, "%s", path);
    if (status == CF_OK && info.st_size > CF_MODEL_SAMPLED) {
        f.bytes = info.st_size;
        status = cf_model_sample(path, f.sample, err);
    }
    snprintf(f.sha256, sizeof f.sha256, "%s", sha256);
    if (status == CF_OK)
        part->file[part->n++] = f;
    else
        cf_free(f.file);
    cf_free(path);
    return status;
}

enum cf_status cf_model_spec_file(struct cf_model_spec_part *part, const char *dir,
                                  const char *file, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX], *path = cf_format(err, "%s/%s", dir, file);
    enum cf_status status = path ? cf_digest_file(path, hex, err) : CF_ENOMEM;

    cf_free(path);
    return status == CF_OK ? cf_model_spec_hashed(part, dir, file, hex, err) : status;
}

void cf_model_spec_close(struct cf_model_spec *m)
{
    for (int p = 0; p < CF_NPART; p++) {
        for (size_t i = 0; i < m->part[p].n; i++)
            cf_free(m->part[p].file[i].file);
        cf_free(m->part[p].file);
        m->part[p] = (struct cf_model_spec_part){0};
    }
}

/* obj, or NULL (and obj freed) where a value could not be made. */
static json_t *with(json_t *obj, const char *key, json_t *value)
{
    if (obj && value && json_object_set_new(obj, key, value) == 0)
        return obj;
    if (!obj)
        json_decref(value);
    json_decref(obj);
    return NULL;
}

static json_t *file_json(const struct cf_model_spec_file *f)
{
    json_t *obj = json_pack("{s:s, s:s}", "file", f->file, "sha256", f->sha256);

    if (f->bytes >= 0)
        obj = with(obj, "bytes", json_integer(f->bytes));
    if (f->sample[0])
        obj = with(obj, "sample", json_string(f->sample));
    return obj;
}

static json_t *part_json(const struct cf_model_spec_part *part)
{
    json_t *files = json_array(), *obj;

    if (!part->dir) {
        json_decref(files);
        return file_json(&part->file[0]);
    }
    for (size_t i = 0; files && i < part->n; i++)
        if (json_array_append_new(files, file_json(&part->file[i])) != 0) {
            json_decref(files);
            files = NULL;
        }
    obj = json_pack("{s:s}", "dir", part->dir);
    return with(obj, "files", files);
}

static json_t *parts_json(const struct cf_model_spec *m)
{
    static const char *const key[CF_NPART] = {
        [CF_PART_TRANSFORMER] = "transformer",
        [CF_PART_VAE] = "vae",
        [CF_PART_TEXT] = "text_encoder",
        [CF_PART_VOCAB] = "tokenizer",
    };
    json_t *parts = json_object();

    for (int p = 0; p < CF_NPART; p++)
        parts = with(parts, key[p], part_json(&m->part[p]));
    return parts;
}

/* Fresh; NULL: CF_ENOMEM. */
static json_t *manifest(const struct cf_model_spec *m, struct cf_error *err)
{
    json_t *root;

    for (int p = 0; p < CF_NPART; p++)
        if (m->part[p].n < 1 || (!m->part[p].dir && m->part[p].n > 1)) {
            cf_fail(err, CF_EBUG, "model.json: part %d has %zu files", p, m->part[p].n);
            return NULL;
        }
    root = json_pack("{s:s, s:i, s:s, s:s}", "format", "cfgen-model", "version", 1,
                     "name", m->name, "generator", m->generator);
    root = with(root, "parts", parts_json(m));
    if (m->map)
        root = with(root, "hold", json_string("map"));
    if (m->source)
        root = with(root, "source", json_incref(m->source));
    root = with(root, "infinity", json_incref(m->infinity));
    root = with(root, "vae", json_incref(m->vae));
    root = with(root, "sizes", json_incref(m->sizes));
    root = with(root, "text", json_incref(m->text));
    root = with(root, "sampling", json_incref(m->sampling));
    if (!root)
        cf_fail(err, CF_ENOMEM, "model.json");
    return root;
}

/* The text and a newline, synced, in the open file. */
static enum cf_status fill(int fd, const char *text, const char *where,
                           struct cf_error *err)
{
    CF_TRY(cf_file_write(fd, text, strlen(text), where, err));
    if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        return cf_fail_errno(err, errno, "%.300s: sync", where);
    return CF_OK;
}

static enum cf_status put(const char *dir, const char *text, struct cf_error *err)
{
    char *path = cf_format(err, "%s/model.json", dir);
    char *temp = cf_format(err, "%s/.model.json.part-XXXXXX", dir);
    enum cf_status status = path && temp ? CF_OK : CF_ENOMEM;
    int fd = -1;

    if (status == CF_OK && (fd = mkostemp(temp, O_CLOEXEC)) < 0)
        status = cf_fail_errno(err, errno, "%s", temp);
    if (status == CF_OK)
        status = fill(fd, text, path, err);
    if (fd >= 0 && close(fd) != 0 && status == CF_OK)
        status = cf_fail_errno(err, errno, "%s: close", path);
    if (status == CF_OK && rename(temp, path) != 0)
        status = cf_fail_errno(err, errno, "%s", path);
    if (fd >= 0 && status != CF_OK)
        unlink(temp);
    if (status == CF_OK)
        status = cf_file_sync_dir(dir, err);
    cf_free(temp);
    cf_free(path);
    return status;
}

enum cf_status cf_model_spec_write(const struct cf_model_spec *m, const char *dir,
                                   struct cf_error *err)
{
    /* 15 digits: what people wrote comes back as they wrote it. */
    const size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(15);
    json_t *root = manifest(m, err);
    enum cf_status status = CF_ENOMEM;
    size_t n = root ? json_dumpb(root, NULL, 0, flags) : 0;
    char *text = NULL;

    if (root && n == 0)
        cf_fail(err, CF_ENOMEM, "model.json");
    if (n > 0)
        text = cf_alloc(n + 2, 1, err);
    if (text && json_dumpb(root, text, n, flags) == n) {
        memcpy(text + n, "\n", 2);
        status = put(dir, text, err);
    }
    cf_free(text);
    json_decref(root);
    return status == CF_ENOMEM ? cf_fail(err, CF_ENOMEM, "model.json") : status;
}
