#include "pipeline/packed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/team.h"
#include "dnn/packs.h"
#include "pipeline/finish.h"
#include "weights/pack_file.h"

_Static_assert((int)CF_PACK_FORMAT <= (int)CF_PACK_FILE_FORMAT, "a format fits a file");

struct cf_packed {
    struct cf_packed_options o;
    struct cf_packs *packs;
    struct cf_error lost; /* the first file that could not be written */
};

static const char *const part_name[] = {
    [CF_PACKED_GENERATOR] = "generator",
    [CF_PACKED_TEXT] = "text",
};

enum cf_status cf_packed_parse(const char **cache, const char *word, const char *where,
                               struct cf_error *err)
{
    if (!*word)
        return cf_fail(err, CF_EUSAGE, "%s: expected auto, off or a directory", where);
    *cache = word;
    return CF_OK;
}

enum cf_status cf_packed_open(struct cf_packed **out, const struct cf_packed_options *o,
                              struct cf_error *err)
{
    struct cf_packed *p = cf_calloc(1, sizeof *p, err);
    struct cf_team team;

    *out = NULL;
    if (!p)
        return CF_ENOMEM;
    p->o = *o;
    if (cf_team_count(&team, o->threads, err) != CF_OK ||
        cf_packs_open(&p->packs, o->threads < team.affinity ? o->threads : team.affinity,
                      err) != CF_OK) {
        cf_packed_close(p);
        return CF_ENOMEM;
    }
    *out = p;
    return CF_OK;
}

void cf_packed_close(struct cf_packed *p)
{
    if (p)
        cf_packs_close(p->packs);
    cf_free(p);
}

static void tell(const struct cf_packed *p, enum cf_log_level level, const char *what,
                 const char *path, const struct cf_error *why)
{
    if (p->o.tell)
        p->o.tell(p->o.ctx, level, what, path, why ? why->msg : NULL);
}

/* ---- key ---- */

static enum cf_status add_text(struct cf_digest *d, const char *text,
                               struct cf_error *err)
{
    return cf_digest_add(d, text, strlen(text) + 1, err);
}

/* A section of the manifest, in an order of its keys that does not depend on the file. */
static enum cf_status add_section(struct cf_digest *d, const struct cf_model *m,
                                  const char *name, struct cf_error *err)
{
    char *text = cf_json_text(json_object_get(m->json, name),
                              JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY, err);
    enum cf_status st =
        text ? add_text(d, text, err) : cf_wrap(err, "model.json: %s", name);

    cf_free(text);
    return st;
}

static enum cf_status add_all(struct cf_digest *d, enum cf_cpu level,
                              const struct cf_model *m, enum cf_packed_part part,
                              struct cf_error *err)
{
    char build[CF_BUILD_ID], layout[32];

    snprintf(layout, sizeof layout, "layout %d", CF_PACK_LAYOUT);
    CF_TRY(add_text(d, part_name[part], err));
    CF_TRY(add_text(d, layout, err));
    CF_TRY(add_text(d, cf_build_id(build), err));
    CF_TRY(add_text(d, cf_cpu_name(level), err));
    CF_TRY(add_text(d, m->map ? "map" : "pack", err));
    if (part == CF_PACKED_TEXT) {
        CF_TRY(add_text(d, m->sha256[CF_PART_TEXT], err));
        return add_section(d, m, "text", err);
    }
    CF_TRY(add_text(d, m->sha256[CF_PART_TRANSFORMER], err));
    CF_TRY(add_text(d, m->sha256[CF_PART_VAE], err));
    CF_TRY(add_section(d, m, "infinity", err));
    return add_section(d, m, "vae", err);
}

static enum cf_status make_key(char key[CF_DIGEST_HEX], enum cf_cpu level,
                               const struct cf_model *m, enum cf_packed_part part,
                               struct cf_error *err)
{
    struct cf_digest *d = cf_digest_open(err);
    enum cf_status st, closed;

    if (!d)
        return CF_ENOMEM;
    st = add_all(d, level, m, part, err);
    closed = cf_digest_close(d, key, err);
    return st == CF_OK ? closed : st;
}

static bool keeps(const char *cache)
{
    return cache && *cache && strcmp(cache, "off") != 0;
}

enum cf_status cf_packed_path(char **path, char key[CF_DIGEST_HEX], const char *cache,
                              enum cf_cpu level, const struct cf_model *m,
                              enum cf_packed_part part, struct cf_error *err)
{
    const char *dir = keeps(cache) && strcmp(cache, "auto") == 0 ? m->dir : cache;

    *path = NULL;
    CF_TRY(make_key(key, level, m, part, err));
    if (!keeps(cache))
        return CF_ENOENT;
    *path = cf_format(err, "%s/%s-%s-%.12s.cfpack", dir, part_name[part],
                      cf_cpu_name(level), key);
    return *path ? CF_OK : CF_ENOMEM;
}

