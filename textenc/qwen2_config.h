/* qwen2_config.h - config.json of a Qwen2, Qwen2.5, Qwen2-VL (text part) or Qwen3 model.
 *
 * Files come in three dialects: flat, flat with rope_parameters and dtype (newer), and
 * with everything nested in text_config (multimodal). What changes the result and is not
 * done here is refused with its name: rope scaling other than mrope (which for text alone
 * is plain rotary), a sliding window in use, another activation, attention biases on
 * Qwen3, quantized weights. transformers configuration_qwen2.py, configuration_qwen3.py.
 */
#ifndef CF_TEXTENC_QWEN2_CONFIG_H
#define CF_TEXTENC_QWEN2_CONFIG_H

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"

struct cf_qwen2_config {
    bool qwen3;
    int hidden;       /* H, 1 .. 65536 */
    int layers;       /* L, 1 .. 1024 */
    int heads;        /* query heads */
    int kv_heads;     /* divides heads */
    int head_dim;     /* even; heads * head_dim need not be H in Qwen3 */
    int intermediate; /* I, width of the gated MLP */
    int vocab;        /* rows of the embedding; the tokenizer may use fewer */
    bool tied;        /* lm_head is the embedding; an encoder reads neither as a head */
    bool qkv_bias;    /* Qwen2 always, Qwen3 never */
    bool qk_norm;     /* Qwen3: RMS norm of each head of q and k */
    double rope_theta;
    double eps;
    int pad_id; /* pad_token_id, -1 where the file names none */
};

/* where names the file in messages. CF_EFORMAT for a missing, mistyped or impossible
 * field; CF_EUNSUP for another model or a feature we lack. */
enum cf_status cf_qwen2_config_read(struct cf_qwen2_config *c, const json_t *root,
                                    const char *where, struct cf_error *err);

enum cf_status cf_qwen2_config_load(struct cf_qwen2_config *c, const char *path,
                                    struct cf_error *err);

#endif
