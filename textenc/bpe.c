#include "textenc/bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "textenc/bpe_files.h"
#include "textenc/pretok.h"
#include "textenc/unicode.h"

enum { MAX_TEXT = 1 << 28 }; /* places in a piece are int32_t, and NFC may treble it */

struct cf_bpe {
    struct cf_bpe_files f;
    int32_t byte_id[256];
    /* Added tokens by first byte, longer ones first: first[b] .. first[b + 1] in order.
     */
    uint16_t first[257];
    uint16_t *order; /* indices into f.added */
};

/* A piece being merged: a list of symbols linked by place, and a heap of candidates. */
struct symbol {
    int32_t id;         /* -1: swallowed by its left neighbour */
    int32_t prev, next; /* -1: none */
};

struct work {
    struct symbol *sym;
    uint64_t *heap; /* rank << 32 | place of the left symbol; smallest on top */
    size_t cap_sym, cap_heap, n_heap;
};

struct sink {
    int32_t *ids;
    size_t cap, n;
};

static void put(struct sink *out, int32_t id)
{
    if (out->n < out->cap)
        out->ids[out->n] = id;
    out->n++;
}

/* ---- merging ---- */

static enum cf_status push(struct work *w, uint64_t key, struct cf_error *err)
{
    size_t i = w->n_heap;

    CF_TRY(cf_grow(&w->heap, &w->cap_heap, i + 1, sizeof(*w->heap), err));
    w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = key;
    return CF_OK;
}

static uint64_t pop(struct work *w)
{
    uint64_t top = w->heap[0], key = w->heap[--w->n_heap];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < w->n_heap) {
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= key)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = key;
    return top;
}

/* A candidate for the symbol at `at` and its right neighbour, if they merge at all. */
static enum cf_status offer(const struct cf_bpe *bpe, struct work *w, int32_t at,
                            struct cf_error *err)
{
    uint32_t rank;
    int32_t id;

    if (at < 0 || w->sym[at].next < 0 ||
        !cf_vocab_pair(bpe->f.vocab, w->sym[at].id, w->sym[w->sym[at].next].id, &rank,
                       &id))
        return CF_OK;
    return push(w, (uint64_t)rank << 32 | (uint32_t)at, err);
}

/* Merges at the place of a candidate. It is stale where the pair there is no longer the
 * one that was offered: a rank belongs to one pair only. */
static enum cf_status merge(const struct cf_bpe *bpe, struct work *w, uint64_t key,
                            struct cf_error *err)
{
    int32_t at = (int32_t)(uint32_t)key, id, right;
    struct symbol *s = &w->sym[at];
    uint32_t rank;

    if (s->id < 0 || s->next < 0 ||
        !cf_vocab_pair(bpe->f.vocab, s->id, w->sym[s->next].id, &rank, &id) ||
        rank != key >> 32)
        return CF_OK;
    right = s->next;
    s->id = id;
    s->next = w->sym[right].next;
    w->sym[right].id = -1;
    if (s->next >= 0)
        w->sym[s->next].prev = at;
    CF_TRY(offer(bpe, w, s->prev, err));
    return offer(bpe, w, at, err);
}

static enum cf_status encode_piece(const struct cf_bpe *bpe, struct work *w,
                                   const char *s, size_t len, struct sink *out,
                                   struct cf_error *err)
{
    CF_TRY(cf_grow(&w->sym, &w->cap_sym, len, sizeof(*w->sym), err));
    w->n_heap = 0;
    for (size_t i = 0; i < len; i++)
        w->sym[i] = (struct symbol){bpe->byte_id[(unsigned char)s[i]], (int32_t)i - 1,
                                    i + 1 < len ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < len; i++)
        CF_TRY(offer(bpe, w, (int32_t)i, err));
    while (w->n_heap)
        CF_TRY(merge(bpe, w, pop(w), err));
    for (int32_t i = 0; i >= 0; i = w->sym[i].next)
        put(out, w->sym[i].id);
    return CF_OK;
}

/* Text without added tokens. */
static enum cf_status encode_plain(const struct cf_bpe *bpe, struct work *w,
                                   const char *s, size_t len, struct sink *out,
                                   struct cf_error *err)
{
    enum cf_status st = CF_OK;
    char *nfc;
    size_t n, size;

    if (len == 0)
        return CF_OK;
    CF_TRY(cf_unicode_nfc(s, len, &nfc, &n, err));
    for (size_t i = 0; i < n && st == CF_OK; i += size) {
        size = cf_pretok_next(nfc + i, n - i);
        st = encode_piece(bpe, w, nfc + i, size, out, err);
    }
    cf_free(nfc);
    return st;
}

/* The longest added token at the head of s, or NULL. */
static const struct cf_added *added_at(const struct cf_bpe *bpe, const char *s,
                                       size_t len)
{
    unsigned char b = (unsigned char)s[0];

    for (int i = bpe->first[b]; i < bpe->first[b + 1]; i++) {
        const struct cf_added *a = &bpe->f.added[bpe->order[i]];

        if (a->len <= len && memcmp(a->s, s, a->len) == 0)
            return a;
    }
    return NULL;
}

enum cf_status cf_bpe_encode(const struct cf_bpe *bpe, const char *text, size_t len,
                             bool parse_special, int32_t *ids, size_t cap, size_t *n,
                             struct cf_error *err)
{
    struct sink out = {ids, cap, 0};
    enum cf_status st = CF_OK;
    struct work w = {0};
    size_t begin = 0, i = 0;

