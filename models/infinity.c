#include "models/infinity.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "dnn/ops.h"
#include "models/sampler.h"
#include "models/work.h"

/* ---- watching ---- */

static void see(const struct cf_gen_state *st, const float *f, const uint8_t *u8,
                int ndim, const int64_t *dim, const char *fmt, va_list ap)
{
    char name[64];

    vsnprintf(name, sizeof(name), fmt, ap);
    st->probe->see(st->probe->ctx, name, f, u8, ndim, dim);
}

void cf_inf_see(const struct cf_gen_state *st, const float *f, int ndim,
                const int64_t *dim, const char *fmt, ...)
{
    va_list ap;

    if (st->probe == NULL)
        return;
    va_start(ap, fmt);
    see(st, f, NULL, ndim, dim, fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 5, 6))) static void see_u8(const struct cf_gen_state *st,
                                                         const uint8_t *u8, int ndim,
                                                         const int64_t *dim,
                                                         const char *fmt, ...)
{
    va_list ap;

    if (st->probe == NULL)
        return;
    va_start(ap, fmt);
    see(st, NULL, u8, ndim, dim, fmt, ap);
    va_end(ap);
}

/* [n, h, w, c] shown as [n, c, h, w], the order of the recorded tensors. */
static void see_planes(const struct cf_gen_state *st, const float *f, int64_t n, int h,
                       int w, int c, const char *name)
{
    int64_t dim[4] = {n, c, h, w}, hw = (int64_t)h * w;
    float *t;

    if (st->probe == NULL)
        return;
    t = cf_alloc((size_t)(n * hw), (size_t)c * sizeof(float), NULL);
    for (int64_t b = 0; t != NULL && b < n; b++)
        for (int64_t i = 0; i < hw; i++)
            for (int64_t k = 0; k < c; k++)
                t[(b * c + k) * hw + i] = f[(b * hw + i) * c + k];
    if (t != NULL)
        cf_inf_see(st, t, 4, dim, "%s", name);
    cf_free(t);
}

static void see_bits(const struct cf_gen_state *st, int s, struct cf_scale grid)
{
    int64_t n = (int64_t)grid.h * grid.w, d = st->gen->shape.bits;
    int64_t dim[4] = {st->batch, grid.h, grid.w, d};
    uint8_t *t;

    if (st->probe == NULL)
        return;
    t = cf_alloc((size_t)(st->batch * n), (size_t)d, NULL);
    for (int b = 0; t != NULL && b < st->batch; b++)
        cf_bsq_to_bytes(t + b * n * d, st->code + (int64_t)b * st->full.h * st->full.w, n,
                        (int)d);
    if (t != NULL)
        see_u8(st, t, 4, dim, "sc%d.bits", s);
    cf_free(t);
}

/* ---- opening ---- */

/* Says in one sentence what each file is, before shapes are listed one by one. ckpt NULL:
 * from the manifest alone. */
static enum cf_status check_pairing(const struct cf_gen *gen,
                                    const struct cf_vae_shape *vae,
                                    const struct cf_ckpt *ckpt, struct cf_error *err)
{
    const struct cf_inf_shape *s = &gen->shape;
    const struct cf_view *word = ckpt ? cf_ckpt_find(ckpt, "word_embed.weight") : NULL;

    if (s->bits != vae->bits)
        return cf_fail(err, CF_EMISMATCH,
                       "the transformer predicts %d bits per position, the VAE reads %d",
                       s->bits, vae->bits);
    if (word != NULL && word->ndim == 2 && word->dtype != CF_U8 && word->dim[1] != s->dv)
        return cf_fail(
            err, CF_EMISMATCH,
            "%s: a transformer of %lld bits per token, expected %d (%d per position "
            "of the VAE%s)",
            cf_ckpt_path(ckpt), (long long)word->dim[1], s->dv, s->bits,
            s->patchify ? ", 4 positions per token" : "");
    if (gen->sizes.released && gen->px != 16)
        return cf_fail(
            err, CF_EMISMATCH,
            "sizes.templates: tokens of 16 pixels expected, a token of this VAE "
            "covers %d",
            gen->px);
    return CF_OK;
}

