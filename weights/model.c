#include "weights/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "weights/compare.h"
#include "weights/config.h"

enum {
    MAX_MANIFEST = 1000 * 1000, /* bytes of model.json */
    MAX_MANIFEST_VALUES = 100 * 1000,
    MAX_NAME = 200,
    MAX_PATH = 1000,  /* bytes of a path inside the manifest */
    MAX_FILES = 1000, /* of a directory part */
};

static const char *const part_key[CF_NPART] = {
    [CF_PART_TRANSFORMER] = "transformer",
    [CF_PART_VAE] = "vae",
    [CF_PART_TEXT] = "text_encoder",
    [CF_PART_VOCAB] = "tokenizer",
};

/* A model may only name what lies inside its own directory: components that are not
 * empty,
 * "." or "..". */
static bool path_is_safe(const char *path)
{
    size_t len;

    if (strlen(path) > MAX_PATH)
        return false;
    for (;; path += len + 1) {
        len = strcspn(path, "/");
        if (len == 0 || (len == 1 && path[0] == '.') ||
            (len == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[len] == '\0')
            return true;
    }
}

static enum cf_status read_path(const json_t *obj, const char *key, const char **out,
                                const char *where, struct cf_error *err)
{
    CF_TRY(cf_json_str(obj, key, out, where, err));
    if (!path_is_safe(*out))
        return cf_fail(err, CF_EFORMAT,
                       "%s: %s is \"%.100s\", expected a path inside the model", where,
                       key, *out);
    return CF_OK;
}

static enum cf_status read_hash(const json_t *obj, const char *key, const char **out,
                                const char *where, struct cf_error *err)
{
    CF_TRY(cf_json_str(obj, key, out, where, err));
    if (strlen(*out) != CF_DIGEST_HEX - 1 ||
        strspn(*out, "0123456789abcdef") != CF_DIGEST_HEX - 1)
        return cf_fail(err, CF_EFORMAT,
                       "%s: %s is \"%.70s\", expected 64 lower-case hex digits", where,
                       key, *out);
    return CF_OK;
}

/* path is there and of the right kind; name is how the manifest calls it. */
static enum cf_status check_kind(const char *path, const char *name, bool dir,
                                 int64_t *bytes, struct cf_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return cf_fail_errno(err, errno, "%.200s", name);
    if (dir ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode))
        return cf_fail(err, CF_EFORMAT, "%.200s: not a %s", name,
                       dir ? "directory" : "regular file");
    *bytes = info.st_size;
    return CF_OK;
}

/* How well files are looked at, and those that are to be read. */
struct checks {
    enum cf_model_check check;
    struct cf_compare *list; /* owned */
};

/* The bytes of a file are to be those of its entry, as far as was asked for. */
static enum cf_status enlist(struct checks *c, const char *path, const char *file,
                             const char *hash, const char *sample, struct cf_error *err)
{
    if (sample && c->check >= CF_MODEL_QUICK)
        CF_TRY(cf_compare_add(c->list, path, file, sample, false, err));
    if (c->check == CF_MODEL_FULL || (c->check == CF_MODEL_QUICK && !sample))
        CF_TRY(cf_compare_add(c->list, path, file, hash, true, err));
    return CF_OK;
}

/* One { file, sha256, bytes, sample }: the file is there and is that file. */
static enum cf_status check_file(const struct cf_model *m, const json_t *obj,
                                 struct checks *check, const char **file,
                                 const char **hash, const char *where,
                                 struct cf_error *err)
{
    const char *sample = NULL;
    int64_t bytes, found = 0;
    enum cf_status status;
    char *path;

