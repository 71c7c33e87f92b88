#include "models/vae_part.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/ops.h"
#include "weights/bind.h"
#include "weights/config.h"

int cf_vae_groups(int c)
{
    return c % 32 == 0 ? 32 : c % 24 == 0 ? 24 : 0;
}

enum cf_status cf_vae_parse(struct cf_vae_shape *s, const json_t *json,
                            struct cf_error *err)
{
    static const char where[] = "model.json: vae";

    memset(s, 0, sizeof(*s));
    CF_TRY(cf_config_only(json, where, err, "base_channels", "ch_mult", "num_res_blocks",
                          "bits", "patch", NULL));
    CF_TRY(cf_config_int(json, "base_channels", 1, 4096, &s->base, where, err));
    CF_TRY(cf_config_ints(json, "ch_mult", 1, 64, s->ch_mult, CF_VAE_MAX_LEVELS,
                          &s->levels, where, err));
    CF_TRY(cf_config_int(json, "num_res_blocks", 1, CF_VAE_MAX_RES, &s->num_res, where,
                         err));
    CF_TRY(cf_config_int(json, "bits", 1, 64, &s->bits, where, err));
    CF_TRY(cf_config_int(json, "patch", 1, 64, &s->patch, where, err));
    if ((s->patch & (s->patch - 1)) != 0 || s->patch >> (s->levels - 1) > 1)
        return cf_fail(err, CF_EFORMAT,
                       "%s: patch %d, expected a power of two up to %d for %d levels",
                       where, s->patch, 1 << (s->levels - 1), s->levels);
    for (int l = 0; l < s->levels; l++) {
        int c = s->base * s->ch_mult[l];

        if (cf_vae_groups(c) == 0 || c > CF_GROUPNORM_MAX)
            return cf_fail(err, CF_EUNSUP,
                           "%s: level %d has %d channels, expected a multiple of 32 or "
                           "24 up to %d",
                           where, l, c, CF_GROUPNORM_MAX);
    }
    return CF_OK;
}

/* ---- the two lists ---- */

static void add(struct cf_vae_list *l, enum cf_vae_kind kind, int in, int out,
                const char *fmt, int level, int block)
{
    struct cf_vae_op *op = &l->op[l->n++];

    memset(op, 0, sizeof(*op));
    op->kind = kind;
    op->in = in;
    op->out = out;
    snprintf(op->name, sizeof(op->name), fmt, level, block);
}

static void list_decoder(struct cf_vae_list *l, const struct cf_vae_shape *s)
{
    int c = s->base * s->ch_mult[s->levels - 1];

    l->n = 0;
    add(l, CF_VAE_CONV, s->bits, c, "decoder.conv_in", 0, 0);
    add(l, CF_VAE_RES, c, c, "decoder.mid.block_1", 0, 0);
    add(l, CF_VAE_RES, c, c, "decoder.mid.block_2", 0, 0);
    for (int k = s->levels - 1; k >= 0; k--) {
        int to = s->base * s->ch_mult[k];

        for (int b = 0; b <= s->num_res; b++, c = to)
            add(l, CF_VAE_RES, c, to, "decoder.up.%d.block.%d", k, b);
        if (k >= 1 && s->patch >> k >= 1)
            add(l, CF_VAE_UP, c, c, "decoder.up.%d.upsample.conv", k, 0);
    }
    add(l, CF_VAE_OUT, c, 3, "decoder", 0, 0);
    for (int i = 0; s->patch > 1 && (i == 0 || l->op[i - 1].kind != CF_VAE_UP); i++)
        l->op[i].deep = 1;
}

