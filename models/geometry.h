/* geometry.h - the Infinity transformers that the paper and its code name, as data.
 *
 * Width, depth, heads, and what goes with them: the tokenizer whose bits they predict,
 * the encoder whose features they read, the sizes they were trained for and the settings
 * their authors sample with. Released are 2b (1M pixels), 8b (1M) and 8b-512 (0.25M, the
 * same geometry); a 125m at 0.06M goes round among users; the rest is of the paper's
 * scaling study, but its two largest (40 blocks of width 2688, 48 of 3360), which nobody
 * has. 20b is left out: how its blocks are grouped is not known.
 * infinity/models/infinity.py and scripts/infer.sh. */
#ifndef CF_MODELS_GEOMETRY_H
#define CF_MODELS_GEOMETRY_H

#include "models/infinity.h"
#include "models/schedule.h"
#include "models/vae.h"

struct cf_geometry {
    const char *name; /* "infinity-2b" */
    struct cf_inf_shape shape;
    struct cf_vae_shape vae;
    const char *vae_name;    /* as its file is called: "infinity_vae_d32_reg" */
    const char *encoder;     /* textenc/known.h: "flan-t5-xl" */
    int allowed[CF_CLASSES]; /* size classes as in struct cf_sizes */
    int trained[CF_CLASSES];
    double cfg, tau, top_p;
    int top_k, insert; /* insert: cfg_insertion_layer */
};

/* NULL behind the last. */
const struct cf_geometry *cf_geometry_at(int i);

/* CF_EUSAGE for an unknown name lists them all. */
enum cf_status cf_geometry_find(const struct cf_geometry **g, const char *name,
                                struct cf_error *err);

/* The first with this width, depth, heads and MLP, whatever bits it predicts and whatever
 * text it reads; NULL if there is none. */
const struct cf_geometry *cf_geometry_match(const struct cf_inf_shape *shape);

/* "infinity_vae_d16" ... for the released tokenizers; NULL for another. Of those that
 * differ in nothing but their weights (d32, d32_reg) the one that the released
 * transformer needs. */
const char *cf_geometry_vae_name(const struct cf_vae_shape *vae);

#endif