    CF_TRY(cf_config_only(obj, where, err, "file", "sha256", "bytes", "sample", NULL));
    CF_TRY(read_path(obj, "file", file, where, err));
    CF_TRY(read_hash(obj, "sha256", hash, where, err));
    if (json_object_get(obj, "bytes"))
        CF_TRY(cf_json_int(obj, "bytes", 0, INT64_MAX, &bytes, where, err));
    if (json_object_get(obj, "sample"))
        CF_TRY(read_hash(obj, "sample", &sample, where, err));
    path = cf_format(err, "%s/%s", m->dir, *file);
    if (!path)
        return CF_ENOMEM;
    status = check_kind(path, *file, false, &found, err);
    if (status == CF_OK && json_object_get(obj, "bytes") && found != bytes)
        status = cf_fail(err, CF_EMISMATCH, "%.100s: %lld bytes, model.json expects %lld",
                         *file, (long long)found, (long long)bytes);
    if (status == CF_OK)
        status = enlist(check, path, *file, *hash, sample, err);
    cf_free(path);
    return status;
}

static bool is_listed(const json_t *files, const char *dir, const char *name)
{
    size_t len = strlen(dir), i;
    const json_t *v;

    json_array_foreach(files, i, v)
    {
        const char *file = json_string_value(json_object_get(v, "file"));

        if (strncmp(file, dir, len) == 0 && strcmp(file + len + 1, name) == 0)
            return true;
    }
    return false;
}

/* A reader of the directory may take any file in it, so one that is not in the list (a
 * model.safetensors beside the shards, say) would be used without having been compared.
 */
static enum cf_status check_no_others(const char *path, const char *dir,
                                      const json_t *files, struct cf_error *err)
{
    enum cf_status status = CF_OK;
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return cf_fail_errno(err, errno, "%.300s", path);
    while (status == CF_OK && (errno = 0, e = readdir(d)) != NULL)
        if (e->d_name[0] != '.' && !is_listed(files, dir, e->d_name))
            status =
                cf_fail(err, CF_EMISMATCH, "%.100s/%.150s: is not listed in model.json",
                        dir, e->d_name);
    if (status == CF_OK && errno)
        status = cf_fail_errno(err, errno, "%.300s", path);
    closedir(d);
    return status;
}

/* File i of a directory part: directly in the directory, once, and the right one. Adds
 * its line to the digest of the part. */
static enum cf_status check_listed(const struct cf_model *m, const char *dir,
                                   const json_t *files, size_t i, struct checks *check,
                                   struct cf_digest *digest, const char *where,
                                   struct cf_error *err)
{
    size_t len = strlen(dir);
    const char *file, *hash;

    CF_TRY(check_file(m, json_array_get(files, i), check, &file, &hash, where, err));
    if (strncmp(file, dir, len) != 0 || file[len] != '/' || strchr(file + len + 1, '/'))
        return cf_fail(err, CF_EFORMAT, "%s: file \"%.100s\" does not lie in \"%.100s\"",
                       where, file, dir);
    for (size_t k = 0; k < i; k++) {
        const json_t *other = json_object_get(json_array_get(files, k), "file");

        if (strcmp(json_string_value(other), file) == 0)
            return cf_fail(err, CF_EFORMAT, "%s: file \"%.100s\" comes twice", where,
                           file);
    }
    CF_TRY(cf_digest_add(digest, hash, strlen(hash), err));
    CF_TRY(cf_digest_add(digest, "  ", 2, err));
    CF_TRY(cf_digest_add(digest, file, strlen(file), err));
    return cf_digest_add(digest, "\n", 1, err);
}

static enum cf_status check_list(struct cf_model *m, enum cf_part part, const char *dir,
                                 const json_t *files, struct checks *check,
                                 const char *where, struct cf_error *err)
{
    struct cf_digest *digest = cf_digest_open(err);
    enum cf_status status = digest ? CF_OK : CF_ENOMEM, closed;

    for (size_t i = 0; status == CF_OK && i < json_array_size(files); i++)
        status = check_listed(m, dir, files, i, check, digest, where, err);
    if (digest) {
        closed = cf_digest_close(digest, m->sha256[part], err);
        status = status == CF_OK ? closed : status;
    }
    return status == CF_OK ? check_no_others(m->path[part], dir, files, err) : status;
}

