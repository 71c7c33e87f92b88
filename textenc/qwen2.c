#include "textenc/qwen2.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/attn.h"
#include "dnn/ops.h"
#include "textenc/qwen2_weights.h"

struct cf_qwen2 {
    struct cf_qwen2_config c;
    struct cf_dnn *dnn;       /* borrowed */
    struct cf_cancel *cancel; /* borrowed, may be NULL */
    struct cf_qwen2_weights w;
    float *freq;    /* [hd/2] */
    float *cs, *sn; /* [n_pos, hd/2] */
    size_t n_pos, cap_cs, cap_sn;
};

struct cf_qwen2_prefix {
    int n;
    float *k, *v; /* [n_layers, n, kv_heads * hd] after norm and rotation */
};

/* inv_freq_j = theta^(-2j/hd), each operation rounded to float as in the reference. */
static enum cf_status make_freq(struct cf_qwen2 *m, struct cf_error *err)
{
    int half = m->c.head_dim / 2;

    m->freq = cf_alloc((size_t)half, sizeof(*m->freq), err);
    if (!m->freq)
        return CF_ENOMEM;
    for (int j = 0; j < half; j++) {
        float e = (float)(2 * j) / (float)m->c.head_dim;

        m->freq[j] = 1.0f / (float)pow(m->c.rope_theta, (double)e);
    }
    return CF_OK;
}

enum cf_status cf_qwen2_open_pair(struct cf_qwen2 **model, struct cf_dnn *dnn,
                                  const char *config_path, const char *weights_path,
                                  int n_layers, enum cf_hold hold, struct cf_error *err)
{
    struct cf_qwen2 *m = cf_calloc(1, sizeof(*m), err);
    enum cf_status st;

    *model = NULL;
    if (!m)
        return CF_ENOMEM;
    m->dnn = dnn;
    st = cf_qwen2_config_load(&m->c, config_path, err);
    if (st == CF_OK && (n_layers < 0 || n_layers > m->c.layers))
        st = cf_fail(err, CF_ERANGE, "%d layers wanted, %s has %d", n_layers, config_path,
                     m->c.layers);
    if (st == CF_OK)
        st = cf_qwen2_weights_open(&m->w, dnn, &m->c, weights_path,
                                   n_layers ? n_layers : m->c.layers, hold, err);
    if (st == CF_OK)
        st = make_freq(m, err);
    if (st == CF_OK)
        *model = m;
    else
        cf_qwen2_close(m);
    return st;
}

enum cf_status cf_qwen2_open(struct cf_qwen2 **model, struct cf_dnn *dnn,
                             const char *path, int n_layers, enum cf_hold hold,
                             struct cf_error *err)
{
    enum cf_status st;
    char *config;

    *model = NULL;
    CF_TRY(cf_enc_config_path(&config, path, err));
    st = cf_qwen2_open_pair(model, dnn, config, path, n_layers, hold, err);
    cf_free(config);
    return st;
}

void cf_qwen2_close(struct cf_qwen2 *m)
{
    if (!m)
        return;
    cf_qwen2_weights_close(&m->w);
    cf_free(m->freq);
    cf_free(m->cs);
    cf_free(m->sn);
    cf_free(m);
}

const struct cf_qwen2_config *cf_qwen2_config(const struct cf_qwen2 *m)
{
    return &m->c;
}

struct cf_held cf_qwen2_held(const struct cf_qwen2 *m)
{
    return m->w.held;
}

/* ---- forward ---- */

/* Arrays of one forward: R rows of all prompts, C rows of keys with their prefixes. */
struct work {
    int rows;
    int wide;       /* hd rounded up to what cf_attn_run takes; zeros fill the gap */
    float *x, *h;   /* [R, H] stream; normed or about to be added */
    float *q;       /* [R, heads * hd] */
    float *k, *v;   /* [R, kv_heads * hd] */
    float *a;       /* [R, heads * wide] what attention gives */
    float *wq;      /* [R, heads * wide] NULL where wide == hd: q serves */
    float *wk, *wv; /* [C, kv_heads * wide] NULL where k and v serve: no prefix either */
    float *gate, *up;        /* [min(R, CF_ENC_MLP_ROWS), I] */
    int32_t *pos;            /* [R] */
    uint8_t *ok;             /* [C] */
    struct cf_attn_seq *seq; /* [n_seq] */
};

static void free_work(struct work *w)
{
    cf_free(w->x);
    cf_free(w->h);
    cf_free(w->q);
    cf_free(w->a);
    cf_free(w->k);
    cf_free(w->v);
    cf_free(w->wq);
    cf_free(w->wk);
    cf_free(w->wv);
    cf_free(w->gate);
    cf_free(w->up);
    cf_free(w->pos);
    cf_free(w->ok);
    cf_free(w->seq);
}