static enum cf_status parse(struct cf_gen *gen, struct cf_vae_shape *vae,
                            const json_t *json, struct cf_error *err)
{
    json_t *section;

    CF_TRY(cf_json_obj(json, "infinity", &section, "model.json", err));
    CF_TRY(cf_inf_parse(&gen->shape, section, err));
    CF_TRY(cf_json_obj(json, "vae", &section, "model.json", err));
    CF_TRY(cf_vae_parse(vae, section, err));
    CF_TRY(cf_json_obj(json, "sizes", &section, "model.json", err));
    CF_TRY(cf_sizes_parse(&gen->sizes, section, err));
    CF_TRY(cf_json_obj(json, "sampling", &section, "model.json", err));
    gen->px = vae->patch * (gen->shape.patchify ? 2 : 1);
    return cf_inf_defaults_parse(&gen->defaults, section, &gen->shape, err);
}

static void inf_close(struct cf_gen *gen)
{
    if (gen == NULL)
        return;
    cf_inf_weights_close(&gen->w, gen->shape.depth);
    cf_ckpt_close(gen->ckpt); /* after the layers that read it */
    cf_vae_close(gen->vae);
    cf_free(gen);
}

/* Nothing is read: a plan takes the rows of lvl_embed for enough. */
static enum cf_status open_shape(struct cf_gen *gen, const struct cf_vae_shape *vae,
                                 struct cf_error *err)
{
    CF_TRY(check_pairing(gen, vae, NULL, err));
    gen->w.n_level = CF_MAX_SCALES;
    return cf_vae_open(&gen->vae, vae, NULL, gen->dnn, err);
}

static enum cf_status open_files(struct cf_gen *gen, const struct cf_vae_shape *vae,
                                 const struct cf_gen_files *files, struct cf_error *err)
{
    if (files->transformer == NULL || files->vae == NULL)
        return cf_fail(err, CF_EUSAGE, "%s without %s: a model is both files",
                       files->vae ? "a VAE" : "a transformer",
                       files->vae ? "a transformer" : "a VAE");
    CF_TRY(cf_ckpt_open(&gen->ckpt, files->transformer, err));
    CF_TRY(check_pairing(gen, vae, gen->ckpt, err));
    CF_TRY(cf_vae_open(&gen->vae, vae, files->vae, gen->dnn, err));
    CF_TRY(
        cf_inf_weights_open(&gen->w, &gen->shape, gen->ckpt, gen->dnn, files->hold, err));
    if (gen->w.held.mapped == 0) {
        cf_ckpt_close(gen->ckpt);
        gen->ckpt = NULL;
    }
    return CF_OK;
}

static enum cf_status inf_open(struct cf_gen **out, const struct cf_gen_files *files,
                               struct cf_dnn *dnn, struct cf_error *err)
{
    struct cf_gen *gen = cf_calloc(1, sizeof(*gen), err);
    struct cf_vae_shape vae;
    enum cf_status status;

    *out = NULL;
    if (gen == NULL)
        return CF_ENOMEM;
    gen->dnn = dnn;
    if ((status = parse(gen, &vae, files->json, err)) == CF_OK)
        status = files->transformer == NULL && files->vae == NULL
                     ? open_shape(gen, &vae, err)
                     : open_files(gen, &vae, files, err);
    if (status != CF_OK) {
        inf_close(gen);
        return status;
    }
    *out = gen;
    return CF_OK;
}

static struct cf_held inf_held(const struct cf_gen *gen)
{
    struct cf_held held = gen->w.held, vae = cf_vae_held(gen->vae);

    held.own += vae.own;
    return held;
}

static void inf_rest(const struct cf_gen *gen)
{
    if (gen->ckpt != NULL)
        cf_ckpt_rest(gen->ckpt);
}

