#include "weights/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

enum cf_status cf_manifest_hashed(struct cf_manifest_part *part, const char *dir,
                                  const char *file, const char *sha256,
                                  struct cf_error *err)
{
    struct cf_manifest_file f = {.bytes = -1};
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

enum cf_status cf_manifest_file(struct cf_manifest_part *part, const char *dir,
                                const char *file, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX], *path = cf_format(err, "%s/%s", dir, file);
    enum cf_status status = path ? cf_digest_file(path, hex, err) : CF_ENOMEM;

    cf_free(path);
    return status == CF_OK ? cf_manifest_hashed(part, dir, file, hex, err) : status;
}

void cf_manifest_close(struct cf_manifest *m)
{
    for (int p = 0; p < CF_NPART; p++) {
        for (size_t i = 0; i < m->part[p].n; i++)
            cf_free(m->part[p].file[i].file);
        cf_free(m->part[p].file);
        m->part[p] = (struct cf_manifest_part){0};
    }
}

static json_t *file_json(const struct cf_manifest_file *f)
{
    json_t *obj = json_pack("{s:s, s:s}", "file", f->file, "sha256", f->sha256);

    if (f->bytes >= 0)
        json_object_set_new(obj, "bytes", json_integer(f->bytes));
    if (f->sample[0])
        json_object_set_new(obj, "sample", json_string(f->sample));
    return obj;
}

static json_t *part_json(const struct cf_manifest_part *part)
{
    json_t *files;

    if (!part->dir)
        return file_json(&part->file[0]);
    files = json_array();
    for (size_t i = 0; i < part->n; i++)
        json_array_append_new(files, file_json(&part->file[i]));
    return json_pack("{s:s, s:o}", "dir", part->dir, "files", files);
}

json_t *cf_manifest_json(const struct cf_manifest *m, struct cf_error *err)
{
    json_t *root, *parts;

    for (int p = 0; p < CF_NPART; p++)
        if (m->part[p].n < 1 || (!m->part[p].dir && m->part[p].n > 1)) {
            cf_fail(err, CF_EBUG, "model.json: part %d has %zu files", p, m->part[p].n);
            return NULL;
        }
    parts = json_pack("{s:o, s:o, s:o, s:o}", "transformer",
                      part_json(&m->part[CF_PART_TRANSFORMER]), "vae",
                      part_json(&m->part[CF_PART_VAE]), "text_encoder",
                      part_json(&m->part[CF_PART_TEXT]), "tokenizer",
                      part_json(&m->part[CF_PART_VOCAB]));
    root = json_pack("{s:s, s:i, s:s, s:s, s:o}", "format", "cfgen-model", "version", 1,
                     "name", m->name, "generator", m->generator, "parts", parts);
    if (m->map)
        json_object_set_new(root, "hold", json_string("map"));
    if (m->source)
        json_object_set(root, "source", m->source);
    if (json_object_set(root, "infinity", m->infinity) != 0 ||
        json_object_set(root, "vae", m->vae) != 0 ||
        json_object_set(root, "sizes", m->sizes) != 0 ||
        json_object_set(root, "text", m->text) != 0 ||
        json_object_set(root, "sampling", m->sampling) != 0) {
        cf_fail(err, CF_ENOMEM, "model.json");
        json_decref(root);
        return NULL;
    }
    return root;
}

/* The text and a newline, synced, in the open file. */
static enum cf_status fill(int fd, const char *text, const char *where,
                           struct cf_error *err)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(fd, text, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cf_fail_errno(err, errno, "%s: write", where);
        text += n;
        left -= (size_t)n;
    }
    if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        return cf_fail_errno(err, errno, "%s: sync", where);
    return CF_OK;
}

static enum cf_status sync_dir(const char *dir, struct cf_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cf_status status = CF_OK;

    if (fd < 0 || fsync(fd) != 0)
        status = cf_fail_errno(err, errno, "%s: sync", dir);
    if (fd >= 0)
        close(fd);
    return status;
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
        status = sync_dir(dir, err);
    cf_free(temp);
    cf_free(path);
    return status;
}

enum cf_status cf_manifest_write(const struct cf_manifest *m, const char *dir,
                                 struct cf_error *err)
{
    json_t *root = cf_manifest_json(m, err);
    enum cf_status status;
    char *text, *lines;

    if (!root)
        return err->status;
    /* 15 digits: what people wrote comes back as they wrote it. */
    text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(root);
    lines = text ? cf_format(err, "%s\n", text) : NULL;
    free(text);
    status = lines ? put(dir, lines, err) : cf_fail(err, CF_ENOMEM, "model.json");
    cf_free(lines);
    return status;
}
