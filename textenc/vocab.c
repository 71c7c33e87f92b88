#include "textenc/vocab.h"

#include <string.h>

#include "base/alloc.h"

enum { FIRST_SLOTS = 1024 };

struct token {
    size_t at;    /* in bytes */
    uint32_t len; /* 0: a gap */
};

struct pair {
    int32_t left, right, id; /* left < 0: free slot */
    uint32_t rank;
};

struct cf_vocab {
    char *bytes;
    size_t n_bytes, cap_bytes;
    struct token *token; /* [n_token] by id */
    size_t n_token, cap_token;
    int32_t *slot; /* [n_slot] ids by hash of their bytes, NO_ID free; a power of two */
    size_t n_slot, n_used;
    struct pair *pair; /* [n_pair_slot] by hash of (left, right); a power of two */
    size_t n_pair_slot, n_merge;
    char *joined; /* scratch of cf_vocab_merge */
    size_t cap_joined;
};

static size_t hash_bytes(const char *s, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29);
}

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    h *= 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 31);
}

struct cf_vocab *cf_vocab_open(struct cf_error *err)
{
    return cf_calloc(1, sizeof(struct cf_vocab), err);
}

void cf_vocab_close(struct cf_vocab *v)
{
    if (!v)
        return;
    cf_free(v->bytes);
    cf_free(v->token);
    cf_free(v->slot);
    cf_free(v->pair);
    cf_free(v->joined);
    cf_free(v);
}

int32_t cf_vocab_size(const struct cf_vocab *v)
{
    return (int32_t)v->n_token;
}

const char *cf_vocab_bytes(const struct cf_vocab *v, int32_t id, size_t *len)
{
    *len = 0;
    if (id < 0 || (size_t)id >= v->n_token || v->token[id].len == 0)
        return NULL;
    *len = v->token[id].len;
    return v->bytes + v->token[id].at;
}

/* The slot that holds these bytes, or the free one where they belong. */
static size_t find_slot(const struct cf_vocab *v, const char *s, size_t len)
{
    size_t i = hash_bytes(s, len) & (v->n_slot - 1);

    while (v->slot[i] != CF_VOCAB_NO_ID) {
        const struct token *t = &v->token[v->slot[i]];

        if (t->len == len && memcmp(v->bytes + t->at, s, len) == 0)
            break;
        i = (i + 1) & (v->n_slot - 1);
    }
    return i;
}

int32_t cf_vocab_find(const struct cf_vocab *v, const char *s, size_t len)
{
    if (v->n_slot == 0 || len == 0)
        return CF_VOCAB_NO_ID;
    return v->slot[find_slot(v, s, len)];
}

/* At most half of the slots are ever used. */
static enum cf_status grow_slots(struct cf_vocab *v, struct cf_error *err)
{
    size_t n = v->n_slot ? v->n_slot * 2 : FIRST_SLOTS;
    int32_t *slot;

    if (v->n_used * 2 < v->n_slot)
        return CF_OK;
    slot = cf_alloc(n, sizeof(*slot), err);
    if (!slot)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++)
        slot[i] = CF_VOCAB_NO_ID;
    cf_free(v->slot);
    v->slot = slot;
    v->n_slot = n;
    for (size_t id = 0; id < v->n_token; id++)
        if (v->token[id].len)
            slot[find_slot(v, v->bytes + v->token[id].at, v->token[id].len)] =
                (int32_t)id;
    return CF_OK;
}

enum cf_status cf_vocab_add(struct cf_vocab *v, int64_t id, const char *s, size_t len,
                            struct cf_error *err)
{
    size_t old = v->n_token, slot;