static int inf_text_dim(const struct cf_gen *gen)
{
    return gen->shape.text;
}

/* ---- a group of images ---- */

/* cs and sn [nf] of one index. */
static void turn(float *cs, float *sn, const float *freq, int nf, int index)
{
    for (int j = 0; j < nf; j++) {
        cs[j] = cosf((float)index * freq[j]);
        sn[j] = sinf((float)index * freq[j]);
    }
}

/* Token i of a grid w wide turns with its row as the first token of the row does, and
 * with its column as the first token of the column. */
static void spread(float *table, int64_t i, int w, int half)
{
    size_t bytes = (size_t)(half / 2) * sizeof(float);

    if (i % w != 0)
        memcpy(table + i * half, table + i / w * w * half, bytes);
    if (i >= w)
        memcpy(table + i * half + half / 2, table + i % w * half + half / 2, bytes);
}

void cf_inf_rope(float *cs, float *sn, const struct cf_schedule *sched, int hd)
{
    int half = hd / 2, nf = hd / 4;
    float freq[CF_INF_MAX_HEAD / 4];

    /* In float32 all the way, as the reference. */
    for (int j = 0; j < nf; j++)
        freq[j] = 1.0f / powf(10000.0f, (float)(2 * j) / (float)half);
    for (int s = 0; s < sched->n; s++) {
        struct cf_scale g = sched->scale[s];
        int64_t n = (int64_t)g.h * g.w;

        for (int y = 0; y < g.h; y++)
            turn(cs + (int64_t)y * g.w * half, sn + (int64_t)y * g.w * half, freq, nf,
                 cf_rope_index(y, g.h, sched->rope.h));
        for (int x = 0; x < g.w; x++)
            turn(cs + x * half + nf, sn + x * half + nf, freq, nf,
                 cf_rope_index(x, g.w, sched->rope.w));
        for (int64_t i = 0; i < n; i++) {
            spread(cs, i, g.w, half);
            spread(sn, i, g.w, half);
        }
        cs += n * half;
        sn += n * half;
    }
}

/* ---- work that nobody asks for ---- */

/* Whether some image draws its bits at scale s, or somebody watches. */
static bool sampled(const struct cf_gen_state *st, int s)
{
    for (int b = 0; b < st->batch; b++)
        if (st->item[b].forced == NULL || s >= st->item[b].n_forced)
            return true;
    return st->probe != NULL;
}

/* Whether the transformer has to run: bits are forced from the first scale on, so that
 * the last one is drawn if any is. */
static bool wanted(const struct cf_gen_state *st)
{
    return sampled(st, st->plan.n_step - 1);
}

/* Rows that somebody reads behind the first b blocks of scale s: the unconditional half,
 * which comes last, as long as it is still mixed in at this scale or its cache is read at
 * a later one. */
static int rows_read(const struct cf_gen_state *st, int s, int b)
{
    const struct cf_gen_params *p = &st->plan.params;
    int depth = st->gen->shape.depth;

    for (int t = s + 1; t < st->plan.n_step; t++)
        if (st->plan.step[t].guidance != 1.0f)
            return st->rows;
    for (int i = 0; i < p->n_insert && st->plan.step[s].guidance != 1.0f; i++)
        if (p->insert[i] == 0 || depth + p->insert[i] >= b)
            return st->rows;
    return st->batch;
}

static enum cf_status inf_begin(const struct cf_gen *gen, const struct cf_plan *plan,
                                const struct cf_gen_item *item, struct cf_arena *arena,
                                struct cf_cancel *cancel, const struct cf_probe *probe,
                                struct cf_gen_state **out, struct cf_error *err)
{
    struct cf_gen_state *st;