static enum cf_status read_dir_part(struct cf_model *m, enum cf_part part,
                                    const json_t *obj, struct checks *check,
                                    const char *where, struct cf_error *err)
{
    const char *dir;
    json_t *files;
    int64_t bytes;

    CF_TRY(cf_config_only(obj, where, err, "dir", "files", NULL));
    CF_TRY(read_path(obj, "dir", &dir, where, err));
    CF_TRY(cf_json_arr(obj, "files", &files, where, err));
    if (json_array_size(files) < 1 || json_array_size(files) > MAX_FILES)
        return cf_fail(err, CF_EFORMAT, "%s: %zu files, expected 1..%d", where,
                       json_array_size(files), MAX_FILES);
    m->path[part] = cf_format(err, "%s/%s", m->dir, dir);
    if (!m->path[part])
        return CF_ENOMEM;
    CF_TRY(check_kind(m->path[part], dir, true, &bytes, err));
    return check_list(m, part, dir, files, check, where, err);
}

static enum cf_status read_part(struct cf_model *m, enum cf_part part,
                                const json_t *parts, struct checks *check,
                                struct cf_error *err)
{
    const char *file, *hash;
    char where[64];
    json_t *obj;

    CF_TRY(cf_json_obj(parts, part_key[part], &obj, "model.json: parts", err));
    snprintf(where, sizeof where, "model.json: parts: %s", part_key[part]);
    if (json_object_get(obj, "dir"))
        return read_dir_part(m, part, obj, check, where, err);
    CF_TRY(check_file(m, obj, check, &file, &hash, where, err));
    memcpy(m->sha256[part], hash, CF_DIGEST_HEX);
    m->path[part] = cf_format(err, "%s/%s", m->dir, file);
    return m->path[part] ? CF_OK : CF_ENOMEM;
}

static enum cf_status read_hold(struct cf_model *m, struct cf_error *err)
{
    static const char *const hold[] = {"pack", "map"};
    json_t *source;
    int i = 0;

    if (json_object_get(m->json, "hold"))
        CF_TRY(cf_config_choice(m->json, "hold", hold, 2, &i, "model.json", err));
    m->map = i == 1;
    if (json_object_get(m->json, "source"))
        CF_TRY(cf_json_obj(m->json, "source", &source, "model.json", err));
    return CF_OK;
}

static enum cf_status read_manifest(struct cf_model *m, struct checks *check,
                                    struct cf_error *err)
{
    static const char *const section[] = {"infinity", "vae", "sizes", "text", "sampling"};
    const char *where = "model.json", *format;
    int64_t version;
    json_t *parts;

    if (!json_is_object(m->json))
        return cf_fail(err, CF_EFORMAT, "model.json: not an object");
    CF_TRY(cf_json_str(m->json, "format", &format, where, err));
    if (strcmp(format, "cfgen-model") != 0)
        return cf_fail(err, CF_EFORMAT,
                       "model.json: format is \"%.100s\", expected \"cfgen-model\"",
                       format);
    CF_TRY(cf_json_int(m->json, "version", INT64_MIN, INT64_MAX, &version, where, err));
    if (version != 1)
        return cf_fail(err, CF_EUNSUP,
                       "model.json: version is %lld, this program reads 1",
                       (long long)version);
    CF_TRY(cf_json_str(m->json, "generator", &m->generator, where, err));
    if (strcmp(m->generator, "infinity") != 0)
        return cf_fail(
            err, CF_EUNSUP,
            "model.json: generator is \"%.100s\", this program has \"infinity\"",
            m->generator);
    CF_TRY(cf_config_only(m->json, where, err, "format", "version", "name", "generator",
                          "parts", "hold", "source", "infinity", "vae", "sizes", "text",
                          "sampling", NULL));
    CF_TRY(read_hold(m, err));
    CF_TRY(cf_json_str(m->json, "name", &m->name, where, err));
    if (!m->name[0] || strlen(m->name) > MAX_NAME)
        return cf_fail(err, CF_EFORMAT, "model.json: name has %zu bytes, expected 1..%d",
                       strlen(m->name), MAX_NAME);
    for (size_t i = 0; i < sizeof section / sizeof section[0]; i++) {
        json_t *obj;

        CF_TRY(cf_json_obj(m->json, section[i], &obj, where, err));
    }
    CF_TRY(cf_json_obj(m->json, "parts", &parts, where, err));
    CF_TRY(cf_config_only(parts, "model.json: parts", err, "transformer", "vae",
                          "text_encoder", "tokenizer", NULL));
    for (int part = 0; part < CF_NPART; part++)
        CF_TRY(read_part(m, (enum cf_part)part, parts, check, err));
    return CF_OK;
}

