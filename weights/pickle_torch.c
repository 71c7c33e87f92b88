/* pickle_torch.c - the calls that a file of torch.save makes, as data. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "weights/pickle_value.h"

enum callee {
    NO_CALL, /* a value that is never called */
    ORDERED_DICT,
    TENSOR_V2,
    TENSOR_V3,
    PARAMETER,
    SIZE,
    DEVICE,
};

enum { BYTES_STORAGE = CF_NDTYPE, NO_TYPE = -1 };

/* The closed list. type: elements of a storage class or meaning of a dtype. */
static const struct {
    const char *module, *name;
    enum callee callee;
    int storage, type;
} globals[] = {
    {"collections", "OrderedDict", ORDERED_DICT, NO_TYPE, NO_TYPE},
    {"torch._utils", "_rebuild_tensor_v2", TENSOR_V2, NO_TYPE, NO_TYPE},
    {"torch._utils", "_rebuild_tensor_v3", TENSOR_V3, NO_TYPE, NO_TYPE},
    {"torch._utils", "_rebuild_parameter", PARAMETER, NO_TYPE, NO_TYPE},
    {"torch", "Size", SIZE, NO_TYPE, NO_TYPE},
    {"torch", "device", DEVICE, NO_TYPE, NO_TYPE},
    {"torch", "FloatStorage", NO_CALL, CF_F32, NO_TYPE},
    {"torch", "HalfStorage", NO_CALL, CF_F16, NO_TYPE},
    {"torch", "BFloat16Storage", NO_CALL, CF_BF16, NO_TYPE},
    {"torch", "DoubleStorage", NO_CALL, CF_F64, NO_TYPE},
    {"torch", "CharStorage", NO_CALL, CF_I8, NO_TYPE},
    {"torch", "ByteStorage", NO_CALL, CF_U8, NO_TYPE},
    {"torch", "ShortStorage", NO_CALL, CF_I16, NO_TYPE},
    {"torch", "IntStorage", NO_CALL, CF_I32, NO_TYPE},
    {"torch", "LongStorage", NO_CALL, CF_I64, NO_TYPE},
    {"torch", "BoolStorage", NO_CALL, CF_BOOL, NO_TYPE},
    {"torch", "UntypedStorage", NO_CALL, BYTES_STORAGE, NO_TYPE},
    {"torch.storage", "UntypedStorage", NO_CALL, BYTES_STORAGE, NO_TYPE},
    {"torch", "float32", NO_CALL, NO_TYPE, CF_F32},
    {"torch", "float16", NO_CALL, NO_TYPE, CF_F16},
    {"torch", "bfloat16", NO_CALL, NO_TYPE, CF_BF16},
    {"torch", "float64", NO_CALL, NO_TYPE, CF_F64},
    {"torch", "int8", NO_CALL, NO_TYPE, CF_I8},
    {"torch", "uint8", NO_CALL, NO_TYPE, CF_U8},
    {"torch", "int16", NO_CALL, NO_TYPE, CF_I16},
    {"torch", "int32", NO_CALL, NO_TYPE, CF_I32},
    {"torch", "int64", NO_CALL, NO_TYPE, CF_I64},
    {"torch", "bool", NO_CALL, NO_TYPE, CF_BOOL},
};

static bool same(const char *word, const char *s, size_t len)
{
    return strlen(word) == len && memcmp(word, s, len) == 0;
}

enum cf_status cf_pickle_global(struct cf_pickle *p, const char *module,
                                size_t module_len, const char *name, size_t name_len,
                                uint32_t *value, struct cf_error *err)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (same(globals[i].module, module, module_len) &&
            same(globals[i].name, name, name_len)) {
            CF_TRY(cf_pickle_new(p, CF_PICKLE_OTHER, value, err));
            p->node[*value].other = CF_PICKLE_GLOBAL;
            p->node[*value].n = (uint32_t)i;
            return CF_OK;
        }
    return cf_fail(err, CF_EUNSUP,
                   "%.200s: refers to %.*s.%.*s, which is neither a tensor nor a plain "
                   "value, and is not run: save the state dict alone",
                   p->where, (int)(module_len > 60 ? 60 : module_len), module,
                   (int)(name_len > 60 ? 60 : name_len), name);
}

/* The place in the list of what value refers to, or -1. */
static int listed(const struct cf_pickle *p, uint32_t value)
{
    const struct cf_pickle_node *n = &p->node[value];

    return n->kind == CF_PICKLE_OTHER && n->other == CF_PICKLE_GLOBAL ? (int)n->n : -1;
}