    *out = NULL;
    CF_TRY(cf_arena_get(arena, &st, 1, sizeof(*st), err));
    memset(st, 0, sizeof(*st));
    CF_TRY(cf_inf_carve(st, gen, plan, arena, err));
    st->arena = arena;
    st->used = cf_arena_mark(arena);
    st->cancel = cancel;
    st->probe = probe != NULL && probe->see != NULL ? probe : NULL;
    memcpy(st->item, item, (size_t)st->batch * sizeof(*item));
    for (int b = 0; b < st->batch; b++)
        if (item[b].forced != NULL &&
            (item[b].n_forced < 0 || item[b].n_forced > plan->n_step))
            return cf_fail(err, CF_ERANGE, "bits forced for %d scales, the plan has %d",
                           item[b].n_forced, plan->n_step);
    memset(st->sum, 0,
           (size_t)st->batch * (size_t)st->full.h * (size_t)st->full.w *
               (size_t)gen->shape.bits * sizeof(float));
    if (wanted(st)) {
        cf_inf_rope(st->cs, st->sn, &st->sched, gen->shape.hd);
        CF_TRY(cf_inf_text(st, err));
    }
    *out = st;
    return CF_OK;
}

/* x [rows, n, c]: what scale s reads, the same for both halves from scale 1 on */
static enum cf_status input(struct cf_gen_state *st, int s, int64_t n,
                            struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    const struct cf_inf_weights *w = &st->gen->w;
    int64_t c = shape->c, per = (int64_t)st->full.h * st->full.w * shape->bits;
    size_t half = (size_t)(st->batch * n * c) * sizeof(float);

    st->rows = rows_read(st, s, 0);
    if (s == 0) {
        memcpy(st->x, st->cond, (size_t)(st->rows * c) * sizeof(float));
        cf_add_row(st->gen->dnn, st->x, w->pos_start, st->rows, (int)c);
        return CF_OK;
    }
    for (int b = 0; b < st->batch; b++)
        cf_bsq_input(st->gen->dnn, st->tok + b * n * shape->dv, st->sum + b * per,
                     st->full, st->sched.scale[s], shape->bits, shape->patchify,
                     st->work);
    cf_inf_see(st, st->tok, 3, (int64_t[]){st->batch, n, shape->dv}, "sc%d.tok", s);
    CF_TRY(cf_linear_run(w->word, st->x, st->tok, (int)(st->batch * n), err));
    cf_inf_see(st, st->x, 3, (int64_t[]){st->batch, n, c}, "sc%d.emb", s);
    if (st->rows > st->batch)
        memcpy(st->x + st->batch * n * c, st->x, half);
    return CF_OK;
}

static int inserts(const struct cf_gen_state *st, int layer)
{
    for (int i = 0; i < st->plan.params.n_insert; i++)
        if (st->plan.params.insert[i] == layer)
            return 1;
    return 0;
}

static enum cf_status blocks(struct cf_gen_state *st, int s, struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    struct cf_dnn *dnn = st->gen->dnn;
    const float *level = st->gen->w.level + (int64_t)s * shape->c;
    int64_t n = cf_inf_run(st, s), half = st->batch * n * shape->c;
    float cfg = st->plan.step[s].guidance;
    int per = shape->depth / shape->chunks;

    for (int b = 0; b < shape->depth; b++) {
        CF_TRY(cf_cancel_check(st->cancel, err));
        if (b > 0 && b % per == 0 && !shape->level_first_only)
            cf_add_row(dnn, st->x, level, st->rows * n, shape->c);
        CF_TRY(cf_inf_block(st, s, b, err));
        if (b > 0 && cfg != 1.0f && inserts(st, b - shape->depth)) {
            cf_mix(dnn, st->x, st->x, cfg, st->x + half, 1.0f - cfg, half);
            st->rows = rows_read(st, s, b + 1);
            if (st->rows > st->batch)
                memcpy(st->x + half, st->x, (size_t)half * sizeof(float));
        }
    }
    return CF_OK;
}

