#include "pipeline/inspect.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "models/detect.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"
#include "pipeline/convert_state.h"
#include "pipeline/needs.h"
#include "pipeline/packed.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"
#include "weights/model.h"

static json_t *bytes_json(size_t n)
{
    return json_integer((json_int_t)n);
}

/* Everything is built by calls that give NULL where memory is out; then so is this. */
static enum cf_status set(json_t *obj, const char *key, json_t *value,
                          struct cf_error *err)
{
    if (json_object_set_new(obj, key, value) != 0)
        return cf_fail(err, CF_ENOMEM, "%s", key);
    return CF_OK;
}

/* A fresh object under key; *out is borrowed. */
static enum cf_status child(json_t *obj, const char *key, json_t **out,
                            struct cf_error *err)
{
    *out = json_object();
    return set(obj, key, *out, err);
}

/* All keys of section, which is freed. */
static enum cf_status join(json_t *obj, json_t *section, struct cf_error *err)
{
    bool joined = section && json_object_update(obj, section) == 0;

    json_decref(section);
    return joined ? CF_OK : cf_fail(err, CF_ENOMEM, "facts");
}

/* ---- tensors of a part ---- */

struct tally {
    const struct cf_shapes *in;
    bool vae;
    int64_t parameters;
    int tensors, n[CF_NDTYPE];
    size_t bytes[CF_NDTYPE], all;
};

static void count_view(struct tally *t, const struct cf_view *v)
{
    size_t bytes = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);

    t->tensors++;
    t->n[v->dtype]++;
    t->bytes[v->dtype] += bytes;
    t->all += bytes;
}

static enum cf_status tally_key(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    char buf[CF_KEY_NAME], scale[CF_KEY_NAME + 8], is[64], want[64];
    struct tally *t = ctx;
    const char *name = t->vae ? cf_vae_spelt(buf, t->in, key->name) : key->name;
    const struct cf_view *v = cf_shapes_find(t->in, name);
    struct cf_key found = *key;

    if (!v && strcmp(name, "shared.weight") == 0) /* textenc/t5_keys.h */
        v = cf_shapes_find(t->in, "encoder.embed_tokens.weight");
    if (!v && key->optional)
        return CF_OK;
    if (!v)
        return cf_fail(err, CF_EMISMATCH, "%.200s: %s: missing", t->in->where, name);
    if (!cf_key_fits(key, v))
        return cf_fail(err, CF_EMISMATCH, "%.200s: %s: shape %s, expected %s",
                       t->in->where, name, cf_shape_str(is, sizeof is, v->ndim, v->dim),
                       cf_shape_str(want, sizeof want, key->ndim, key->dim));
    if (key->any_rows)
        found.dim[0] = v->dim[0];
    CF_TRY(cf_needs_count(&t->parameters, &found, err));
    count_view(t, v);
    snprintf(scale, sizeof scale, "%s_scale", name);
    v = cf_shapes_find(t->in, scale);
    if (v)
        count_view(t, v);
    return CF_OK;
}

static enum cf_status put_tally(json_t *obj, const struct tally *t, struct cf_error *err)
{
    json_t *types = json_object();

    for (int d = 0; d < CF_NDTYPE; d++)
        if (t->n[d])
            json_object_set_new(types, cf_dtype_name((enum cf_dtype)d),
                                json_pack("{s:i, s:I}", "tensors", t->n[d], "bytes",
                                          (json_int_t)t->bytes[d]));
    CF_TRY(set(obj, "parameters", json_integer(t->parameters), err));
    CF_TRY(set(obj, "tensors", json_integer(t->tensors), err));
    CF_TRY(set(obj, "bytes", bytes_json(t->all), err));
    return set(obj, "types", types, err);
}

/* ---- the parts ---- */

struct part {
    json_t *json; /* goes into the facts */
    struct cf_inf_shape inf;
    struct cf_vae_shape vae;
    struct cf_encoder_config encoder;
    char prefix[CF_KEY_NAME]; /* of an encoder's names */
};

static enum cf_status look_inf(struct part *p, const struct cf_shapes *in,
                               struct cf_error *err)
{
    struct tally t = {.in = in};
    const struct cf_geometry *g;
    json_t *section;