static enum cf_status make_work(struct work *w, const struct cf_qwen2_config *c,
                                int n_seq, int prefix, struct cf_error *err)
{
    int64_t r = w->rows, keys = r + (int64_t)n_seq * prefix;
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t mlp = r < CF_ENC_MLP_ROWS ? r : CF_ENC_MLP_ROWS;
    bool apart;

    w->wide = (c->head_dim + 3) / 4 * 4;
    apart = w->wide != c->head_dim;
    w->x = cf_enc_matrix(r, c->hidden, err);
    w->h = cf_enc_matrix(r, c->hidden, err);
    w->q = cf_enc_matrix(r, q, err);
    w->a = cf_enc_matrix(r, (int64_t)c->heads * w->wide, err);
    w->k = cf_enc_matrix(r, kv, err);
    w->v = cf_enc_matrix(r, kv, err);
    w->gate = cf_enc_matrix(mlp, c->intermediate, err);
    w->up = cf_enc_matrix(mlp, c->intermediate, err);
    w->pos = cf_alloc((size_t)r, sizeof(*w->pos), err);
    w->ok = cf_alloc((size_t)keys, 1, err);
    w->seq = cf_calloc((size_t)n_seq, sizeof(*w->seq), err);
    if (apart)
        w->wq = cf_enc_matrix(r, (int64_t)c->heads * w->wide, err);
    if (apart || prefix) {
        w->wk = cf_enc_matrix(keys, (int64_t)c->kv_heads * w->wide, err);
        w->wv = cf_enc_matrix(keys, (int64_t)c->kv_heads * w->wide, err);
    }
    if (!w->x || !w->h || !w->q || !w->a || !w->k || !w->v || !w->gate || !w->up ||
        !w->pos || !w->ok || !w->seq || (apart && !w->wq) ||
        ((apart || prefix) && (!w->wk || !w->wv)))
        return cf_fail(err, CF_ENOMEM, "text encoder: %d rows", w->rows);
    return CF_OK;
}

/* Cosines and sines of positions 0 .. n-1; the angle is a float product. */
static enum cf_status make_rope(struct cf_qwen2 *m, size_t n, struct cf_error *err)
{
    size_t half = (size_t)m->c.head_dim / 2;

    if (n <= m->n_pos)
        return CF_OK;
    CF_TRY(cf_grow(&m->cs, &m->cap_cs, n * half, sizeof(float), err));
    CF_TRY(cf_grow(&m->sn, &m->cap_sn, n * half, sizeof(float), err));
    for (size_t p = m->n_pos; p < n; p++) {
        for (size_t j = 0; j < half; j++) {
            float angle = (float)p * m->freq[j];

            m->cs[p * half + j] = (float)cos((double)angle);
            m->sn[p * half + j] = (float)sin((double)angle);
        }
    }
    m->n_pos = n;
    return CF_OK;
}

/* Embeddings, positions, masks, and where each prompt's queries and keys lie. */
static void lay_out(struct cf_qwen2 *m, struct work *w, int prefix,
                    const struct cf_enc_seq *seq, int n_seq)
{
    const int64_t q = (int64_t)m->c.heads * w->wide;
    const int64_t kv = (int64_t)m->c.kv_heads * w->wide;
    int64_t r = 0, key = 0;

    cf_enc_embed(w->x, &m->w.embed, seq, n_seq);
    for (int s = 0; s < n_seq; s++) {
        struct cf_attn_seq *a = &w->seq[s];

        for (int i = 0; i < seq[s].n; i++)
            w->pos[r + i] = prefix + i;
        memset(w->ok + key, 1, (size_t)prefix);
        if (seq[s].mask)
            memcpy(w->ok + key + prefix, seq[s].mask, (size_t)seq[s].n);
        *a = (struct cf_attn_seq){.dst = w->a + r * q,
                                  .q = (w->wq ? w->wq : w->q) + r * q,
                                  .k = w->wk ? w->wk + key * kv : w->k + r * kv,
                                  .v = w->wv ? w->wv + key * kv : w->v + r * kv,
                                  .d_stride = q,
                                  .q_stride = q,
                                  .k_stride = kv,
                                  .k_head = w->wide,
                                  .v_stride = kv,
                                  .v_head = w->wide,
                                  .nq = seq[s].n,
                                  .nk = prefix + seq[s].n,
                                  .key_ok = seq[s].mask ? w->ok + key : NULL,
                                  .causal = 1};
        r += seq[s].n;
        key += prefix + seq[s].n;
    }
}

