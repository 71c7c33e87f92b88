#include "pipeline/synth_model.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"
#include "pipeline/out_copy.h"
#include "pipeline/synth_part.h"
#include "textenc/pretok.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"
#include "textenc/tokenizer.h"
#include "weights/model_spec.h"

enum {
    BYTES = 256,      /* tokens of the byte vocabulary, and ... */
    END_OF_TEXT = 256 /* ... one more, which pads */
};

struct maker {
    const struct cf_synth_options *o;
    struct cf_dnn *dnn;
    struct cf_out *out;
    struct cf_inf_shape shape;
    struct cf_vae_shape vae;
    struct cf_encoder_config encoder;
    struct cf_model_spec manifest;
    const struct cf_geometry *geometry; /* NULL: the encoder alone */
};

/* ---- sizes ---- */

static int divisor(int a, int b)
{
    while (b) {
        int r = a % b;

        a = b;
        b = r;
    }
    return a;
}

static void change_encoder(struct cf_encoder_config *c, const struct cf_synth_change *by)
{
    if (c->family == CF_FAMILY_T5) {
        struct cf_t5_config *t = &c->t5;

        t->layers = by->text_layers ? by->text_layers : t->layers;
        t->vocab = by->text_vocab ? by->text_vocab : t->vocab;
        if (by->text_width) {
            t->intermediate =
                (int)((int64_t)t->intermediate * by->text_width / t->hidden);
            t->heads = by->text_width > t->head_dim ? by->text_width / t->head_dim : 1;
            t->hidden = by->text_width;
        }
    } else {
        struct cf_qwen2_config *q = &c->qwen2;

        q->layers = by->text_layers ? by->text_layers : q->layers;
        q->vocab = by->text_vocab ? by->text_vocab : q->vocab;
        if (by->text_width) {
            q->intermediate =
                (int)((int64_t)q->intermediate * by->text_width / q->hidden);
            q->heads = by->text_width > q->head_dim ? by->text_width / q->head_dim : 1;
            q->kv_heads = divisor(q->heads, q->kv_heads);
            q->hidden = by->text_width;
        }
    }
}

static void change_shape(struct cf_inf_shape *s, const struct cf_synth_change *by)
{
    const int hd = s->hd;

    if (by->embed_dim) {
        s->mlp = (int)((int64_t)s->mlp * by->embed_dim / s->c);
        s->c = by->embed_dim;
        s->heads = s->c > hd ? s->c / hd : 1;
    }
    s->depth = by->depth ? by->depth : s->depth;
    s->heads = by->heads ? by->heads : s->heads;
    s->mlp = by->mlp ? by->mlp : s->mlp;
    s->bits = by->bits ? by->bits : s->bits;
    s->hd = s->c / s->heads;
    s->dv = s->patchify ? 4 * s->bits : s->bits;
    s->chunks = divisor(s->depth, s->chunks);
}

/* What the changes gave is read back like any manifest, so that it is checked as one. */
static enum cf_status check_shapes(struct maker *m, struct cf_error *err)
{
    json_t *shape = cf_inf_section(&m->shape), *vae = cf_vae_section(&m->vae);
    struct cf_error why = {0};

    if (!shape || !vae)
        cf_fail(&why, CF_ENOMEM, "sections");
    else if (cf_inf_parse(&m->shape, shape, &why) == CF_OK)
        cf_vae_parse(&m->vae, vae, &why);
    json_decref(shape);
    json_decref(vae);
    if (why.status == CF_OK || why.status == CF_ENOMEM)
        return why.status ? cf_fail(err, why.status, "%s", why.msg) : CF_OK;
    return cf_fail(err, CF_EUSAGE, "no geometry: %s", why.msg);
}

static enum cf_status choose_transformer(struct maker *m, struct cf_error *err)
{
    const struct cf_synth_change *by = &m->o->change;
    int width = cf_encoder_config_hidden(&m->encoder);

