/* convert_take.h - which tensors of a file become which tensors of a part, in what type.
 *
 * A geometry lists its keys (weights/keys.h); each is looked for in a source, under its
 * name or one that means the same, and its shape compared. What is then left over in the
 * source is refused by name: a tensor that nobody reads is the sign of another model.
 *
 * Order of calls: open; cf_take_key for every key; cf_take_check; cf_take_part. */
#ifndef CF_PIPELINE_CONVERT_TAKE_H
#define CF_PIPELINE_CONVERT_TAKE_H

#include "base/weight.h"
#include "dnn/dnn.h"
#include "pipeline/convert_out.h"
#include "pipeline/convert_state.h"
#include "weights/keys.h"
#include "weights/model_spec.h"

/* Types of the matrices of a part; all other tensors keep theirs. */
struct cf_take_type {
    bool keep; /* as they are in the file; else: */
    enum cf_wtype type;
    int group; /* of CF_W_Q4: 32 or 64 */
};

struct cf_take_item {
    char name[CF_KEY_NAME + 8]; /* in the part */
    int from;                   /* tensor of the source */
    bool quantize;              /* to I8 or U8 with a scale beside it */
    enum cf_dtype dtype;        /* in the part; of the matrix where quantize */
};

struct cf_take {
    struct cf_source *src; /* borrowed */
    const char *what;      /* "transformer", in messages */
    const char *prefix;    /* put before the names of the part: "model." or "" */
    struct cf_take_type type;
    struct cf_take_item *item;
    size_t n, cap;
    bool *used;     /* [tensors of src] */
    int64_t values; /* elements of all items */
    int faults;
    enum cf_status status; /* of the first fault */
    char why[320];         /* the first few */
};

enum cf_status cf_take_open(struct cf_take *take, struct cf_source *src, const char *what,
                            struct cf_take_type type, struct cf_error *err);
void cf_take_close(struct cf_take *take); /* a zeroed struct is fine */

/* A cf_key_fn whose context is the struct cf_take: finds the key in the source. Faults
 * (missing, another shape or type) are collected. */
enum cf_status cf_take_key(void *take, const struct cf_key *key, struct cf_error *err);

/* CF_ESHAPE or CF_EMISMATCH with all faults of the keys together; else CF_EMISMATCH with
 * the tensors that no key took, that are none of those nobody reads (drop) and that no
 * pattern of fnmatch(3) in ignore fits, which ends with NULL. *dropped counts the ones
 * that are left out. */
enum cf_status cf_take_check(struct cf_take *take, const struct cf_state *state,
                             bool (*drop)(const char *name), const char *const *ignore,
                             int *dropped, struct cf_error *err);

/* Bytes of the safetensors file that cf_take_part makes, a header's worth of kilobytes
 * more or less. */
size_t cf_take_bytes(const struct cf_take *take);

/* Reads, converts and writes one tensor after the other to the file name in out, memory
 * for the largest of them, and enters the file into part. CF_ERANGE for a value that the
 * new type cannot hold, CF_ENUMERIC for one that is not finite; a tensor that is kept is
 * copied, whatever it holds. */
enum cf_status cf_take_part(const struct cf_take *take, struct cf_out *out,
                            const char *name, struct cf_dnn *dnn,
                            struct cf_model_spec_part *part, struct cf_error *err);

#endif