    CF_TRY(cf_inf_detect(&p->inf, in, err));
    CF_TRY(cf_inf_keys(&p->inf, tally_key, &t, err));
    g = cf_geometry_match(&p->inf);
    CF_TRY(set(p->json, "geometry", g ? json_string(g->name) : json_null(), err));
    CF_TRY(set(p->json, "bits_per_token", json_integer(p->inf.dv), err));
    CF_TRY(set(p->json, "head_size", json_integer(p->inf.hd), err));
    section = cf_inf_section(&p->inf);
    json_object_del(section, "bits"); /* known only beside a tokenizer */
    json_object_del(section, "spatial_patchify");
    CF_TRY(join(p->json, section, err));
    return put_tally(p->json, &t, err);
}

static enum cf_status look_vae(struct part *p, const struct cf_shapes *in,
                               struct cf_error *err)
{
    struct tally t = {.in = in, .vae = true};
    const char *name;
    bool encoder;

    CF_TRY(cf_vae_detect(&p->vae, &encoder, in, err));
    CF_TRY(cf_vae_keys(&p->vae, encoder, tally_key, &t, err));
    name = cf_geometry_vae_name(&p->vae);
    CF_TRY(set(p->json, "geometry", name ? json_string(name) : json_null(), err));
    CF_TRY(set(p->json, "encoder", json_boolean(encoder), err));
    CF_TRY(join(p->json, cf_vae_section(&p->vae), err));
    return put_tally(p->json, &t, err);
}

static enum cf_status walk_encoder(const struct cf_encoder_config *c, const char *prefix,
                                   struct tally *t, struct cf_error *err)
{
    return c->family == CF_FAMILY_T5
               ? cf_t5_keys(&c->t5, tally_key, t, err)
               : cf_qwen2_keys(&c->qwen2, prefix, tally_key, t, err);
}

/* p->encoder was read. */
static enum cf_status look_encoder(struct part *p, const struct cf_shapes *in,
                                   struct cf_error *err)
{
    const struct cf_known_encoder *known = cf_known_encoder_match(&p->encoder);
    struct tally t = {.in = in};
    json_t *config;

    if (p->encoder.family == CF_FAMILY_QWEN2)
        CF_TRY(cf_qwen2_prefix(p->prefix, in, err));
    CF_TRY(walk_encoder(&p->encoder, p->prefix, &t, err));
    config = cf_encoder_config_json(&p->encoder);
    CF_TRY(set(p->json, "geometry", known ? json_string(known->name) : json_null(), err));
    CF_TRY(
        set(p->json, "width", json_integer(cf_encoder_config_hidden(&p->encoder)), err));
    CF_TRY(set(p->json, "config", config, err));
    return put_tally(p->json, &t, err);
}

/* ---- memory ---- */

static const enum cf_wtype told[] = {CF_W_F32, CF_W_BF16, CF_W_I8, CF_W_Q4};
enum { NTOLD = sizeof told / sizeof told[0] };

static enum cf_status put_encoder_memory(json_t *memory,
                                         const struct cf_encoder_config *c,
                                         struct cf_error *err)
{
    json_t *obj;

    CF_TRY(child(memory, "text_encoder", &obj, err));
    for (int i = 0; i < NTOLD; i++) {
        size_t n;

        CF_TRY(cf_needs_encoder(&n, c, told[i], err));
        CF_TRY(set(obj, cf_wtype_name(told[i]), bytes_json(n), err));
    }
    return CF_OK;
}

static enum cf_status put_generator_memory(json_t *memory, const struct part *inf,
                                           const struct part *vae, struct cf_error *err)
{
    json_t *obj;
    size_t n;

    CF_TRY(child(memory, "transformer", &obj, err));
    for (int i = 0; i < NTOLD; i++) {
        CF_TRY(cf_needs_inf(&n, &inf->inf, told[i], err));
        CF_TRY(set(obj, cf_wtype_name(told[i]), bytes_json(n), err));
    }
    return set(memory, "vae", bytes_json(cf_vae_needs(&vae->vae, CF_CPU_AUTO).decoder),
               err);
}

/* One line of the table: the work, and with it the weights of a generator in each
 * type. */
