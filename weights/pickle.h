/* pickle.h - the data of a Python pickle, with nothing of it run.
 *
 * A pickle is a program for a stack machine: opcodes push scalars, build lists, tuples
 * and dictionaries, remember values in a memo, and call any function of any module by
 * name. Here the calls are a closed list, and what they give is data:
 *
 *     collections.OrderedDict()                   a dictionary
 *     torch._utils._rebuild_tensor_v2, _v3        a tensor: storage, offset, size, stride
 *     torch._utils._rebuild_parameter             the tensor in it
 *     torch.FloatStorage ... torch.UntypedStorage the type in a persistent id
 *     torch.float32 ..., torch.Size, torch.device values
 *
 * Every other global is refused by its name ("posix.system"), whether it would be called
 * or not. Python's pickletools.py documents the opcodes; torch/serialization.py and
 * torch/_utils.py what torch.save writes with them (protocol 2; 3 to 5 on request).
 *
 * The result is a graph, not a tree: the memo lets a value stand in many places, and a
 * list in itself. Who walks it bounds depth and visits (weights/flatten.h). */
#ifndef CF_WEIGHTS_PICKLE_H
#define CF_WEIGHTS_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tensor.h"

/* Limits, so that a hostile pickle costs less than 200 MB and a second. A checkpoint of
 * 1000 tensors has 40000 nodes; one with its optimizer three times that. */
enum {
    CF_PICKLE_MAX_BYTES = 64 << 20,
    CF_PICKLE_MAX_NODES = 1 << 20, /* values, also the memo and the stack */
    CF_PICKLE_MAX_ITEMS = 1 << 21, /* of all lists, tuples and dictionaries */
    CF_PICKLE_MAX_TENSORS = 1 << 17,
    /* Elements of a tensor that has more of them than its storage (strides of 0). */
    CF_PICKLE_MAX_EXPANDED = 1 << 26,
};

enum cf_pickle_kind {
    CF_PICKLE_NONE,
    CF_PICKLE_BOOL,
    CF_PICKLE_INT,
    CF_PICKLE_FLOAT,
    CF_PICKLE_TEXT, /* well-formed UTF-8 */
    CF_PICKLE_LIST,
    CF_PICKLE_TUPLE,
    CF_PICKLE_DICT,
    CF_PICKLE_TENSOR,
    CF_PICKLE_OTHER, /* bytes, big integers, types, devices, storages: not looked into */
};

/* Elements lie at (offset + sum of index[i] * stride[i]) of the storage; proved to lie in
 * it as far as numel tells. */
struct cf_pickle_tensor {
    struct cf_view view; /* type and shape; data is NULL */
    const char *key;     /* of the storage: data/KEY; borrowed, no NUL at its end */
    size_t key_len;
    int64_t bytes;  /* of the storage, as the pickle says */
    int64_t offset; /* in elements, as the strides; >= 0 */
    int64_t stride[CF_MAX_DIM];
};

struct cf_pickle;

/* bytes are borrowed and must outlive *p; where names them. CF_EFORMAT with the byte for
 * a damaged pickle, CF_EUNSUP for a global, opcode, type or size that is not read here,
 * CF_ENOMEM. What follows the end of the pickle is not looked at. */
enum cf_status cf_pickle_parse(struct cf_pickle **p, const void *bytes, size_t n,
                               const char *where, struct cf_error *err);
void cf_pickle_close(struct cf_pickle *p); /* NULL is fine */

/* Values are numbers below CF_PICKLE_MAX_NODES; the whole is this one. */
uint32_t cf_pickle_root(const struct cf_pickle *p);
enum cf_pickle_kind cf_pickle_kind(const struct cf_pickle *p, uint32_t value);

/* The items of a list, tuple or dictionary in their order: *at starts as 0; false at the
 * end, and for what has no items. *key is set for dictionaries alone. */
bool cf_pickle_next(const struct cf_pickle *p, uint32_t value, uint32_t *at,
                    uint32_t *key, uint32_t *item);

/* Borrowed from the bytes, without a NUL at the end; value is CF_PICKLE_TEXT. */
const char *cf_pickle_text(const struct cf_pickle *p, uint32_t value, size_t *len);
int64_t cf_pickle_int(const struct cf_pickle *p, uint32_t value); /* CF_PICKLE_INT */
const struct cf_pickle_tensor *cf_pickle_tensor(const struct cf_pickle *p,
                                                uint32_t value);

#endif
