#include "pipeline/requant.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "models/infinity_keys.h"
#include "pipeline/out_copy.h"
#include "textenc/known.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"

enum { MAX_CARD = 1 << 20 };

static const char card[] = "MODEL_CARD.md";

const char *cf_requant_type_name(char buf[40], const struct cf_take_type *type)
{
    if (type->keep)
        snprintf(buf, 40, "as it was");
    else if (type->type == CF_W_Q4)
        snprintf(buf, 40, "4bit in groups of %d", type->group);
    else
        snprintf(buf, 40, "%s", cf_wtype_name(type->type));
    return buf;
}

/* ---- what there is ---- */

/* The name of a scale says it; the matrix beside it would only be of a wrong type. */
static enum cf_status check_floats(const struct cf_source *src, struct cf_error *err)
{
    static const char tail[] = ".weight_scale";

    for (int i = 0; i < cf_source_count(src); i++) {
        const char *name = cf_source_name(src, i);
        size_t len = strlen(name), n = sizeof tail - 1;

        if (len > n && strcmp(name + len - n, tail) == 0)
            return cf_fail(err, CF_EUNSUP,
                           "%.200s: its matrices are quantized already; begin with the "
                           "model that they were made from",
                           cf_source_path(src));
    }
    return CF_OK;
}

static enum cf_status open_transformer(struct cf_requant *q,
                                       const struct cf_requant_options *o,
                                       struct cf_error *err)
{
    const json_t *section = json_object_get(q->in->json, "infinity");
    const struct cf_state nothing_else = {0};
    struct cf_inf_shape shape;
    int dropped;

    CF_TRY(cf_inf_parse(&shape, section, err));
    CF_TRY(cf_source_open(&q->transformer, q->in->path[CF_PART_TRANSFORMER], err));
    CF_TRY(check_floats(q->transformer, err));
    CF_TRY(cf_take_open(&q->take, q->transformer, "transformer", o->type, err));
    CF_TRY(cf_inf_keys(&shape, cf_take_key, &q->take, err));
    return cf_take_check(&q->take, &nothing_else, cf_inf_is_buffer, NULL, &dropped, err);
}

/* What an encoder does not read is nobody's: decoder, head, vision. */
static bool is_others(const char *name)
{
    (void)name;
    return true;
}

static enum cf_status open_encoder(struct cf_requant *q,
                                   const struct cf_requant_options *o,
                                   struct cf_error *err)
{
    const char *path = q->in->path[CF_PART_TEXT];
    const struct cf_state nothing_else = {0};
    struct cf_encoder_config config;
    char prefix[CF_KEY_NAME];
    struct cf_shapes in;
    int dropped;

    if (o->text_type.keep)
        return CF_OK;
    CF_TRY(cf_encoder_config_load(&config, path, err));
    CF_TRY(cf_source_open(&q->encoder, path, err));
    CF_TRY(check_floats(q->encoder, err));
    CF_TRY(cf_take_open(&q->text_take, q->encoder, "text encoder", o->text_type, err));
    if (config.family == CF_FAMILY_T5) {
        CF_TRY(cf_t5_keys(&config.t5, cf_take_key, &q->text_take, err));
    } else {
        in = cf_shapes_of_source(q->encoder);
        CF_TRY(cf_qwen2_prefix(prefix, &in, err));
        CF_TRY(cf_qwen2_keys(&config.qwen2, prefix, cf_take_key, &q->text_take, err));
    }
    return cf_take_check(&q->text_take, &nothing_else, is_others, NULL, &dropped, err);
}

static enum cf_status measure(const struct cf_requant *q, size_t *bytes,
                              struct cf_error *err)
{
    *bytes = cf_take_bytes(&q->take) + (q->encoder ? cf_take_bytes(&q->text_take) : 0);
    CF_TRY(cf_out_copy_bytes(q->in, CF_PART_VAE, bytes, err));
    CF_TRY(cf_out_copy_bytes(q->in, CF_PART_VOCAB, bytes, err));
    return q->encoder ? CF_OK : cf_out_copy_bytes(q->in, CF_PART_TEXT, bytes, err);
}

/* ---- what there will be ---- */

/* { was: { name, model }, matrices, text_matrices } over what the old one said. */
static enum cf_status describe(struct cf_requant *q, const struct cf_requant_options *o,
                               struct cf_error *err)
{
    const json_t *source = json_object_get(q->in->json, "source");
    char type[40], text[40];

    q->source = source ? json_deep_copy(source) : json_object();
    if (json_object_set_new(
            q->source, "quantized",
            json_pack("{s:s, s:s, s:s, s:s}", "from", q->in->name, "model_sha256",
                      q->in->hash, "matrices", cf_requant_type_name(type, &o->type),
                      "text_matrices", cf_requant_type_name(text, &o->text_type))) != 0)
        return cf_fail(err, CF_ENOMEM, "model.json: source");
    q->name = o->name ? cf_strdup(o->name, err)
                      : cf_format(err, "%s-%s", q->in->name,
                                  o->type.keep ? "copy" : cf_wtype_name(o->type.type));
    return q->name ? CF_OK : CF_ENOMEM;
}