    m->shape = m->geometry->shape;
    m->vae = m->geometry->vae;
    change_shape(&m->shape, by);
    m->vae.bits = m->shape.bits;
    m->vae.base = by->base_channels ? by->base_channels : m->vae.base;
    m->shape.text = width;
    /* A head reads 128 of the text where that divides the width of the transformer. */
    m->shape.pool_heads = divisor(m->shape.c, width < 128 ? 1 : width / 128);
    return check_shapes(m, err);
}

/* unknown: what was said of it as a text encoder. */
static enum cf_status find_geometry(struct maker *m, const struct cf_error *unknown,
                                    struct cf_error *err)
{
    struct cf_error why = {0};

    if (cf_geometry_find(&m->geometry, m->o->geometry, &why) == CF_OK)
        return CF_OK;
    return cf_fail(err, why.status, "--geometry: %s; or %s", why.msg, unknown->msg);
}

static enum cf_status choose(struct maker *m, struct cf_error *err)
{
    const struct cf_known_encoder *known = NULL;
    struct cf_error other = {0};
    const char *name = m->o->encoder;

    if (cf_known_encoder_find(&known, m->o->geometry, &other) != CF_OK) {
        CF_TRY(find_geometry(m, &other, err));
        CF_TRY(cf_known_encoder_find(&known, name ? name : m->geometry->encoder, err));
    } else if (name) {
        return cf_fail(err, CF_EUSAGE,
                       "--text-encoder=%.60s: %.60s is a text encoder itself", name,
                       m->o->geometry);
    }
    m->encoder = known->config;
    change_encoder(&m->encoder, &m->o->change);
    return m->geometry ? choose_transformer(m, err) : CF_OK;
}

/* ---- parts ---- */

static enum cf_status inf_keys(const void *shape, cf_key_fn *fn, void *ctx,
                               struct cf_error *err)
{
    return cf_inf_keys(shape, fn, ctx, err);
}

static enum cf_status vae_keys(const void *shape, cf_key_fn *fn, void *ctx,
                               struct cf_error *err)
{
    return cf_vae_keys(shape, true, fn, ctx, err);
}

static enum cf_status encoder_keys(const void *config, cf_key_fn *fn, void *ctx,
                                   struct cf_error *err)
{
    const struct cf_encoder_config *c = config;

    return c->family == CF_FAMILY_T5 ? cf_t5_keys(&c->t5, fn, ctx, err)
                                     : cf_qwen2_keys(&c->qwen2, "model.", fn, ctx, err);
}

static struct cf_synth_part transformer_part(const struct maker *m)
{
    return (struct cf_synth_part){inf_keys,   &m->shape,      m->o->type, m->o->group,
                                  m->o->seed, m->shape.depth, 1};
}

/* As the released ones, which are small: F32. */
static struct cf_synth_part vae_part(const struct maker *m)
{
    return (struct cf_synth_part){vae_keys, &m->vae, CF_W_F32, 0, m->o->seed, 1, 1};
}

static struct cf_synth_part encoder_part(const struct maker *m)
{
    const struct cf_encoder_config *c = &m->encoder;
    bool t5 = c->family == CF_FAMILY_T5;

    return (struct cf_synth_part){encoder_keys,
                                  c,
                                  m->o->text_type,
                                  m->o->group,
                                  m->o->seed,
                                  t5 ? c->t5.layers : c->qwen2.layers,
                                  t5 ? c->t5.head_dim : 1};
}

static enum cf_status write_weights(struct maker *m, const struct cf_synth_part *part,
                                    const char *name, struct cf_error *err)
{
    char *path = cf_out_path(m->out, name, err);
    enum cf_status st = path ? cf_synth_part_write(part, path, m->dnn, err) : CF_ENOMEM;

    cf_free(path);
    return st;
}

/* ---- vocabularies ---- */

/* The letters by which a byte-level vocabulary writes its bytes, in UTF-8: a printable
 * one is itself, the others are U+0100 and on. */
static void byte_letter(char out[3], int byte)
{
    int at = byte, shift = 0;

    for (int b = 0; b <= byte; b++) {
        bool self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

        at = self ? b : 256 + shift;
        shift += !self;
    }
    if (at < 128) {
        out[0] = (char)at;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | at >> 6);
        out[1] = (char)(0x80 | (at & 63));
        out[2] = '\0';
    }
}

