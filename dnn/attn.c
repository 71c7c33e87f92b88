/* attn.c - attention tile by tile.
 *
 * An item is a tile of queries of one head of one sequence; items go to threads. Queries
 * are packed once, in groups as wide as a panel, [hd, panel]. Then for each tile of keys
 * (always counted from key 0, so that the order of additions is that of the keys alone)
 * and each group: scores, keys down and queries across; softmax down the keys; and the
 * weighted values are added to the results, which are rescaled where the maximum grew.
 *
 * Keys and values are read where they lie if they are floats of a cache. Otherwise the
 * tile is first copied or widened into scratch, once for all groups of the item.
 *
 * A masked key has score -inf, weight 0 and a zeroed row of values: what lies there never
 * counts, not even a NaN (its row of scores is overwritten). */
#include "dnn/attn.h"

#include <math.h>
#include <string.h>

#include "dnn/kv.h"
#include "dnn/machine.h"

enum {
    KT = 128, /* keys of a tile, half of it for heads of which two tiles are too big: */
    TILE = 16384, /* numbers of a tile */
    QT = 128,     /* most queries of an item */
    ROOM = 28160, /* numbers of packed queries and of results */
};

struct tile {
    float k[TILE], v[TILE];
    float score[KT * CF_PANEL_MAX];
    float bias[KT + CF_PANEL_MAX];
    float max[QT], sum[QT], factor[CF_PANEL_MAX];
    float room[ROOM];
};

_Static_assert(sizeof(struct tile) <= 256 << 10 && 256 << 10 <= CF_THREAD_SCRATCH,
               "a tile leaves room in the second cache");
_Static_assert(KT / 2 * CF_ATTN_HD_MAX <= TILE && KT / 2 % CF_KV_BLOCK == 0 &&
                   2 * CF_PANEL_MAX * CF_ATTN_HD_MAX <= ROOM,
               "the widest head fits");

struct work {
    const struct cf_dnn *dnn;
    const struct cf_attn *a;
    const struct cf_attn_seq *seq;
    int n_seq;
    int qt; /* most queries of an item, whole panels */
};

/* What run_tile works on: queries q0 .. q0+m-1 of head h, which reads head g. */
struct item {
    const struct cf_attn_seq *s;
    int h, g, q0, m;
    float *q, *acc; /* [groups][hd, panel], [m, hd] */
};

/* Rows of a tile: hd numbers each, CF_KV_BLOCK to a block, jump from block to block; and
 * what may be fetched from memory while a block is worked on, step bytes further each. */
struct rows {
    const float *at;
    size_t jump;
    const char *next;
    size_t step;
};

/* Queries of the items of a sequence: about equal parts, whole panels. */
static int items_of(const struct work *w, const struct cf_attn_seq *s, int *each)
{
    int panel = (int)w->dnn->kern.panel, n = (s->nq + w->qt - 1) / w->qt;
    int per = n ? ((s->nq + n - 1) / n + panel - 1) / panel * panel : 1;

    *each = per;
    return (s->nq + per - 1) / per;
}

/* n rows from key `at` on that lie anywhere, one after the other in room; zeros where a
 * key is masked. */
static void gather(const struct work *w, const struct cf_attn_seq *s, float *room,
                   const void *src, int64_t stride, int at, int n)
{
    size_t hd = (size_t)w->a->hd;

    for (int j = 0; j < n; j++, room += hd) {
        int64_t from = (at + j) * stride;

        if (s->key_ok && !s->key_ok[at + j])
            memset(room, 0, hd * sizeof *room);
        else if (w->a->kv == CF_BF16)
            w->dnn->kern.widen_bf16(room, (const uint16_t *)src + from, hd);
        else
            memcpy(room, (const float *)src + from, hd * sizeof *room);
    }
}

/* n rows of a cache as floats in room. There are `left` from the first on: of the next
 * tile, the keys and values of a block are as many bytes as its keys as floats. */
static struct rows widen(const struct work *w, const uint16_t *src, size_t jump,
                         float *room, int n, int left)
{
    size_t hd = (size_t)w->a->hd, block = CF_KV_BLOCK * hd;
    int blocks = (n + CF_KV_BLOCK - 1) / CF_KV_BLOCK, more = left > n;

    for (int b = 0; b < blocks; b++) {
        size_t rows = (size_t)(n - b * CF_KV_BLOCK);

        w->dnn->kern.widen_bf16(room + (size_t)b * block, src + (size_t)b * jump,
                                (rows < CF_KV_BLOCK ? rows : CF_KV_BLOCK) * hd);
    }
    return (struct rows){room, block,
                         (const char *)(src + (more ? (size_t)blocks * jump : 0)),
                         more ? jump * sizeof *src : 0};
}