static void list_encoder(struct cf_vae_list *l, const struct cf_vae_shape *s)
{
    int c = s->base;

    l->n = 0;
    add(l, CF_VAE_CONV, 3, c, "encoder.conv_in", 0, 0);
    for (int k = 0; k < s->levels; k++) {
        int to = s->base * s->ch_mult[k];

        for (int b = 0; b < s->num_res; b++, c = to)
            add(l, CF_VAE_RES, c, to, "encoder.down.%d.block.%d", k, b);
        if (s->patch >> (k + 1) >= 1)
            add(l, CF_VAE_DOWN, c, c, "encoder.down.%d.downsample.conv", k, 0);
    }
    add(l, CF_VAE_RES, c, c, "encoder.mid.block_1", 0, 0);
    add(l, CF_VAE_RES, c, c, "encoder.mid.block_2", 0, 0);
    add(l, CF_VAE_OUT, c, s->bits, "encoder", 0, 0);
    for (int i = l->n - 1; s->patch > 1 && l->op[i].kind != CF_VAE_DOWN; i--)
        l->op[i].deep = 1;
}

/* ---- binding ---- */

/* "base.inner.weight" and bias, or "base.weight" where only that exists. */
static void want_pair(struct cf_bind *b, const struct cf_ckpt *ckpt,
                      struct cf_view pair[2], const char *base, const char *inner,
                      int ndim, const int64_t *dim)
{
    static const char *const leaf[2] = {"weight", "bias"};

    for (int i = 0; i < 2; i++) {
        char plain[96];

        snprintf(plain, sizeof(plain), "%s.%s", base, leaf[i]);
        if (cf_ckpt_find(ckpt, plain) != NULL)
            cf_bind_want(b, &pair[i], CF_BIND_REQUIRED, i ? 1 : ndim, dim, "%s", plain);
        else
            cf_bind_want(b, &pair[i], CF_BIND_REQUIRED, i ? 1 : ndim, dim, "%s.%s.%s",
                         base, inner, leaf[i]);
    }
}

static void want_conv(struct cf_bind *b, const struct cf_ckpt *ckpt,
                      struct cf_view pair[2], const char *base, const char *part, int out,
                      int in, int k)
{
    int64_t dim[4] = {out, in, k, k};
    char name[80];

    snprintf(name, sizeof(name), "%s%s", base, part);
    want_pair(b, ckpt, pair, name, "conv", 4, dim);
}

static void want_norm(struct cf_bind *b, const struct cf_ckpt *ckpt,
                      struct cf_view pair[2], const char *base, const char *part, int c)
{
    int64_t dim[1] = {c};
    char name[80];

    snprintf(name, sizeof(name), "%s%s", base, part);
    want_pair(b, ckpt, pair, name, "norm", 1, dim);
}

static void want_list(struct cf_bind *b, const struct cf_ckpt *ckpt,
                      struct cf_vae_list *l)
{
    for (int i = 0; i < l->n; i++) {
        struct cf_vae_op *op = &l->op[i];

        switch (op->kind) {
        case CF_VAE_CONV:
        case CF_VAE_UP:
        case CF_VAE_DOWN:
            want_conv(b, ckpt, op->conv[0], op->name, "", op->out, op->in, 3);
            break;
        case CF_VAE_RES:
            want_norm(b, ckpt, op->norm[0], op->name, ".norm1", op->in);
            want_conv(b, ckpt, op->conv[0], op->name, ".conv1", op->out, op->in, 3);
            want_norm(b, ckpt, op->norm[1], op->name, ".norm2", op->out);
            want_conv(b, ckpt, op->conv[1], op->name, ".conv2", op->out, op->out, 3);
            if (op->in != op->out)
                want_conv(b, ckpt, op->conv[2], op->name, ".nin_shortcut", op->out,
                          op->in, 1);
            break;
        case CF_VAE_OUT:
            want_norm(b, ckpt, op->norm[0], op->name, ".norm_out", op->in);
            want_conv(b, ckpt, op->conv[0], op->name, ".conv_out", op->out, op->in, 3);
            break;
        }
    }
}

static int has_encoder(const struct cf_ckpt *ckpt)
{
    for (int i = 0; i < cf_ckpt_count(ckpt); i++)
        if (strncmp(cf_ckpt_name(ckpt, i), "encoder.", 8) == 0)
            return 1;
    return 0;
}

