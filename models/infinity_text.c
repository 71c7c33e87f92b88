/* infinity_text.c - what the transformer knows of the text: cond, modulation, cross keys.
 */
#include "models/infinity.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/ops.h"

/* The features of row r: a prompt, a negative prompt, or as many learned rows as the
 * prompt has. */
static enum cf_status row_text(const struct cf_gen_state *st, int r, const float **f,
                               int *n, struct cf_error *err)
{
    const struct cf_gen *gen = st->gen;
    const struct cf_gen_item *item = &st->item[r % st->batch];
    const struct cf_text *text = r < st->batch ? item->cond : item->negative;
    int null_row = text == NULL;

    if (null_row)
        text = item->cond;
    if (text->n < 1 || text->n > st->plan.n_text_max)
        return cf_fail(err, CF_ERANGE, "text of %d rows, planned for 1..%d", text->n,
                       st->plan.n_text_max);
    if (text->dim != gen->shape.text)
        return cf_fail(err, CF_EMISMATCH,
                       "text features are %d wide, the transformer was "
                       "trained with %d",
                       text->dim, gen->shape.text);
    if (null_row && text->n > gen->w.n_uncond)
        return cf_fail(err, CF_ERANGE, "prompt of %d text rows, cfg_uncond has only %d",
                       text->n, gen->w.n_uncond);
    *f = null_row ? gen->w.cfg_uncond : text->features;
    *n = text->n;
    return CF_OK;
}

static size_t text_bytes(const struct cf_gen_state *st, int64_t n)
{
    return (size_t)n * (size_t)st->gen->shape.text * sizeof(float);
}

/* n rows behind the packed texts; where they lie. */
static int64_t append(struct cf_gen_state *st, const float *f, int n)
{
    int64_t at = st->n_text;

    memcpy(st->text + at * st->gen->shape.text, f, text_bytes(st, n));
    st->n_text += n;
    return at;
}

/* Of row r: where an earlier row has the same, or appended. */
static int64_t place(struct cf_gen_state *st, int r, const float *f)
{
    for (int q = 0; q < r; q++)
        if (st->text_n[q] == st->text_n[r] &&
            memcmp(st->text + st->text_at[q] * st->gen->shape.text, f,
                   text_bytes(st, st->text_n[r])) == 0)
            return st->text_at[q];
    return append(st, f, st->text_n[r]);
}

/* Texts one behind the other. All that is made of them is made row by row, so rows with
 * the same text share it, and those of the null condition the longest of them. */
static enum cf_status gather(struct cf_gen_state *st, struct cf_error *err)
{
    const float *null = st->gen->w.cfg_uncond;
    int64_t null_at = 0;
    int n_null = 0;

    st->n_text = 0;
    for (int r = 0; r < st->rows; r++) {
        const float *f = NULL;

        CF_TRY(row_text(st, r, &f, &st->text_n[r], err));
        if (f == null && st->text_n[r] > n_null)
            n_null = st->text_n[r];
    }
    if (n_null > 0)
        null_at = append(st, null, n_null);
    for (int r = 0; r < st->rows; r++) {
        const float *f = NULL;

        CF_TRY(row_text(st, r, &f, &st->text_n[r], err));
        st->text_at[r] = f == null ? null_at : place(st, r, f);
    }
    return CF_OK;
}

/* A tensor [n_text, width] shown as if each row had a text of its own. */
static void see_text(const struct cf_gen_state *st, const float *f, int width,
                     const char *name)
{
    int64_t t = 0;
    float *all;

    if (st->probe == NULL)
        return;
    for (int r = 0; r < st->rows; r++)
        t += st->text_n[r];
    all = cf_alloc((size_t)t, (size_t)width * sizeof(float), NULL);
    t = 0;
    for (int r = 0; all != NULL && r < st->rows; t += st->text_n[r++])
        memcpy(all + t * width, f + st->text_at[r] * width,
               (size_t)st->text_n[r] * (size_t)width * sizeof(float));
    if (all != NULL)
        cf_inf_see(st, all, 2, (int64_t[]){t, width}, "%s", name);
    cf_free(all);
}

