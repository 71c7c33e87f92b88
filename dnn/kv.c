#include "dnn/kv.h"

#include <string.h>

#include "dnn/machine.h"

struct work {
    const struct cf_kern *kern;
    const struct cf_attn *a;
    const struct cf_kv_rows *rows;
    char *cache;
    int64_t at;
};

static void keep(const struct work *w, int64_t to, const float *src)
{
    size_t hd = (size_t)w->a->hd;

    if (w->a->kv == CF_BF16)
        w->kern->narrow_bf16((uint16_t *)w->cache + to, src, hd);
    else
        memcpy((float *)w->cache + to, src, hd * sizeof *src);
}

static void append_part(void *arg, int64_t first, int64_t last, int thread)
{
    const struct work *w = arg;
    const struct cf_kv_rows *r = w->rows;
    int hd = w->a->hd;
    float key[CF_ATTN_HD_MAX];

    (void)thread;
    for (int64_t i = first; i < last; i++) {
        int64_t turn = (r->pos ? r->pos[i] : i) * (int64_t)(hd / 2);

        for (int g = 0; g < w->a->kv_heads; g++) {
            int64_t to = cf_kv_key(w->a, g, w->at + i), from = i * r->stride + g * hd;

            if (r->cs) {
                memcpy(key, r->k + from, (size_t)hd * sizeof *key);
                w->kern->l2norm(key, (size_t)hd, 1.0f);
                w->kern->rope_pairs(key, r->cs + turn, r->sn + turn, (size_t)hd);
                keep(w, to, key);
            } else {
                keep(w, to, r->k + from);
            }
            keep(w, to + (int64_t)CF_KV_BLOCK * hd, r->v + from);
        }
    }
}

void cf_kv_append(struct cf_dnn *dnn, const struct cf_attn *a, void *cache, int64_t at,
                  const struct cf_kv_rows *rows)
{
    enum { GRAIN = 16384 }; /* numbers below which a second thread is not worth it */
    struct work w = {&dnn->kern, a, rows, cache, at};
    int64_t row = 2 * (int64_t)a->kv_heads * a->hd;
    struct cf_call call;

    cf_call_begin(&call, dnn, &dnn->times.other);
    cf_split(dnn, rows->n, row < GRAIN ? GRAIN / row : 1, append_part, &w);
    cf_call_end(&call, dnn);
}

void cf_kv_keys(struct cf_dnn *dnn, const struct cf_attn *a, float *dst,
                const void *cache, int64_t at, int64_t n)
{
    size_t hd = (size_t)a->hd;

    for (int64_t j = at; j < at + n; j++) {
        for (int g = 0; g < a->kv_heads; g++, dst += hd) {
            int64_t from = cf_kv_key(a, g, j);

            if (a->kv == CF_BF16)
                dnn->kern.widen_bf16(dst, (const uint16_t *)cache + from, hd);
            else
                memcpy(dst, (const float *)cache + from, hd * sizeof *dst);
        }
    }
}
