/* infinity.h - inside of the Infinity generator, shared by its files and its tests.
 *
 * A transformer that writes an image coarse to fine: at scale s it reads the running sum
 * of codes brought to grid s and predicts all d bits of every token of the grid at once,
 * each bit by its own two logits. Text enters three times: pooled as the first token,
 * pooled as modulation of every norm (adaptive layer norm), and token by token in cross
 * attention.
 *
 *     x_0 = cond + pos_start;  x_s = embed(input(sum))        one scale, n tokens
 *     x += gamma1 * proj(attn(rope(l2(q)) * scale_h, rope(l2(k)), v))    keys of all
 * scales x += proj(cross(q, text k, v)) x += gamma2 * fc2(gelu(fc1(z))) y, z = LN(x) (1 +
 * scale) + shift bits ~ softmax(head(LN(x) ...) / tau), guided; sum += up(bits)
 *
 * Files: infinity_weights.c (geometry, binding, packing), infinity_plan.c (sizes,
 * defaults, memory), infinity_text.c (text path), infinity_block.c (block),
 * infinity_prune.c (an approximation), infinity.c (the loop).
 *
 * Details that bite:
 * - the six modulation vectors come as gamma1, gamma2, scale1, scale2, shift1, shift2
 * - q is scaled by exp(min(scale_mul, ln 100)), the clamp being on the logarithm;
 * attention itself has scale 1; cross attention has 1/sqrt(hd) and neither normalisation
 * nor rotary
 * - keys are cached after normalisation and rotation, in f32 or rounded to bf16; those of
 *   the last scale are not kept beyond their block
 * - rotary positions are stretched to the finest grid (schedule.h); pairs are interleaved
 * - the level embedding is added to scale 0 too
 * - where guidance is exactly 1 at a scale nothing is mixed, but both halves run as long
 *   as a later scale is guided, which reads the cache of both; the unconditional half
 * ends with the block after which nobody reads it
 * - an unconditional row is as long as its prompt: the first T rows of cfg_uncond. So all
 *   of them share one text, as do equal prompts
 *
 * Infinity, arXiv 2412.04431; infinity/models/{infinity,basic}.py. */
#ifndef CF_MODELS_INFINITY_H
#define CF_MODELS_INFINITY_H

#include <stdbool.h>
#include <stdint.h>

#include "dnn/kv.h"
#include "dnn/layer.h"
#include "models/bsq.h"
#include "models/gen.h"
#include "models/params.h"
#include "models/schedule.h"
#include "models/vae.h"
#include "weights/checkpoint.h"

enum { CF_INF_MAX_HEAD = 256 };

extern const struct cf_gen_ops cf_gen_infinity; /* models/gen.h */

/* The "infinity" object of model.json. */
struct cf_inf_shape {
    int c;         /* embed_dim */
    int depth;     /* num of blocks */
    int heads, hd; /* hd = c / heads, a multiple of 4 */
    int mlp;       /* mlp_hidden */
    int bits;      /* per tokenizer position */
    int dv;        /* per token: bits, or 4 * bits with spatial_patchify */
    int text;      /* text_width */
    int text_max;  /* text_maxlen */
    int pool_heads;
    int chunks; /* block_chunks; 1: keys are named blocks.b */
    bool patchify;
    bool level_first_only; /* level embedding before block 0 alone, or before every chunk
                            */
    float eps;
};

struct cf_inf_block {
    const float *ada;                   /* [6, c] */
    const float *scale;                 /* [heads] exp(min(scale_mul, ln 100)) */
    const float *ca_norm_w, *ca_norm_b; /* [c] */
    struct cf_linear *q, *kv, *proj;    /* c -> c, c -> 2c (keys first), c -> c */
    struct cf_linear *ca_q, *ca_kv, *ca_proj;
    struct cf_linear *fc1, *fc2;
};

struct cf_inf_weights {
    const float *cfg_uncond; /* [n_uncond, text] */
    int n_uncond;
    const float *text_norm; /* [text] */
    const float *pool_q;    /* [c] */
    const float *pos_start; /* [c] */
    const float *level;     /* [n_level, c] */
    int n_level;
    struct cf_linear *pool_kv, *pool_proj; /* text -> 2c, c -> c */
    struct cf_linear *text_ca1, *text_ca2; /* text -> c -> c */
    struct cf_linear *word, *ada, *head_ada, *head;
    struct cf_inf_block *block; /* [depth] */
    struct cf_params params;    /* owns every vector above */
    struct cf_held held;
};

