/* gen.h - a generator: text features in, pixels out, coarse to fine, in steps.
 *
 * A generator is one file with one const struct cf_gen_ops. A step is a scale in
 * Infinity, a frequency level in FAR, a token group in DetailFlow. Images of one call
 * share size and sampling settings and are computed side by side; the bytes of an image
 * do not depend on which others stand beside it.
 *
 * Order: open; then per group of images plan, begin, step 0 .. n_step-1, decode; close.
 */
#ifndef CF_MODELS_GEN_H
#define CF_MODELS_GEN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/image.h"
#include "base/json.h"
#include "dnn/layer.h"
#include "textenc/textenc.h"

enum { CF_MAX_STEPS = 256, CF_MAX_INSERT = 64 };

/* How to sample; all of it goes into the image's record. */
struct cf_gen_params {
    int width, height;            /* pixels; 0: the model's default size */
    float guidance[CF_MAX_STEPS]; /* classifier-free guidance per step, 1 = off */
    int n_guidance; /* 0: the model's default; 1: for all steps; else n_step */
    float temperature[CF_MAX_STEPS]; /* > 0 per step */
    int n_temperature;               /* as n_guidance */
    int insert[CF_MAX_INSERT]; /* guidance insertion layers: 0 logits, -k after block
                                  depth - k */
    int n_insert;              /* 0: the model's default */
    int top_k;                 /* -1: the model's default; 0 off; 1 greedy */
    float top_p;               /* < 0: the model's default; 0 off */
    float flip[CF_MAX_STEPS];  /* probability of a wrong bit injected per step, into
                                  sampled and forced bits alike */
    int n_flip;                /* 0: none; 1: every step but the last; else n_step */
    int strict_size;           /* refuse a size that is no template of the model */
    int kv_type; /* what keys and values are kept in between steps: CF_F32 or CF_BF16
                    (enum cf_dtype); -1: the model's default */

    /* Approximations, 0 is exact. They count from the last step, so that they mean the
     * same for every size. */
    int cfg_skip;              /* guidance 1 at so many last steps, whatever is asked */
    float prune[CF_MAX_STEPS]; /* share 0..1 of the tokens that are left out and filled in
                                  from coarser steps ... */
    int n_prune;               /* ... at the last n_prune steps, in order */
};

/* Every field at "the model's default". */
void cf_gen_params_default(struct cf_gen_params *p);

struct cf_step {
    int h, w; /* token grid of this step */
    float guidance, temperature, flip;
    float prune; /* share of its tokens that are left out */
};

/* What it costs and how it goes: a pure function of generator, params and batch. */
struct cf_plan {
    struct cf_gen_params params; /* all defaults resolved */
    int width, height;           /* pixels that come out */
    int batch;                   /* images computed side by side */
    int n_step;
    struct cf_step step[CF_MAX_STEPS];
    int rope_h, rope_w;  /* grid that rotary positions are stretched to */
    int n_text_max;      /* largest number of text rows per prompt planned for */
    size_t arena_bytes;  /* high-water mark of begin .. decode, exact */
    size_t encode_bytes; /* high-water mark of encode's arena, which is there while it
                            runs; weights of the encoder come on top */
    char note[160];      /* why this size was taken when another was asked for; "" */
};

/* Multiplications and additions, by what does them (models/work.h). */
struct cf_work {
    double linear, self_attn, cross_attn, text, decoder;
};

/* One image of a batch. */
struct cf_gen_item {
    uint64_t seed;
    const struct cf_text *cond;
    const struct cf_text *negative; /* NULL: the learned null condition */
    const uint8_t *const *forced;   /* bits [h, w, d] 0/1 on the tokenizer grid of steps
                                       0 .. n_forced-1; NULL for none */
    int n_forced;
};

/* Watches intermediates (tests, previews). name is that of
 * tests/golden/infinity/README.md, data is borrowed for the call, shape row-major with
 * batch rows first. Exactly one of f and u8 is given. NULL see: nobody watches. */
struct cf_probe {
    void (*see)(void *ctx, const char *name, const float *f, const uint8_t *u8, int ndim,
                const int64_t *dim);
    void *ctx;
};

struct cf_gen;       /* a loaded generator; read-only after open but for layer scratch */
struct cf_gen_state; /* a running group; lives in the arena */

/* Files of one model. json is the manifest (weights/model.h); path the parts. Both paths
 * NULL: nothing is read, and of what open gives only plan, work, text_dim, held, rest and
 * close may be called, by those who want to know sizes and memory. */
struct cf_gen_files {
    const json_t *json;
    const char *transformer, *vae;
    enum cf_hold hold; /* of the transformer's matrices */
};

struct cf_gen_ops {
    const char *name;      /* "infinity" */
    const char *step_unit; /* "scale" */

    enum cf_status (*open)(struct cf_gen **gen, const struct cf_gen_files *files,
                           struct cf_dnn *dnn, struct cf_error *err);
    void (*close)(struct cf_gen *gen); /* NULL is fine */

    /* Memory of transformer and decoder; zeros after an open without files. */
    struct cf_held (*held)(const struct cf_gen *gen);

    /* Weights that are read in place leave this process's memory until the next image
     * reads them. For those who need the memory for something else in between. */
    void (*rest)(const struct cf_gen *gen);

    /* Width of the text features it was trained with. */
    int (*text_dim)(const struct cf_gen *gen);

    /* n_text_max: the longest text of the group in rows (conditional or negative). */
    enum cf_status (*plan)(const struct cf_gen *gen, const struct cf_gen_params *params,
                           int batch, int n_text_max, struct cf_plan *plan,
                           struct cf_error *err);

    /* The arithmetic of one step of a plan, or of begin (step -1) or of decode (step
     * plan->n_step), of the whole group. */
    struct cf_work (*work)(const struct cf_gen *gen, const struct cf_plan *plan,
                           int step);

    /* Items and their texts outlive the state. cancel and probe may be NULL. */
    enum cf_status (*begin)(const struct cf_gen *gen, const struct cf_plan *plan,
                            const struct cf_gen_item *item, struct cf_arena *arena,
                            struct cf_cancel *cancel, const struct cf_probe *probe,
                            struct cf_gen_state **state, struct cf_error *err);

    /* Steps run once each, in order. CF_ENUMERIC names the step where a value stopped
     * being finite; CF_ECANCEL is noticed between blocks. After a failure only the
     * arena's rewind may touch the state. */
    enum cf_status (*step)(struct cf_gen_state *state, int k, struct cf_error *err);

    /* Pixels of image i (0 .. batch-1) into image->rgb, which the caller owns with the
     * plan's width and height. After the last step the decoder works on the memory of the
     * transformer; a preview before that needs memory of its own, which is asked for and
     * freed within the call. */
    enum cf_status (*decode)(struct cf_gen_state *state, int i, struct cf_image *image,
                             struct cf_error *err);

    /* Image in, bits out: forced[s] of every step for cf_gen_item, as one fresh block.
     * *bits [sum of h*w*d over steps], *offset [n_step]; both freed by cf_free. The image
     * must have the plan's size. CF_EUNSUP when the model file has no encoder. */
    enum cf_status (*encode)(const struct cf_gen *gen, const struct cf_plan *plan,
                             const struct cf_image *image, uint8_t **bits,
                             size_t **offset, struct cf_error *err);
};

/* By name as in model.json; NULL if unknown. */
const struct cf_gen_ops *cf_gen_find(const char *name);

#endif