static json_t *size_json(const struct cf_needs_size *size, int kv, const json_t *memory)
{
    size_t work = kv ? size->bf16 : size->f32;
    size_t vae = (size_t)json_integer_value(json_object_get(memory, "vae"));
    json_t *total = json_object(), *weights = json_object_get(memory, "transformer"),
           *bytes;
    const char *type;

    json_object_foreach(weights, type, bytes)
    {
        size_t sum = work + vae + (size_t)json_integer_value(bytes);

        json_object_set_new(total, type, bytes_json(sum));
    }
    return json_pack("{s:s?, s:i, s:i, s:s, s:I, s:o}", "class", size->class, "width",
                     size->width, "height", size->height, "kv_type", kv ? "bf16" : "f32",
                     "work", (json_int_t)work, "total", total);
}

/* sections: infinity, vae, sizes, sampling. */
static enum cf_status put_sizes_memory(json_t *memory, const json_t *sections, int text,
                                       struct cf_error *err)
{
    struct cf_needs_size size[CF_NEEDS_SIZES];
    json_t *list = json_array();
    int n;

    CF_TRY(set(memory, "sizes", list, err));
    CF_TRY(set(memory, "prompt_tokens", json_integer(text), err));
    CF_TRY(cf_needs_sizes(size, &n, sections, text, err));
    for (int i = 0; i < n; i++)
        for (int kv = 0; kv < 2; kv++)
            if (json_array_append_new(list, size_json(&size[i], kv, memory)) != 0)
                return cf_fail(err, CF_ENOMEM, "sizes");
    return CF_OK;
}

static int tokens_for(const struct cf_inf_shape *s)
{
    return s->text_max < CF_INSPECT_TOKENS ? s->text_max : CF_INSPECT_TOKENS;
}

/* ---- files before conversion ---- */

static json_t *names_of(bool (*goes)(const struct cf_geometry *g, const void *with),
                        const void *with)
{
    const struct cf_geometry *g;
    json_t *list = json_array();

    for (int i = 0; (g = cf_geometry_at(i)) != NULL; i++)
        if (goes(g, with))
            json_array_append_new(list, json_string(g->name));
    return list;
}

static bool goes_with_vae(const struct cf_geometry *g, const void *with)
{
    const struct cf_vae_shape *v = with;

    return g->vae.bits == v->bits && g->vae.patch == v->patch;
}

static bool goes_with_width(const struct cf_geometry *g, const void *with)
{
    return g->shape.text == *(const int *)with;
}

static enum cf_status pairs_of_inf(json_t *facts, struct part *p, struct part *vae,
                                   bool *known, struct cf_error *err)
{
    const struct cf_geometry *g = cf_geometry_match(&p->inf);
    struct cf_error no = {0};
    char fits[200];

    *known = g != NULL && cf_pair_vae(&p->inf, &g->vae, &no) == CF_OK;
    cf_known_encoder_of_width(fits, sizeof fits, p->inf.text);
    if (*known)
        vae->vae = g->vae;
    return set(facts, "pairs_with",
               json_pack("{s:s?, s:i, s:i, s:s}", "vae", *known ? g->vae_name : NULL,
                         "vae_bits", *known ? g->vae.bits : p->inf.dv, "text_width",
                         p->inf.text, "text_encoders", fits),
               err);
}

/* Of a transformer alone memory is told for the tokenizer of its known geometry. */
static enum cf_status report_inf(json_t *facts, const struct cf_shapes *in,
                                 struct cf_error *err)
{
    struct part p = {0}, vae = {0};
    const struct cf_geometry *g;
    json_t *memory, *sections;
    enum cf_status status;
    bool known;

    CF_TRY(set(facts, "kind", json_string("transformer"), err));
    CF_TRY(child(facts, "transformer", &p.json, err));
    CF_TRY(look_inf(&p, in, err));
    CF_TRY(pairs_of_inf(facts, &p, &vae, &known, err));
    if (!known)
        return CF_OK;
    g = cf_geometry_match(&p.inf);
    CF_TRY(child(facts, "memory", &memory, err));
    sections = json_pack(
        "{s:o, s:o, s:o, s:o}", "infinity", cf_inf_section(&p.inf), "vae",
        cf_vae_section(&vae.vae), "sizes", cf_sizes_section(g->allowed, g->trained),
        "sampling",
        cf_sampling_section(g->cfg, g->tau, g->top_k, g->top_p, g->insert, NULL));
    status = sections ? put_generator_memory(memory, &p, &vae, err)
                      : cf_fail(err, CF_ENOMEM, "memory");
    if (status == CF_OK)
        status = put_sizes_memory(memory, sections, tokens_for(&p.inf), err);
    if (status == CF_OK)
        status =
            set(facts, "sizes", json_incref(json_object_get(sections, "sizes")), err);
    json_decref(sections);
    return status;
}