/* n heads of hd floats into n heads of wide floats, zeros behind. */
static void widen(float *dst, const float *src, size_t n, int hd, int wide)
{
    if (wide == hd) {
        memcpy(dst, src, n * (size_t)hd * sizeof(float));
        return;
    }
    for (size_t i = 0; i < n; i++, dst += wide, src += hd) {
        memcpy(dst, src, (size_t)hd * sizeof(float));
        memset(dst + hd, 0, (size_t)(wide - hd) * sizeof(float));
    }
}

/* The other way, in place. */
static void narrow(float *x, size_t n, int hd, int wide)
{
    for (size_t i = 1; i < n && wide != hd; i++)
        memmove(x + i * (size_t)hd, x + i * (size_t)wide, (size_t)hd * sizeof(float));
}

/* Each prompt's keys and values of layer i behind those of the prefix, if there is one.
 */
static void join_keys(const struct cf_qwen2 *m, struct work *w,
                      const struct cf_qwen2_prefix *p, int i, int n_seq)
{
    const int hd = m->c.head_dim;
    const size_t heads = (size_t)m->c.kv_heads, head = p ? (size_t)p->n * heads : 0;
    size_t at = 0, r = 0;

    for (int s = 0; s < n_seq; s++) {
        size_t own = (size_t)w->seq[s].nq * heads;
        float *k = w->wk + at * (size_t)w->wide, *v = w->wv + at * (size_t)w->wide;

        if (p) {
            widen(k, p->k + (size_t)i * head * (size_t)hd, head, hd, w->wide);
            widen(v, p->v + (size_t)i * head * (size_t)hd, head, hd, w->wide);
        }
        widen(k + head * (size_t)w->wide, w->k + r * (size_t)hd, own, hd, w->wide);
        widen(v + head * (size_t)w->wide, w->v + r * (size_t)hd, own, hd, w->wide);
        at += head + own;
        r += own;
    }
}

static enum cf_status attend(struct cf_qwen2 *m, struct work *w, int i,
                             const struct cf_qwen2_prefix *prefix,
                             struct cf_qwen2_prefix *capture, int n_seq,
                             struct cf_error *err)
{
    const struct cf_qwen2_config *c = &m->c;
    const int hd = c->head_dim, q = c->heads * hd, kv = c->kv_heads * hd, r = w->rows;
    const struct cf_attn attn = {c->heads, c->kv_heads, w->wide, 1.0f / sqrtf((float)hd),
                                 CF_F32};
    const size_t n_head = (size_t)r * (size_t)c->heads;
    struct cf_qwen2_layer *l = &m->w.layer[i];
    float eps = (float)c->eps;

    cf_rmsnorm(m->dnn, w->h, c->hidden, w->x, c->hidden, r, c->hidden, eps, l->attn_norm);
    CF_TRY(cf_linear_run(l->lin[CF_QWEN2_Q], w->q, w->h, r, err));
    CF_TRY(cf_linear_run(l->lin[CF_QWEN2_K], w->k, w->h, r, err));
    CF_TRY(cf_linear_run(l->lin[CF_QWEN2_V], w->v, w->h, r, err));
    if (c->qk_norm) {
        cf_rmsnorm(m->dnn, w->q, hd, w->q, hd, (int64_t)r * c->heads, hd, eps, l->q_norm);
        cf_rmsnorm(m->dnn, w->k, hd, w->k, hd, (int64_t)r * c->kv_heads, hd, eps,
                   l->k_norm);
    }
    cf_rope(m->dnn, w->q, r, q, c->heads, hd, m->cs, m->sn, w->pos, 0);
    cf_rope(m->dnn, w->k, r, kv, c->kv_heads, hd, m->cs, m->sn, w->pos, 0);
    if (capture) {
        size_t n = (size_t)r * (size_t)kv;

        memcpy(capture->k + (size_t)i * n, w->k, n * sizeof(float));
        memcpy(capture->v + (size_t)i * n, w->v, n * sizeof(float));
    }
    if (w->wq)
        widen(w->wq, w->q, n_head, hd, w->wide);
    if (w->wk)
        join_keys(m, w, prefix, i, n_seq);
    CF_TRY(cf_attn_run(m->dnn, &attn, w->seq, n_seq, err));
    narrow(w->a, n_head, hd, w->wide);
    CF_TRY(cf_linear_run(l->lin[CF_QWEN2_O], w->h, w->a, r, err));
    cf_add(m->dnn, w->x, w->h, (int64_t)r * c->hidden);
    return CF_OK;
}

static enum cf_status feed(struct cf_qwen2 *m, struct work *w, int i,
                           struct cf_error *err)
{
    const int h = m->c.hidden, in = m->c.intermediate;
    struct cf_qwen2_layer *l = &m->w.layer[i];