enum cf_status cf_inf_parse(struct cf_inf_shape *shape, const json_t *json,
                            struct cf_error *err);

/* Every tensor that is missing, misshaped or unknown is told at once. The checkpoint
 * outlives w where w->held.mapped says that something is read from it. On failure w may
 * be half-built: close it all the same. */
enum cf_status cf_inf_weights_open(struct cf_inf_weights *w,
                                   const struct cf_inf_shape *shape,
                                   const struct cf_ckpt *ckpt, struct cf_dnn *dnn,
                                   enum cf_hold hold, struct cf_error *err);
void cf_inf_weights_close(struct cf_inf_weights *w, int depth);

/* Defaults of "sampling". */
struct cf_inf_defaults {
    float cfg[CF_MAX_SCALES], tau[CF_MAX_SCALES];
    int n_cfg, n_tau;
    int insert[CF_MAX_INSERT], n_insert;
    int top_k;
    float top_p;
    enum cf_dtype kv;
};

struct cf_gen {
    struct cf_inf_shape shape;
    struct cf_inf_defaults defaults;
    struct cf_sizes sizes;
    int px; /* pixels per token and side */
    struct cf_inf_weights w;
    struct cf_ckpt *ckpt; /* NULL where all of w is our own */
    struct cf_vae *vae;
    struct cf_dnn *dnn;
};

/* Bytes of encode's arena for a plan whose sizes are known; 0: the VAE has no encoder. */
enum cf_status cf_inf_encode_bytes(const struct cf_gen *gen, const struct cf_plan *plan,
                                   size_t *bytes, struct cf_error *err);

enum cf_status cf_inf_defaults_parse(struct cf_inf_defaults *d, const json_t *json,
                                     const struct cf_inf_shape *shape,
                                     struct cf_error *err);

/* Cosines and sines [tokens of all scales, hd/2] of the grids of a schedule: pair j <
 * hd/4 turns with the row, the others with the column. Each is worked out once per row
 * and column of a grid. */
void cf_inf_rope(float *cs, float *sn, const struct cf_schedule *sched, int hd);

enum { CF_INF_ROWS = 1024 }; /* rows of a feed-forward or key/value product at a time */

/* Rows: the prompts, then with guidance as many unconditional ones. Everything lies in
 * the arena: first what decoding needs, then what only the transformer needs (from mark
 * on), which decoding reuses after the last step. */
struct cf_gen_state {
    const struct cf_gen *gen;
    struct cf_plan plan;
    struct cf_schedule sched;
    struct cf_arena *arena;
    struct cf_cancel *cancel;
    const struct cf_probe *probe;
    size_t mark, used; /* of the arena: transformer starts, begin ended */
    int done;          /* steps that ran */
    int batch;
    int rows; /* that run: 2 * batch as long as guidance reads the second half, then batch
               */
    struct cf_scale full;     /* finest grid of the tokenizer */
    struct cf_gen_item *item; /* [batch] */
    float *sum;               /* [batch, full.h, full.w, bits] */

    int64_t n_max, n_all;              /* tokens: largest scale, all scales */
    int64_t run_at[CF_MAX_SCALES + 1]; /* tokens of a row that run before each scale */
    int64_t n_work;   /* tokens of all rows of the scale with most of them */
    int64_t n_change; /* the same of the scales before pruned ones; 0: none */
    /* Of the conditional and of the unconditional rows, in blocks of keys (dnn/kv.h):
     * what is kept before their last scale, and the caches of one row. */
    int64_t n_kept[2], n_cache[2];
    int *text_n;             /* [rows] text rows of each row */
    int64_t *text_at;        /* [rows] where they start in the packed text */
    int64_t n_text;          /* rows of the packed text, in which equal ones are one */
    float *cond;             /* [rows, c] */
    float *ada;              /* [rows, 6, c] */
    float *head_ada;         /* [rows, 2, c] */
    char *cross;             /* see cf_inf_cross */
    char *kv;                /* see cf_inf_kv */
    float *cs, *sn;          /* [n_all, hd/2] */
    struct cf_attn_seq *seq; /* [rows] */
    float *mod;              /* [rows, 6, c] of the block at hand */
    float *x, *y, *q, *att;  /* [rows, n, c], n_work tokens */
    float *wide;             /* [min(n_work, CF_INF_ROWS), max(mlp, 2c)] */
    float *tok;              /* [batch, n_max, dv] */
    float *logits;           /* [rows, n, 2 dv], n_work tokens */
    uint8_t *bits;           /* [n_max, dv] */
    uint64_t *code;          /* [batch, full.h * full.w] */
    float *work;             /* cf_bsq_work */