static enum cf_status report_vae(json_t *facts, const struct cf_shapes *in,
                                 struct cf_error *err)
{
    struct part p = {0};

    CF_TRY(set(facts, "kind", json_string("vae"), err));
    CF_TRY(child(facts, "vae", &p.json, err));
    CF_TRY(look_vae(&p, in, err));
    return set(facts, "pairs_with",
               json_pack("{s:i, s:o}", "bits_per_token",
                         p.vae.patch == 8 ? 4 * p.vae.bits : p.vae.bits, "transformers",
                         names_of(goes_with_vae, &p.vae)),
               err);
}

static enum cf_status report_encoder(json_t *facts, const char *path,
                                     const struct cf_shapes *in, struct cf_error *err)
{
    struct part p = {0};
    json_t *memory;
    int width;

    CF_TRY(set(facts, "kind", json_string("text_encoder"), err));
    CF_TRY(child(facts, "text_encoder", &p.json, err));
    CF_TRY(child(facts, "memory", &memory, err));
    CF_TRY(cf_encoder_config_load(&p.encoder, path, err));
    CF_TRY(look_encoder(&p, in, err));
    width = cf_encoder_config_hidden(&p.encoder);
    CF_TRY(set(facts, "pairs_with",
               json_pack("{s:i, s:o}", "text_width", width, "transformers",
                         names_of(goes_with_width, &width)),
               err));
    return put_encoder_memory(memory, &p.encoder, err);
}

/* A transformer, or else a tokenizer, wherever the converter would find it. */
static enum cf_status report_state(json_t *facts, struct cf_source *src,
                                   struct cf_error *err)
{
    struct cf_error inf = {0}, vae = {0};
    struct cf_state state;
    const struct cf_state_seen seen = {.src = src, .state = &state};
    struct cf_shapes in = cf_state_shapes(&seen);
    enum cf_status (*report)(json_t * facts, const struct cf_shapes *in,
                             struct cf_error *err) = report_inf;
    enum cf_status status = cf_state_enter(&state, src, "Infinity transformer",
                                           cf_state_of_transformer, NULL, &inf);

    if (status == CF_ENOENT) {
        report = report_vae;
        status = cf_state_enter(&state, src, "tokenizer", cf_state_of_vae, NULL, &vae);
    }
    if (status == CF_ENOENT)
        return cf_fail(err, CF_EFORMAT, "%s", inf.msg);
    if (status != CF_OK)
        return cf_fail(err, status, "%s", report == report_inf ? inf.msg : vae.msg);
    CF_TRY(set(facts, "prefix", json_string(state.prefix[state.chosen]), err));
    return report(facts, &in, err);
}

/* Whose file it is, its names say. */
static enum cf_status report_source(json_t *facts, const char *path,
                                    struct cf_source *src, struct cf_error *err)
{
    struct cf_shapes in = cf_shapes_of_source(src);
    struct cf_error no = {0};

    CF_TRY(set(facts, "format", json_string(cf_source_format(src)), err));
    if (cf_shapes_begins(&in, "encoder.block.0.layer.0.SelfAttention.") ||
        cf_qwen2_prefix((char[CF_KEY_NAME]){0}, &in, &no) == CF_OK)
        return report_encoder(facts, path, &in, err);
    return report_state(facts, src, err);
}

/* ---- a model directory ---- */

static enum cf_status look_file(struct part *p, const char *path,
                                enum cf_status (*look)(struct part *p,
                                                       const struct cf_shapes *in,
                                                       struct cf_error *err),
                                size_t *held, bool map, struct cf_error *err)
{
    enum cf_status status;
    struct cf_shapes in;
    struct cf_ckpt *ckpt;

    CF_TRY(cf_ckpt_open(&ckpt, path, err));
    in = cf_shapes_of_ckpt(ckpt);
    status = look(p, &in, err);
    if (status == CF_OK && look == look_inf)
        status = cf_needs_inf_file(held, &p->inf, &in, map, err);
    if (status == CF_OK && look == look_encoder)
        status = cf_needs_encoder_file(held, &p->encoder, p->prefix, &in, map, err);
    cf_ckpt_close(ckpt);
    return status;
}

