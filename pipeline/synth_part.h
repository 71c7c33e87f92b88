/* synth_part.h - one safetensors file of random weights, written as it is drawn.
 *
 * Matrices of the bulk (CF_KEY_MATRIX) have the type that was asked for, tables and other
 * matrices that type where it is a float type, else BF16; vectors and convolutions are
 * F32. Memory holds one tensor in its type and a few megabytes of floats. */
#ifndef CF_PIPELINE_SYNTH_PART_H
#define CF_PIPELINE_SYNTH_PART_H

#include "base/weight.h"
#include "dnn/dnn.h"
#include "weights/keys.h"

struct cf_synth_part {
    /* Walks the keys of geometry, as cf_inf_keys does. */
    enum cf_status (*keys)(const void *geometry, cf_key_fn *fn, void *ctx,
                           struct cf_error *err);
    const void *geometry;
    enum cf_wtype type; /* of matrices */
    int group;          /* of CF_W_Q4; else 0 */
    uint64_t seed;
    int depth, head_dim; /* see cf_synth_law */
};

/* CF_ERANGE where group does not divide a matrix (named); errors of weights/st_write.h.
 * Optional keys, which would be zeros, are left out. dnn's team does the work; the bytes
 * do not depend on its size. */
enum cf_status cf_synth_part_write(const struct cf_synth_part *part, const char *path,
                                   struct cf_dnn *dnn, struct cf_error *err);

/* Adds what the file will hold, its header apart, to *bytes. */
enum cf_status cf_synth_part_measure(const struct cf_synth_part *part, size_t *bytes,
                                     struct cf_error *err);

#endif