static enum cf_status wrong(const struct cf_pickle *p, const char *what,
                            struct cf_error *err)
{
    return cf_fail(err, CF_EFORMAT, "%.200s: byte %zu of the pickle: %s", p->where, p->at,
                   what);
}

/* ('storage', class, key, location, elements) */
enum { ID_WORD, ID_CLASS, ID_KEY, ID_PLACE, ID_COUNT, ID_PARTS };

enum cf_status cf_pickle_persistent(struct cf_pickle *p, uint32_t id, uint32_t *value,
                                    struct cf_error *err)
{
    uint32_t part[ID_PARTS];
    const struct cf_pickle_node *word, *key, *count;
    int class;

    if (!cf_pickle_tuple(p, id, part, ID_PARTS))
        return wrong(p,
                     "a persistent id that is not ('storage', class, key, location, "
                     "size)",
                     err);
    word = &p->node[part[ID_WORD]];
    key = &p->node[part[ID_KEY]];
    count = &p->node[part[ID_COUNT]];
    class = listed(p, part[ID_CLASS]);
    if (word->kind != CF_PICKLE_TEXT || !same("storage", word->text.s, word->text.len) ||
        class < 0 || globals[class].storage == NO_TYPE || key->kind != CF_PICKLE_TEXT ||
        count->kind != CF_PICKLE_INT || count->i < 0)
        return wrong(p, "a persistent id that names no storage", err);
    CF_TRY(cf_pickle_new(p, CF_PICKLE_OTHER, value, err));
    p->node[*value].other = CF_PICKLE_STORAGE;
    p->node[*value].n = id;
    return CF_OK;
}

/* Type, key and bytes of the storage; dtype is that of the tensor, or NO_TYPE where the
 * storage's class says it. */
static enum cf_status read_storage(const struct cf_pickle *p, uint32_t storage, int dtype,
                                   struct cf_pickle_tensor *t, int64_t *count,
                                   struct cf_error *err)
{
    uint32_t part[ID_PARTS];
    int type;

    if (p->node[storage].kind != CF_PICKLE_OTHER ||
        p->node[storage].other != CF_PICKLE_STORAGE ||
        !cf_pickle_tuple(p, p->node[storage].n, part, ID_PARTS))
        return wrong(p, "a tensor without a storage", err);
    type = globals[listed(p, part[ID_CLASS])].storage;
    if (type == BYTES_STORAGE ? dtype == NO_TYPE : dtype != NO_TYPE && dtype != type)
        return wrong(p, "a tensor whose type is not that of its storage", err);
    *count = p->node[part[ID_COUNT]].i;
    t->key = cf_pickle_text(p, part[ID_KEY], &t->key_len);
    t->view.dtype = (enum cf_dtype)(dtype != NO_TYPE ? dtype : type);
    if (__builtin_mul_overflow(
            *count,
            type == BYTES_STORAGE ? 1 : (int64_t)cf_dtype_size((enum cf_dtype)type),
            &t->bytes))
        return wrong(p, "a storage whose size overflows", err);
    *count = t->bytes / (int64_t)cf_dtype_size(t->view.dtype);
    return CF_OK;
}

/* A tuple of integers >= 0; n is what there must be, or -1. */
static enum cf_status read_ints(const struct cf_pickle *p, uint32_t tuple, int64_t *v,
                                int *n, struct cf_error *err)
{
    uint32_t at = 0, key, item;
    int count = 0;

    if (p->node[tuple].kind != CF_PICKLE_TUPLE)
        return wrong(p, "a tensor whose size or stride is no tuple", err);
    while (cf_pickle_next(p, tuple, &at, &key, &item)) {
        if (count == CF_MAX_DIM)
            return cf_fail(err, CF_EUNSUP, "%.200s: a tensor of more than %d dimensions",
                           p->where, CF_MAX_DIM);
        if (p->node[item].kind != CF_PICKLE_INT || p->node[item].i < 0)
            return wrong(p, "a tensor whose size or stride is no integer >= 0", err);
        v[count++] = p->node[item].i;
    }
    if (*n >= 0 && count != *n)
        return wrong(p, "a tensor with more strides than sizes, or fewer", err);
    *n = count;
    return CF_OK;
}

/* Every element lies in the storage, and there are not many more of them than it has. */
static enum cf_status check_span(const struct cf_pickle *p,
                                 const struct cf_pickle_tensor *t, int64_t count,
                                 struct cf_error *err)
{
    int64_t last = t->offset, product = (int64_t)cf_dtype_size(t->view.dtype);
    bool empty = false, far = t->offset > count;