/* Qwen2's pipeline over 256 tokens and no merges. */
static json_t *byte_tokenizer(void)
{
    json_t *vocab = json_object();

    for (int b = 0; b < BYTES; b++) {
        char letter[3];

        byte_letter(letter, b);
        json_object_set_new(vocab, letter, json_integer(b));
    }
    return json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:{s:s},"
        " s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}, s:{s:s},"
        " s:{s:s, s:o, s:[]}}",
        "version", "1.0", "added_tokens", "id", END_OF_TEXT, "content", "<|endoftext|>",
        "special", 1, "lstrip", 0, "rstrip", 0, "normalized", 0, "single_word", 0,
        "normalizer", "type", "NFC", "pre_tokenizer", "type", "Sequence", "pretokenizers",
        "type", "Split", "pattern", "Regex", cf_pretok_pattern, "behavior", "Isolated",
        "invert", 0, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0,
        "use_regex", 0, "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab",
        vocab, "merges");
}

static enum cf_status put_json(struct maker *m, const char *name, json_t *json,
                               struct cf_error *err)
{
    char *text = json ? cf_json_text(json, JSON_INDENT(1), err) : NULL;
    enum cf_status st = text ? cf_out_put(m->out, name, text, strlen(text), NULL, err)
                             : cf_fail(err, CF_ENOMEM, "%s", name);

    cf_free(text);
    json_decref(json);
    return st;
}

/* The pieces of the installed model: somebody must have trained them. */
static enum cf_status borrow_pieces(struct maker *m, const char *name,
                                    struct cf_error *err)
{
    struct cf_model *model = NULL;
    char *dir = NULL;
    enum cf_status st = cf_model_find(&dir, NULL, m->o->model_path, err);

    if (st == CF_OK)
        st = cf_model_open(&model, dir, CF_MODEL_TRUST, err);
    if (st == CF_OK)
        st = cf_out_copy(m->out, name, model->path[CF_PART_VOCAB], err);
    cf_model_close(model);
    cf_free(dir);
    return st == CF_OK ? CF_OK : cf_wrap(err, "vocabulary");
}

static const char *vocabulary_name(const struct maker *m)
{
    return m->encoder.family == CF_FAMILY_T5 ? "spiece.model" : "tokenizer.json";
}

/* Every id must have a row of embeddings, or there are prompts that cannot be encoded. */
static enum cf_status check_rows(const struct maker *m, const char *name,
                                 struct cf_error *err)
{
    const struct cf_encoder_config *c = &m->encoder;
    const bool t5 = c->family == CF_FAMILY_T5;
    const int rows = t5 ? c->t5.vocab : c->qwen2.vocab;
    char *path = cf_out_path(m->out, name, err);
    struct cf_tok *tok = NULL;
    enum cf_status st = CF_ENOMEM;

    if (path)
        st = cf_tok_open(&tok, t5 ? "sentencepiece" : "bpe", path, err);
    if (st == CF_OK && cf_tok_size(tok) > rows)
        st = cf_fail(err, CF_EUSAGE, "--text-vocab=%d: the vocabulary has %d ids", rows,
                     (int)cf_tok_size(tok));
    cf_tok_close(tok);
    cf_free(path);
    return st;
}

static enum cf_status write_vocabulary(struct maker *m, const char *name,
                                       struct cf_error *err)
{
    CF_TRY(m->encoder.family == CF_FAMILY_T5 ? borrow_pieces(m, name, err)
                                             : put_json(m, name, byte_tokenizer(), err));
    return check_rows(m, name, err);
}

/* ---- the whole ---- */

static enum cf_status note(struct maker *m, enum cf_part part, const char *name,
                           struct cf_error *err)
{
    return cf_model_spec_file(&m->manifest.part[part], cf_out_dir(m->out), name, err);
}

