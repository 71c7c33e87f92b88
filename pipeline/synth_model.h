/* synth_model.h - a whole model of random weights, or a text encoder alone.
 *
 * The model is what the released one of that name would be after conversion: the same
 * tensors, flags, sizes and defaults; only what it paints is noise.
 * Its vocabulary is that of the installed model for a T5, whose real one is nobody's to
 * make up, and the 256 bytes for a Qwen2: a token a byte. */
#ifndef CF_PIPELINE_SYNTH_MODEL_H
#define CF_PIPELINE_SYNTH_MODEL_H

#include "base/weight.h"
#include "dnn/dnn.h"
#include "models/geometry.h"
#include "textenc/known.h"

/* Numbers that replace those of a known geometry; 0: as they are. What goes with a number
 * follows it: heads keep their width, the MLP its ratio, chunks divide the depth. */
struct cf_synth_change {
    int embed_dim, depth, heads, mlp, bits, base_channels;
    int text_width, text_layers, text_vocab;
};

struct cf_synth_options {
    const char *geometry; /* of models/geometry.h, or of textenc/known.h: it alone */
    const char *encoder;  /* of textenc/known.h; NULL: that of the geometry */
    enum cf_wtype type, text_type;
    int group; /* of CF_W_Q4 */
    uint64_t seed;
    struct cf_synth_change change;
    bool pack; /* "hold" of the manifest; else map */
    bool force;
    const char *model_path; /* $CFGEN_MODEL_PATH, for the vocabulary; may be NULL */
};

/* Makes dir. CF_EUSAGE for an unknown name (lists the known ones) and for changes that
 * give no geometry; CF_ERANGE, CF_ECREAT, CF_ENOSPC, CF_EIO, CF_ENOMEM. */
enum cf_status cf_synth_model(const struct cf_synth_options *o, const char *dir,
                              struct cf_dnn *dnn, struct cf_error *err);

#endif
