#include "weights/pickle.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "weights/pickle_value.h"

enum { MAX_PROTOCOL = 5, MAX_GLOBAL = 256 };

/* Opcodes, called as in Python's pickletools.py. */
enum {
    MARK = '(',
    STOP = '.',
    POP = '0',
    POP_MARK = '1',
    DUP = '2',
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    BINFLOAT = 'G',
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    NONE = 'N',
    BINPERSID = 'Q',
    REDUCE = 'R',
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINUNICODE = 'X',
    EMPTY_LIST = ']',
    APPEND = 'a',
    BUILD = 'b',
    GLOBAL = 'c',
    DICT = 'd',
    APPENDS = 'e',
    BINGET = 'h',
    LONG_BINGET = 'j',
    LIST = 'l',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    SETITEM = 's',
    TUPLE = 't',
    EMPTY_TUPLE = ')',
    SETITEMS = 'u',
    EMPTY_DICT = '}',
    PROTO = 0x80,
    TUPLE1 = 0x85,
    TUPLE2,
    TUPLE3,
    NEWTRUE,
    NEWFALSE,
    LONG1,
    LONG4,
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8,
    BINBYTES8,
    STACK_GLOBAL = 0x93,
    MEMOIZE,
    FRAME,
};

static enum cf_status damaged(const struct cf_pickle *p, const char *what,
                              struct cf_error *err)
{
    return cf_fail(err, CF_EFORMAT, "%.200s: byte %zu of the pickle: %s", p->where, p->at,
                   what);
}

static enum cf_status too_many(const struct cf_pickle *p, const char *what, int max,
                               struct cf_error *err)
{
    return cf_fail(err, CF_EUNSUP, "%.200s: byte %zu of the pickle: more than %d %s",
                   p->where, p->at, max, what);
}

/* The next n bytes. */
static enum cf_status take(struct cf_pickle *p, uint64_t n, const unsigned char **bytes,
                           struct cf_error *err)
{
    *bytes = p->bytes + p->at;
    if (n > p->n - p->at)
        return damaged(p, "it ends within a value", err);
    p->at += (size_t)n;
    return CF_OK;
}

/* A little-endian length of so many bytes. */
static enum cf_status take_uint(struct cf_pickle *p, int bytes, uint64_t *v,
                                struct cf_error *err)
{
    const unsigned char *b;

    *v = 0;
    CF_TRY(take(p, (uint64_t)bytes, &b, err));
    for (int i = 0; i < bytes; i++)
        *v |= (uint64_t)b[i] << 8 * i;
    return CF_OK;
}

enum cf_status cf_pickle_new(struct cf_pickle *p, enum cf_pickle_kind kind,
                             uint32_t *value, struct cf_error *err)
{
    *value = 0;
    if (p->nodes >= CF_PICKLE_MAX_NODES)
        return too_many(p, "values", CF_PICKLE_MAX_NODES, err);
    CF_TRY(cf_grow(&p->node, &p->node_cap, p->nodes + 1, sizeof *p->node, err));
    *value = (uint32_t)p->nodes;
    p->node[p->nodes++] = (struct cf_pickle_node){.kind = kind};
    return CF_OK;
}

static enum cf_status push(struct cf_pickle *p, uint32_t value, struct cf_error *err)
{
    if (p->height >= CF_PICKLE_MAX_NODES)
        return too_many(p, "values on the stack", CF_PICKLE_MAX_NODES, err);
    CF_TRY(cf_grow(&p->stack, &p->stack_cap, p->height + 1, sizeof *p->stack, err));
    p->stack[p->height++] = value;
    return CF_OK;
}

static enum cf_status push_new(struct cf_pickle *p, enum cf_pickle_kind kind,
                               struct cf_pickle_node **node, struct cf_error *err)
{
    uint32_t value;

    CF_TRY(cf_pickle_new(p, kind, &value, err));
    *node = &p->node[value];
    return push(p, value, err);
}

/* Values above the last mark. */
static size_t above(const struct cf_pickle *p)
{
    return p->height - (p->marks ? p->mark[p->marks - 1] : 0);
}

static enum cf_status pop(struct cf_pickle *p, uint32_t *value, struct cf_error *err)
{
    *value = 0;
    if (above(p) == 0)
        return damaged(p, "a value is taken from an empty stack", err);
    *value = p->stack[--p->height];
    return CF_OK;
}