static const char no_model[] = "no model.json there; cfgen-model convert makes a "
                               "directory with one of what was downloaded";

/* The bytes are read once: what is hashed is what is parsed. */
static enum cf_status load_manifest(struct cf_model *m, struct cf_error *err)
{
    char *path = cf_format(err, "%s/model.json", m->dir);
    struct cf_error why = {0};
    size_t len = 0;
    char *text = path ? cf_file_read(path, MAX_MANIFEST, &len, &why) : NULL;

    if (why.status == CF_ENOENT)
        cf_fail(err, CF_ENOENT, "%.300s: %s", m->dir, no_model);
    else if (why.status)
        cf_fail(err, why.status, "%s", why.msg);
    if (text && cf_digest_mem(text, len, m->hash, err) == CF_OK)
        m->json = cf_json_parse(text, len, MAX_MANIFEST_VALUES, path, err);
    cf_free(text);
    cf_free(path);
    return err->status;
}

static enum cf_status absolute(char **out, const char *path, struct cf_error *err)
{
    char *real = realpath(path, NULL);

    if (!real)
        return cf_fail_errno(err, errno, "%.300s", path);
    *out = cf_strdup(real, err);
    free(real);
    return *out ? CF_OK : CF_ENOMEM;
}

enum cf_status cf_model_open(struct cf_model **model, const char *dir,
                             enum cf_model_check check, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_model *m = cf_calloc(1, sizeof *m, &own);
    struct checks checks = {check, m ? cf_compare_open(&own) : NULL};

    *model = NULL;
    if (checks.list && absolute(&m->dir, dir, &own) == CF_OK &&
        load_manifest(m, &own) == CF_OK && read_manifest(m, &checks, &own) == CF_OK &&
        cf_compare_run(checks.list, &own) == CF_OK) {
        cf_compare_close(checks.list);
        *model = m;
        return CF_OK;
    }
    cf_compare_close(checks.list);
    if (m && m->json)
        cf_wrap(&own, "%.150s", m->dir);
    cf_model_close(m);
    return cf_fail(err, own.status, "%s", own.msg);
}

void cf_model_close(struct cf_model *m)
{
    if (!m)
        return;
    for (int part = 0; part < CF_NPART; part++)
        cf_free(m->path[part]);
    json_decref(m->json);
    cf_free(m->dir);
    cf_free(m);
}

