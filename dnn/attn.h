/* attn.h - attention in tiles, without a matrix of scores (FlashAttention, arXiv
 * 2205.14135): softmax(scale * q k^T + bias) v with a running maximum and sum per query
 * row.
 *
 * One call runs any number of independent sequences (rows of a batch, prompts of a packed
 * batch), each with its own keys. The order of additions is fixed by the tile sizes, not
 * by threads or neighbours. */
#ifndef CF_DNN_ATTN_H
#define CF_DNN_ATTN_H

#include <stddef.h>
#include <stdint.h>

#include "base/tensor.h"
#include "dnn/dnn.h"

enum { CF_ATTN_HD_MAX = 256 };

/* One sequence. Query i of head h starts at q + i * q_stride + h * hd; key j of key/value
 * head g at k + j * k_stride + g * k_head, and v likewise; result like q with d_stride.
 * Query head h reads key/value head h / (heads / kv_heads). Or keys and values are those
 * of a cache (dnn/kv.h), which is read much faster, none of them masked. */
struct cf_attn_seq {
    float *dst;
    const float *q;
    const void *k, *v; /* of the type cf_attn.kv says; strides count elements */
    const void *cache; /* not NULL: instead of k and v */
    int64_t d_stride, q_stride, k_stride, k_head, v_stride, v_head;
    int nq, nk;
    const uint8_t *key_ok; /* [nk], 0 = masked out; NULL: all allowed, as with a cache */
    int causal;            /* 1: query i sees keys 0 .. i + (nk - nq) */
    /* Added to the scaled score of query i and key j: bias[h * bias_head + j - i], so
     * bias points at distance 0 of head 0 and is read from -(nq - 1) to nk - 1 (T5's
     * relative positions). One table serves sequences of all lengths. NULL: none. */
    const float *bias;
    int64_t bias_head;
};

struct cf_attn {
    int heads, kv_heads, hd; /* hd 4 .. CF_ATTN_HD_MAX, a multiple of 4 */
    float scale;             /* > 0 */
    enum cf_dtype kv;        /* CF_F32 or CF_BF16: what keys and values are kept in */
};

/* A query with no allowed key gives zeros. Errors: CF_ERANGE for sizes outside the above,
 * CF_ENOMEM for the per-thread scratch (kept in dnn, at most 256 KiB a thread). */
enum cf_status cf_attn_run(struct cf_dnn *dnn, const struct cf_attn *a,
                           const struct cf_attn_seq *seq, int n_seq,
                           struct cf_error *err);

/* Bytes of the scratch that a thread works in, at most 256 KiB. */
size_t cf_attn_scratch(void);

#endif
