/* attn.c - attention tile by tile.
 *
 * An item is one tile of QT queries of one head of one sequence; items go to threads. For
 * each tile of KT keys (always counted from key 0, so that the order of additions is that
 * of the keys alone): K is packed into panels of `panel` keys [hd, panel], scores are the
 * product with the queries, softmax turns them to weights in place, V is packed into
 * panels of `panel` channels [KT, panel] and the weighted sum is added to the
 * accumulator, which is rescaled when the maximum grows.
 *
 * A masked key has score -inf, weight 0 and a zeroed row of V: what lies there never
 * counts, not even a NaN (its column of scores is overwritten). */
#include "dnn/attn.h"

#include <math.h>
#include <string.h>

#include "dnn/machine.h"

enum {
    QT = 64,  /* queries of a tile: by how much the cost of packing is divided */
    KT = 128, /* keys of a tile; a multiple of every panel */
    HD_MAX = 256,
};

/* 64 KiB of accumulator, 32 of scores, 128 of one packed operand: K and V take turns. */
struct tile {
    float acc[QT * HD_MAX];
    float score[QT * KT];
    float pack[KT * HD_MAX];
    float max[QT], sum[QT];
};

_Static_assert(sizeof(struct tile) <= CF_THREAD_SCRATCH,
               "a tile fits a thread's scratch");
_Static_assert(KT % CF_PANEL_MAX == 0 && HD_MAX % CF_PANEL_MAX == 0, "whole panels");

struct work {
    const struct cf_dnn *dnn;
    const struct cf_attn *a;
    const struct cf_attn_seq *seq;
    int n_seq;
};

static int64_t tiles_of(const struct cf_attn *a, const struct cf_attn_seq *s)
{
    return (int64_t)a->heads * ((s->nq + QT - 1) / QT);
}

/* n values from row v on as panels of channels [n, panel], zeros behind channel hd and
 * where ok (of these n keys, or NULL) is 0. */
static void pack_values(const struct work *w, float *dst, const char *v, int64_t stride,
                        const uint8_t *ok, int n)
{
    size_t hd = (size_t)w->a->hd, panel = w->dnn->kern.panel;
    size_t size = cf_dtype_size(w->a->kv);

    for (size_t d = 0; d < hd; d += panel, v += panel * size) {
        for (int j = 0; j < n; j++, dst += panel) {
            size_t take = ok && !ok[j] ? 0 : hd - d < panel ? hd - d : panel;
            const char *row = v + j * stride;

            if (size == sizeof *dst)
                memcpy(dst, row, take * sizeof *dst);
            else
                w->dnn->kern.widen_bf16(dst, row, take);
            memset(dst + take, 0, (panel - take) * sizeof *dst);
        }
    }
}

/* Scores that must not count become -inf: masked keys, keys behind the tile's end, and
 * those a causal query does not see yet. sees: number of keys from key 0 on that it may.
 */
static void mask(float *row, const struct cf_attn_seq *s, int at, int n, int padded,
                 int sees)
{
    int seen = sees - at < n ? (sees - at > 0 ? sees - at : 0) : n;

    for (int j = seen; j < padded; j++)
        row[j] = -INFINITY;
    if (s->key_ok)
        for (int j = 0; j < seen; j++)
            if (!s->key_ok[at + j])
                row[j] = -INFINITY;
}