    for (int i = 0; i < t->view.ndim; i++) {
        int64_t d = t->view.dim[i], step;

        empty |= d == 0;
        far |= __builtin_mul_overflow(d ? d - 1 : 0, t->stride[i], &step) ||
               __builtin_add_overflow(last, step, &last);
        if (__builtin_mul_overflow(product, d ? d : 1, &product))
            return wrong(p, "a tensor whose size overflows", err);
    }
    if (empty)
        return CF_OK;
    if (far || last >= count)
        return wrong(p, "a tensor that reaches beyond its storage", err);
    product /= (int64_t)cf_dtype_size(t->view.dtype);
    if (product > count && product > CF_PICKLE_MAX_EXPANDED)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a tensor that expands %lld elements to %lld, at most %d "
                       "are read",
                       p->where, (long long)count, (long long)product,
                       CF_PICKLE_MAX_EXPANDED);
    return CF_OK;
}

/* (storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata]) */
static enum cf_status rebuild(struct cf_pickle *p, uint32_t args, bool typed,
                              uint32_t *value, struct cf_error *err)
{
    struct cf_pickle_tensor t = {.view.ndim = -1};
    uint32_t arg[8] = {0}, n = typed ? 7 : 6;
    int dtype = NO_TYPE;
    int64_t count = 0;

    if (!cf_pickle_tuple(p, args, arg, n) && !cf_pickle_tuple(p, args, arg, n + 1))
        return wrong(p, "a tensor of another number of parts", err);
    if (typed &&
        (listed(p, arg[6]) < 0 || (dtype = globals[listed(p, arg[6])].type) == NO_TYPE))
        return wrong(p, "a tensor whose type is none", err);
    CF_TRY(read_storage(p, arg[0], dtype, &t, &count, err));
    if (p->node[arg[1]].kind != CF_PICKLE_INT || p->node[arg[1]].i < 0)
        return wrong(p, "a tensor whose offset is no integer >= 0", err);
    t.offset = p->node[arg[1]].i;
    CF_TRY(read_ints(p, arg[2], t.view.dim, &t.view.ndim, err));
    CF_TRY(read_ints(p, arg[3], t.stride, &t.view.ndim, err));
    CF_TRY(check_span(p, &t, count, err));
    if (p->tensors >= CF_PICKLE_MAX_TENSORS)
        return cf_fail(err, CF_EUNSUP, "%.200s: more than %d tensors", p->where,
                       CF_PICKLE_MAX_TENSORS);
    CF_TRY(cf_grow(&p->tensor, &p->tensor_cap, p->tensors + 1, sizeof t, err));
    CF_TRY(cf_pickle_new(p, CF_PICKLE_TENSOR, value, err));
    p->node[*value].n = (uint32_t)p->tensors;
    p->tensor[p->tensors++] = t;
    return CF_OK;
}

enum cf_status cf_pickle_call(struct cf_pickle *p, uint32_t callee, uint32_t args,
                              uint32_t *value, struct cf_error *err)
{
    int which = listed(p, callee);
    uint32_t part[3];

    if (p->node[args].kind != CF_PICKLE_TUPLE)
        return wrong(p, "a call whose arguments are no tuple", err);
    switch (which < 0 ? NO_CALL : globals[which].callee) {
    case ORDERED_DICT:
        if (p->node[args].items.count != 0)
            return wrong(p, "an OrderedDict with arguments", err);
        return cf_pickle_new(p, CF_PICKLE_DICT, value, err);
    case TENSOR_V2:
        return rebuild(p, args, false, value, err);
    case TENSOR_V3:
        return rebuild(p, args, true, value, err);
    case PARAMETER: /* (tensor, requires_grad, hooks) */
        if (!cf_pickle_tuple(p, args, part, 3) ||
            p->node[part[0]].kind != CF_PICKLE_TENSOR)
            return wrong(p, "a parameter without a tensor", err);
        *value = part[0];
        return CF_OK;
    case SIZE: /* (tuple) */
        if (!cf_pickle_tuple(p, args, part, 1) ||
            p->node[part[0]].kind != CF_PICKLE_TUPLE)
            return wrong(p, "a torch.Size of no tuple", err);
        *value = part[0];
        return CF_OK;
    case DEVICE:
        return cf_pickle_new(p, CF_PICKLE_OTHER, value, err);
    default:
        return wrong(p, "a call of what is no function", err);
    }
}