/* The commonest wrong file differs in its bits: say so rather than list shapes. */
static enum cf_status check_bits(const struct cf_vae *vae, struct cf_error *err)
{
    const struct cf_view *v = cf_ckpt_find(vae->ckpt, "decoder.conv_in.conv.weight");

    if (v == NULL)
        v = cf_ckpt_find(vae->ckpt, "decoder.conv_in.weight");
    if (v != NULL && v->ndim == 4 && v->dim[1] != vae->shape.bits)
        return cf_fail(
            err, CF_EMISMATCH,
            "%s: a VAE of %lld bits per position, expected %d (wrong VAE for this "
            "transformer?)",
            cf_ckpt_path(vae->ckpt), (long long)v->dim[1], vae->shape.bits);
    return CF_OK;
}

/* ---- packing ---- */

enum cf_conv_how cf_vae_how(enum cf_cpu level, const struct cf_vae_op *op, int i)
{
    return cf_conv_best(level, (struct cf_conv_use){.in = i == 0 ? op->in : op->out,
                                                    .out = op->out,
                                                    .twice = op->kind == CF_VAE_UP,
                                                    .small = op->deep});
}

void cf_vae_layer_close(struct cf_vae_layer *layer)
{
    for (int i = 0; i < 3; i++)
        cf_conv_close(layer->conv[i]);
    memset(layer, 0, sizeof(*layer));
}

enum cf_status cf_vae_layer_open(struct cf_vae_layer *layer, const struct cf_vae_op *op,
                                 struct cf_params *params, struct cf_dnn *dnn,
                                 struct cf_error *err)
{
    static const struct cf_conv_shape same = {1, 1, 1, 1, 1}, point = {1, 0, 0, 0, 0},
                                      half = {2, 0, 0, 1, 1};

    for (int i = 0; i < 2; i++) {
        CF_TRY(cf_params_floats(params, &layer->gain[i], &op->norm[i][0], err));
        CF_TRY(cf_params_floats(params, &layer->shift[i], &op->norm[i][1], err));
    }
    for (int i = 0; i < 3; i++) {
        if (op->conv[i][0].data == NULL)
            continue;
        CF_TRY(cf_params_floats(params, &layer->bias[i], &op->conv[i][1], err));
        if (i == 2 || op->kind == CF_VAE_DOWN)
            CF_TRY(cf_conv_open(&layer->conv[i], dnn, &op->conv[i][0], layer->bias[i],
                                i == 2 ? point : half, err));
        else
            CF_TRY(cf_conv_open_as(&layer->conv[i], dnn, &op->conv[i][0], layer->bias[i],
                                   same, cf_vae_how(cf_dnn_level(dnn), op, i), err));
    }
    return CF_OK;
}

/* The tensors of the file, and the decoder's layers. */
static enum cf_status open_file(struct cf_vae *vae, const char *path,
                                struct cf_error *err)
{
    struct cf_bind *bind;

    CF_TRY(cf_ckpt_open(&vae->ckpt, path, err));
    CF_TRY(check_bits(vae, err));
    if (!has_encoder(vae->ckpt))
        vae->encoder.n = 0;
    bind = cf_bind_begin(vae->ckpt, err);
    want_list(bind, vae->ckpt, &vae->decoder);
    want_list(bind, vae->ckpt, &vae->encoder);
    cf_bind_ignore(bind, "quantizer.*");
    CF_TRY(cf_bind_end(bind, true, err));
    for (int i = 0; i < vae->decoder.n; i++) {
        const struct cf_vae_op *op = &vae->decoder.op[i];
        enum cf_status status =
            cf_vae_layer_open(&vae->layer[i], op, &vae->params, vae->dnn, err);

        if (status != CF_OK) {
            cf_wrap(err, "%s", op->name);
            return status;
        }
    }
    cf_ckpt_rest(vae->ckpt); /* what was packed is not read again */
    return CF_OK;
}

