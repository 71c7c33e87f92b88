/* t5_config.h - config.json of a T5 v1.1 model (flan-t5 among them), encoder fields.
 *
 * What changes the result and is not done here is refused with its name: the plain ReLU
 * of T5 v1.0, any activation but the gated tanh-GELU, quantized weights. Decoder fields
 * are not looked at.
 * transformers configuration_t5.py. */
#ifndef CF_TEXTENC_T5_CONFIG_H
#define CF_TEXTENC_T5_CONFIG_H

#include "base/error.h"
#include "base/json.h"

struct cf_t5_config {
    int hidden;       /* d_model, 1 .. 65536 */
    int layers;       /* num_layers, 1 .. 1024 */
    int heads;        /* num_heads, 1 .. 1024 */
    int head_dim;     /* d_kv, 1 .. 256; heads * head_dim need not be hidden */
    int intermediate; /* d_ff, width of the gated MLP */
    int vocab;        /* rows of the embedding; the tokenizer may use fewer */
    int buckets;      /* of distances, both signs together; 32 where the file is silent */
    int max_distance; /* from here on all share a bucket; 128 where the file is silent */
    double eps;
};

/* where names the file in messages. CF_EFORMAT for a missing, mistyped or impossible
 * field; CF_EUNSUP for another model or a feature we lack. */
enum cf_status cf_t5_config_read(struct cf_t5_config *c, const json_t *root,
                                 const char *where, struct cf_error *err);

enum cf_status cf_t5_config_load(struct cf_t5_config *c, const char *path,
                                 struct cf_error *err);

#endif