    /* Where tokens are pruned (infinity_prune.c), else NULL. */
    int32_t *kept;   /* [batch, cf_inf_run] of the scale at hand, which run; ascending */
    float *change;   /* [rows, n, c] out - in of scale whole_scale, which ran whole */
    int whole_scale; /* the last one before those that are pruned */
    float *whole;    /* as x */
    double *mean;    /* [c] */

    /* While begin runs, on the memory of x and what follows; t = n_text at most rows *
     * n_text_max. */
    float *text, *text_kv;   /* [t, text], [t, 2c] of the pooling, then of each block */
    float *text_a, *text_ca; /* [t, c] each */
    float *pooled;           /* [rows, c] */
};

static inline enum cf_dtype cf_inf_kv_type(const struct cf_gen_state *st)
{
    return (enum cf_dtype)st->plan.params.kv_type;
}

/* Self attention, and the shape of the caches of both attentions. */
static inline struct cf_attn cf_inf_attn(const struct cf_gen_state *st)
{
    const struct cf_inf_shape *s = &st->gen->shape;

    return (struct cf_attn){s->heads, s->heads, s->hd, 1.0f, cf_inf_kv_type(st)};
}

/* Bytes of so many blocks of a cache (dnn/kv.h). */
static inline int64_t cf_inf_kv_bytes(const struct cf_gen_state *st, int64_t blocks)
{
    struct cf_attn a = cf_inf_attn(st);

    return blocks * cf_kv_block(&a) * (int64_t)cf_dtype_size(a.kv);
}

/* Tokens of a row that run the blocks at scale s. */
static inline int64_t cf_inf_run(const struct cf_gen_state *st, int s)
{
    return st->run_at[s + 1] - st->run_at[s];
}

/* Keys and values of transformer block b and row r, a cache with room for n_kept blocks
 * of keys. Transformer blocks lie in descending order, so that in the last scale that the
 * row runs, when they run one by one and nothing is read again, the cache of b grows over
 * that of b-1, which is done; the region ends with room for that of 0 to grow. */
static inline void *cf_inf_kv(const struct cf_gen_state *st, int b, int r)
{
    int null = r >= st->batch;
    int64_t at = null ? st->batch * st->n_cache[0] + (r - st->batch) * st->n_cache[1]
                      : r * st->n_cache[0];

    at += (st->gen->shape.depth - 1 - b) * st->n_kept[null];
    return st->kv + cf_inf_kv_bytes(st, at);
}

/* Keys and values of the text of row r for transformer block b, a cache made once per
 * image; rows with the same text share it. */
static inline void *cf_inf_cross(const struct cf_gen_state *st, int b, int r)
{
    int64_t room = cf_kv_blocks(st->plan.n_text_max);

    for (int q = 0; q < r; q++)
        if (st->text_at[q] == st->text_at[r])
            r = q;
    return st->cross +
           cf_inf_kv_bytes(st, ((int64_t)r * st->gen->shape.depth + b) * room);
}

/* infinity_plan.c */
enum cf_status cf_inf_plan(const struct cf_gen *gen, const struct cf_gen_params *params,
                           int batch, int n_text_max, struct cf_plan *plan,
                           struct cf_error *err);
/* Fills st's shapes and cuts its arrays from arena, for real or measuring. */
enum cf_status cf_inf_carve(struct cf_gen_state *st, const struct cf_gen *gen,
                            const struct cf_plan *plan, struct cf_arena *arena,
                            struct cf_error *err);

/* infinity_text.c: text_n, text_at, n_text, cond, ada, head_ada and cross from the
 * items. */
enum cf_status cf_inf_text(struct cf_gen_state *st, struct cf_error *err);

/* infinity_block.c: block b on st->x, [rows, n, c], scale s. */
enum cf_status cf_inf_block(struct cf_gen_state *st, int s, int b, struct cf_error *err);

/* infinity_prune.c: around the blocks of scale s, x being [rows, n, c] outside of them
 * and [rows, cf_inf_run, c] inside. Nothing where neither this scale nor the next is
 * pruned.
 */
void cf_inf_prune_before(struct cf_gen_state *st, int s);
void cf_inf_prune_after(struct cf_gen_state *st, int s);

/* Show an intermediate to whoever watches; name is a printf format. */
void cf_inf_see(const struct cf_gen_state *st, const float *f, int ndim,
                const int64_t *dim, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