static enum cf_status set_mark(struct cf_pickle *p, struct cf_error *err)
{
    if (p->marks >= CF_PICKLE_MAX_NODES)
        return too_many(p, "marks", CF_PICKLE_MAX_NODES, err);
    CF_TRY(cf_grow(&p->mark, &p->mark_cap, p->marks + 1, sizeof *p->mark, err));
    p->mark[p->marks++] = (uint32_t)p->height;
    return CF_OK;
}

/* The values above the last mark, which goes: stack[*from .. height). The caller cuts the
 * stack to *from. */
static enum cf_status to_mark(struct cf_pickle *p, size_t *from, struct cf_error *err)
{
    *from = p->height;
    if (p->marks == 0)
        return damaged(p, "a mark is missing", err);
    *from = p->mark[--p->marks];
    return CF_OK;
}

/* Values stack[from .. height) become the next items of a container and leave. */
static enum cf_status add_items(struct cf_pickle *p, uint32_t container, size_t from,
                                struct cf_error *err)
{
    size_t n = p->height - from;

    if (n > CF_PICKLE_MAX_ITEMS - p->items)
        return too_many(p, "items", CF_PICKLE_MAX_ITEMS, err);
    CF_TRY(cf_grow(&p->item, &p->item_cap, p->items + n + 1, sizeof *p->item, err));
    for (size_t i = from; i < p->height; i++) {
        struct cf_pickle_node *c = &p->node[container];
        uint32_t at = (uint32_t)++p->items;

        p->item[at] = (struct cf_pickle_item){p->stack[i], CF_PICKLE_NIL};
        if (c->items.last != CF_PICKLE_NIL)
            p->item[c->items.last].next = at;
        else
            c->items.first = at;
        c->items.last = at;
        c->items.count++;
    }
    p->height = from;
    return CF_OK;
}

/* The container below stack[from], of the kind that the opcode is for, gets the items. */
static enum cf_status extend(struct cf_pickle *p, enum cf_pickle_kind kind, size_t from,
                             struct cf_error *err)
{
    size_t floor = p->marks ? p->mark[p->marks - 1] : 0;

    if (from <= floor || p->node[p->stack[from - 1]].kind != kind)
        return damaged(p,
                       kind == CF_PICKLE_LIST ? "items for what is no list"
                                              : "items for what is no dictionary",
                       err);
    if (kind == CF_PICKLE_DICT && (p->height - from) % 2 != 0)
        return damaged(p, "a key without a value", err);
    return add_items(p, p->stack[from - 1], from, err);
}

/* A container of the values stack[from .. height), which it replaces. */
static enum cf_status gather(struct cf_pickle *p, enum cf_pickle_kind kind, size_t from,
                             struct cf_error *err)
{
    uint32_t value;

    if (kind == CF_PICKLE_DICT && (p->height - from) % 2 != 0)
        return damaged(p, "a key without a value", err);
    CF_TRY(cf_pickle_new(p, kind, &value, err));
    CF_TRY(add_items(p, value, from, err));
    return push(p, value, err);
}

static enum cf_status gather_some(struct cf_pickle *p, int n, struct cf_error *err)
{
    if (above(p) < (size_t)n)
        return damaged(p, "a tuple of more values than there are", err);
    return gather(p, CF_PICKLE_TUPLE, p->height - (size_t)n, err);
}

/* What is no UTF-8 are bytes (Python 2 has one opcode for both), or a text with lone
 * surrogates, which Python writes too. No name of a tensor is like that. */
static enum cf_status push_text(struct cf_pickle *p, int length_bytes,
                                struct cf_error *err)
{
    struct cf_pickle_node *node;
    const unsigned char *s;
    size_t bad;
    uint64_t n;

    CF_TRY(take_uint(p, length_bytes, &n, err));
    CF_TRY(take(p, n, &s, err));
    if (!cf_utf8_valid((const char *)s, (size_t)n, &bad))
        return push_new(p, CF_PICKLE_OTHER, &node, err);
    CF_TRY(push_new(p, CF_PICKLE_TEXT, &node, err));
    node->text.s = (const char *)s;
    node->text.len = (uint32_t)n; /* within CF_PICKLE_MAX_BYTES */
    return CF_OK;
}