static bool is_quantized(const struct cf_take_type *type)
{
    return !type->keep && type->type > CF_W_BF16;
}

static enum cf_status fill_manifest(struct cf_requant *q,
                                    const struct cf_requant_options *o,
                                    struct cf_error *err)
{
    struct cf_model_spec *m = &q->manifest;
    json_t *was = q->in->json;

    CF_TRY(describe(q, o, err));
    m->name = q->name;
    m->generator = q->in->generator;
    m->map = o->hold >= 0
                 ? o->hold == 1
                 : q->in->map || is_quantized(&o->type) || is_quantized(&o->text_type);
    m->source = q->source;
    m->infinity = json_object_get(was, "infinity");
    m->vae = json_object_get(was, "vae");
    m->sizes = json_object_get(was, "sizes");
    m->text = json_object_get(was, "text");
    m->sampling = json_object_get(was, "sampling");
    return CF_OK;
}

static enum cf_status write_encoder(struct cf_requant *q, struct cf_dnn *dnn,
                                    struct cf_error *err)
{
    static const char dir[] = "text_encoder", config[] = "text_encoder/config.json";
    struct cf_model_spec_part *part = &q->manifest.part[CF_PART_TEXT];
    enum cf_status st;
    char *from;

    if (!q->encoder)
        return cf_out_copy_part(q->out, q->in, CF_PART_TEXT, part, err);
    part->dir = dir;
    CF_TRY(cf_out_mkdir(q->out, dir, err));
    from = cf_format(err, "%s/config.json", q->in->path[CF_PART_TEXT]);
    st = from ? cf_out_copy(q->out, config, from, err) : CF_ENOMEM;
    cf_free(from);
    CF_TRY(st);
    CF_TRY(cf_model_spec_file(part, cf_out_dir(q->out), config, err));
    return cf_take_part(&q->text_take, q->out, "text_encoder/model.safetensors", dnn,
                        part, err);
}

enum cf_status cf_requant_write(struct cf_requant *q, const struct cf_requant_options *o,
                                const char *in, const char *dir, struct cf_dnn *dnn,
                                struct cf_error *err)
{
    struct cf_model_spec *m = &q->manifest;
    size_t bytes;

    *q = (struct cf_requant){0};
    CF_TRY(cf_model_open(&q->in, in, CF_MODEL_QUICK, err));
    CF_TRY(cf_out_open(&q->out, dir, o->force, err));
    CF_TRY(open_transformer(q, o, err));
    CF_TRY(open_encoder(q, o, err));
    CF_TRY(fill_manifest(q, o, err));
    CF_TRY(measure(q, &bytes, err));
    CF_TRY(cf_out_begin(q->out, bytes, err));
    CF_TRY(cf_out_copy_part(q->out, q->in, CF_PART_VAE, &m->part[CF_PART_VAE], err));
    CF_TRY(cf_out_copy_part(q->out, q->in, CF_PART_VOCAB, &m->part[CF_PART_VOCAB], err));
    CF_TRY(write_encoder(q, dnn, err));
    CF_TRY(cf_take_part(&q->take, q->out, "infinity.safetensors", dnn,
                        &m->part[CF_PART_TRANSFORMER], err));
    return cf_model_spec_write(m, cf_out_dir(q->out), err);
}

/* What people should know of the model stays with it. */
static enum cf_status write_card(struct cf_requant *q, const char *report,
                                 struct cf_error *err)
{
    char *from = cf_format(err, "%s/%s", q->in->dir, card), *text = NULL, *all = NULL;
    enum cf_status st = from ? CF_OK : CF_ENOMEM;
    size_t n = 0;

    if (from && access(from, F_OK) == 0) {
        text = cf_file_read(from, MAX_CARD, &n, err);
        st = text ? CF_OK : err->status;
    }
    if (st == CF_OK && (text || report)) {
        all = cf_format(err, "%.*s%s%s", (int)n, text ? text : "",
                        text && report ? "\n" : "", report ? report : "");
        st = all ? cf_out_put(q->out, card, all, strlen(all), NULL, err) : CF_ENOMEM;
    }
    cf_free(all);
    cf_free(text);
    cf_free(from);
    return st;
}

enum cf_status cf_requant_publish(struct cf_requant *q, const char *report,
                                  struct cf_error *err)
{
    CF_TRY(write_card(q, report, err));
    return cf_out_publish(q->out, err);
}

void cf_requant_close(struct cf_requant *q)
{
    cf_take_close(&q->take);
    cf_take_close(&q->text_take);
    cf_source_close(q->transformer);
    cf_source_close(q->encoder);
    cf_out_close(q->out);
    cf_model_spec_close(&q->manifest);
    cf_model_close(q->in);
    cf_free(q->name);
    json_decref(q->source);
    *q = (struct cf_requant){0};
}
