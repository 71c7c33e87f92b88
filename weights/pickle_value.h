/* pickle_value.h - the values of a pickle, between the machine that makes them
 * (pickle.c), the calls that it knows (pickle_torch.c) and who looks at them
 * (pickle_read.c). */
#ifndef CF_WEIGHTS_PICKLE_VALUE_H
#define CF_WEIGHTS_PICKLE_VALUE_H

#include "weights/pickle.h"

/* What CF_PICKLE_OTHER can be. */
enum cf_pickle_other {
    CF_PICKLE_OPAQUE,
    CF_PICKLE_GLOBAL,  /* a function or class of the closed list: node.n is its number */
    CF_PICKLE_STORAGE, /* a persistent id: node.n is that of the tuple */
};

enum { CF_PICKLE_NIL = 0 }; /* no item: items count from 1 */

struct cf_pickle_node {
    enum cf_pickle_kind kind;
    enum cf_pickle_other other;
    union {
        int64_t i;
        struct {
            const char *s;
            uint32_t len;
        } text;
        struct {
            uint32_t first, last, count; /* a dictionary counts keys and values */
        } items;
        uint32_t n; /* tensor, or as other says */
    };
};

struct cf_pickle_item {
    uint32_t value, next;
};

struct cf_pickle {
    const char *where;
    const unsigned char *bytes;
    size_t n, at;
    struct cf_pickle_node *node;
    struct cf_pickle_item *item;
    struct cf_pickle_tensor *tensor;
    uint32_t *stack, *mark, *memo; /* marks are heights of the stack */
    size_t nodes, items, tensors, height, marks;
    size_t node_cap, item_cap, tensor_cap, stack_cap, mark_cap, memo_cap;
    uint32_t memos; /* that MEMOIZE counts */
    uint32_t root;
};

/* A value of that kind, zeroed. */
enum cf_status cf_pickle_new(struct cf_pickle *p, enum cf_pickle_kind kind,
                             uint32_t *value, struct cf_error *err);

/* The n values of a tuple into v; false where value is none, or has more or fewer. A list
 * will not do: it may change after it was looked at. */
bool cf_pickle_tuple(const struct cf_pickle *p, uint32_t value, uint32_t *v, uint32_t n);

/* module.name as a value of the closed list; CF_EUNSUP names it. */
enum cf_status cf_pickle_global(struct cf_pickle *p, const char *module,
                                size_t module_len, const char *name, size_t name_len,
                                uint32_t *value, struct cf_error *err);

/* callee(*args), where callee may be any value. */
enum cf_status cf_pickle_call(struct cf_pickle *p, uint32_t callee, uint32_t args,
                              uint32_t *value, struct cf_error *err);

/* The storage of a persistent id. */
enum cf_status cf_pickle_persistent(struct cf_pickle *p, uint32_t id, uint32_t *value,
                                    struct cf_error *err);

#endif