static enum cf_status put_model(json_t *facts, const struct cf_model *m,
                                struct cf_error *err)
{
    CF_TRY(set(facts, "kind", json_string("model"), err));
    CF_TRY(set(facts, "name", json_string(m->name), err));
    CF_TRY(set(facts, "hash", json_string(m->hash), err));
    CF_TRY(set(facts, "hold", json_string(m->map ? "map" : "pack"), err));
    if (json_object_get(m->json, "source"))
        CF_TRY(
            set(facts, "source", json_incref(json_object_get(m->json, "source")), err));
    CF_TRY(set(facts, "sizes", json_incref(json_object_get(m->json, "sizes")), err));
    CF_TRY(set(facts, "text", json_incref(json_object_get(m->json, "text")), err));
    return set(facts, "sampling", json_incref(json_object_get(m->json, "sampling")), err);
}

/* The manifest's own word on bits is what counts; that it fits is checked. */
static enum cf_status report_model(json_t *facts, const struct cf_model *m,
                                   struct cf_error *err)
{
    struct part inf = {0}, vae = {0}, enc = {0};
    json_t *memory, *now, *packed;
    size_t held_inf = 0, held_enc = 0;

    CF_TRY(put_model(facts, m, err));
    CF_TRY(child(facts, "transformer", &inf.json, err));
    CF_TRY(child(facts, "vae", &vae.json, err));
    CF_TRY(child(facts, "text_encoder", &enc.json, err));
    CF_TRY(child(facts, "memory", &memory, err));
    CF_TRY(
        look_file(&inf, m->path[CF_PART_TRANSFORMER], look_inf, &held_inf, m->map, err));
    CF_TRY(look_file(&vae, m->path[CF_PART_VAE], look_vae, NULL, m->map, err));
    CF_TRY(cf_encoder_config_load(&enc.encoder, m->path[CF_PART_TEXT], err));
    CF_TRY(look_file(&enc, m->path[CF_PART_TEXT], look_encoder, &held_enc, m->map, err));
    CF_TRY(cf_pair_vae(&inf.inf, &vae.vae, err));
    CF_TRY(put_generator_memory(memory, &inf, &vae, err));
    CF_TRY(put_encoder_memory(memory, &enc.encoder, err));
    now = json_object_get(memory, "transformer");
    CF_TRY(set(now, "now", bytes_json(held_inf), err));
    now = json_object_get(memory, "text_encoder");
    CF_TRY(set(now, "now", bytes_json(held_enc), err));
    CF_TRY(cf_packed_list(&packed, m, err));
    CF_TRY(set(facts, "packed", packed, err));
    return put_sizes_memory(memory, m->json, tokens_for(&inf.inf), err);
}

/* ---- which of them ---- */

static bool is_model(const char *path, struct cf_error *err)
{
    char *manifest = cf_format(err, "%s/model.json", path);
    bool is = manifest && access(manifest, F_OK) == 0;

    cf_free(manifest);
    return is;
}

enum cf_status cf_inspect(json_t **out, const char *path, struct cf_error *err)
{
    json_t *facts = json_pack("{s:s}", "path", path);
    struct cf_source *src = NULL;
    struct cf_model *m = NULL;
    enum cf_status status;

    *out = NULL;
    if (!facts)
        return cf_fail(err, CF_EFORMAT, "%.200s: a name that is no UTF-8", path);
    if (is_model(path, err)) {
        status = cf_model_open(&m, path, CF_MODEL_TRUST, err);
        if (status == CF_OK)
            status = report_model(facts, m, err);
    } else {
        status = err->status;
        if (status == CF_OK)
            status = cf_source_open(&src, path, err);
        if (status == CF_OK)
            status = report_source(facts, path, src, err);
    }
    cf_model_close(m);
    cf_source_close(src);
    if (status == CF_OK)
        *out = facts;
    else
        json_decref(facts);
    return status;
}