static enum cf_status push_bytes(struct cf_pickle *p, int length_bytes,
                                 struct cf_error *err)
{
    struct cf_pickle_node *node;
    const unsigned char *s;
    uint64_t n;

    CF_TRY(take_uint(p, length_bytes, &n, err));
    CF_TRY(take(p, n, &s, err));
    return push_new(p, CF_PICKLE_OTHER, &node, err);
}

/* Two's complement, little-endian, of any length; beyond 64 bits we do not look. */
static enum cf_status push_long(struct cf_pickle *p, int length_bytes,
                                struct cf_error *err)
{
    struct cf_pickle_node *node;
    const unsigned char *b;
    uint64_t n, v = 0;

    CF_TRY(take_uint(p, length_bytes, &n, err));
    CF_TRY(take(p, n, &b, err));
    if (n > 8)
        return push_new(p, CF_PICKLE_OTHER, &node, err);
    for (uint64_t i = 0; i < 8; i++)
        v |= (i < n ? (uint64_t)b[i] : n && b[n - 1] & 0x80 ? 0xffu : 0) << 8 * i;
    CF_TRY(push_new(p, CF_PICKLE_INT, &node, err));
    node->i = (int64_t)v;
    return CF_OK;
}

static enum cf_status push_int(struct cf_pickle *p, int bytes, struct cf_error *err)
{
    struct cf_pickle_node *node;
    uint64_t v;

    CF_TRY(take_uint(p, bytes, &v, err));
    CF_TRY(push_new(p, CF_PICKLE_INT, &node, err));
    node->i = bytes == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v;
    return CF_OK;
}

static enum cf_status memo_put(struct cf_pickle *p, uint64_t at, struct cf_error *err)
{
    size_t cap = p->memo_cap;

    if (above(p) == 0)
        return damaged(p, "nothing is there to remember", err);
    if (at >= CF_PICKLE_MAX_NODES)
        return too_many(p, "places in the memo", CF_PICKLE_MAX_NODES, err);
    CF_TRY(cf_grow(&p->memo, &p->memo_cap, (size_t)at + 1, sizeof *p->memo, err));
    for (; cap < p->memo_cap; cap++)
        p->memo[cap] = UINT32_MAX;
    p->memo[at] = p->stack[p->height - 1];
    return CF_OK;
}

static enum cf_status memo_get(struct cf_pickle *p, uint64_t at, struct cf_error *err)
{
    if (at >= p->memo_cap || p->memo[at] == UINT32_MAX)
        return damaged(p, "a place of the memo where nothing was put", err);
    return push(p, p->memo[at], err);
}

static enum cf_status put_op(struct cf_pickle *p, int bytes, struct cf_error *err)
{
    uint64_t at;

    CF_TRY(take_uint(p, bytes, &at, err));
    return memo_put(p, at, err);
}

static enum cf_status get_op(struct cf_pickle *p, int bytes, struct cf_error *err)
{
    uint64_t at;

    CF_TRY(take_uint(p, bytes, &at, err));
    return memo_get(p, at, err);
}

static enum cf_status memoize_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    (void)none;
    return memo_put(p, p->memos++, err);
}

/* One line, without its end. */
static enum cf_status take_line(struct cf_pickle *p, const char **s, size_t *len,
                                struct cf_error *err)
{
    const unsigned char *from = p->bytes + p->at, *end = memchr(from, '\n', p->n - p->at);

    *s = (const char *)from;
    *len = 0;
    if (!end || end - from > MAX_GLOBAL)
        return damaged(p, "a name without an end", err);
    *len = (size_t)(end - from);
    p->at += *len + 1;
    return CF_OK;
}

static enum cf_status global_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    const char *module, *name;
    size_t module_len, name_len;
    uint32_t value;

    (void)none;
    CF_TRY(take_line(p, &module, &module_len, err));
    CF_TRY(take_line(p, &name, &name_len, err));
    CF_TRY(cf_pickle_global(p, module, module_len, name, name_len, &value, err));
    return push(p, value, err);
}