/* x [rows, n, c]: what comes out of the blocks at scale s */
static enum cf_status transform(struct cf_gen_state *st, int s, int64_t n,
                                struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    const float *level = st->gen->w.level + (int64_t)s * shape->c;

    CF_TRY(input(st, s, n, err));
    cf_add_row(st->gen->dnn, st->x, level, st->rows * n, shape->c);
    cf_inf_prune_before(st, s);
    if (cf_inf_run(st, s) > 0)
        CF_TRY(blocks(st, s, err));
    cf_inf_prune_after(st, s);
    return CF_OK;
}

/* logits [batch, n, 2 dv], guided and divided by the temperature */
static enum cf_status head(struct cf_gen_state *st, int s, int64_t n,
                           struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    struct cf_dnn *dnn = st->gen->dnn;
    float cfg = st->plan.step[s].guidance, tau = st->plan.step[s].temperature;
    int mixed = cfg != 1.0f && inserts(st, 0), rows = mixed ? st->rows : st->batch;
    int64_t c = shape->c, wide = 2 * shape->dv, size = st->batch * n * wide;

    cf_adaln(dnn, st->y, st->x, rows, n, shape->c, shape->eps, st->head_ada,
             st->head_ada + c, 2 * c);
    cf_inf_see(st, st->y, 3, (int64_t[]){rows, n, c}, "sc%d.head_norm", s);
    CF_TRY(cf_linear_run(st->gen->w.head, st->logits, st->y, (int)(rows * n), err));
    cf_inf_see(st, st->logits, 3, (int64_t[]){rows, n, wide}, "sc%d.head", s);
    if (mixed)
        cf_mix(dnn, st->logits, st->logits, cfg / tau, st->logits + size,
               (1.0f - cfg) / tau, size);
    else
        for (int64_t i = 0; i < size; i++)
            st->logits[i] /= tau;
    cf_inf_see(st, st->logits, 3, (int64_t[]){st->batch, n, wide}, "sc%d.logits", s);
    if (cf_fault_hit("nan", "scale", s))
        st->logits[0] = NAN;
    if (!cf_all_finite(dnn, st->logits, size))
        return cf_fail(err, CF_ENUMERIC, "scale %d: a logit is not finite", s);
    return CF_OK;
}

/* Draws or forces, and spoils the bits of image b and adds them to its running sum. */
static void choose(struct cf_gen_state *st, int s, int b, int64_t n)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    const struct cf_gen_params *p = &st->plan.params;
    const struct cf_gen_item *item = &st->item[b];
    int64_t positions = (int64_t)st->full.h * st->full.w;
    uint64_t *code = st->code + b * positions;
    bool forced = item->forced != NULL && s < item->n_forced;
    struct cf_scale grid = st->sched.scale[s];
    int d = shape->bits;

    if (!forced) {
        cf_sample_bits(st->bits, st->logits + b * n * 2 * shape->dv, n, shape->dv,
                       p->top_k, p->top_p, item->seed, (uint32_t)s);
        cf_bsq_pack(code, st->bits, grid, d, shape->patchify);
    }
    if (shape->patchify) {
        grid.h *= 2;
        grid.w *= 2;
    }
    n = (int64_t)grid.h * grid.w;
    if (forced)
        cf_bsq_from_bytes(code, item->forced[s], n, d);
    cf_bsq_flip(code, n, d, st->plan.step[s].flip, item->seed, (uint32_t)s);
    cf_bsq_add_scale(st->gen->dnn, st->sum + b * positions * d, st->full, code, grid, d,
                     st->work);
}

static enum cf_status inf_step(struct cf_gen_state *st, int k, struct cf_error *err)
{
    int f = st->gen->shape.patchify ? 2 : 1;
    int64_t n;

    if (k != st->done || k >= st->plan.n_step)
        return cf_fail(err, CF_EBUG, "scale %d asked for, %d of %d done", k, st->done,
                       st->plan.n_step);
    n = (int64_t)st->plan.step[k].h * st->plan.step[k].w;
    if (wanted(st))
        CF_TRY(transform(st, k, n, err));
    if (sampled(st, k))
        CF_TRY(head(st, k, n, err));
    for (int b = 0; b < st->batch; b++)
        choose(st, k, b, n);
    see_bits(st, k, (struct cf_scale){st->plan.step[k].h * f, st->plan.step[k].w * f});
    st->done = k + 1;
    if (st->done == st->plan.n_step)
        see_planes(st, st->sum, st->batch, st->full.h, st->full.w, st->gen->shape.bits,
                   "summed_codes");
    return CF_OK;
}

