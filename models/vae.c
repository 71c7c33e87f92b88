#include "models/vae.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/layer.h"
#include "dnn/ops.h"
#include "dnn/resample.h"
#include "models/params.h"
#include "weights/bind.h"
#include "weights/config.h"

/* Encoder and decoder are straight lists of these. */
enum kind {
    CONV, /* 3x3 */
    RES,
    UP,   /* every pixel twice, 3x3 */
    DOWN, /* zeros right and bottom, 3x3 with stride 2 */
    OUT,  /* group norm, swish, 3x3 */
};

struct op {
    enum kind kind;
    char name[48]; /* up to the parts of a block: "decoder.up.3.block.0" */
    int in, out;   /* channels */
    struct cf_view norm[2][2], conv[3][2]; /* gain and shift; weight and bias */
};

/* What runs an op: conv1, conv2 and the shortcut of a block; else the first alone. */
struct packed {
    const float *gain[2], *shift[2], *bias[3];
    struct cf_conv *conv[3];
};

/* Two ends and two blocks in the middle; per level num_res + 1 blocks and a resize. */
enum { MAX_RES = 16, MAX_OPS = 5 + CF_VAE_MAX_LEVELS * (MAX_RES + 2) };

struct list {
    struct op op[MAX_OPS];
    int n;
};

struct cf_vae {
    struct cf_vae_shape shape;
    struct cf_dnn *dnn;
    struct cf_ckpt *ckpt;
    struct list decoder, encoder;  /* encoder.n == 0: the file has none */
    struct packed packed[MAX_OPS]; /* of the decoder */
    struct cf_params params;
};

static int groups(int c)
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
    CF_TRY(cf_config_int(json, "num_res_blocks", 1, MAX_RES, &s->num_res, where, err));
    CF_TRY(cf_config_int(json, "bits", 1, 64, &s->bits, where, err));
    CF_TRY(cf_config_int(json, "patch", 1, 64, &s->patch, where, err));
    if ((s->patch & (s->patch - 1)) != 0 || s->patch >> (s->levels - 1) > 1)
        return cf_fail(err, CF_EFORMAT,
                       "%s: patch %d, expected a power of two up to %d for %d levels",
                       where, s->patch, 1 << (s->levels - 1), s->levels);
    for (int l = 0; l < s->levels; l++)
        if (groups(s->base * s->ch_mult[l]) == 0)
            return cf_fail(
                err, CF_EUNSUP,
                "%s: level %d has %d channels, expected a multiple of 32 or 24", where, l,
                s->base * s->ch_mult[l]);
    return CF_OK;
}

/* ---- the two lists ---- */

static void add(struct list *l, enum kind kind, int in, int out, const char *fmt,
                int level, int block)
{
    struct op *op = &l->op[l->n++];

    memset(op, 0, sizeof(*op));
    op->kind = kind;
    op->in = in;
    op->out = out;
    snprintf(op->name, sizeof(op->name), fmt, level, block);
}

static void list_decoder(struct list *l, const struct cf_vae_shape *s)
{
    int c = s->base * s->ch_mult[s->levels - 1];

    l->n = 0;
    add(l, CONV, s->bits, c, "decoder.conv_in", 0, 0);
    add(l, RES, c, c, "decoder.mid.block_1", 0, 0);
    add(l, RES, c, c, "decoder.mid.block_2", 0, 0);
    for (int k = s->levels - 1; k >= 0; k--) {
        int to = s->base * s->ch_mult[k];

        for (int b = 0; b <= s->num_res; b++, c = to)
            add(l, RES, c, to, "decoder.up.%d.block.%d", k, b);
        if (k >= 1 && s->patch >> k >= 1)
            add(l, UP, c, c, "decoder.up.%d.upsample.conv", k, 0);
    }
    add(l, OUT, c, 3, "decoder", 0, 0);
}