enum cf_status cf_packed_file(char **path, char key[CF_DIGEST_HEX],
                              const struct cf_packed *p, enum cf_cpu level,
                              const struct cf_model *m, enum cf_packed_part part,
                              struct cf_error *err)
{
    return cf_packed_path(path, key, p->o.cache, level, m, part, err);
}

/* ---- files ---- */

struct search {
    const struct cf_packed *p;
    const char *path, *key;
    struct cf_pack_block *block; /* owned; read by the time begin returns */
};

static void drop(void *held)
{
    cf_pack_file_close(held);
}

/* Of cf_packs_ready: what is wrong with a file is told, and then there is none. */
static int find(void *ctx, const struct cf_pack_block **block, void **held)
{
    struct search *s = ctx;
    struct cf_pack_file *f = NULL;
    struct cf_error why = {0};
    int n;

    if (cf_pack_file_open(&f, s->path, s->key, &why) != CF_OK) {
        if (why.status != CF_ENOENT)
            tell(s->p, CF_LOG_WARN, "packed weights not used", s->path, &why);
        return 0;
    }
    n = cf_pack_file_count(f);
    s->block = cf_calloc((size_t)n, sizeof *s->block, &why);
    for (int i = 0; s->block && i < n; i++) {
        const struct cf_pack_file_block *from = cf_pack_file_block(f, i);
        struct cf_pack_block *to = &s->block[i];

        if (strlen(from->format) < sizeof to->format)
            memcpy(to->format, from->format, strlen(from->format));
        to->data = from->data;
        to->bytes = from->bytes;
    }
    tell(s->p, CF_LOG_INFO, "packed weights mapped", s->path, NULL);
    *block = s->block;
    *held = f;
    return s->block ? n : 0;
}

enum cf_status cf_packed_begin(struct cf_packed *p, struct cf_dnn *dnn,
                               const struct cf_model *m, enum cf_packed_part part,
                               struct cf_error *err)
{
    char key[CF_DIGEST_HEX], *path = NULL;
    struct search s = {.p = p, .key = key};
    const struct cf_packs_ready ready = {&s, find, drop};
    struct cf_error why = {0};
    enum cf_status st;

    if (!p)
        return CF_OK;
    st = cf_packed_file(&path, key, p, cf_dnn_level(dnn), m, part, &why);
    if (st != CF_OK && st != CF_ENOENT)
        return cf_fail(err, why.status, "%s", why.msg);
    s.path = path;
    st = cf_packs_begin(p->packs, dnn, key, path ? &ready : NULL, err);
    cf_free(s.block);
    cf_free(path);
    return st;
}

static json_t *for_people(const struct cf_model *m, enum cf_cpu level)
{
    char build[CF_BUILD_ID];
    json_t *meta = json_object();
    int bad = !meta;

    bad |= json_object_set_new(meta, "format", json_string("cfgen packed weights"));
    bad |= json_object_set_new(meta, "model", json_string(m->name));
    bad |= json_object_set_new(meta, "build", json_string(cf_build_id(build)));
    bad |= json_object_set_new(meta, "isa", json_string(cf_cpu_name(level)));
    if (!bad)
        return meta;
    json_decref(meta);
    return NULL;
}

static enum cf_status write_file(const char *path, const char *key, const json_t *meta,
                                 const struct cf_pack_block *made, int n,
                                 struct cf_error *err)
{
    struct cf_pack_file_block *block = cf_calloc((size_t)n, sizeof *block, err);
    enum cf_status st;

    if (!block)
        return CF_ENOMEM;
    for (int i = 0; i < n; i++) {
        memcpy(block[i].format, made[i].format, sizeof made[i].format);
        block[i].data = made[i].data;
        block[i].bytes = made[i].bytes;
    }
    st = cf_pack_file_write(path, key, meta, block, n, err);
    cf_free(block);
    return st;
}

static void keep(struct cf_packed *p, struct cf_dnn *dnn, const struct cf_model *m,
                 enum cf_packed_part part)
{
    char key[CF_DIGEST_HEX], *path = NULL;
    struct cf_pack_block *made = NULL;
    struct cf_error why = {0};
    json_t *meta = NULL;
    int n = 0;

    if (cf_packs_made(dnn, &made, &n, &why) == CF_OK && n > 0 &&
        cf_packed_file(&path, key, p, cf_dnn_level(dnn), m, part, &why) == CF_OK) {
        if (strcmp(p->o.cache, "auto") != 0)
            (void)mkdir(p->o.cache, 0777); /* where it fails, so does what follows */
        meta = for_people(m, cf_dnn_level(dnn));
        write_file(path, key, meta, made, n, &why);
    }
    if (why.status == CF_EBUSY)
        tell(p, CF_LOG_INFO, "packed weights are being kept by another process", path,
             NULL);
    else if (why.status != CF_OK) {
        tell(p, CF_LOG_WARN, "packed weights not kept", path ? path : "", &why);
        cf_fail(&p->lost, why.status, "%s", why.msg);
    } else if (path)
        tell(p, CF_LOG_INFO, "packed weights kept", path, NULL);
    json_decref(meta);
    cf_free(made);
    cf_free(path);
}

