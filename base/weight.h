/* weight.h - the matrix of a linear layer as it lies in a file, in whatever type.
 *
 *     F32, F16, BF16   w [n, k]
 *     I8               w [n, k],   scale F32 [n]:             w[i, j] * scale[i]
 *     4 bits           w U8 [n, k/2], scale F16 [n, k/group]: (q - 8) * scale[i, j/group]
 *
 * Four-bit values lie in blocks of 32 columns, 16 bytes each: byte j of a block holds
 * column j in its low half and column j + 16 in its high half. group is 32 or 64 and
 * divides k. In a file the scale of "x.weight" is called "x.weight_scale". */
#ifndef CF_BASE_WEIGHT_H
#define CF_BASE_WEIGHT_H

#include <stdbool.h>

#include "base/tensor.h"

enum cf_wtype { CF_W_F32, CF_W_F16, CF_W_BF16, CF_W_I8, CF_W_Q4, CF_NWTYPE };

struct cf_weight {
    enum cf_wtype type;
    int64_t n, k;      /* outputs, inputs */
    int group;         /* of CF_W_Q4; else 0 */
    const void *w;     /* borrowed; rows of cf_weight_row_bytes, maybe unaligned */
    const void *scale; /* borrowed, maybe unaligned; NULL for float types */
};

/* "f32", "f16", "bf16", "int8", "4bit": as options and reports call them. */
const char *cf_wtype_name(enum cf_wtype type);
/* CF_EUSAGE lists the names. */
enum cf_status cf_wtype_parse(enum cf_wtype *type, const char *word,
                              struct cf_error *err);

/* Columns that share a scale in CF_W_Q4 where nothing else is asked for. */
enum { CF_GROUP_DEFAULT = 32 };
/* "32" or "64"; CF_EUSAGE about --group. */
enum cf_status cf_group_parse(int *group, const char *word, struct cf_error *err);

/* Of matrix and scales of n x k (group for CF_W_Q4, else 0); SIZE_MAX where it does not
 * fit a size_t. */
size_t cf_weight_bytes(enum cf_wtype type, int64_t n, int64_t k, int group);
size_t cf_weight_row_bytes(enum cf_wtype type, int64_t k);

/* Memory that weights take. */
struct cf_held {
    size_t mapped; /* bytes read in place: shared by all processes, may be dropped */
    size_t own;    /* bytes of copies: packed matrices, vectors */
};

/* Counts w: as it lies in the file, or as the floats that it was packed into. */
void cf_held_add(struct cf_held *held, const struct cf_weight *w, bool mapped);

/* A matrix of floats: view [n, k] of F32, F16 or BF16. CF_EUNSUP (type), CF_ESHAPE. */
enum cf_status cf_weight_of(struct cf_weight *w, const struct cf_view *view,
                            struct cf_error *err);

/* Rows start .. start+count-1; the caller knows that they are there. */
struct cf_weight cf_weight_rows(const struct cf_weight *w, int64_t start, int64_t count);

/* Row i as floats, dst [k]: the definition of every type, not the fast way. */
void cf_weight_row(float *dst, const struct cf_weight *w, int64_t i);

#endif