static enum cf_status stack_global_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    const struct cf_pickle_node *m, *n;
    uint32_t module, name, value;

    (void)none;
    CF_TRY(pop(p, &name, err));
    CF_TRY(pop(p, &module, err));
    m = &p->node[module];
    n = &p->node[name];
    if (m->kind != CF_PICKLE_TEXT || n->kind != CF_PICKLE_TEXT)
        return damaged(p, "a global whose name is no text", err);
    CF_TRY(
        cf_pickle_global(p, m->text.s, m->text.len, n->text.s, n->text.len, &value, err));
    return push(p, value, err);
}

static enum cf_status reduce_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    uint32_t callee, args, value;

    (void)none;
    CF_TRY(pop(p, &args, err));
    CF_TRY(pop(p, &callee, err));
    CF_TRY(cf_pickle_call(p, callee, args, &value, err));
    return push(p, value, err);
}

/* Attributes of an object: torch.save gives those of a state dict (_metadata, versions of
 * modules), which say nothing about tensors. They are read and dropped. */
static enum cf_status build_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    uint32_t state;

    (void)none;
    CF_TRY(pop(p, &state, err));
    if (above(p) == 0 || p->node[p->stack[p->height - 1]].kind != CF_PICKLE_DICT)
        return damaged(p, "attributes for what is no dictionary", err);
    return CF_OK;
}

static enum cf_status persistent_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    uint32_t id, value;

    (void)none;
    CF_TRY(pop(p, &id, err));
    CF_TRY(cf_pickle_persistent(p, id, &value, err));
    return push(p, value, err);
}

static enum cf_status protocol_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    const unsigned char *b;

    (void)none;
    CF_TRY(take(p, 1, &b, err));
    if (*b < 2 || *b > MAX_PROTOCOL)
        return cf_fail(err, CF_EUNSUP, "%.200s: pickle protocol %d, expected 2..%d",
                       p->where, *b, MAX_PROTOCOL);
    return CF_OK;
}

static enum cf_status dup_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    (void)none;
    if (above(p) == 0)
        return damaged(p, "nothing is there to repeat", err);
    return push(p, p->stack[p->height - 1], err);
}

static enum cf_status new_op(struct cf_pickle *p, int kind, struct cf_error *err)
{
    struct cf_pickle_node *node;

    return push_new(p, (enum cf_pickle_kind)kind, &node, err);
}

static enum cf_status float_op(struct cf_pickle *p, int bytes, struct cf_error *err)
{
    const unsigned char *b;

    CF_TRY(take(p, (uint64_t)bytes, &b, err));
    return new_op(p, CF_PICKLE_FLOAT, err);
}

static enum cf_status append_op(struct cf_pickle *p, int kind, struct cf_error *err)
{
    size_t n = kind == CF_PICKLE_DICT ? 2 : 1;

    if (above(p) <= n)
        return damaged(p, "an item without its container", err);
    return extend(p, (enum cf_pickle_kind)kind, p->height - n, err);
}

static enum cf_status extend_op(struct cf_pickle *p, int kind, struct cf_error *err)
{
    size_t from;

    CF_TRY(to_mark(p, &from, err));
    return extend(p, (enum cf_pickle_kind)kind, from, err);
}

static enum cf_status gather_op(struct cf_pickle *p, int kind, struct cf_error *err)
{
    size_t from;

    CF_TRY(to_mark(p, &from, err));
    return gather(p, (enum cf_pickle_kind)kind, from, err);
}

static enum cf_status frame_op(struct cf_pickle *p, int bytes, struct cf_error *err)
{
    const unsigned char *length; /* for readers of streams */

    return take(p, (uint64_t)bytes, &length, err);
}

static enum cf_status mark_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    (void)none;
    return set_mark(p, err);
}

static enum cf_status pop_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    uint32_t gone;

    (void)none;
    return pop(p, &gone, err);
}

static enum cf_status pop_mark_op(struct cf_pickle *p, int none, struct cf_error *err)
{
    (void)none;
    return to_mark(p, &p->height, err);
}

