#include "models/detect.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"

enum { MAX_LAYERS = 1024, MAX_RES_BLOCKS = 16, FAULTS = 3 };

/* ---- what a file is that is not what it should be ---- */

static bool has_part(const struct cf_shapes *in, const char *part)
{
    for (int i = 0; i < cf_shapes_count(in); i++) {
        const char *name = cf_shapes_name(in, i);

        if (name && strstr(name, part))
            return true;
    }
    return false;
}

/* The first row that fits says it. */
const char *cf_detect_seems(const struct cf_shapes *in)
{
    static const struct {
        const char *part, *what;
    } sign[] = {
        {"text_proj_for_sos.", "an Infinity transformer"},
        {"decoder.conv_in.", "a convolutional tokenizer (VAE)"},
        {"lora_", "an adapter (LoRA), not a whole model"},
        {"diffloss.net.", "a FAR model"},
        {"spe_tok_embeddings", "a DetailFlow model"},
        {"double_blocks.", "a Flux model"},
        {"ada_lin.1.", "a VAR model, not an Infinity"},
        {"SelfAttention.relative_attention_bias", "a T5 text encoder"},
        {"embed_tokens.weight", "a language model, as text encoders are"},
        {"cls_token", "a vision transformer (DINO, ViT)"},
        {"visual.", "a vision model"},
        {"decoder.", "another decoder"},
    };

    for (size_t i = 0; i < sizeof sign / sizeof sign[0]; i++)
        if (has_part(in, sign[i].part))
            return sign[i].what;
    return "nothing that this program knows";
}

static enum cf_status not_a(const char *what, const char *lacks,
                            const struct cf_shapes *in, struct cf_error *err)
{
    return cf_fail(err, CF_EFORMAT, "%.200s: no %s (no tensor %s); it seems to be %s",
                   in->where, what, lacks, cf_detect_seems(in));
}

/* ---- every tensor compared ---- */

struct compare {
    const struct cf_shapes *in;
    bool vae;            /* names may be spelt plainly */
    unsigned char *seen; /* [count of in] tensors that a key has */
    int n;               /* faults */
    char text[300];
};

static void fault(struct compare *c, const char *what)
{
    size_t used = strlen(c->text);

    if (c->n++ < FAULTS)
        snprintf(c->text + used, sizeof c->text - used, "%s%.90s", used ? "; " : "",
                 what);
}

const char *cf_vae_spelt(char buf[CF_KEY_NAME], const struct cf_shapes *in,
                         const char *name)
{
    if (cf_shapes_find(in, name))
        return name;
    cf_vae_plain(buf, name);
    return cf_shapes_find(in, buf) ? buf : name;
}

static enum cf_status compare_key(void *ctx, const struct cf_key *key,
                                  struct cf_error *err)
{
    struct compare *c = ctx;
    char buf[CF_KEY_NAME], found[64], want[64], text[320];
    const char *name = c->vae ? cf_vae_spelt(buf, c->in, key->name) : key->name;
    const struct cf_view *v = cf_shapes_find(c->in, name);

    (void)err;
    if (v)
        c->seen[cf_shapes_index(c->in, name)] = 1;
    if (v && !cf_key_fits(key, v)) {
        snprintf(text, sizeof text, "%.120s: shape %s, expected %s", name,
                 cf_shape_str(found, sizeof found, v->ndim, v->dim),
                 cf_shape_str(want, sizeof want, key->ndim, key->dim));
        fault(c, text);
    } else if (!v && !key->optional) {
        snprintf(text, sizeof text, "%.200s: missing", name);
        fault(c, text);
    }
    return CF_OK;
}

/* Quantized matrices bring a tensor of scales. */
static bool is_scale(const char *name)
{
    static const char tail[] = "_scale";
    size_t n = strlen(name);

    return n > sizeof tail - 1 && strcmp(name + n - (sizeof tail - 1), tail) == 0;
}

