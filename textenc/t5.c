#include "textenc/t5.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/attn.h"
#include "dnn/ops.h"
#include "textenc/t5_weights.h"

enum { MIN_REACH = 64 }; /* prompts are short: most never grow the table */

struct cf_t5 {
    struct cf_t5_config c;
    struct cf_dnn *dnn;       /* borrowed */
    struct cf_cancel *cancel; /* borrowed, may be NULL */
    struct cf_t5_weights w;
    float *bias; /* [heads, 2 * reach - 1] by key - query + reach - 1 */
    int reach;   /* tokens of the longest prompt that bias serves */
};

/* ---- relative positions ---- */

int cf_t5_bucket(int64_t distance, int buckets, int max_distance)
{
    const int n = buckets / 2, exact = n / 2, base = distance > 0 ? n : 0;
    const int64_t a = distance < 0 ? -distance : distance;
    float step;

    if (a < exact)
        return base + (int)a;
    /* Each operation in float, in this order: buckets begin where rounding says. */
    step = logf((float)a / (float)exact) /
           (float)log((double)max_distance / (double)exact) * (float)(n - exact);
    return base + (step < (float)(n - exact) ? exact + (int)step : n - 1);
}

/* Makes the table long enough; an entry depends on its distance alone, so a prompt's
 * result does not depend on how long the table has become. */
static enum cf_status make_bias(struct cf_t5 *m, int longest, struct cf_error *err)
{
    int reach = 2 * m->reach > MIN_REACH ? 2 * m->reach : MIN_REACH;
    float *bias;

    if (longest <= m->reach)
        return CF_OK;
    reach = longest > reach ? longest : reach;
    bias = cf_enc_matrix(m->c.heads, 2 * (int64_t)reach - 1, err);
    if (!bias)
        return CF_ENOMEM;
    for (int64_t r = 1 - reach; r < reach; r++) {
        int bucket = cf_t5_bucket(r, m->c.buckets, m->c.max_distance);
        const float *from = m->w.distance + (int64_t)bucket * m->c.heads;

        for (int h = 0; h < m->c.heads; h++)
            bias[h * (2 * (int64_t)reach - 1) + r + reach - 1] = from[h];
    }
    cf_free(m->bias);
    m->bias = bias;
    m->reach = reach;
    return CF_OK;
}

/* ---- opening ---- */

enum cf_status cf_t5_open_pair(struct cf_t5 **model, struct cf_dnn *dnn,
                               const char *config_path, const char *weights_path,
                               int n_layers, enum cf_hold hold, struct cf_error *err)
{
    struct cf_t5 *m = cf_calloc(1, sizeof(*m), err);
    enum cf_status st;

    *model = NULL;
    if (!m)
        return CF_ENOMEM;
    m->dnn = dnn;
    st = cf_t5_config_load(&m->c, config_path, err);
    if (st == CF_OK && (n_layers < 0 || n_layers > m->c.layers))
        st = cf_fail(err, CF_ERANGE, "%d layers wanted, %s has %d", n_layers, config_path,
                     m->c.layers);
    if (st == CF_OK)
        st = cf_t5_weights_open(&m->w, dnn, &m->c, weights_path,
                                n_layers ? n_layers : m->c.layers, hold, err);
    if (st == CF_OK)
        *model = m;
    else
        cf_t5_close(m);
    return st;
}

void cf_t5_close(struct cf_t5 *m)
{
    if (!m)
        return;
    cf_t5_weights_close(&m->w);
    cf_free(m->bias);
    cf_free(m);
}

const struct cf_t5_config *cf_t5_config(const struct cf_t5 *m)
{
    return &m->c;
}

struct cf_held cf_t5_held(const struct cf_t5 *m)
{
    return m->w.held;
}

/* ---- forward ---- */

/* Arrays of one forward over R rows of all prompts; Q = heads * wide. */
struct work {
    int rows;
    float *x, *h;            /* [R, d_model] stream; normed or about to be added */
    float *q, *k, *v, *a;    /* [R, Q] a: what attention gives */
    float *gate, *up;        /* [min(R, CF_ENC_MLP_ROWS), d_ff] */
    struct cf_attn_seq *seq; /* [n_seq] */
};

static void free_work(struct work *w)
{
    cf_free(w->x);
    cf_free(w->h);
    cf_free(w->q);
    cf_free(w->k);
    cf_free(w->v);
    cf_free(w->a);
    cf_free(w->gate);
    cf_free(w->up);
    cf_free(w->seq);
}

static enum cf_status make_work(struct work *w, const struct cf_t5 *m, int n_seq,
                                struct cf_error *err)
{
    const int64_t r = w->rows, q = (int64_t)m->c.heads * m->w.wide;
    const int64_t mlp = r < CF_ENC_MLP_ROWS ? r : CF_ENC_MLP_ROWS;

    w->x = cf_enc_matrix(r, m->c.hidden, err);
    w->h = cf_enc_matrix(r, m->c.hidden, err);
    w->q = cf_enc_matrix(r, q, err);
    w->k = cf_enc_matrix(r, q, err);
    w->v = cf_enc_matrix(r, q, err);
    w->a = cf_enc_matrix(r, q, err);
    w->gate = cf_enc_matrix(mlp, m->c.intermediate, err);
    w->up = cf_enc_matrix(mlp, m->c.intermediate, err);
    w->seq = cf_calloc((size_t)n_seq, sizeof(*w->seq), err);
    if (!w->x || !w->h || !w->q || !w->k || !w->v || !w->a || !w->gate || !w->up ||
        !w->seq)
        return cf_fail(err, CF_ENOMEM, "text encoder: %d rows", w->rows);
    return CF_OK;
}