    if (id < 0 || id >= CF_VOCAB_MAX)
        return cf_fail(err, CF_EFORMAT, "token id %lld, expected 0..%d", (long long)id,
                       CF_VOCAB_MAX - 1);
    if (len == 0 || len > UINT32_MAX)
        return cf_fail(err, CF_EFORMAT, "token %lld: %zu bytes long", (long long)id, len);
    if ((size_t)id < old && v->token[id].len)
        return cf_fail(err, CF_EFORMAT, "token id %lld is given twice", (long long)id);
    CF_TRY(grow_slots(v, err));
    slot = find_slot(v, s, len);
    if (v->slot[slot] != CF_VOCAB_NO_ID)
        return cf_fail(err, CF_EFORMAT, "tokens %d and %lld are the same bytes",
                       (int)v->slot[slot], (long long)id);
    CF_TRY(cf_grow(&v->bytes, &v->cap_bytes, v->n_bytes + len, 1, err));
    if ((size_t)id >= old) {
        CF_TRY(cf_grow(&v->token, &v->cap_token, (size_t)id + 1, sizeof(*v->token), err));
        memset(v->token + old, 0, ((size_t)id + 1 - old) * sizeof(*v->token));
        v->n_token = (size_t)id + 1;
    }
    memcpy(v->bytes + v->n_bytes, s, len);
    v->token[id] = (struct token){v->n_bytes, (uint32_t)len};
    v->n_bytes += len;
    v->slot[slot] = (int32_t)id;
    v->n_used++;
    return CF_OK;
}

static size_t find_pair(const struct pair *table, size_t n, int32_t left, int32_t right)
{
    size_t i = hash_pair(left, right) & (n - 1);

    while (table[i].left >= 0 && (table[i].left != left || table[i].right != right))
        i = (i + 1) & (n - 1);
    return i;
}

static enum cf_status grow_pairs(struct cf_vocab *v, struct cf_error *err)
{
    size_t n = v->n_pair_slot ? v->n_pair_slot * 2 : FIRST_SLOTS;
    struct pair *pair;

    if (v->n_merge * 2 < v->n_pair_slot)
        return CF_OK;
    pair = cf_alloc(n, sizeof(*pair), err);
    if (!pair)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++)
        pair[i].left = -1;
    for (size_t i = 0; i < v->n_pair_slot; i++)
        if (v->pair[i].left >= 0)
            pair[find_pair(pair, n, v->pair[i].left, v->pair[i].right)] = v->pair[i];
    cf_free(v->pair);
    v->pair = pair;
    v->n_pair_slot = n;
    return CF_OK;
}

enum cf_status cf_vocab_merge(struct cf_vocab *v, int32_t left, int32_t right,
                              struct cf_error *err)
{
    size_t ll, rl, slot;
    const char *l = cf_vocab_bytes(v, left, &ll), *r = cf_vocab_bytes(v, right, &rl);
    int32_t id;

    if (!l || !r)
        return cf_fail(err, CF_EFORMAT, "merge %zu names an unknown token", v->n_merge);
    CF_TRY(cf_grow(&v->joined, &v->cap_joined, ll + rl, 1, err));
    memcpy(v->joined, l, ll);
    memcpy(v->joined + ll, r, rl);
    id = cf_vocab_find(v, v->joined, ll + rl);
    if (id == CF_VOCAB_NO_ID)
        return cf_fail(err, CF_EFORMAT, "merge %zu (%d, %d): the result is no token",
                       v->n_merge, (int)left, (int)right);
    CF_TRY(grow_pairs(v, err));
    slot = find_pair(v->pair, v->n_pair_slot, left, right);
    if (v->pair[slot].left >= 0)
        return cf_fail(err, CF_EFORMAT, "merge %zu repeats merge %u", v->n_merge,
                       v->pair[slot].rank);
    v->pair[slot] = (struct pair){left, right, id, (uint32_t)v->n_merge++};
    return CF_OK;
}

bool cf_vocab_pair(const struct cf_vocab *v, int32_t left, int32_t right, uint32_t *rank,
                   int32_t *id)
{
    const struct pair *p;

    if (v->n_pair_slot == 0)
        return false;
    p = &v->pair[find_pair(v->pair, v->n_pair_slot, left, right)];
    if (p->left < 0)
        return false;
    *rank = p->rank;
    *id = p->id;
    return true;
}