/* Keys (or values, value 1) at .. at+n-1 of head g; at is the first of a block. */
static struct rows fetch(const struct work *w, const struct item *it, float *room,
                         int value, int at, int n)
{
    const struct cf_attn *a = w->a;
    const struct cf_attn_seq *s = it->s;
    size_t block = (size_t)(CF_KV_BLOCK * a->hd), jump = (size_t)cf_kv_block(a);
    int64_t first = cf_kv_key(a, it->g, at) + value * (int64_t)block;

    if (!s->cache) {
        int64_t size = (int64_t)cf_dtype_size(a->kv);
        const char *k = (const char *)s->k + it->g * s->k_head * size;
        const char *v = (const char *)s->v + it->g * s->v_head * size;

        gather(w, s, room, value ? v : k, value ? s->v_stride : s->k_stride, at, n);
        return (struct rows){room, block, (const char *)room, 0};
    }
    if (a->kv == CF_F32) {
        const float *k = (const float *)s->cache + first;

        return (struct rows){k, jump, (const char *)(k + jump), jump * sizeof *k};
    }
    return widen(w, (const uint16_t *)s->cache + first, jump, room, n, s->nk - at);
}

static void forbid(float *row, int n)
{
    for (int i = 0; i < n; i++)
        row[i] = -INFINITY;
}

/* Scores of keys at .. at+n-1 for the m queries from i0 of the item on. Those that must
 * not count become -inf: masked keys, and those a causal query does not see yet. Returns
 * the scale that is still to be applied. */
static float scores(const struct work *w, struct tile *t, const struct item *it,
                    struct rows k, int at, int n, int i0, int m)
{
    const struct cf_attn_seq *s = it->s;
    const struct cf_kern *kern = &w->dnn->kern;
    size_t hd = (size_t)w->a->hd, panel = kern->panel;
    int q0 = it->q0 + i0, seen = q0 + s->nk - s->nq;

    for (int j = 0; j < n; j += CF_KV_BLOCK)
        kern->attn_scores(
            t->score + (size_t)j * panel, k.at + (size_t)(j / CF_KV_BLOCK) * k.jump, hd,
            k.next + (size_t)(j / CF_KV_BLOCK) * k.step, it->q + (size_t)i0 * hd,
            (size_t)(n - j < CF_KV_BLOCK ? n - j : CF_KV_BLOCK), (size_t)m, hd);
    if (s->bias) { /* turned round, so that a row of scores meets rising addresses */
        const float *last = s->bias + it->h * s->bias_head + at + n - 1 - q0;

        for (int x = 0; x < n - 1 + m; x++)
            t->bias[x] = last[-x];
        for (int j = 0; j < n; j++) {
            float *row = t->score + (size_t)j * panel;

            kern->mix(row, row, w->a->scale, t->bias + n - 1 - j, 1.0f, (size_t)m);
        }
    }
    for (int j = 0; s->key_ok && j < n; j++)
        if (!s->key_ok[at + j])
            forbid(t->score + (size_t)j * panel, m);
    for (int j = s->causal && seen + 1 > at ? seen + 1 - at : 0; s->causal && j < n; j++)
        forbid(t->score + (size_t)j * panel, at + j - seen < m ? at + j - seen : m);
    return s->bias ? 1.0f : w->a->scale;
}

/* One group: the keys of a tile into its results. */
static void run_group(const struct work *w, struct tile *t, const struct item *it,
                      struct rows k, struct rows v, int at, int n, int i0, int m)
{
    const struct cf_kern *kern = &w->dnn->kern;
    size_t hd = (size_t)w->a->hd;
    float *acc = it->acc + (size_t)i0 * hd;
    float scale = scores(w, t, it, k, at, n, i0, m);

    kern->attn_softmax(t->score, (size_t)n, (size_t)m, scale, t->max + i0, t->sum + i0,
                       t->factor);
    for (int i = 0; at > 0 && i < m; i++)
        if (t->factor[i] != 1.0f)
            kern->scale(acc + (size_t)i * hd, t->factor[i], hd);
    kern->attn_values(acc, hd, t->score, v.at, v.jump, (size_t)m, hd, (size_t)n, at > 0);
}

static void begin_item(const struct work *w, struct tile *t, struct item *it)
{
    size_t hd = (size_t)w->a->hd, panel = w->dnn->kern.panel, m = (size_t)it->m;
    size_t stride = (size_t)it->s->q_stride * sizeof(float);
    const float *q = it->s->q + it->q0 * it->s->q_stride + it->h * (int64_t)hd;

    it->q = t->room;
    it->acc = t->room + (m + panel - 1) / panel * panel * hd;
    for (size_t i = 0; i < m; i += panel)
        w->dnn->kern.pack_f32(it->q + i * hd, q + (int64_t)i * it->s->q_stride, stride,
                              m - i < panel ? m - i : panel, hd, 0);
    memset(it->acc, 0, m * hd * sizeof *it->acc); /* where no key is seen at all */
    for (int i = 0; i < QT; i++) {
        t->max[i] = -INFINITY;
        t->sum[i] = 0.0f;
    }
}