/* All keys against all tensors, of a transformer or else of a tokenizer. */
static enum cf_status compare(const struct cf_shapes *in, const struct cf_inf_shape *inf,
                              const struct cf_vae_shape *vae, bool encoder,
                              struct cf_error *err)
{
    int count = cf_shapes_count(in);
    struct compare c = {
        .in = in, .vae = vae != NULL, .seen = cf_calloc((size_t)count, 1, err)};
    char text[320];

    if (!c.seen)
        return CF_ENOMEM;
    if (inf)
        cf_inf_keys(inf, compare_key, &c, err);
    else
        cf_vae_keys(vae, encoder, compare_key, &c, err);
    for (int i = 0; i < count; i++) {
        const char *name = cf_shapes_name(in, i);

        if (!name || c.seen[i] || is_scale(name) ||
            (inf ? cf_inf_is_buffer(name) : cf_vae_is_buffer(name)))
            continue;
        snprintf(text, sizeof text, "%.200s: unknown", name);
        fault(&c, text);
    }
    cf_free(c.seen);
    if (err->status != CF_OK || c.n == 0)
        return err->status;
    return cf_fail(err, CF_EMISMATCH, "%.120s: %s, but %d tensors do not fit: %s%s",
                   in->where, inf ? "an Infinity transformer" : "a tokenizer", c.n,
                   c.text, c.n > FAULTS ? "; ..." : "");
}

/* ---- the transformer ---- */

static bool is_int(int64_t n)
{
    return n >= 1 && n <= INT_MAX / 8;
}

/* Blocks of "blocks.B." or, with *chunks > 1, "block_chunks.I.module.J.". */
static int count_blocks(const struct cf_shapes *in, int *chunks, char prefix[64])
{
    int n = 0, per = 0;
    char name[96];

    *chunks = 1;
    snprintf(prefix, 64, "blocks.0.");
    for (;; n++) {
        snprintf(name, sizeof name, "blocks.%d.ffn.fc1.weight", n);
        if (n == MAX_LAYERS || !cf_shapes_find(in, name))
            break;
    }
    if (n > 0)
        return n;
    snprintf(prefix, 64, "block_chunks.0.module.0.");
    for (*chunks = 0; *chunks < MAX_LAYERS; ++*chunks) {
        int j = 0;

        for (; j < MAX_LAYERS; j++) {
            snprintf(name, sizeof name, "block_chunks.%d.module.%d.ffn.fc1.weight",
                     *chunks, j);
            if (!cf_shapes_find(in, name))
                break;
        }
        if (j == 0 || (per != 0 && j != per))
            break;
        per = j;
    }
    return *chunks * per;
}

static enum cf_status unsupported(const struct cf_shapes *in, const char *prefix,
                                  struct cf_error *err)
{
    static const struct {
        const char *name, *what;
    } variant[] = {
        {"ffn.fcg.weight", "a gated feed-forward (SwiGLU)"},
        {"ada_lin.1.weight", "modulation of its own in every block"},
        {"sa.mat_q.weight", "separate projections in self-attention"},
    };
    char name[160];

    for (size_t i = 0; i < sizeof variant / sizeof variant[0]; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, variant[i].name);
        if (cf_shapes_find(in, name))
            return cf_fail(err, CF_EUNSUP, "%.200s: %s: %s is not supported", in->where,
                           name, variant[i].what);
    }
    return CF_OK;
}

static enum cf_status read_shape(struct cf_inf_shape *s, const struct cf_shapes *in,
                                 struct cf_error *err)
{
    char prefix[64], name[96];
    int64_t c = cf_shapes_dim(in, "word_embed.weight", 2, 0);
    int64_t dv = cf_shapes_dim(in, "word_embed.weight", 2, 1);
    int64_t text = cf_shapes_dim(in, "text_norm.weight", 1, 0);
    int64_t text_max = cf_shapes_dim(in, "cfg_uncond", 2, 0);
    int64_t pool = cf_shapes_dim(in, "text_proj_for_sos.ca.mat_q", 3, 1), heads, mlp;