    cf_rmsnorm(m->dnn, w->h, h, w->x, h, w->rows, h, (float)m->c.eps, l->mlp_norm);
    for (int r = 0, n; r < w->rows; r += n) {
        float *rows = w->h + (int64_t)r * h;

        n = w->rows - r < CF_ENC_MLP_ROWS ? w->rows - r : CF_ENC_MLP_ROWS;
        CF_TRY(cf_linear_run(l->lin[CF_QWEN2_GATE], w->gate, rows, n, err));
        CF_TRY(cf_linear_run(l->lin[CF_QWEN2_UP], w->up, rows, n, err));
        cf_swiglu(m->dnn, w->gate, w->gate, w->up, (int64_t)n * in);
        CF_TRY(cf_linear_run(l->lin[CF_QWEN2_DOWN], rows, w->gate, n, err));
    }
    cf_add(m->dnn, w->x, w->h, (int64_t)w->rows * h);
    return CF_OK;
}

static enum cf_status run(struct cf_qwen2 *m, const struct cf_qwen2_prefix *prefix,
                          struct cf_qwen2_prefix *capture, const struct cf_enc_seq *seq,
                          int n_seq, const int *taps, int n_taps, int layers, float *dst,
                          struct cf_error *err)
{
    int before = prefix ? prefix->n : 0, longest;
    struct cf_enc_stream stream;
    struct work w = {0};
    enum cf_status st;

    CF_TRY(cf_enc_check_seqs(seq, n_seq, before, m->c.vocab, &w.rows, &longest, err));
    CF_TRY(make_rope(m, (size_t)(before + longest), err));
    st = make_work(&w, &m->c, n_seq, before, err);
    stream = (struct cf_enc_stream){w.x,         w.rows,    m->c.hidden,
                                    m->c.layers, m->w.norm, (float)m->c.eps};
    if (st == CF_OK) {
        lay_out(m, &w, before, seq, n_seq);
        cf_enc_tap(m->dnn, &stream, 0, taps, n_taps, dst);
    }
    for (int i = 0; i < layers && st == CF_OK; i++) {
        st = cf_cancel_check(m->cancel, err);
        if (st == CF_OK)
            st = attend(m, &w, i, prefix, capture, n_seq, err);
        if (st == CF_OK)
            st = feed(m, &w, i, err);
        if (st == CF_OK)
            cf_enc_tap(m->dnn, &stream, i + 1, taps, n_taps, dst);
    }
    if (st == CF_OK && !cf_all_finite(m->dnn, w.x, (int64_t)w.rows * m->c.hidden))
        st = cf_fail(err, CF_ENUMERIC, "text encoder: a value is not finite");
    free_work(&w);
    return st;
}

void cf_qwen2_cancel(struct cf_qwen2 *m, struct cf_cancel *cancel)
{
    m->cancel = cancel;
}

enum cf_status cf_qwen2_forward(struct cf_qwen2 *m, const struct cf_qwen2_prefix *prefix,
                                const struct cf_enc_seq *seq, int n_seq, const int *taps,
                                int n_taps, float *dst, struct cf_error *err)
{
    int layers;

    CF_TRY(cf_enc_check_taps(taps, n_taps, m->w.n_layers, m->c.layers, &layers, err));
    return run(m, prefix, NULL, seq, n_seq, taps, n_taps, layers, dst, err);
}

enum cf_status cf_qwen2_prefix_open(struct cf_qwen2_prefix **prefix, struct cf_qwen2 *m,
                                    const int32_t *ids, int n, struct cf_error *err)
{
    const int64_t kv = (int64_t)m->c.kv_heads * m->c.head_dim;
    const struct cf_enc_seq seq = {ids, NULL, n};
    struct cf_qwen2_prefix *p;
    enum cf_status st;

    *prefix = NULL;
    if (n < 1 || n >= CF_ENC_MAX_LEN)
        return cf_fail(err, CF_ERANGE, "prefix of %d tokens, expected 1..%d", n,
                       CF_ENC_MAX_LEN - 1);
    p = cf_calloc(1, sizeof(*p), err);
    if (!p)
        return CF_ENOMEM;
    p->n = n;
    p->k = cf_enc_matrix((int64_t)m->w.n_layers * n, kv, err);
    p->v = cf_enc_matrix((int64_t)m->w.n_layers * n, kv, err);
    st = p->k && p->v ? run(m, NULL, p, &seq, 1, NULL, 0, m->w.n_layers, NULL, err)
                      : CF_ENOMEM;
    if (st == CF_OK)
        *prefix = p;
    else
        cf_qwen2_prefix_close(p);
    return st;
}

void cf_qwen2_prefix_close(struct cf_qwen2_prefix *p)
{
    if (!p)
        return;
    cf_free(p->k);
    cf_free(p->v);
    cf_free(p);
}