static void list_encoder(struct list *l, const struct cf_vae_shape *s)
{
    int c = s->base;

    l->n = 0;
    add(l, CONV, 3, c, "encoder.conv_in", 0, 0);
    for (int k = 0; k < s->levels; k++) {
        int to = s->base * s->ch_mult[k];

        for (int b = 0; b < s->num_res; b++, c = to)
            add(l, RES, c, to, "encoder.down.%d.block.%d", k, b);
        if (s->patch >> (k + 1) >= 1)
            add(l, DOWN, c, c, "encoder.down.%d.downsample.conv", k, 0);
    }
    add(l, RES, c, c, "encoder.mid.block_1", 0, 0);
    add(l, RES, c, c, "encoder.mid.block_2", 0, 0);
    add(l, OUT, c, s->bits, "encoder", 0, 0);
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

static void want_list(struct cf_bind *b, const struct cf_ckpt *ckpt, struct list *l)
{
    for (int i = 0; i < l->n; i++) {
        struct op *op = &l->op[i];

        switch (op->kind) {
        case CONV:
        case UP:
        case DOWN:
            want_conv(b, ckpt, op->conv[0], op->name, "", op->out, op->in, 3);
            break;
        case RES:
            want_norm(b, ckpt, op->norm[0], op->name, ".norm1", op->in);
            want_conv(b, ckpt, op->conv[0], op->name, ".conv1", op->out, op->in, 3);
            want_norm(b, ckpt, op->norm[1], op->name, ".norm2", op->out);
            want_conv(b, ckpt, op->conv[1], op->name, ".conv2", op->out, op->out, 3);
            if (op->in != op->out)
                want_conv(b, ckpt, op->conv[2], op->name, ".nin_shortcut", op->out,
                          op->in, 1);
            break;
        case OUT:
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

static void unpack(struct packed *p)
{
    for (int i = 0; i < 3; i++)
        cf_conv_close(p->conv[i]);
    memset(p, 0, sizeof(*p));
}

static enum cf_status pack(struct packed *p, const struct op *op,
                           struct cf_params *params, struct cf_dnn *dnn,
                           struct cf_error *err)
{
    static const struct cf_conv_shape same = {1, 1, 1, 1, 1}, point = {1, 0, 0, 0, 0},
                                      half = {2, 0, 0, 1, 1};

    for (int i = 0; i < 2; i++) {
        CF_TRY(cf_params_floats(params, &p->gain[i], &op->norm[i][0], err));
        CF_TRY(cf_params_floats(params, &p->shift[i], &op->norm[i][1], err));
    }
    for (int i = 0; i < 3; i++) {
        if (op->conv[i][0].data == NULL)
            continue;
        CF_TRY(cf_params_floats(params, &p->bias[i], &op->conv[i][1], err));
        CF_TRY(cf_conv_open(&p->conv[i], dnn, &op->conv[i][0], p->bias[i],
                            i == 2             ? point
                            : op->kind == DOWN ? half
                                               : same,
                            err));
    }
    return CF_OK;
}

enum cf_status cf_vae_open(struct cf_vae **out, const struct cf_vae_shape *shape,
                           const char *path, struct cf_dnn *dnn, struct cf_error *err)
{
    struct cf_vae *vae = cf_calloc(1, sizeof(*vae), err);
    enum cf_status status = CF_ENOMEM;
    struct cf_bind *bind;

    *out = NULL;
    if (vae == NULL)
        return CF_ENOMEM;
    vae->shape = *shape;
    vae->dnn = dnn;
    if ((status = cf_ckpt_open(&vae->ckpt, path, err)) != CF_OK ||
        (status = check_bits(vae, err)) != CF_OK)
        goto out;
    list_decoder(&vae->decoder, shape);
    if (has_encoder(vae->ckpt))
        list_encoder(&vae->encoder, shape);

    bind = cf_bind_begin(vae->ckpt, err);
    want_list(bind, vae->ckpt, &vae->decoder);
    want_list(bind, vae->ckpt, &vae->encoder);
    cf_bind_ignore(bind, "quantizer.*");
    if ((status = cf_bind_end(bind, true, err)) != CF_OK)
        goto out;
    for (int i = 0; i < vae->decoder.n; i++) {
        status = pack(&vae->packed[i], &vae->decoder.op[i], &vae->params, dnn, err);
        if (status != CF_OK) {
            cf_wrap(err, "%s", vae->decoder.op[i].name);
            goto out;
        }
    }
    *out = vae;
    return CF_OK;
out:
    cf_vae_close(vae);
    return status;
}

void cf_vae_close(struct cf_vae *vae)
{
    if (vae == NULL)
        return;
    for (int i = 0; i < vae->decoder.n; i++)
        unpack(&vae->packed[i]);
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

/* ---- running ----
 *
 * Three buffers take turns: the picture, and two for the inside of a block. A walk
 * without buffers finds out how large each becomes, so that a plan and a run are the same
 * code. */

enum { NBUF = 3, STRIP = 64 }; /* STRIP: rows of a doubled picture, even */

struct walk {
    struct cf_dnn *dnn;
    int dry; /* only find the sizes */
    float *buf[NBUF];
    size_t need[NBUF]; /* floats */
    int x, a, b;       /* which buffer holds the picture, which are free */
    int h, w, c;       /* of the picture */
};

static void need(struct walk *k, int buf, int h, int w, int c)
{
    size_t n = (size_t)h * (size_t)w * (size_t)c;

    if (n > k->need[buf])
        k->need[buf] = n;
}

static void swap(int *p, int *q)
{
    int t = *p;

    *p = *q;
    *q = t;
}

static enum cf_status conv(struct walk *k, struct cf_conv *layer, int dst, int src, int h,
                           int w, int oh, int ow, int c, struct cf_error *err)
{
    need(k, dst, oh, ow, c);
    return k->dry ? CF_OK : cf_conv_run(layer, k->buf[dst], k->buf[src], h, w, err);
}

static void norm(struct walk *k, int dst, int src, int c, const float *gain,
                 const float *shift)
{
    need(k, dst, k->h, k->w, c);
    if (!k->dry)
        cf_groupnorm(k->dnn, k->buf[dst], k->buf[src], (int64_t)k->h * k->w, c, groups(c),
                     1e-6f, gain, shift, 1);
}

static enum cf_status run_res(struct walk *k, const struct op *op, const struct packed *p,
                              struct cf_error *err)
{
    int h = k->h, w = k->w, rest;

    if (op->in != op->out) {
        /* The wider picture ends with the shortcut and is then overwritten: the largest
         * pictures of a decoder are the inputs of such blocks. */
        CF_TRY(conv(k, p->conv[2], k->b, k->x, h, w, h, w, op->out, err));
        norm(k, k->x, k->x, op->in, p->gain[0], p->shift[0]);
        CF_TRY(conv(k, p->conv[0], k->a, k->x, h, w, h, w, op->out, err));
        norm(k, k->a, k->a, op->out, p->gain[1], p->shift[1]);
        CF_TRY(conv(k, p->conv[1], k->x, k->a, h, w, h, w, op->out, err));
        rest = k->b;
    } else {
        norm(k, k->a, k->x, op->in, p->gain[0], p->shift[0]);
        CF_TRY(conv(k, p->conv[0], k->b, k->a, h, w, h, w, op->out, err));
        norm(k, k->b, k->b, op->out, p->gain[1], p->shift[1]);
        CF_TRY(conv(k, p->conv[1], k->a, k->b, h, w, h, w, op->out, err));
        rest = k->a;
    }
    if (!k->dry)
        cf_add(k->dnn, k->buf[k->x], k->buf[rest], (int64_t)h * w * op->out);
    return CF_OK;
}

/* Doubled and convolved in strips of rows, so that the doubled picture never exists
 * whole. A strip brings two rows of its neighbours along; what the zero padding spoils is
 * dropped. */
static enum cf_status run_up(struct walk *k, const struct op *op, const struct packed *p,
                             struct cf_error *err)
{
    int h = k->h, w = k->w, oh = 2 * h, ow = 2 * w, whole = oh <= STRIP;
    int rows = whole ? oh : STRIP + 4;
    size_t in = (size_t)ow * (size_t)op->in, out = (size_t)ow * (size_t)op->out;

    need(k, k->a, rows, ow, whole ? op->in : op->in + op->out);
    need(k, k->b, oh, ow, op->out);
    for (int y = 0; !k->dry && y < oh; y += STRIP) {
        int end = y + STRIP < oh ? y + STRIP : oh;
        int from = y > 0 ? y / 2 - 1 : 0, to = end < oh ? end / 2 + 1 : h;
        float *twice = k->buf[k->a], *dst = k->buf[k->b];
        float *made = whole ? dst : twice + (size_t)rows * in;

        cf_upsample_nearest2(k->dnn, twice,
                             k->buf[k->x] + (size_t)from * (size_t)w * (size_t)op->in,
                             to - from, w, op->in);
        CF_TRY(cf_conv_run(p->conv[0], made, twice, 2 * (to - from), ow, err));
        if (!whole)
            memcpy(dst + (size_t)y * out, made + (size_t)(y - 2 * from) * out,
                   (size_t)(end - y) * out * sizeof(float));
    }
    swap(&k->x, &k->b);
    k->h = oh;
    k->w = ow;
    return CF_OK;
}

static enum cf_status run_op(struct walk *k, const struct op *op, const struct packed *p,
                             struct cf_error *err)
{
    int h = k->h, w = k->w;

    switch (op->kind) {
    case CONV:
        CF_TRY(conv(k, p->conv[0], k->a, k->x, h, w, h, w, op->out, err));
        swap(&k->x, &k->a);
        break;
    case RES:
        CF_TRY(run_res(k, op, p, err));
        break;
    case UP:
        CF_TRY(run_up(k, op, p, err));
        break;
    case DOWN:
        CF_TRY(conv(k, p->conv[0], k->a, k->x, h, w, h / 2, w / 2, op->out, err));
        swap(&k->x, &k->a);
        k->h /= 2;
        k->w /= 2;
        break;
    case OUT:
        norm(k, k->a, k->x, op->in, p->gain[0], p->shift[0]);
        CF_TRY(conv(k, p->conv[0], k->b, k->a, h, w, h, w, op->out, err));
        swap(&k->x, &k->b);
        break;
    }
    k->c = op->out;
    return CF_OK;
}

/* packed NULL: each op is packed before it runs and freed after it. */
static enum cf_status run_list(const struct cf_vae *vae, struct walk *k,
                               const struct list *l, const struct packed *packed,
                               struct cf_cancel *cancel, struct cf_error *err)
{
    enum cf_status status = CF_OK;

    for (int i = 0; i < l->n && status == CF_OK; i++) {
        struct packed own = {0};
        struct cf_params params = {0};

        if (k->dry || packed != NULL) {
            status = k->dry ? CF_OK : cf_cancel_check(cancel, err);
            if (status == CF_OK)
                status = run_op(k, &l->op[i], k->dry ? &own : &packed[i], err);
            continue;
        }
        if ((status = cf_cancel_check(cancel, err)) == CF_OK &&
            (status = pack(&own, &l->op[i], &params, vae->dnn, err)) == CF_OK)
            status = run_op(k, &l->op[i], &own, err);
        unpack(&own);
        cf_params_close(&params);
    }
    return status;
}

/* src [h, w, c] through a list; *dst lies in the arena. */
static enum cf_status run(const struct cf_vae *vae, float **dst, const float *src, int h,
                          int w, int c, const struct list *l, const struct packed *packed,
                          struct cf_arena *arena, struct cf_cancel *cancel,
                          struct cf_error *err)
{
    struct walk dry = {.dnn = vae->dnn, .dry = 1, .x = 0, .a = 1, .b = 2, .h = h, .w = w};
    struct walk wet = dry;
    size_t mark = cf_arena_mark(arena);
    enum cf_status status = CF_OK;

    *dst = NULL;
    need(&dry, dry.x, h, w, c);
    CF_TRY(run_list(vae, &dry, l, NULL, NULL, err));
    for (int i = 0; i < NBUF && status == CF_OK; i++)
        status = cf_arena_get(arena, &wet.buf[i], dry.need[i], sizeof(float), err);
    if (status == CF_OK && !arena->measuring) {
        wet.dry = 0;
        memcpy(wet.buf[0], src, (size_t)h * (size_t)w * (size_t)c * sizeof(float));
        status = run_list(vae, &wet, l, packed, cancel, err);
        *dst = wet.buf[wet.x];
        if (status == CF_OK &&
            !cf_all_finite(vae->dnn, *dst, (int64_t)wet.h * wet.w * wet.c))
            status = cf_fail(err, CF_ENUMERIC, "%s: a value is not finite",
                             packed ? "decoder" : "encoder");
    }
    cf_arena_rewind(arena, mark);
    return status;
}

enum cf_status cf_vae_decode(const struct cf_vae *vae, const float **pixels,
                             const float *latent, int h, int w, struct cf_arena *arena,
                             struct cf_cancel *cancel, struct cf_error *err)
{
    int patch = vae->shape.patch;
    float *p;

    CF_TRY(run(vae, &p, latent, h, w, vae->shape.bits, &vae->decoder, vae->packed, arena,
               cancel, err));
    for (int64_t i = 0; p != NULL && i < (int64_t)h * w * patch * patch * 3; i++)
        p[i] = fminf(fmaxf(p[i], -1.0f), 1.0f);
    *pixels = p;
    return CF_OK;
}

enum cf_status cf_vae_encode(const struct cf_vae *vae, const float **latent,
                             const float *pixels, int h, int w, struct cf_arena *arena,
                             struct cf_cancel *cancel, struct cf_error *err)
{
    int patch = vae->shape.patch;
    float *p;

    *latent = NULL;
    if (vae->encoder.n == 0)
        return cf_fail(err, CF_EUNSUP, "%s: the file has no encoder",
                       cf_ckpt_path(vae->ckpt));
    if (h < patch || w < patch || h % patch != 0 || w % patch != 0)
        return cf_fail(err, CF_ERANGE, "image %d x %d: expected multiples of %d", w, h,
                       patch);
    CF_TRY(run(vae, &p, pixels, h, w, 3, &vae->encoder, NULL, arena, cancel, err));
    *latent = p;
    return CF_OK;
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