/* ---- pixels ---- */

static enum cf_status decode_in(struct cf_gen_state *st, int i, struct cf_image *image,
                                struct cf_arena *arena, struct cf_error *err)
{
    int64_t per = (int64_t)st->full.h * st->full.w * st->gen->shape.bits;
    const float *pixels;

    CF_TRY(cf_vae_decode(st->gen->vae, &pixels, st->sum + i * per, st->full.h, st->full.w,
                         arena, st->cancel, err));
    see_planes(st, pixels, 1, st->plan.height, st->plan.width, 3, "img");
    cf_vae_to_rgb(image, pixels);
    return CF_OK;
}

/* A preview: the transformer's memory is in use, so the decoder gets its own. */
static enum cf_status decode_apart(struct cf_gen_state *st, int i, struct cf_image *image,
                                   struct cf_error *err)
{
    const float *pixels;
    struct cf_arena own;
    enum cf_status status;

    cf_arena_measure(&own);
    CF_TRY(cf_vae_decode(st->gen->vae, &pixels, NULL, st->full.h, st->full.w, &own, NULL,
                         err));
    CF_TRY(cf_arena_open(&own, own.high, err));
    status = decode_in(st, i, image, &own, err);
    cf_arena_close(&own);
    return status;
}

static enum cf_status inf_decode(struct cf_gen_state *st, int i, struct cf_image *image,
                                 struct cf_error *err)
{
    if (i < 0 || i >= st->batch)
        return cf_fail(err, CF_ERANGE, "image %d of a batch of %d", i, st->batch);
    if (image->w != st->plan.width || image->h != st->plan.height)
        return cf_fail(err, CF_ERANGE, "image of %d x %d, planned %d x %d", image->w,
                       image->h, st->plan.width, st->plan.height);
    if (st->done < st->plan.n_step || cf_arena_mark(st->arena) != st->used)
        return decode_apart(st, i, image, err);
    cf_arena_rewind(st->arena, st->mark);
    st->used = st->mark;
    return decode_in(st, i, image, st->arena, err);
}

/* ---- image to bits ---- */

struct encoder {
    struct cf_arena arena;
    struct cf_scale full;
    int n; /* scales */
    float *pixels, *sum, *work;
    uint64_t *code;
};

static enum cf_status encode_latent(const struct cf_gen *gen, const struct cf_plan *plan,
                                    const struct cf_image *image, struct encoder *e,
                                    const float **latent, struct cf_error *err)
{
    size_t positions = (size_t)e->full.h * (size_t)e->full.w;
    size_t d = (size_t)gen->shape.bits;

    cf_arena_rewind(&e->arena, 0);
    CF_TRY(cf_arena_get(&e->arena, &e->pixels, (size_t)plan->width * (size_t)plan->height,
                        3 * sizeof(float), err));
    CF_TRY(cf_arena_get(&e->arena, &e->sum, positions, d * sizeof(float), err));
    CF_TRY(cf_arena_get(&e->arena, &e->work, cf_bsq_work(e->full, gen->shape.bits),
                        sizeof(float), err));
    CF_TRY(cf_arena_get(&e->arena, &e->code, positions, sizeof(*e->code), err));
    if (!e->arena.measuring) {
        cf_vae_from_rgb(e->pixels, image);
        memset(e->sum, 0, positions * d * sizeof(float));
    }
    return cf_vae_encode(gen->vae, latent, e->pixels, plan->height, plan->width,
                         &e->arena, NULL, err);
}