    s->depth = count_blocks(in, &s->chunks, prefix);
    CF_TRY(unsupported(in, prefix, err));
    snprintf(name, sizeof name, "%ssa.scale_mul_1H11", prefix);
    heads = cf_shapes_dim(in, name, 4, 1);
    snprintf(name, sizeof name, "%sffn.fc1.weight", prefix);
    mlp = cf_shapes_dim(in, name, 2, 0);
    if (s->depth < 1)
        return not_a("Infinity transformer", name, in, err);
    if (!is_int(c) || !is_int(dv) || !is_int(text) || !is_int(text_max) ||
        !is_int(pool) || !is_int(heads) || !is_int(mlp) || c % heads != 0 ||
        c % pool != 0)
        return cf_fail(err, CF_EMISMATCH,
                       "%.200s: impossible sizes: width %lld, bits %lld, heads %lld, "
                       "feed-forward %lld, text %lld x %lld, pool heads %lld",
                       in->where, (long long)c, (long long)dv, (long long)heads,
                       (long long)mlp, (long long)text_max, (long long)text,
                       (long long)pool);
    s->c = (int)c;
    s->heads = (int)heads;
    s->hd = (int)(c / heads);
    s->mlp = (int)mlp;
    s->dv = s->bits = (int)dv;
    s->text = (int)text;
    s->text_max = (int)text_max;
    s->pool_heads = (int)pool;
    return CF_OK;
}

/* What a manifest could not say, a file should not be. */
static enum cf_status check_inf(const struct cf_inf_shape *s, const struct cf_shapes *in,
                                struct cf_error *err)
{
    struct cf_inf_shape copy = *s;
    enum cf_status status;
    json_t *section;

    copy.patchify = s->dv > CF_BSQ_MAX_BITS;
    copy.bits = copy.patchify ? s->dv / 4 : s->dv;
    section = cf_inf_section(&copy);
    status = section ? cf_inf_parse(&copy, section, err)
                     : cf_fail(err, CF_ENOMEM, "a section of model.json");
    json_decref(section);
    return status == CF_OK ? CF_OK : cf_wrap(err, "%.200s", in->where);
}

static enum cf_status check_vae(const struct cf_vae_shape *s, const struct cf_shapes *in,
                                struct cf_error *err)
{
    json_t *section = cf_vae_section(s);
    struct cf_vae_shape copy;
    enum cf_status status = section ? cf_vae_parse(&copy, section, err)
                                    : cf_fail(err, CF_ENOMEM, "a section of model.json");

    json_decref(section);
    return status == CF_OK ? CF_OK : cf_wrap(err, "%.200s", in->where);
}

enum cf_status cf_inf_detect(struct cf_inf_shape *s, const struct cf_shapes *in,
                             struct cf_error *err)
{
    memset(s, 0, sizeof *s);
    if (!cf_shapes_find(in, "word_embed.weight") || !cf_shapes_find(in, "cfg_uncond"))
        return not_a("Infinity transformer",
                     cf_shapes_find(in, "cfg_uncond") ? "word_embed.weight"
                                                      : "cfg_uncond",
                     in, err);
    CF_TRY(read_shape(s, in, err));
    s->level_first_only = true;
    s->eps = 1e-6f;
    CF_TRY(check_inf(s, in, err));
    return compare(in, s, NULL, false, err);
}

/* ---- the tokenizer ---- */

/* dim[at] of a tensor in either spelling. */
static int64_t vae_dim(const struct cf_shapes *in, const char *name, int ndim, int at)
{
    char buf[CF_KEY_NAME];

    return cf_shapes_dim(in, cf_vae_spelt(buf, in, name), ndim, at);
}

static enum cf_status read_levels(struct cf_vae_shape *s, const struct cf_shapes *in,
                                  struct cf_error *err)
{
    char name[CF_KEY_NAME];
    int ups = 0;

