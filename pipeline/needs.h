/* needs.h - the memory that a model takes: weights in each type, and work per image size.
 *
 * From shapes alone: nothing is read, nothing is computed. Weights of type T are the
 * matrices of the bulk in T (4 bits in groups of 32 where they divide a row, else int8),
 * embeddings of bits and heads in bf16 (f32 for f32), all vectors as floats, the decoder
 * packed as floats. Work is the arena of one image (models/gen.h), keys and values in
 * either type. An encoder's embedding is not counted: of it only the rows of a prompt are
 * read. */
#ifndef CF_PIPELINE_NEEDS_H
#define CF_PIPELINE_NEEDS_H

#include "models/schedule.h"
#include "models/vae.h"
#include "models/infinity.h"
#include "textenc/known.h"
#include "weights/shapes.h"

/* Bytes with matrices of a type. */
enum cf_status cf_needs_inf(size_t *bytes, const struct cf_inf_shape *shape,
                            enum cf_wtype type, struct cf_error *err);
enum cf_status cf_needs_encoder(size_t *bytes, const struct cf_encoder_config *c,
                                enum cf_wtype type, struct cf_error *err);

/* Bytes as the file has them: with map, matrices as they lie and the rest as floats; else
 * all as floats but quantized matrices. */
enum cf_status cf_needs_inf_file(size_t *bytes, const struct cf_inf_shape *shape,
                                 const struct cf_shapes *in, bool map,
                                 struct cf_error *err);
enum cf_status cf_needs_encoder_file(size_t *bytes, const struct cf_encoder_config *c,
                                     const char *prefix, const struct cf_shapes *in,
                                     bool map, struct cf_error *err);

/* Parameters of a list of keys; buffers are none. */
enum cf_status cf_needs_count(void *total, const struct cf_key *key,
                              struct cf_error *err); /* a cf_key_fn; total: int64_t */

/* The work of one image of each size: sections are those of model.json. */
struct cf_needs_size {
    const char *class; /* NULL: the model's one size */
    double ratio;      /* height over width */
    int width, height;
    size_t f32, bf16; /* bytes of the arena with keys and values so */
};
enum { CF_NEEDS_SIZES = 2 * CF_CLASSES };

/* Of each class allowed its square, and the template that takes most where that is
 * another; *n of them. text: tokens of the longest prompt. */
enum cf_status cf_needs_sizes(struct cf_needs_size size[CF_NEEDS_SIZES], int *n,
                              const json_t *sections, int text, struct cf_error *err);

#endif