/* First what may not be there, then what takes its time. */
static enum cf_status write_parts(struct maker *m, struct cf_error *err)
{
    static const char dir[] = "text_encoder", config[] = "text_encoder/config.json";
    static const char text[] = "text_encoder/model.safetensors";
    static const char inf[] = "infinity.safetensors", vae[] = "vae.safetensors";
    const struct cf_synth_part inf_part = transformer_part(m), v_part = vae_part(m);
    const struct cf_synth_part text_part = encoder_part(m);

    CF_TRY(write_vocabulary(m, vocabulary_name(m), err));
    CF_TRY(note(m, CF_PART_VOCAB, vocabulary_name(m), err));
    CF_TRY(cf_out_mkdir(m->out, dir, err));
    m->manifest.part[CF_PART_TEXT].dir = dir;
    CF_TRY(put_json(m, config, cf_encoder_config_json(&m->encoder), err));
    CF_TRY(note(m, CF_PART_TEXT, config, err));
    CF_TRY(write_weights(m, &text_part, text, err));
    CF_TRY(note(m, CF_PART_TEXT, text, err));
    CF_TRY(write_weights(m, &inf_part, inf, err));
    CF_TRY(note(m, CF_PART_TRANSFORMER, inf, err));
    CF_TRY(write_weights(m, &v_part, vae, err));
    return note(m, CF_PART_VAE, vae, err);
}

static enum cf_status write_manifest(struct maker *m, struct cf_error *err)
{
    const struct cf_geometry *g = m->geometry;
    struct cf_model_spec *all = &m->manifest;
    enum cf_status st;
    char name[80];

    snprintf(name, sizeof name, "synthetic-%s-%s", g->name, cf_wtype_name(m->o->type));
    all->name = name;
    all->generator = "infinity";
    all->map = !m->o->pack;
    all->infinity = cf_inf_section(&m->shape);
    all->vae = cf_vae_section(&m->vae);
    all->sizes = cf_sizes_section(g->allowed, g->trained);
    all->text = cf_text_section(m->encoder.family, m->shape.text_max);
    all->sampling =
        cf_sampling_section(g->cfg, g->tau, g->top_k, g->top_p, g->insert, NULL);
    st = cf_model_spec_write(all, cf_out_dir(m->out), err);
    json_decref(all->infinity);
    json_decref(all->vae);
    json_decref(all->sizes);
    json_decref(all->text);
    json_decref(all->sampling);
    return st;
}

static enum cf_status write_encoder_alone(struct maker *m, struct cf_error *err)
{
    struct cf_synth_part part = encoder_part(m);

    CF_TRY(write_vocabulary(m, vocabulary_name(m), err));
    CF_TRY(put_json(m, "config.json", cf_encoder_config_json(&m->encoder), err));
    return write_weights(m, &part, "model.safetensors", err);
}

/* Bytes of all files; what is not weights is small. */
static enum cf_status measure(const struct maker *m, size_t *bytes, struct cf_error *err)
{
    const struct cf_synth_part part[] = {encoder_part(m), transformer_part(m),
                                         vae_part(m)};

    *bytes = 0;
    for (int i = 0; i < (m->geometry ? 3 : 1); i++)
        CF_TRY(cf_synth_part_measure(&part[i], bytes, err));
    return CF_OK;
}

static enum cf_status make(struct maker *m, const char *dir, struct cf_error *err)
{
    size_t bytes;

    CF_TRY(choose(m, err));
    CF_TRY(measure(m, &bytes, err));
    CF_TRY(cf_out_open(&m->out, dir, m->o->force, err));
    CF_TRY(cf_out_begin(m->out, bytes, err));
    if (m->geometry) {
        CF_TRY(write_parts(m, err));
        CF_TRY(write_manifest(m, err));
    } else {
        CF_TRY(write_encoder_alone(m, err));
    }
    return cf_out_publish(m->out, err);
}

enum cf_status cf_synth_model(const struct cf_synth_options *o, const char *dir,
                              struct cf_dnn *dnn, struct cf_error *err)
{
    struct maker m = {.o = o, .dnn = dnn};
    enum cf_status st = make(&m, dir, err);

    cf_out_close(m.out);
    cf_model_spec_close(&m.manifest);
    return st;
}
