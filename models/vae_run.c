/* vae_run.c - a picture through a list of operations, in bands of rows.
 *
 * At high resolution a picture of many channels is a gigabyte, so there are only two: the
 * one there is and the one that is made of it. What a 3x3 convolution reads, normalised
 * or doubled, is never whole: cf_conv_rows makes what it needs of it on the way. Where it
 * needs memory for each row it is asked for (the plain convolution), or where a shortcut
 * has to be kept until it is added, the rows come in bands. Values do not depend on the
 * height of bands: each row of output is the same sum in the same order, and GroupNorm
 * takes its statistics from the whole picture beforehand.
 *
 * A residual block
 *
 *     y = conv1(swish(GN(x))),   x = skip(x) + conv2(swish(GN(y)))
 *
 * overwrites x as it goes: conv2 is added where x's rows were. Where the block changes
 * the channels, rows of the new x begin elsewhere than those of the old: a narrower
 * picture is written front to back, a wider one back to front, so that no row is lost
 * before its skip was taken. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "dnn/ops.h"
#include "models/vae_part.h"
#include "weights/checkpoint.h"

enum {
    BAND_FLOATS =
        1 << 20,    /* of a band, about: 4 MiB, what the caches next to the cores hold */
    BAND_ROWS = 16, /* at least, for a team to share and halo rows to be few */
    SKIP_FLOATS = 1 << 21, /* of a shortcut's rows, about: 8 MiB */
};

/* Pieces of scratch; a walk without them finds out how large each becomes, so that a plan
 * and a run are the same code. */
enum buffer {
    ONE, /* the pictures */
    OTHER,
    WORK, /* of cf_conv_rows */
    SKIP, /* rows of a shortcut */
    NORM, /* [2, c]: factor and term of each channel */
    NBUF
};

struct walk {
    const struct cf_vae *vae;
    int dry; /* only find the sizes */
    float *buf[NBUF];
    size_t need[NBUF]; /* floats */
    enum buffer x, y;  /* the picture there is, the one being made */
    int h, w, c;       /* of x */
};

/* A 3x3 convolution over a whole picture. */
struct pass {
    struct cf_conv *conv;
    struct cf_conv_pass from;
    int h, w;    /* of what comes out */
    int in, out; /* channels */
    int band;    /* rows of a band; the last may have fewer */
};

static void need(struct walk *k, enum buffer buf, int h, int w, int c)
{
    size_t n = (size_t)h * (size_t)w * (size_t)c;

    if (n > k->need[buf])
        k->need[buf] = n;
}

/* y becomes the picture. */
static void turn(struct walk *k, int h, int w)
{
    enum buffer x = k->x;

    k->x = k->y;
    k->y = x;
    k->h = h;
    k->w = w;
}

/* ---- a pass ---- */

/* As even as possible: each height may be a kernel of its own that is made and kept. */
static int band_rows(const struct walk *k, const struct pass *p, enum cf_conv_how how,
                     int shortcut)
{
    int whole = cf_conv_bands_itself(how), n;
    int64_t line = (int64_t)p->w * (p->in > p->out ? p->in : p->out);
    int64_t most = whole ? p->h : BAND_FLOATS / line;

    if (k->vae->band > 0)
        return k->vae->band;
    if (shortcut && most > SKIP_FLOATS / ((int64_t)p->w * p->out))
        most = SKIP_FLOATS / ((int64_t)p->w * p->out);
    most = most > BAND_ROWS ? most : BAND_ROWS;
    n = (int)((p->h + most - 1) / most);
    return (p->h + n - 1) / n;
}

/* Convolution i of an op: the first is over x, the second of a block over y. */
static struct pass begin(struct walk *k, const struct cf_vae_op *op,
                         const struct cf_vae_layer *l, int i)
{
    int twice = op->kind == CF_VAE_UP, in = i == 0 ? op->in : op->out;
    int norm = op->kind == CF_VAE_RES || op->kind == CF_VAE_OUT;
    struct pass p = {.conv = l->conv[i],
                     .from = {.src = k->buf[i == 0 ? k->x : k->y],
                              .h = k->h,
                              .w = k->w,
                              .twice = twice},
                     .h = k->h << twice,
                     .w = k->w << twice,
                     .in = in,
                     .out = op->out};
    enum cf_conv_how how = cf_vae_how(cf_dnn_level(k->vae->dnn), op, i);
    int rows, onto = i == 1 && op->in == op->out;
    size_t work;

    p.band = band_rows(k, &p, how, i == 1 && !onto);
    rows = p.band < p.h ? p.band : p.h;
    work = cf_conv_work(k->vae->dnn, how, in, op->out, &p.from, rows, onto);
    if (work > k->need[WORK])
        k->need[WORK] = work;
    if (!norm)
        return p;
    need(k, NORM, 2, 1, in);
    if (!k->dry) {
        p.from.mul = k->buf[NORM];
        p.from.add = k->buf[NORM] + in;
        cf_groupnorm_stats(k->vae->dnn, k->buf[NORM], k->buf[NORM] + in, p.from.src,
                           (int64_t)p.h * p.w, in, cf_vae_groups(in), 1e-6f, l->gain[i],
                           l->shift[i]);
    }
    return p;
}

/* ---- operations ---- */

/* All of a pass into y. */
static enum cf_status convolve(struct walk *k, const struct pass *p, struct cf_error *err)
{
    size_t line = (size_t)p->w * (size_t)p->out;

