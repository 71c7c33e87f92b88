/* infinity_block.c - one transformer block on all rows of one scale (CrossAttnBlock). */
#include "models/infinity.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "dnn/ops.h"

/* x [rows, n, heads, hd] shown as [rows, heads, n, hd]. */
static void see_heads(const struct cf_gen_state *st, const float *x, int64_t n, int s,
                      const char *what)
{
    int heads = st->gen->shape.heads, hd = st->gen->shape.hd;
    int64_t dim[4] = {st->rows, heads, n, hd};
    float *t;

    t = cf_alloc((size_t)(st->rows * n * heads), (size_t)hd * sizeof(float), NULL);
    for (int64_t r = 0; t != NULL && r < st->rows; r++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < n; i++)
                memcpy(t + ((r * heads + h) * n + i) * hd,
                       x + ((r * n + i) * heads + h) * hd, (size_t)hd * sizeof(float));
    if (t != NULL)
        cf_inf_see(st, t, 4, dim, "sc%d.blk0.%s", s, what);
    cf_free(t);
}

/* Keys of block 0 as they were stored. */
static void see_k(const struct cf_gen_state *st, int64_t n, int s, int64_t before)
{
    struct cf_attn attn = cf_inf_attn(st);
    int64_t c = st->gen->shape.c;
    float *t;

    t = cf_alloc((size_t)(st->rows * n), (size_t)c * sizeof(float), NULL);
    for (int r = 0; t != NULL && r < st->rows; r++)
        cf_kv_keys(st->gen->dnn, &attn, t + r * n * c, cf_inf_kv(st, 0, r), before, n);
    if (t != NULL)
        see_heads(st, t, n, s, "k_rope");
    cf_free(t);
}

/* What turns token t of row r at scale s and those that run after it: entries of the
 * tables, one after the other or those in *pos. */
static int64_t turns(const struct cf_gen_state *st, int s, int64_t r, int64_t t,
                     const int32_t **pos)
{
    int64_t at = cf_schedule_tokens(&st->sched, s);
    int pruned = st->plan.step[s].prune > 0.0f;

    *pos = pruned ? st->kept + r % st->batch * cf_inf_run(st, s) + t : NULL;
    return (pruned ? at : at + t) * (st->gen->shape.hd / 2);
}

/* Keys and values of the scale's tokens, from y [rows * n, c], behind what the cache of
 * block b holds. */
static enum cf_status append_kv(struct cf_gen_state *st, int s, int b, int64_t n,
                                struct cf_error *err)
{
    const struct cf_inf_block *w = &st->gen->w.block[b];
    const struct cf_attn attn = cf_inf_attn(st);
    int64_t all = st->rows * n, c = st->gen->shape.c;

    for (int64_t at = 0; at < all; at += CF_INF_ROWS) {
        int64_t m = all - at < CF_INF_ROWS ? all - at : CF_INF_ROWS;

        CF_TRY(cf_linear_run(w->kv, st->wide, st->y + at * c, (int)m, err));
        for (int64_t i = at; i < at + m;) {
            int64_t r = i / n, t = i % n, k = n - t < at + m - i ? n - t : at + m - i;
            struct cf_kv_rows rows = {.k = st->wide + (i - at) * 2 * c,
                                      .v = st->wide + (i - at) * 2 * c + c,
                                      .stride = 2 * c,
                                      .n = k};
            int64_t turn = turns(st, s, r, t, &rows.pos);

            rows.cs = st->cs + turn;
            rows.sn = st->sn + turn;
            cf_kv_append(st->gen->dnn, &attn, cf_inf_kv(st, b, (int)r), st->run_at[s] + t,
                         &rows);
            i += k;
        }
    }
    return CF_OK;
}

/* Row r's n queries against nk keys of a cache. */
static void look(struct cf_gen_state *st, int r, int64_t n, const void *cache, int64_t nk)
{
    int64_t c = st->gen->shape.c;

    st->seq[r] = (struct cf_attn_seq){
        .dst = st->att + r * n * c,
        .d_stride = c,
        .q = st->q + r * n * c,
        .q_stride = c,
        .cache = cache,
        .nq = (int)n,
        .nk = (int)nk,
    };
}

