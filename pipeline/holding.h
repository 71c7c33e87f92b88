/* holding.h - what a model's weights will take in memory, from the headers of its files
 * alone: known before anything is loaded.
 *
 * A matrix that is read in place counts as it lies in the file; one that is packed counts
 * as floats, and the decoder as its convolutions are packed (models/vae.h). The table of
 * embeddings, of which a few rows are read, counts as nothing. The image encoder, which
 * is there only for requests that begin with an image and packs a block at a time while
 * it runs, is counted apart. */
#ifndef CF_PIPELINE_HOLDING_H
#define CF_PIPELINE_HOLDING_H

#include "base/weight.h"
#include "dnn/layer.h"
#include "weights/model.h"

struct cf_holding {
    struct cf_held transformer, vae, text;
    struct cf_held image; /* encoder: mapped, all of its file; own, the largest block */
    size_t plain;         /* the decoder's weights as floats, not transformed */
    int64_t file_bytes;   /* of all these parts as they lie on disk */
    char weights[96];     /* for the record: "transformer bf16 mapped, text encoder f32
                             packed": both change how results are rounded */
};

/* How the model wants its matrices held. */
enum cf_hold cf_holding_hold(const struct cf_model *model);

/* level: of the instruction set, on which it depends how convolutions are packed; may be
 * CF_CPU_AUTO. Errors are those of cf_ckpt_open and cf_vae_parse. */
enum cf_status cf_holding_read(struct cf_holding *h, const struct cf_model *model,
                               enum cf_cpu level, struct cf_error *err);

#endif