void cf_packed_end(struct cf_packed *p, struct cf_dnn *dnn, const struct cf_model *m,
                   enum cf_packed_part part, bool well)
{
    if (p && well && keeps(p->o.cache))
        keep(p, dnn, m, part);
    cf_packs_end(dnn);
}

enum cf_status cf_packed_lost(const struct cf_packed *p, struct cf_error *err)
{
    return p->lost.status == CF_OK ? CF_OK
                                   : cf_fail(err, p->lost.status, "%s", p->lost.msg);
}

/* ---- what there is ---- */

static const struct {
    enum cf_cpu level;
    enum cf_packed_part part;
} kept[] = {
    {CF_CPU_C, CF_PACKED_GENERATOR},      {CF_CPU_C, CF_PACKED_TEXT},
    {CF_CPU_AVX2, CF_PACKED_GENERATOR},   {CF_CPU_AVX2, CF_PACKED_TEXT},
    {CF_CPU_AVX512, CF_PACKED_GENERATOR}, {CF_CPU_AVX512, CF_PACKED_TEXT},
};
enum { NKEPT = sizeof kept / sizeof kept[0] };

enum cf_status cf_packed_check(int *found, const struct cf_model *m, struct cf_error *err)
{
    *found = 0;
    for (int i = 0; i < NKEPT; i++) {
        char key[CF_DIGEST_HEX], *path;
        struct cf_pack_file *f = NULL;
        struct cf_error why = {0};

        CF_TRY(cf_packed_path(&path, key, "auto", kept[i].level, m, kept[i].part, err));
        cf_pack_file_open(&f, path, key, &why);
        cf_pack_file_close(f);
        cf_free(path);
        if (why.status != CF_OK && why.status != CF_ENOENT)
            return cf_fail(err, why.status, "%s", why.msg);
        *found += why.status == CF_OK;
    }
    return CF_OK;
}

/* The instruction set for which a file of that name would be mapped; NULL: none. */
static enum cf_status used_by(const char **isa, const struct cf_model *m,
                              const char *path, struct cf_error *err)
{
    *isa = NULL;
    for (int i = 0; i < NKEPT && !*isa; i++) {
        char key[CF_DIGEST_HEX], *is;

        CF_TRY(cf_packed_path(&is, key, "auto", kept[i].level, m, kept[i].part, err));
        if (strcmp(is, path) == 0)
            *isa = cf_cpu_name(kept[i].level);
        cf_free(is);
    }
    return CF_OK;
}

static enum cf_status add_file(json_t *list, const struct cf_model *m, const char *name,
                               struct cf_error *err)
{
    char *path = cf_format(err, "%s/%s", m->dir, name);
    const char *isa = NULL;
    struct stat info;
    json_t *entry;
    int bad = 0;

    if (!path)
        return CF_ENOMEM;
    if (stat(path, &info) == 0 && used_by(&isa, m, path, err) == CF_OK) {
        entry = json_object();
        bad |= json_object_set_new(entry, "file", json_string(name));
        bad |= json_object_set_new(entry, "bytes", json_integer(info.st_size));
        if (isa)
            bad |= json_object_set_new(entry, "isa", json_string(isa));
        bad |= json_array_append_new(list, entry);
    }
    cf_free(path);
    return bad ? cf_fail(err, CF_ENOMEM, "list of packed weights") : CF_OK;
}

static bool is_packed(const char *name)
{
    size_t n = strlen(name), m = sizeof ".cfpack" - 1;

    return n > m && strcmp(name + n - m, ".cfpack") == 0;
}

enum cf_status cf_packed_list(json_t **list, const struct cf_model *m,
                              struct cf_error *err)
{
    struct dirent **found = NULL;
    enum cf_status st = CF_OK;
    int n;

    *list = json_array();
    if (!*list)
        return cf_fail(err, CF_ENOMEM, "list of packed weights");
    n = scandir(m->dir, &found, NULL, alphasort);
    if (n < 0)
        st = cf_fail_errno(err, errno, "%.300s", m->dir);
    for (int i = 0; i < n; i++) {
        if (st == CF_OK && is_packed(found[i]->d_name))
            st = add_file(*list, m, found[i]->d_name, err);
        free(found[i]);
    }
    free(found);
    if (st != CF_OK)
        json_decref(*list);
    return st;
}