static enum cf_status encode_scales(const struct cf_gen *gen, const struct cf_plan *plan,
                                    struct encoder *e, const float *latent, uint8_t *bits,
                                    size_t *offset, struct cf_error *err)
{
    int f = gen->shape.patchify ? 2 : 1, d = gen->shape.bits;
    size_t at = 0;

    for (int s = 0; s < plan->n_step; s++) {
        struct cf_scale grid = {plan->step[s].h * f, plan->step[s].w * f};
        int64_t n = (int64_t)grid.h * grid.w;

        CF_TRY(cf_bsq_residual(gen->dnn, e->code, latent, e->sum, e->full, grid, d,
                               e->work, err));
        cf_bsq_add_scale(gen->dnn, e->sum, e->full, e->code, grid, d, e->work);
        cf_bsq_to_bytes(bits + at, e->code, n, d);
        offset[s] = at;
        at += (size_t)n * (size_t)d;
    }
    return CF_OK;
}

enum cf_status cf_inf_encode_bytes(const struct cf_gen *gen, const struct cf_plan *plan,
                                   size_t *bytes, struct cf_error *err)
{
    const struct cf_step *last = &plan->step[plan->n_step - 1];
    int f = gen->shape.patchify ? 2 : 1;
    struct encoder e = {.full = {last->h * f, last->w * f}};
    const float *latent;

    *bytes = 0;
    if (!cf_vae_has_encoder(gen->vae))
        return CF_OK;
    cf_arena_measure(&e.arena);
    CF_TRY(encode_latent(gen, plan, NULL, &e, &latent, err));
    *bytes = e.arena.high;
    return CF_OK;
}

static enum cf_status inf_encode(const struct cf_gen *gen, const struct cf_plan *plan,
                                 const struct cf_image *image, uint8_t **bits,
                                 size_t **offset, struct cf_error *err)
{
    const struct cf_step *last = &plan->step[plan->n_step - 1];
    int f = gen->shape.patchify ? 2 : 1;
    struct encoder e = {.full = {last->h * f, last->w * f}};
    enum cf_status status;
    const float *latent;
    size_t total = 0;

    *bits = NULL;
    *offset = NULL;
    if (image->w != plan->width || image->h != plan->height)
        return cf_fail(err, CF_ERANGE, "image of %d x %d, planned %d x %d", image->w,
                       image->h, plan->width, plan->height);
    for (int s = 0; s < plan->n_step; s++)
        total += (size_t)(plan->step[s].h * f) * (size_t)(plan->step[s].w * f);
    cf_arena_measure(&e.arena);
    CF_TRY(encode_latent(gen, plan, image, &e, &latent, err));
    CF_TRY(cf_arena_open(&e.arena, e.arena.high, err));

    *bits = cf_alloc(total, (size_t)gen->shape.bits, err);
    *offset = cf_alloc((size_t)plan->n_step, sizeof(**offset), err);
    status = *bits != NULL && *offset != NULL ? CF_OK : CF_ENOMEM;
    if (status == CF_OK &&
        (status = encode_latent(gen, plan, image, &e, &latent, err)) == CF_OK)
        status = encode_scales(gen, plan, &e, latent, *bits, *offset, err);
    if (status != CF_OK) {
        cf_free(*bits);
        cf_free(*offset);
        *bits = NULL;
        *offset = NULL;
    }
    cf_arena_close(&e.arena);
    return status;
}

static struct cf_work inf_work(const struct cf_gen *gen, const struct cf_plan *plan,
                               int step)
{
    return cf_inf_work(&gen->shape, gen->vae, plan, step);
}

const struct cf_gen_ops cf_gen_infinity = {
    .name = "infinity",
    .step_unit = "scale",
    .open = inf_open,
    .close = inf_close,
    .held = inf_held,
    .rest = inf_rest,
    .text_dim = inf_text_dim,
    .plan = cf_inf_plan,
    .work = inf_work,
    .begin = inf_begin,
    .step = inf_step,
    .decode = inf_decode,
    .encode = inf_encode,
};