/* Queries q0 .. q0+m-1 of head h. */
static void run_tile(const struct work *w, struct tile *t, const struct cf_attn_seq *s,
                     int h, int q0, int m)
{
    const struct cf_kern *kern = &w->dnn->kern;
    int hd = w->a->hd, g = h / (w->a->heads / w->a->kv_heads), panel = (int)kern->panel;
    int width = (hd + panel - 1) / panel * panel;
    const float *q = s->q + q0 * s->q_stride + (int64_t)h * hd;
    int64_t size = (int64_t)cf_dtype_size(w->a->kv); /* strides in bytes: */
    int64_t k_stride = s->k_stride * size, v_stride = s->v_stride * size;
    const char *k = (const char *)s->k + g * s->k_head * size;
    const char *v = (const char *)s->v + g * s->v_head * size;
    cf_pack_fn *pack_keys = w->a->kv == CF_BF16 ? kern->pack_bf16 : kern->pack_f32;
    int end = s->causal ? q0 + m + s->nk - s->nq : s->nk;
    const float *bias = s->bias ? s->bias + h * s->bias_head - q0 : NULL;

    memset(t->acc, 0, sizeof *t->acc * (size_t)(m * width));
    for (int i = 0; i < m; i++) {
        t->max[i] = -INFINITY;
        t->sum[i] = 0.0f;
    }
    for (int at = 0; at < end; at += KT) {
        int n = end - at < KT ? end - at : KT;
        int padded = (n + panel - 1) / panel * panel;

        for (int j = 0; j < padded; j += panel) {
            pack_keys(t->pack, k + (at + j) * k_stride, (size_t)k_stride,
                      (size_t)(n - j < panel ? n - j : panel), (size_t)hd,
                      (size_t)(panel * k_stride));
            kern->panel_mul(t->score + j, KT, q, (size_t)s->q_stride, t->pack, (size_t)m,
                            (size_t)hd, 0);
        }
        for (int i = 0; i < m; i++) {
            int sees = s->causal ? q0 + i + 1 + s->nk - s->nq : s->nk;
            float *row = t->score + i * KT, f;

            if (bias)
                kern->mix(row, row, w->a->scale, bias + at - i, 1.0f, (size_t)n);
            mask(row, s, at, n, padded, sees);
            f = kern->softmax(row, (size_t)padded, bias ? 1.0f : w->a->scale, &t->max[i],
                              &t->sum[i]);
            if (f != 1.0f)
                kern->scale(t->acc + i * width, f, (size_t)width);
        }
        pack_values(w, t->pack, v + at * v_stride, v_stride,
                    s->key_ok ? s->key_ok + at : NULL, n);
        for (int d = 0; d < width; d += panel)
            kern->panel_mul(t->acc + d, (size_t)width, t->score, KT, t->pack + d * n,
                            (size_t)m, (size_t)n, 1);
    }
    for (int i = 0; i < m; i++) {
        float *dst = s->dst + (q0 + i) * s->d_stride + (int64_t)h * hd;
        float inv = t->sum[i] != 0.0f ? 1.0f / t->sum[i] : 0.0f;

        /* + 0 turns -0 to 0: which of them an underflow left depends on how many keys of
         * weight 0 came after it. */
        for (int d = 0; d < hd; d++)
            dst[d] = t->acc[i * width + d] * inv + 0.0f;
    }
}

static void attn_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    struct tile *t = cf_thread_scratch(w->dnn, thread);
    int64_t at = 0;

    for (int i = 0; i < w->n_seq && at < last; i++) {
        const struct cf_attn_seq *s = &w->seq[i];
        int64_t n = tiles_of(w->a, s), per = n / w->a->heads;

        for (int64_t j = first > at ? first - at : 0; j < n && at + j < last; j++) {
            int q0 = (int)(j % per) * QT;

            run_tile(w, t, s, (int)(j / per), q0, s->nq - q0 < QT ? s->nq - q0 : QT);
        }
        at += n;
    }
}

enum cf_status cf_attn_run(struct cf_dnn *dnn, const struct cf_attn *a,
                           const struct cf_attn_seq *seq, int n_seq, struct cf_error *err)
{
    struct work w = {.dnn = dnn, .a = a, .seq = seq, .n_seq = n_seq};
    struct cf_call call;
    int64_t items = 0;

    if (a->hd < 4 || a->hd > HD_MAX || a->hd % 4 || a->heads < 1 || a->kv_heads < 1 ||
        a->heads % a->kv_heads || !(a->scale > 0))
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
        items += tiles_of(a, &seq[i]);
    }
    cf_call_begin(&call, dnn, &dnn->times.attn);
    cf_split(dnn, items, 1, attn_part, &w);
    cf_call_end(&call, dnn);
    return CF_OK;
}