enum cf_status cf_vae_open(struct cf_vae **out, const struct cf_vae_shape *shape,
                           const char *path, struct cf_dnn *dnn, struct cf_error *err)
{
    struct cf_vae *vae = cf_calloc(1, sizeof(*vae), err);
    enum cf_status status;

    *out = NULL;
    if (vae == NULL)
        return CF_ENOMEM;
    vae->shape = *shape;
    vae->dnn = dnn;
    list_decoder(&vae->decoder, shape);
    list_encoder(&vae->encoder, shape);
    if (path != NULL && (status = open_file(vae, path, err)) != CF_OK) {
        cf_vae_close(vae);
        return status;
    }
    *out = vae;
    return CF_OK;
}

struct cf_held cf_vae_held(const struct cf_vae *vae)
{
    size_t floats = vae->params.count;

    for (int i = 0; vae->ckpt != NULL && i < vae->decoder.n; i++)
        for (int c = 0; c < 3; c++)
            if (vae->layer[i].conv[c] != NULL)
                floats += cf_conv_held(vae->layer[i].conv[c]);
    return (struct cf_held){.own = floats * sizeof(float)};
}

/* Floats of all that an op packs. */
static size_t op_floats(enum cf_cpu level, const struct cf_vae_op *op)
{
    size_t in = (size_t)op->in, out = (size_t)op->out;
    size_t first =
        op->kind == CF_VAE_DOWN
            ? cf_conv_needs(level, CF_CONV_DIRECT, op->in, op->out, 9)
            : cf_conv_needs(level, cf_vae_how(level, op, 0), op->in, op->out, 9);

    switch (op->kind) {
    case CF_VAE_RES:
        first += 2 * in + 4 * out +
                 cf_conv_needs(level, cf_vae_how(level, op, 1), op->out, op->out, 9);
        return in == out ? first : first + out * (in + 1);
    case CF_VAE_OUT:
        return first + 2 * in + out;
    default:
        return first + out;
    }
}

struct cf_vae_needs cf_vae_needs(const struct cf_vae_shape *shape, enum cf_cpu level)
{
    struct cf_vae_needs needs = {0};
    struct cf_vae_list list;

    list_decoder(&list, shape);
    for (int i = 0; i < list.n; i++)
        needs.decoder += op_floats(level, &list.op[i]) * sizeof(float);
    list_encoder(&list, shape);
    for (int i = 0; i < list.n; i++) {
        size_t bytes = op_floats(level, &list.op[i]) * sizeof(float);

        needs.encoder = bytes > needs.encoder ? bytes : needs.encoder;
    }
    return needs;
}

void cf_vae_close(struct cf_vae *vae)
{
    if (vae == NULL)
        return;
    for (int i = 0; i < vae->decoder.n; i++)
        cf_vae_layer_close(&vae->layer[i]);
    cf_params_close(&vae->params);
    cf_ckpt_close(vae->ckpt);
    cf_free(vae);
}

const struct cf_vae_shape *cf_vae_shape(const struct cf_vae *vae)
{
    return &vae->shape;
}

int cf_vae_has_encoder(const struct cf_vae *vae)
{
    return vae->encoder.n > 0;
}
void cf_vae_to_rgb(struct cf_image *image, const float *pixels)
{
    for (int y = 0; y < image->h; y++)
        for (int i = 0; i < image->w * 3; i++) {
            float x = pixels[(int64_t)y * image->w * 3 + i];
            float v = (fminf(fmaxf(x, -1.0f), 1.0f) + 1.0f) / 2.0f * 255.0f;

            image->rgb[(size_t)y * image->stride + (size_t)i] = (uint8_t)v;
        }
}

void cf_vae_from_rgb(float *pixels, const struct cf_image *image)
{
    for (int y = 0; y < image->h; y++)
        for (int i = 0; i < image->w * 3; i++)
            pixels[(int64_t)y * image->w * 3 + i] =
                (float)image->rgb[(size_t)y * image->stride + (size_t)i] / 255.0f * 2.0f -
                1.0f;
}