static void end_item(const struct work *w, const struct tile *t, const struct item *it)
{
    static const float zero[CF_ATTN_HD_MAX];
    size_t hd = (size_t)w->a->hd;

    /* + 0 turns -0 to 0: which of them an underflow left depends on how many keys of
     * weight 0 came after it. */
    for (int i = 0; i < it->m; i++)
        w->dnn->kern.mix(it->s->dst + (it->q0 + i) * it->s->d_stride +
                             it->h * (int64_t)hd,
                         it->acc + (size_t)i * hd,
                         t->sum[i] != 0.0f ? 1.0f / t->sum[i] : 0.0f, zero, 0.0f, hd);
}

static void run_item(const struct work *w, struct tile *t, struct item *it)
{
    const struct cf_attn_seq *s = it->s;
    int panel = (int)w->dnn->kern.panel, kt = w->a->hd * KT <= TILE ? KT : KT / 2;
    int end = s->causal ? it->q0 + it->m + s->nk - s->nq : s->nk;

    begin_item(w, t, it);
    for (int at = 0; at < end; at += kt) {
        int n = end - at < kt ? end - at : kt;
        struct rows k = fetch(w, it, t->k, 0, at, n), v = fetch(w, it, t->v, 1, at, n);

        for (int i = 0; i < it->m; i += panel) {
            int m = it->m - i < panel ? it->m - i : panel;

            if (!s->causal || it->q0 + i + m + s->nk - s->nq > at)
                run_group(w, t, it, k, v, at, n, i, m);
        }
    }
    end_item(w, t, it);
}

static void attn_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    struct tile *t = cf_thread_scratch(w->dnn, thread);
    int64_t at = 0;

    for (int i = 0; i < w->n_seq && at < last; i++) {
        const struct cf_attn_seq *s = &w->seq[i];
        int each, per = items_of(w, s, &each);
        int64_t n = (int64_t)w->a->heads * per;

        for (int64_t j = first > at ? first - at : 0; j < n && at + j < last; j++) {
            struct item it = {.s = s, .h = (int)(j / per), .q0 = (int)(j % per) * each};

            it.g = it.h / (w->a->heads / w->a->kv_heads);
            it.m = s->nq - it.q0 < each ? s->nq - it.q0 : each;
            run_item(w, t, &it);
        }
        at += n;
    }
}

static int64_t count(const struct work *w)
{
    int64_t n = 0;
    int each;

    for (int i = 0; i < w->n_seq; i++)
        n += (int64_t)w->a->heads * items_of(w, &w->seq[i], &each);
    return n;
}

static enum cf_status check(const struct cf_attn *a, const struct cf_attn_seq *seq,
                            int n_seq, struct cf_error *err)
{
    if (a->hd < 4 || a->hd > CF_ATTN_HD_MAX || a->hd % 4 || a->heads < 1 ||
        a->kv_heads < 1 || a->heads % a->kv_heads || !(a->scale > 0))
        return cf_fail(err, CF_ERANGE,
                       "attention: %d heads over %d of %d channels, scale %g", a->heads,
                       a->kv_heads, a->hd, (double)a->scale);
    if (a->kv != CF_F32 && a->kv != CF_BF16)
        return cf_fail(err, CF_EUNSUP, "attention: keys and values of type %s",
                       cf_dtype_name(a->kv));
    for (int i = 0; i < n_seq; i++) {
        if (seq[i].nq < 0 || seq[i].nk < 0 || (seq[i].causal && seq[i].nk < seq[i].nq))
            return cf_fail(err, CF_ERANGE, "attention: sequence %d: %d queries, %d keys",
                           i, seq[i].nq, seq[i].nk);
        if (seq[i].cache && seq[i].key_ok)
            return cf_fail(err, CF_ERANGE, "attention: sequence %d: a cache with a mask",
                           i);
    }
    return CF_OK;
}

enum cf_status cf_attn_run(struct cf_dnn *dnn, const struct cf_attn *a,
                           const struct cf_attn_seq *seq, int n_seq, struct cf_error *err)
{
    struct work w = {.dnn = dnn, .a = a, .seq = seq, .n_seq = n_seq};
    int panel = (int)dnn->kern.panel;
    struct cf_call call;

    CF_TRY(check(a, seq, n_seq, err));
    /* As many queries as fit share what is read of a tile, unless threads would idle; a
     * query's result does not depend on its neighbours. */
    w.qt = ROOM / (2 * a->hd) / panel * panel;
    w.qt = w.qt > QT ? QT : w.qt;
    while (w.qt > panel && count(&w) < 4 * (int64_t)dnn->threads)
        w.qt -= panel;
    cf_call_begin(&call, dnn, &dnn->times.attn);
    cf_split(dnn, count(&w), 1, attn_part, &w);
    cf_call_end(&call, dnn);
    return CF_OK;
}