    if (len > MAX_TEXT)
        return cf_fail(err, CF_ERANGE, "text of %zu bytes, at most %d", len, MAX_TEXT);
    if (!cf_utf8_valid(text, len, &i))
        return cf_fail(err, CF_EFORMAT, "text is not UTF-8 at byte %zu", i);
    for (i = 0; parse_special && i < len && st == CF_OK;) {
        const struct cf_added *a = added_at(bpe, text + i, len - i);

        if (!a) {
            i++;
            continue;
        }
        st = encode_plain(bpe, &w, text + begin, i - begin, &out, err);
        put(&out, a->id);
        begin = i += a->len;
    }
    if (st == CF_OK)
        st = encode_plain(bpe, &w, text + begin, len - begin, &out, err);
    *n = out.n;
    cf_free(w.sym);
    cf_free(w.heap);
    return st;
}

/* ---- decoding ---- */

static const struct cf_added *added_id(const struct cf_bpe *bpe, int32_t id)
{
    size_t lo = 0, hi = bpe->f.n_added;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (bpe->f.added[mid].id == id)
            return &bpe->f.added[mid];
        if (bpe->f.added[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

enum cf_status cf_bpe_decode(const struct cf_bpe *bpe, const int32_t *ids, size_t n,
                             bool skip_special, char **text, size_t *len,
                             struct cf_error *err)
{
    enum cf_status st = CF_OK;
    size_t cap = 0, at = 0, size;
    char *raw = NULL;

    for (size_t i = 0; i < n && st == CF_OK; i++) {
        const struct cf_added *a = added_id(bpe, ids[i]);
        const char *s = cf_vocab_bytes(bpe->f.vocab, ids[i], &size);

        if (a && a->special && skip_special)
            continue;
        if (a) {
            s = a->s;
            size = a->len;
        }
        if (!s) {
            st = cf_fail(err, CF_ERANGE, "id %d at %zu is no token", (int)ids[i], i);
            break;
        }
        st = cf_grow(&raw, &cap, at + size, 1, err);
        if (st == CF_OK)
            memcpy(raw + at, s, size);
        at += size;
    }
    if (st == CF_OK)
        st = cf_utf8_repair(raw, at, text, len, err);
    cf_free(raw);
    return st;
}

/* ---- opening ---- */

/* order by first byte, then longer first, then by place (content is unique). */
static bool comes_before(const struct cf_added *x, const struct cf_added *y)
{
    unsigned char a = (unsigned char)x->s[0], b = (unsigned char)y->s[0];

    return a != b ? a < b : x->len > y->len;
}

static enum cf_status index_added(struct cf_bpe *bpe, struct cf_error *err)
{
    size_t n = bpe->f.n_added;

    bpe->order = cf_alloc(n, sizeof(*bpe->order), err);
    if (!bpe->order)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t j = i;

        for (; j > 0 && comes_before(&bpe->f.added[i], &bpe->f.added[bpe->order[j - 1]]);
             j--)
            bpe->order[j] = bpe->order[j - 1];
        bpe->order[j] = (uint16_t)i;
    }
    for (size_t i = 0; i < n; i++)
        bpe->first[(unsigned char)bpe->f.added[i].s[0] + 1]++;
    for (int b = 0; b < 256; b++)
        bpe->first[b + 1] = (uint16_t)(bpe->first[b + 1] + bpe->first[b]);
    return CF_OK;
}

enum cf_status cf_bpe_open(struct cf_bpe **bpe, const char *path, struct cf_error *err)
{
    struct cf_bpe *b = cf_calloc(1, sizeof(*b), err);
    enum cf_status st;

    *bpe = NULL;
    if (!b)
        return CF_ENOMEM;
    st = cf_bpe_files_open(&b->f, path, err);
    if (st == CF_OK)
        st = index_added(b, err);
    if (st != CF_OK) {
        cf_bpe_close(b);
        return st;
    }
    for (int i = 0; i < 256; i++) {
        char c = (char)i;

        b->byte_id[i] = cf_vocab_find(b->f.vocab, &c, 1);
    }
    *bpe = b;
    return CF_OK;
}

void cf_bpe_close(struct cf_bpe *bpe)
{
    if (!bpe)
        return;
    cf_bpe_files_close(&bpe->f);
    cf_free(bpe->order);
    cf_free(bpe);
}

int32_t cf_bpe_size(const struct cf_bpe *bpe)
{
    int32_t size = cf_vocab_size(bpe->f.vocab);
    size_t n = bpe->f.n_added;

    return n && bpe->f.added[n - 1].id >= size ? bpe->f.added[n - 1].id + 1 : size;
}

int32_t cf_bpe_id(const struct cf_bpe *bpe, const char *s, size_t len)
{
    return cf_bpe_files_id(&bpe->f, s, len);
}

int32_t cf_bpe_bos(const struct cf_bpe *bpe)
{
    return bpe->f.bos;
}

int32_t cf_bpe_eos(const struct cf_bpe *bpe)
{
    return bpe->f.eos;
}

int32_t cf_bpe_pad(const struct cf_bpe *bpe)
{
    return bpe->f.pad;
}

int32_t cf_bpe_unk(const struct cf_bpe *bpe)
{
    return bpe->f.unk;
}

bool cf_bpe_pad_left(const struct cf_bpe *bpe)
{
    return bpe->f.pad_left;
}
