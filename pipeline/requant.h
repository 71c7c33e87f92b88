/* requant.h - a model again, its matrices in another type.
 *
 * Matrices of the bulk (CF_KEY_MATRIX of weights/keys.h) change; tables, heads, norms and
 * the tokenizer stay as they are, and parts that do not change are copied. Only floats
 * can be quantized: int8 of int8 would add one error to the other.
 *
 * Order of calls: write; publish; close. Between the first two the new model can be
 * opened under cf_out_dir(q->out). */
#ifndef CF_PIPELINE_REQUANT_H
#define CF_PIPELINE_REQUANT_H

#include "pipeline/convert_take.h"
#include "weights/model_spec.h"

struct cf_requant_options {
    struct cf_take_type type, text_type;
    int hold;         /* 0 pack, 1 map; -1: as the old one, and map what is quantized */
    const char *name; /* of the new model; NULL: the old one's and the type */
    bool force;
};

struct cf_requant {
    struct cf_model *in;
    struct cf_out *out; /* holds a whole model after write, under another name */
    struct cf_model_spec manifest;
    struct cf_source *transformer, *encoder; /* encoder NULL: it is copied */
    struct cf_take take, text_take;
    char *name;
    json_t *source;
};

/* CF_EUNSUP where a part to change is quantized already; CF_ECREAT, CF_EBUSY as
 * cf_out_open; errors of cf_model_open, cf_take_check and cf_take_part. *q is to be
 * closed in any case. */
enum cf_status cf_requant_write(struct cf_requant *q, const struct cf_requant_options *o,
                                const char *in, const char *dir, struct cf_dnn *dnn,
                                struct cf_error *err);
/* MODEL_CARD.md, if there is one, goes along, with report (may be NULL) at its end. */
enum cf_status cf_requant_publish(struct cf_requant *q, const char *report,
                                  struct cf_error *err);
void cf_requant_close(struct cf_requant *q); /* a zeroed struct is fine */

/* "4bit in groups of 64" into buf, which is returned. */
const char *cf_requant_type_name(char buf[40], const struct cf_take_type *type);

#endif