/* Attentive pooling: one learned query per head over the text of one row.
 *   dst [c], kv [n, 2c] keys first */
static void pool(float *dst, const float *query, const float *kv, int n, int c, int heads)
{
    int hd = c / heads;
    double scale = 1.0 / sqrt((double)hd);

    for (int h = 0; h < heads; h++) {
        const float *q = query + h * hd, *k = kv + h * hd, *v = k + c;
        double top = -INFINITY, total = 0.0;

        memset(dst + h * hd, 0, (size_t)hd * sizeof(float));
        for (int pass = 0; pass < 2; pass++)
            for (int j = 0; j < n; j++) {
                double dot = 0.0;

                for (int i = 0; i < hd; i++)
                    dot += (double)q[i] * k[(int64_t)j * 2 * c + i];
                dot *= scale;
                if (pass == 0) {
                    top = fmax(top, dot);
                    continue;
                }
                dot = exp(dot - top);
                total += dot;
                for (int i = 0; i < hd; i++)
                    dst[h * hd + i] += (float)dot * v[(int64_t)j * 2 * c + i];
            }
        for (int i = 0; i < hd; i++)
            dst[h * hd + i] /= (float)total;
    }
}

/* cond [rows, c], and the modulations that follow from it */
static enum cf_status pooled(struct cf_gen_state *st, struct cf_error *err)
{
    const struct cf_inf_weights *w = &st->gen->w;
    const struct cf_inf_shape *s = &st->gen->shape;
    struct cf_dnn *dnn = st->gen->dnn;

    CF_TRY(cf_linear_run(w->pool_kv, st->text_kv, st->text, (int)st->n_text, err));
    for (int r = 0; r < st->rows; r++)
        pool(st->pooled + (int64_t)r * s->c, w->pool_q,
             st->text_kv + st->text_at[r] * 2 * s->c, st->text_n[r], s->c, s->pool_heads);
    CF_TRY(cf_linear_run(w->pool_proj, st->cond, st->pooled, st->rows, err));
    cf_silu(dnn, st->pooled, st->cond, (int64_t)st->rows * s->c);
    CF_TRY(cf_linear_run(w->ada, st->ada, st->pooled, st->rows, err));
    return cf_linear_run(w->head_ada, st->head_ada, st->pooled, st->rows, err);
}

enum cf_status cf_inf_text(struct cf_gen_state *st, struct cf_error *err)
{
    const struct cf_inf_weights *w = &st->gen->w;
    const struct cf_inf_shape *s = &st->gen->shape;
    const struct cf_attn attn = cf_inf_attn(st);
    struct cf_dnn *dnn = st->gen->dnn;
    int64_t t;

    CF_TRY(gather(st, err));
    t = st->n_text;
    cf_rmsnorm(dnn, st->text, s->text, st->text, s->text, t, s->text, s->eps,
               w->text_norm);
    see_text(st, st->text, s->text, "text_norm");

    CF_TRY(pooled(st, err));
    cf_inf_see(st, st->cond, 2, (int64_t[]){st->rows, s->c}, "cond");
    cf_inf_see(st, st->ada, 3, (int64_t[]){st->rows, 6, s->c}, "ada6");

    CF_TRY(cf_linear_run_gelu(w->text_ca1, st->text_a, st->text, (int)t, err));
    CF_TRY(cf_linear_run(w->text_ca2, st->text_ca, st->text_a, (int)t, err));
    see_text(st, st->text_ca, s->c, "ca_kv");

    /* The text does not change with the scale: keys and values once per block. */
    for (int b = 0; b < s->depth; b++) {
        CF_TRY(cf_cancel_check(st->cancel, err));
        CF_TRY(cf_linear_run(w->block[b].ca_kv, st->text_kv, st->text_ca, (int)t, err));
        for (int r = 0; r < st->rows; r++) {
            const float *kv = st->text_kv + st->text_at[r] * 2 * s->c;
            const struct cf_kv_rows rows = {
                .k = kv, .v = kv + s->c, .stride = 2 * s->c, .n = st->text_n[r]};

            cf_kv_append(dnn, &attn, cf_inf_cross(st, b, r), 0, &rows);
        }
    }
    return CF_OK;
}