/* All n bytes at that place of the file. */
static enum cf_status read_at(int fd, unsigned char *dst, size_t n, off_t at,
                              const char *path, struct cf_error *err)
{
    while (n > 0) {
        ssize_t got = pread(fd, dst, n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cf_fail_errno(err, errno, "%.300s: read", path);
        if (got == 0)
            return cf_fail(err, CF_EIO, "%.300s: became shorter while it was read", path);
        dst += got;
        n -= (size_t)got;
        at += got;
    }
    return CF_OK;
}

/* floor(i * rest / n) without a product that might not fit */
static off_t block_at(uint64_t rest, uint64_t i)
{
    const uint64_t n = CF_MODEL_BLOCKS - 1;

    return (off_t)(rest / n * i + rest % n * i / n);
}

static enum cf_status sample(int fd, size_t size, struct cf_digest *digest,
                             unsigned char *block, const char *path, struct cf_error *err)
{
    uint64_t rest = size - CF_MODEL_BLOCK;

    for (uint64_t i = 0; i < CF_MODEL_BLOCKS; i++) /* the disk may begin with all */
        (void)posix_fadvise(fd, block_at(rest, i), CF_MODEL_BLOCK, POSIX_FADV_WILLNEED);
    for (int i = 0; i < 8; i++)
        block[i] = (unsigned char)((uint64_t)size >> 8 * i);
    CF_TRY(cf_digest_add(digest, block, 8, err));
    for (uint64_t i = 0; i < CF_MODEL_BLOCKS; i++) {
        CF_TRY(read_at(fd, block, CF_MODEL_BLOCK, block_at(rest, i), path, err));
        CF_TRY(cf_digest_add(digest, block, CF_MODEL_BLOCK, err));
    }
    return CF_OK;
}

enum cf_status cf_model_sample(const char *path, char hex[CF_DIGEST_HEX],
                               struct cf_error *err)
{
    unsigned char *block;
    struct cf_digest *digest;
    enum cf_status status = CF_ENOMEM, closed;
    size_t size;
    int fd = cf_file_open(path, &size, err);

    if (fd < 0)
        return err->status;
    block = cf_alloc(CF_MODEL_BLOCK, 1, err);
    digest = cf_digest_open(err);
    if (size < CF_MODEL_BLOCK)
        status = cf_fail(err, CF_ERANGE, "%.300s: %zu bytes, a sample needs %d", path,
                         size, CF_MODEL_BLOCK);
    else if (block && digest)
        status = sample(fd, size, digest, block, path, err);
    if (digest) {
        closed = cf_digest_close(digest, hex, err);
        status = status == CF_OK ? closed : status;
    }
    cf_free(block);
    close(fd);
    return status;
}

/* *holds: dir/model.json exists. */
static enum cf_status probe(bool *holds, const char *dir, struct cf_error *err)
{
    char *path = cf_format(err, "%s/model.json", dir);

    if (!path)
        return CF_ENOMEM;
    *holds = access(path, F_OK) == 0;
    cf_free(path);
    return CF_OK;
}

/* *dir = at[0 .. len-1] "/" name if a model is there. */
static enum cf_status try_place(char **dir, const char *at, size_t len, const char *name,
                                struct cf_error *err)
{
    char *path = cf_format(err, "%.*s/%s", (int)len, at, name);
    enum cf_status status = path ? CF_OK : CF_ENOMEM;
    bool holds = false;

    if (path)
        status = probe(&holds, path, err);
    if (holds)
        *dir = path;
    else
        cf_free(path);
    return status;
}

enum cf_status cf_model_find(char **dir, const char *name, const char *search,
                             struct cf_error *err)
{
    static const char data[] = CF_DATADIR "/models";
    const char *at = search ? search : "";
    bool holds = false;

    *dir = NULL;
    if (name && *name)
        CF_TRY(probe(&holds, name, err));
    if (holds) {
        *dir = cf_strdup(name, err);
        return *dir ? CF_OK : CF_ENOMEM;
    }
    if (!name)
        name = CF_DEFAULT_MODEL;
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return cf_fail(err, CF_ENOENT, "model \"%.300s\": %s", name, no_model);
    while (*at && !*dir) {
        size_t len = strcspn(at, ":");

        if (len > 0)
            CF_TRY(try_place(dir, at, len, name, err));
        at += len + (at[len] == ':');
    }
    if (!*dir)
        CF_TRY(try_place(dir, data, sizeof data - 1, name, err));
    if (*dir)
        return CF_OK;
    return cf_fail(
        err, CF_ENOENT,
        "model \"%.100s\": no directory of that name with a model.json here%s%.200s"
        " or in %s (--model=DIR or CFGEN_MODEL_PATH tell another place)",
        name, search && *search ? ", in " : "", search ? search : "", data);
}
