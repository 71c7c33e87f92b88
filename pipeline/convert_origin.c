#include "pipeline/convert_origin.h"

#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "weights/index.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static enum cf_status add_file(json_t *files, const char *path, struct cf_error *err)
{
    char hex[CF_DIGEST_HEX];
    json_t *entry;

    CF_TRY(cf_digest_file(path, hex, err));
    /* A name on disk may be any bytes; the manifest holds UTF-8. */
    entry = json_pack("{s:s, s:s}", "file", base_name(path), "sha256", hex);
    if (!entry)
        entry = json_pack("{s:s, s:s}", "file", "?", "sha256", hex);
    if (!entry || json_array_append_new(files, entry) != 0)
        return cf_fail(err, CF_ENOMEM, "the list of sources");
    return CF_OK;
}

/* The shards of an index, each once. */
static enum cf_status add_shards(json_t *files, const char *path, struct cf_error *err)
{
    struct cf_index index;
    enum cf_status status = cf_index_load(&index, path, err);

    for (size_t i = 0; status == CF_OK && i < index.count; i++) {
        char *shard;

        if (i > 0 && index.line[i].shard == index.line[i - 1].shard)
            continue;
        shard = cf_index_file(&index, &index.line[i], err);
        status = shard ? add_file(files, shard, err) : CF_ENOMEM;
        cf_free(shard);
    }
    cf_index_free(&index);
    return status;
}

enum cf_status cf_origin_add(json_t *origin, const char *what,
                             const struct cf_source *src, const char *key,
                             struct cf_error *err)
{
    static const char tail[] = ".json";
    const char *path = cf_source_path(src);
    size_t len = strlen(path), n = sizeof tail - 1;
    json_t *files = json_array();
    enum cf_status status = files ? add_file(files, path, err) : CF_ENOMEM;
    json_t *entry;

    if (status == CF_OK && len > n && strcmp(path + len - n, tail) == 0)
        status = add_shards(files, path, err);
    if (status != CF_OK) {
        json_decref(files);
        return cf_fail(err, CF_ENOMEM, "the list of sources");
    }
    entry = *key ? json_pack("{s:s, s:o}", "key", key, "files", files)
                 : json_pack("{s:o}", "files", files);
    if (!entry || json_object_set_new(origin, what, entry) != 0)
        return cf_fail(err, CF_ENOMEM, "the list of sources");
    return CF_OK;
}
