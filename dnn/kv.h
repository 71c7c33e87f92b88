/* kv.h - keys and values in the order in which attention reads them.
 *
 * A cache is a run of blocks of CF_KV_BLOCK (32) keys, filled from key 0 on, any number
 * at a time; a block is
 *
 *     [kv_heads][2][CF_KV_BLOCK][hd] of f32 or bf16, keys before values
 *
 * so that what one head reads of a block lies together, f32 is read where it lies, and a
 * longer cache is the shorter one with more blocks behind it. What a block holds behind
 * its last key is never read as a number that counts. Memory is the caller's. */
#ifndef CF_DNN_KV_H
#define CF_DNN_KV_H

#include <stdint.h>

#include "dnn/attn.h"
#include "dnn/kern.h"

static inline int64_t cf_kv_blocks(int64_t keys)
{
    return (keys + CF_KV_BLOCK - 1) / CF_KV_BLOCK;
}

/* Numbers of a block (times the size of a->kv: bytes), for a that cf_attn_run takes. */
static inline int64_t cf_kv_block(const struct cf_attn *a)
{
    return (int64_t)a->kv_heads * 2 * CF_KV_BLOCK * a->hd;
}

/* Where key j of head g begins, counted in numbers; its value lies CF_KV_BLOCK * hd
 * behind. */
static inline int64_t cf_kv_key(const struct cf_attn *a, int g, int64_t j)
{
    return j / CF_KV_BLOCK * cf_kv_block(a) +
           ((int64_t)g * 2 * CF_KV_BLOCK + j % CF_KV_BLOCK) * a->hd;
}

/* Rows of [kv_heads, hd], starts stride floats apart. */
struct cf_kv_rows {
    const float *k, *v;
    int64_t stride, n;
    /* Cosines and sines [.., hd/2]: keys are first brought to length 1 and rotated in
     * pairs (2j, 2j+1), as floats (Infinity's cos attention), row i by entry pos[i] (pos
     * NULL: i). cs NULL: kept as they are. */
    const float *cs, *sn;
    const int32_t *pos;
};

/* rows->n keys and values from key `at` on, rounded to a->kv (to nearest, ties to even).
 * Threads never change a value. */
void cf_kv_append(struct cf_dnn *dnn, const struct cf_attn *a, void *cache, int64_t at,
                  const struct cf_kv_rows *rows);

/* Keys at .. at+n-1 as they were kept: dst [n, kv_heads, hd]. */
void cf_kv_keys(struct cf_dnn *dnn, const struct cf_attn *a, float *dst,
                const void *cache, int64_t at, int64_t n);

#endif
