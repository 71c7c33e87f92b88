/* qwen2_weights.h - the tensors of a Qwen2 or Qwen3 decoder, found, checked and packed.
 *
 * Names are those of transformers; what stands before them ("model.", nothing,
 * "model.language_model.") is learnt from the one name that ends in embed_tokens.weight.
 */
#ifndef CF_TEXTENC_QWEN2_WEIGHTS_H
#define CF_TEXTENC_QWEN2_WEIGHTS_H

#include "dnn/layer.h"
#include "textenc/qwen2_config.h"
#include "weights/checkpoint.h"

enum cf_qwen2_lin {
    CF_QWEN2_Q,
    CF_QWEN2_K,
    CF_QWEN2_V,
    CF_QWEN2_O,
    CF_QWEN2_GATE,
    CF_QWEN2_UP,
    CF_QWEN2_DOWN,
    CF_QWEN2_NLIN
};

struct cf_qwen2_layer {
    struct cf_linear *lin[CF_QWEN2_NLIN];
    float *attn_norm, *mlp_norm; /* [H] */
    float *q_norm, *k_norm;      /* [hd], Qwen3 alone */
};

struct cf_qwen2_weights {
    struct cf_ckpt *ckpt;         /* owned: embed and mapped layers point into it */
    struct cf_weight embed;       /* [V, H] in the file; gathered, never read whole */
    float *norm;                  /* [H] */
    struct cf_qwen2_layer *layer; /* [n_layers] */
    int n_layers;
    struct cf_held held; /* without embed */
};

/* The first n_layers layers (1 .. c->layers), the embedding and the final norm. Unknown
 * names are skipped, lm_head too; whatever is missing or of another shape is named, all
 * of it at once. On failure w is as cf_qwen2_weights_close leaves it. */
enum cf_status cf_qwen2_weights_open(struct cf_qwen2_weights *w, struct cf_dnn *dnn,
                                     const struct cf_qwen2_config *c, const char *path,
                                     int n_layers, enum cf_hold hold,
                                     struct cf_error *err);
void cf_qwen2_weights_close(struct cf_qwen2_weights *w); /* a zeroed struct is fine */

#endif