    need(k, k->y, p->h, p->w, p->out);
    for (int y = 0; !k->dry && y < p->h; y += p->band) {
        int rows = p->h - y < p->band ? p->h - y : p->band;

        CF_TRY(cf_conv_rows(p->conv, k->buf[k->y] + (size_t)y * line, NULL, &p->from, y,
                            rows, k->buf[WORK], err));
    }
    return CF_OK;
}

/* The same rows of x become skip + convolution. */
static enum cf_status add_rows(struct walk *k, const struct pass *p, int in,
                               struct cf_conv *shortcut, int y, int rows,
                               struct cf_error *err)
{
    size_t at = (size_t)y * (size_t)p->w;
    float *x = k->buf[k->x], *to = x + at * (size_t)p->out, *skip = to;

    if (in != p->out) {
        skip = k->buf[SKIP];
        CF_TRY(cf_conv_run(shortcut, skip, x + at * (size_t)in, rows, p->w, err));
    }
    return cf_conv_rows(p->conv, to, skip, &p->from, y, rows, k->buf[WORK], err);
}

static enum cf_status run_res(struct walk *k, const struct cf_vae_op *op,
                              const struct cf_vae_layer *l, struct cf_error *err)
{
    struct pass p = begin(k, op, l, 0);
    int n;

    CF_TRY(convolve(k, &p, err));
    p = begin(k, op, l, 1);
    n = (p.h + p.band - 1) / p.band;
    need(k, k->x, k->h, k->w, op->out);
    if (op->in != op->out)
        need(k, SKIP, p.band < p.h ? p.band : p.h, k->w, op->out);
    for (int i = 0; !k->dry && i < n; i++) {
        int y = (op->out > op->in ? n - 1 - i : i) * p.band;
        int rows = p.h - y < p.band ? p.h - y : p.band;

        CF_TRY(add_rows(k, &p, op->in, l->conv[2], y, rows, err));
    }
    return CF_OK;
}

static enum cf_status run_op(struct walk *k, const struct cf_vae_op *op,
                             const struct cf_vae_layer *l, struct cf_error *err)
{
    struct pass p;

    switch (op->kind) {
    case CF_VAE_CONV:
    case CF_VAE_UP:
    case CF_VAE_OUT:
        p = begin(k, op, l, 0);
        CF_TRY(convolve(k, &p, err));
        turn(k, p.h, p.w);
        break;
    case CF_VAE_RES:
        CF_TRY(run_res(k, op, l, err));
        break;
    case CF_VAE_DOWN:
        need(k, k->y, k->h / 2, k->w / 2, op->out);
        if (!k->dry)
            CF_TRY(cf_conv_run(l->conv[0], k->buf[k->y], k->buf[k->x], k->h, k->w, err));
        turn(k, k->h / 2, k->w / 2);
        break;
    }
    k->c = op->out;
    return CF_OK;
}

/* layer NULL: each op is packed before it runs and freed after it. */
static enum cf_status run_list(struct walk *k, const struct cf_vae_list *l,
                               const struct cf_vae_layer *layer, struct cf_cancel *cancel,
                               struct cf_error *err)
{
    enum cf_status status = CF_OK;

    for (int i = 0; i < l->n && status == CF_OK; i++) {
        struct cf_vae_layer own = {0};
        struct cf_params params = {0};

        if (k->dry || layer != NULL) {
            status = k->dry ? CF_OK : cf_cancel_check(cancel, err);
            if (status == CF_OK)
                status = run_op(k, &l->op[i], k->dry ? &own : &layer[i], err);
            continue;
        }
        if ((status = cf_cancel_check(cancel, err)) == CF_OK &&
            (status = cf_vae_layer_open(&own, &l->op[i], &params, k->vae->dnn, err)) ==
                CF_OK)
            status = run_op(k, &l->op[i], &own, err);
        cf_vae_layer_close(&own);
        cf_params_close(&params);
    }
    return status;
}

/* src [h, w, c] through a list; *dst lies in the arena. */
static enum cf_status run(const struct cf_vae *vae, float **dst, const float *src, int h,
                          int w, int c, const struct cf_vae_list *l,
                          const struct cf_vae_layer *layer, struct cf_arena *arena,
                          struct cf_cancel *cancel, struct cf_error *err)
{
    struct walk dry = {
        .vae = vae, .dry = 1, .x = ONE, .y = OTHER, .h = h, .w = w, .c = c};
    struct walk wet = dry;
    size_t mark = cf_arena_mark(arena);
    enum cf_status status = CF_OK;

    assert(arena->measuring || vae->ckpt != NULL);
    *dst = NULL;
    need(&dry, dry.x, h, w, c);
    CF_TRY(run_list(&dry, l, NULL, NULL, err));
    for (int i = 0; i < NBUF && status == CF_OK; i++)
        status = cf_arena_get(arena, &wet.buf[i], dry.need[i], sizeof(float), err);
    if (status == CF_OK && !arena->measuring) {
        wet.dry = 0;
        memcpy(wet.buf[wet.x], src, (size_t)h * (size_t)w * (size_t)c * sizeof(float));
        status = run_list(&wet, l, layer, cancel, err);
        *dst = wet.buf[wet.x];
        if (status == CF_OK &&
            !cf_all_finite(vae->dnn, *dst, (int64_t)wet.h * wet.w * wet.c))
            status = cf_fail(err, CF_ENUMERIC, "%s: a value is not finite",
                             layer ? "decoder" : "encoder");
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

    CF_TRY(run(vae, &p, latent, h, w, vae->shape.bits, &vae->decoder, vae->layer, arena,
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