/* Where each prompt's queries and keys lie. */
static void lay_out(const struct cf_t5 *m, struct work *w, const struct cf_enc_seq *seq,
                    int n_seq)
{
    const int64_t q = (int64_t)m->c.heads * m->w.wide;
    int64_t at = 0;

    for (int s = 0; s < n_seq; s++) {
        w->seq[s] = (struct cf_attn_seq){.dst = w->a + at,
                                         .q = w->q + at,
                                         .k = w->k + at,
                                         .v = w->v + at,
                                         .d_stride = q,
                                         .q_stride = q,
                                         .k_stride = q,
                                         .k_head = m->w.wide,
                                         .v_stride = q,
                                         .v_head = m->w.wide,
                                         .nq = seq[s].n,
                                         .nk = seq[s].n,
                                         .key_ok = seq[s].mask,
                                         .bias = m->bias + m->reach - 1,
                                         .bias_head = 2 * (int64_t)m->reach - 1};
        at += seq[s].n * q;
    }
}

static enum cf_status attend(struct cf_t5 *m, struct work *w, int i, int n_seq,
                             struct cf_error *err)
{
    const struct cf_attn attn = {m->c.heads, m->c.heads, m->w.wide, 1.0f, CF_F32};
    const struct cf_t5_layer *l = &m->w.layer[i];
    const int d = m->c.hidden, r = w->rows;

    cf_rmsnorm(m->dnn, w->h, d, w->x, d, r, d, (float)m->c.eps, l->attn_norm);
    CF_TRY(cf_linear_run(l->lin[CF_T5_Q], w->q, w->h, r, err));
    CF_TRY(cf_linear_run(l->lin[CF_T5_K], w->k, w->h, r, err));
    CF_TRY(cf_linear_run(l->lin[CF_T5_V], w->v, w->h, r, err));
    CF_TRY(cf_attn_run(m->dnn, &attn, w->seq, n_seq, err));
    CF_TRY(cf_linear_run(l->lin[CF_T5_O], w->h, w->a, r, err));
    cf_add(m->dnn, w->x, w->h, (int64_t)r * d);
    return CF_OK;
}

static enum cf_status feed(struct cf_t5 *m, struct work *w, int i, struct cf_error *err)
{
    const struct cf_t5_layer *l = &m->w.layer[i];
    const int d = m->c.hidden;

    cf_rmsnorm(m->dnn, w->h, d, w->x, d, w->rows, d, (float)m->c.eps, l->mlp_norm);
    for (int r = 0, n; r < w->rows; r += n) {
        float *rows = w->h + (int64_t)r * d;

        n = w->rows - r < CF_ENC_MLP_ROWS ? w->rows - r : CF_ENC_MLP_ROWS;
        CF_TRY(cf_linear_run(l->lin[CF_T5_GATE], w->gate, rows, n, err));
        CF_TRY(cf_linear_run(l->lin[CF_T5_UP], w->up, rows, n, err));
        cf_geglu(m->dnn, w->gate, w->gate, w->up, (int64_t)n * m->c.intermediate);
        CF_TRY(cf_linear_run(l->lin[CF_T5_DOWN], rows, w->gate, n, err));
    }
    cf_add(m->dnn, w->x, w->h, (int64_t)w->rows * d);
    return CF_OK;
}

static enum cf_status run(struct cf_t5 *m, struct work *w, const struct cf_enc_seq *seq,
                          int n_seq, const int *taps, int n_taps, int layers, float *dst,
                          struct cf_error *err)
{
    struct cf_enc_stream stream;

    CF_TRY(make_work(w, m, n_seq, err));
    cf_enc_embed(w->x, &m->w.embed, seq, n_seq);
    lay_out(m, w, seq, n_seq);
    stream = (struct cf_enc_stream){
        .x = w->x,
        .rows = w->rows,
        .h = m->c.hidden,
        .n_layers = m->c.layers,
        .norm = m->w.norm,
        .eps = (float)m->c.eps,
    };
    cf_enc_tap(m->dnn, &stream, 0, taps, n_taps, dst);
    for (int i = 0; i < layers; i++) {
        CF_TRY(cf_cancel_check(m->cancel, err));
        CF_TRY(attend(m, w, i, n_seq, err));
        CF_TRY(feed(m, w, i, err));
        cf_enc_tap(m->dnn, &stream, i + 1, taps, n_taps, dst);
    }
    if (!cf_all_finite(m->dnn, w->x, (int64_t)w->rows * m->c.hidden))
        return cf_fail(err, CF_ENUMERIC, "text encoder: a value is not finite");
    return CF_OK;
}

void cf_t5_cancel(struct cf_t5 *m, struct cf_cancel *cancel)
{
    m->cancel = cancel;
}

enum cf_status cf_t5_forward(struct cf_t5 *m, const struct cf_enc_seq *seq, int n_seq,
                             const int *taps, int n_taps, float *dst,
                             struct cf_error *err)
{
    struct work w = {0};
    int longest, layers;
    enum cf_status st;

    CF_TRY(cf_enc_check_taps(taps, n_taps, m->w.n_layers, m->c.layers, &layers, err));
    CF_TRY(cf_enc_check_seqs(seq, n_seq, 0, m->c.vocab, &w.rows, &longest, err));
    CF_TRY(make_bias(m, longest, err));
    st = run(m, &w, seq, n_seq, taps, n_taps, layers, dst, err);
    free_work(&w);
    return st;
}
