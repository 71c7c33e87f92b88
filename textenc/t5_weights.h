/* t5_weights.h - the tensors of a T5 v1.1 encoder, found, checked and packed.
 *
 * Names are those of transformers. The embedding is shared.weight or
 * encoder.embed_tokens.weight, the same data under either name. decoder.*, lm_head and
 * whatever else there is are skipped. */
#ifndef CF_TEXTENC_T5_WEIGHTS_H
#define CF_TEXTENC_T5_WEIGHTS_H

#include "dnn/layer.h"
#include "textenc/t5_config.h"
#include "weights/checkpoint.h"

enum cf_t5_lin {
    CF_T5_Q,
    CF_T5_K,
    CF_T5_V,
    CF_T5_O,
    CF_T5_GATE, /* wi_0 */
    CF_T5_UP,   /* wi_1 */
    CF_T5_DOWN, /* wo */
    CF_T5_NLIN
};

struct cf_t5_layer {
    struct cf_linear *lin[CF_T5_NLIN];
    float *attn_norm, *mlp_norm; /* [d_model] */
};

struct cf_t5_weights {
    struct cf_ckpt *ckpt;   /* owned: embed and mapped layers point into it */
    struct cf_weight embed; /* [V, d_model] in the file; gathered, never read whole */
    float *distance;        /* [buckets, heads] added to scores, the same in all layers */
    float *norm;            /* [d_model] */
    struct cf_t5_layer *layer; /* [n_layers] */
    int n_layers;
    struct cf_held held; /* without embed */
    /* Floats of a head between the projections: head_dim rounded up to what attention
     * takes (dnn/attn.h). Q, K and V give [heads * wide], zeros behind head_dim, and O
     * takes as much; where that spreads the heads, all four are packed copies. */
    int wide;
};

/* The first n_layers layers (1 .. c->layers), the embedding, the table of distances and
 * the final norm. Whatever is missing or of another shape is named, all of it at once. On
 * failure w is as cf_t5_weights_close leaves it. */
enum cf_status cf_t5_weights_open(struct cf_t5_weights *w, struct cf_dnn *dnn,
                                  const struct cf_t5_config *c, const char *path,
                                  int n_layers, enum cf_hold hold, struct cf_error *err);
void cf_t5_weights_close(struct cf_t5_weights *w); /* a zeroed struct is fine */

#endif