/* att [rows, n, c] = attention of q over the cache */
static enum cf_status self_attention(struct cf_gen_state *st, int s, int b, int64_t n,
                                     struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    const struct cf_inf_block *w = &st->gen->w.block[b];
    const struct cf_attn attn = cf_inf_attn(st);
    int64_t before = st->run_at[s], c = shape->c;
    int watch = st->probe != NULL && b == 0;

    CF_TRY(cf_linear_run(w->q, st->q, st->y, (int)(st->rows * n), err));
    CF_TRY(append_kv(st, s, b, n, err));
    if (watch) { /* on the memory of the result: before they are rotated */
        memcpy(st->att, st->q, (size_t)(st->rows * n * c) * sizeof(float));
        cf_l2norm_heads(st->gen->dnn, st->att, st->rows * n, c, shape->heads, shape->hd,
                        w->scale, NULL, NULL, NULL);
        see_heads(st, st->att, n, s, "q");
    }
    for (int r = 0; r < st->rows; r++) {
        const int32_t *pos;
        int64_t turn = turns(st, s, r, 0, &pos);

        cf_l2norm_heads(st->gen->dnn, st->q + r * n * c, n, c, shape->heads, shape->hd,
                        w->scale, st->cs + turn, st->sn + turn, pos);
        look(st, r, n, cf_inf_kv(st, b, r), before + n);
    }
    if (watch) {
        see_heads(st, st->q, n, s, "q_rope");
        see_k(st, n, s, before);
    }
    return cf_attn_run(st->gen->dnn, &attn, st->seq, st->rows, err);
}

/* att [rows, n, c] = attention of q over the text of each row */
static enum cf_status cross_attention(struct cf_gen_state *st, int b, int64_t n,
                                      struct cf_error *err)
{
    struct cf_attn attn = cf_inf_attn(st);

    attn.scale = 1.0f / sqrtf((float)attn.hd);
    for (int r = 0; r < st->rows; r++)
        look(st, r, n, cf_inf_cross(st, b, r), st->text_n[r]);
    return cf_attn_run(st->gen->dnn, &attn, st->seq, st->rows, err);
}

/* att [rows * n, c] = fc2(gelu(fc1(y))) */
static enum cf_status feed_forward(struct cf_gen_state *st, int b, int64_t n,
                                   struct cf_error *err)
{
    const struct cf_inf_shape *s = &st->gen->shape;
    const struct cf_inf_block *w = &st->gen->w.block[b];
    int64_t all = st->rows * n;

    for (int64_t at = 0; at < all; at += CF_INF_ROWS) {
        int64_t m = all - at < CF_INF_ROWS ? all - at : CF_INF_ROWS;

        CF_TRY(cf_linear_run_gelu(w->fc1, st->wide, st->y + at * s->c, (int)m, err));
        CF_TRY(cf_linear_run(w->fc2, st->att + at * s->c, st->wide, (int)m, err));
    }
    return CF_OK;
}

enum cf_status cf_inf_block(struct cf_gen_state *st, int s, int b, struct cf_error *err)
{
    const struct cf_inf_shape *shape = &st->gen->shape;
    const struct cf_inf_block *w = &st->gen->w.block[b];
    struct cf_dnn *dnn = st->gen->dnn;
    int rows = st->rows, c = shape->c;
    int64_t n = cf_inf_run(st, s), all = rows * n, six = 6 * c;
    const int64_t dim[3] = {rows, n, c};
    const float *gamma1 = st->mod, *gamma2 = st->mod + c, *scale1 = st->mod + 2 * c,
                *scale2 = st->mod + 3 * c, *shift1 = st->mod + 4 * c,
                *shift2 = st->mod + 5 * c;
    const struct cf_join before_cross = {gamma1, w->ca_norm_w, w->ca_norm_b,
                                         0.0f,   shape->eps,   six,
                                         0},
                         before_mlp = {NULL, scale2, shift2, 1.0f, shape->eps, 0, six};

    /* Each block adds its own offsets to the six vectors all blocks share. */
    memcpy(st->mod, st->ada, (size_t)(rows * six) * sizeof(float));
    cf_add_row(dnn, st->mod, w->ada, rows, (int)six);

    cf_adaln(dnn, st->y, st->x, rows, n, c, shape->eps, scale1, shift1, six);
    CF_TRY(self_attention(st, s, b, n, err));
    CF_TRY(cf_linear_run(w->proj, st->y, st->att, (int)all, err));
    cf_inf_see(st, st->y, 3, dim, "sc%d.blk%d.sa", s, b);

    cf_join_norm(dnn, st->y, st->x, st->y, rows, n, c, &before_cross);
    CF_TRY(cf_linear_run(w->ca_q, st->q, st->y, (int)all, err));
    CF_TRY(cross_attention(st, b, n, err));
    CF_TRY(cf_linear_run(w->ca_proj, st->y, st->att, (int)all, err));
    cf_inf_see(st, st->y, 3, dim, "sc%d.blk%d.ca", s, b);

    cf_join_norm(dnn, st->y, st->x, st->y, rows, n, c, &before_mlp);
    CF_TRY(feed_forward(st, b, n, err));
    cf_inf_see(st, st->att, 3, dim, "sc%d.blk%d.ffn", s, b);
    cf_add_gated(dnn, st->x, st->att, rows, n, c, gamma2, six);
    cf_inf_see(st, st->x, 3, dim, "sc%d.blk%d.out", s, b);
    return CF_OK;
}