    for (int l = 0; l < CF_VAE_MAX_LEVELS; l++) {
        int64_t width;

        snprintf(name, sizeof name, "decoder.up.%d.block.0.conv1.conv.weight", l);
        width = vae_dim(in, name, 4, 0);
        if (width == 0)
            break;
        if (l == 0)
            s->base = is_int(width) ? (int)width : 1;
        if (width % s->base != 0 || width / s->base > 64)
            return cf_fail(err, CF_EUNSUP,
                           "%.200s: level %d of the decoder has %lld channels, expected "
                           "1 to 64 times the %d of level 0",
                           in->where, l, (long long)width, s->base);
        s->ch_mult[l] = (int)(width / s->base);
        s->levels++;
        snprintf(name, sizeof name, "decoder.up.%d.upsample.conv.conv.weight", l);
        ups += vae_dim(in, name, 4, 0) != 0;
    }
    if (s->levels == 0)
        return not_a("tokenizer", "decoder.up.0.block.0.conv1.conv.weight", in, err);
    s->patch = 1 << ups;
    return CF_OK;
}

enum cf_status cf_vae_detect(struct cf_vae_shape *s, bool *encoder,
                             const struct cf_shapes *in, struct cf_error *err)
{
    char name[CF_KEY_NAME];
    int64_t bits = vae_dim(in, "decoder.conv_in.conv.weight", 4, 1);

    memset(s, 0, sizeof *s);
    *encoder = cf_shapes_begins(in, "encoder.");
    if (bits == 0)
        return not_a("tokenizer", "decoder.conv_in.conv.weight", in, err);
    if (bits < 1 || bits > CF_BSQ_MAX_BITS)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a latent of %lld channels, expected 1 to %d bits",
                       in->where, (long long)bits, CF_BSQ_MAX_BITS);
    s->bits = (int)bits;
    CF_TRY(read_levels(s, in, err));
    for (s->num_res = -1; s->num_res < MAX_RES_BLOCKS; s->num_res++) {
        snprintf(name, sizeof name, "decoder.up.0.block.%d.conv1.conv.weight",
                 s->num_res + 1);
        if (vae_dim(in, name, 4, 0) == 0)
            break;
    }
    if (s->num_res < 1)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: %d residual blocks a level, expected 2 or more",
                       in->where, s->num_res + 1);
    CF_TRY(check_vae(s, in, err));
    return compare(in, NULL, s, *encoder, err);
}

/* ---- what goes with what ---- */

enum cf_status cf_pair_vae(struct cf_inf_shape *s, const struct cf_vae_shape *v,
                           struct cf_error *err)
{
    struct cf_vae_shape want = {.base = 128, .levels = 5, .num_res = 2, .patch = 16};
    const struct cf_geometry *g = cf_geometry_match(s);
    const char *name;

    if (s->dv == v->bits || (s->dv == 4 * v->bits && v->patch == 8)) {
        s->bits = v->bits;
        s->patchify = s->dv != v->bits;
        return CF_OK;
    }
    memcpy(want.ch_mult, (int[]){1, 2, 4, 4, 4}, sizeof(int[5]));
    want.bits = s->dv;
    name = g && g->shape.dv == s->dv ? g->vae_name : cf_geometry_vae_name(&want);
    return cf_fail(err, CF_EMISMATCH,
                   "the transformer predicts %d bits a token, the tokenizer (VAE) has %d "
                   "bits a position and %d pixels a side: expected %d bits%s%s%s%s",
                   s->dv, v->bits, v->patch, s->dv,
                   s->dv % 4 == 0 ? ", or a quarter of them and 8 pixels" : "",
                   name ? ", as in " : "", name ? name : "",
                   s->dv == 4 * v->bits ? " (four positions of 16 pixels make no token)"
                                        : "");
}

enum cf_status cf_pair_text(const struct cf_inf_shape *s, int width, const char *fits,
                            struct cf_error *err)
{
    if (width == s->text)
        return CF_OK;
    return cf_fail(err, CF_EMISMATCH,
                   "the transformer was trained on text features %d wide, the encoder's "
                   "are %d wide%s%s",
                   s->text, width, fits[0] ? "; of its width are " : "", fits);
}