/* All opcodes that torch.save writes, and those that mean the same elsewhere. */
static const struct {
    enum cf_status (*run)(struct cf_pickle *p, int arg, struct cf_error *err);
    int arg;
} ops[256] = {
    [PROTO] = {protocol_op, 0},
    [FRAME] = {frame_op, 8},
    [MARK] = {mark_op, 0},
    [POP] = {pop_op, 0},
    [POP_MARK] = {pop_mark_op, 0},
    [DUP] = {dup_op, 0},
    [NONE] = {new_op, CF_PICKLE_NONE},
    [NEWTRUE] = {new_op, CF_PICKLE_BOOL},
    [NEWFALSE] = {new_op, CF_PICKLE_BOOL},
    [BINFLOAT] = {float_op, 8},
    [BININT] = {push_int, 4},
    [BININT1] = {push_int, 1},
    [BININT2] = {push_int, 2},
    [LONG1] = {push_long, 1},
    [LONG4] = {push_long, 4},
    [SHORT_BINUNICODE] = {push_text, 1},
    [BINUNICODE] = {push_text, 4},
    [BINUNICODE8] = {push_text, 8},
    [SHORT_BINSTRING] = {push_text, 1},
    [BINSTRING] = {push_text, 4},
    [SHORT_BINBYTES] = {push_bytes, 1},
    [BINBYTES] = {push_bytes, 4},
    [BINBYTES8] = {push_bytes, 8},
    [EMPTY_LIST] = {new_op, CF_PICKLE_LIST},
    [EMPTY_TUPLE] = {new_op, CF_PICKLE_TUPLE},
    [EMPTY_DICT] = {new_op, CF_PICKLE_DICT},
    [TUPLE1] = {gather_some, 1},
    [TUPLE2] = {gather_some, 2},
    [TUPLE3] = {gather_some, 3},
    [TUPLE] = {gather_op, CF_PICKLE_TUPLE},
    [LIST] = {gather_op, CF_PICKLE_LIST},
    [DICT] = {gather_op, CF_PICKLE_DICT},
    [APPEND] = {append_op, CF_PICKLE_LIST},
    [APPENDS] = {extend_op, CF_PICKLE_LIST},
    [SETITEM] = {append_op, CF_PICKLE_DICT},
    [SETITEMS] = {extend_op, CF_PICKLE_DICT},
    [BINPUT] = {put_op, 1},
    [LONG_BINPUT] = {put_op, 4},
    [MEMOIZE] = {memoize_op, 0},
    [BINGET] = {get_op, 1},
    [LONG_BINGET] = {get_op, 4},
    [GLOBAL] = {global_op, 0},
    [STACK_GLOBAL] = {stack_global_op, 0},
    [REDUCE] = {reduce_op, 0},
    [BUILD] = {build_op, 0},
    [BINPERSID] = {persistent_op, 0},
};

static enum cf_status run(struct cf_pickle *p, struct cf_error *err)
{
    for (;;) {
        const unsigned char *op;

        CF_TRY(take(p, 1, &op, err));
        if (*op == STOP)
            break;
        if (!ops[*op].run)
            return cf_fail(err, CF_EUNSUP,
                           "%.200s: byte %zu of the pickle: opcode 0x%02x, which no "
                           "tensors need, is not read",
                           p->where, p->at - 1, *op);
        CF_TRY(ops[*op].run(p, ops[*op].arg, err));
    }
    return pop(p, &p->root, err);
}

enum cf_status cf_pickle_parse(struct cf_pickle **out, const void *bytes, size_t n,
                               const char *where, struct cf_error *err)
{
    struct cf_error own = {0};
    struct cf_pickle *p = cf_calloc(1, sizeof *p, &own);

    *out = NULL;
    if (p && n > CF_PICKLE_MAX_BYTES)
        cf_fail(&own, CF_EUNSUP, "%.200s: a pickle of %zu bytes, at most %d are read",
                where, n, CF_PICKLE_MAX_BYTES);
    if (own.status == CF_OK) {
        p->where = where;
        p->bytes = bytes;
        p->n = n;
        run(p, &own);
        p->where = NULL; /* borrowed for messages alone */
    }
    if (own.status == CF_OK)
        *out = p;
    else
        cf_pickle_close(p);
    return own.status == CF_OK ? CF_OK : cf_fail(err, own.status, "%s", own.msg);
}

void cf_pickle_close(struct cf_pickle *p)
{
    if (!p)
        return;
    cf_free(p->node);
    cf_free(p->item);
    cf_free(p->tensor);
    cf_free(p->stack);
    cf_free(p->mark);
    cf_free(p->memo);
    cf_free(p);
}
