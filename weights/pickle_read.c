/* pickle_read.c - the values that the machine made (pickle.c), for those who look. */
#include "weights/pickle_value.h"

uint32_t cf_pickle_root(const struct cf_pickle *p)
{
    return p->root;
}

enum cf_pickle_kind cf_pickle_kind(const struct cf_pickle *p, uint32_t value)
{
    return p->node[value].kind;
}

bool cf_pickle_next(const struct cf_pickle *p, uint32_t value, uint32_t *at,
                    uint32_t *key, uint32_t *item)
{
    const struct cf_pickle_node *c = &p->node[value];

    if (c->kind != CF_PICKLE_LIST && c->kind != CF_PICKLE_TUPLE &&
        c->kind != CF_PICKLE_DICT)
        return false;
    *at = *at == CF_PICKLE_NIL ? c->items.first : p->item[*at].next;
    if (*at == CF_PICKLE_NIL)
        return false;
    *item = p->item[*at].value;
    if (c->kind == CF_PICKLE_DICT) { /* they come in pairs */
        *key = *item;
        *at = p->item[*at].next;
        *item = p->item[*at].value;
    }
    return true;
}

bool cf_pickle_tuple(const struct cf_pickle *p, uint32_t value, uint32_t *v, uint32_t n)
{
    const struct cf_pickle_node *c = &p->node[value];
    uint32_t at;

    if (c->kind != CF_PICKLE_TUPLE || c->items.count != n)
        return false;
    at = c->items.first;
    for (uint32_t i = 0; i < n; i++, at = p->item[at].next)
        v[i] = p->item[at].value;
    return true;
}

const char *cf_pickle_text(const struct cf_pickle *p, uint32_t value, size_t *len)
{
    *len = p->node[value].text.len;
    return p->node[value].text.s;
}

int64_t cf_pickle_int(const struct cf_pickle *p, uint32_t value)
{
    return p->node[value].i;
}

const struct cf_pickle_tensor *cf_pickle_tensor(const struct cf_pickle *p, uint32_t value)
{
    return &p->tensor[p->node[value].n];
}
