#include "pipeline/synth_part.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/quant.h"
#include "pipeline/synth_law.h"
#include "weights/st_write.h"

enum {
    PIECE = 1 << 14, /* values that a thread draws and converts at a time */
    CHUNK = 4 << 20, /* floats that are quantized at a time, at least a row */
};

struct writer {
    const struct cf_synth_part *part;
    struct cf_dnn *dnn;
    struct cf_st_writer *st;
};

static enum cf_wtype type_of(const struct cf_synth_part *p, const struct cf_key *key)
{
    switch (key->kind) {
    case CF_KEY_MATRIX:
        return p->type;
    case CF_KEY_EDGE:
    case CF_KEY_TABLE:
        return p->type <= CF_W_BF16 ? p->type : CF_W_BF16;
    default:
        return CF_W_F32;
    }
}

static int64_t count(const struct cf_key *key)
{
    int64_t n = 1;

    for (int i = 0; i < key->ndim; i++)
        n *= key->dim[i];
    return n;
}

static void scale_name(char buf[CF_KEY_NAME + 8], const struct cf_key *key)
{
    snprintf(buf, CF_KEY_NAME + 8, "%s_scale", key->name);
}

/* ---- first walk: what will be there ---- */

static enum cf_status declare_quantized(struct writer *w, const struct cf_key *key,
                                        struct cf_error *err)
{
    const int64_t n = key->dim[0], k = key->dim[1];
    const int group = w->part->group;
    const bool four = w->part->type == CF_W_Q4;
    const int64_t matrix[2] = {n, four ? k / 2 : k}, scale[2] = {n, four ? k / group : 0};
    char name[CF_KEY_NAME + 8];

    if (four && k % group)
        return cf_fail(err, CF_ERANGE, "%s: groups of %d do not divide %lld columns",
                       key->name, group, (long long)k);
    scale_name(name, key);
    CF_TRY(cf_st_declare(w->st, key->name, four ? CF_U8 : CF_I8, 2, matrix, err));
    return cf_st_declare(w->st, name, four ? CF_F16 : CF_F32, four ? 2 : 1, scale, err);
}

static enum cf_status declare(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
    struct writer *w = ctx;
    enum cf_wtype type = type_of(w->part, key);

    if (key->optional)
        return CF_OK;
    if (type > CF_W_BF16)
        return declare_quantized(w, key, err);
    return cf_st_declare(w->st, key->name, dtype[type], key->ndim, key->dim, err);
}

/* ---- second walk: the values ---- */

/* n values from first on: floats to dst, or converted. */
static void draw(void *dst, enum cf_dtype dtype, const struct cf_synth_law *law,
                 int64_t first, int64_t n, int threads)
{
    const size_t size = cf_dtype_size(dtype);

#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t m = n - at < PIECE ? n - at : PIECE;
        float piece[PIECE];

        cf_synth_fill(piece, law, first + at, m);
        /* a float type by construction */
        (void)cf_floats_store((char *)dst + (size_t)at * size, dtype, piece, m, NULL);
    }
}

static enum cf_status put_floats(struct writer *w, const struct cf_key *key,
                                 enum cf_dtype dtype, const struct cf_synth_law *law,
                                 struct cf_error *err)
{
    const int64_t n = count(key);
    void *all = cf_alloc((size_t)n, cf_dtype_size(dtype), err);
    enum cf_status st;

    if (!all)
        return CF_ENOMEM;
    draw(all, dtype, law, 0, n, cf_dnn_threads(w->dnn));
    st = cf_st_put(w->st, key->name, all, (size_t)n * cf_dtype_size(dtype), err);
    cf_free(all);
    return st;
}

/* Matrix and scales into all and scale, chunks of rows after each other. */
static enum cf_status quantize(struct writer *w, const struct cf_key *key,
                               const struct cf_synth_law *law, char *all, char *scale,
                               float *floats, int64_t rows, struct cf_error *err)
{
    const struct cf_synth_part *p = w->part;
    const int64_t n = key->dim[0], k = key->dim[1];
    const struct cf_weight whole = {p->type, n, k, p->group, all, scale};

    for (int64_t at = 0; at < n; at += rows) {
        const int64_t m = n - at < rows ? n - at : rows;
        const struct cf_weight part = cf_weight_rows(&whole, at, m);

        draw(floats, CF_F32, law, at * k, m * k, cf_dnn_threads(w->dnn));
        CF_TRY(cf_quantize(w->dnn, all + ((const char *)part.w - all),
                           scale + ((const char *)part.scale - scale), p->type, p->group,
                           floats, m, k, err));
    }
    return CF_OK;
}

static enum cf_status put_quantized(struct writer *w, const struct cf_key *key,
                                    const struct cf_synth_law *law, struct cf_error *err)
{
    const struct cf_synth_part *p = w->part;
    const int64_t n = key->dim[0], k = key->dim[1];
    /* Pieces begin at a multiple of 4: so must chunks. */
    const int64_t rows = k < CHUNK / 4 ? CHUNK / k / 4 * 4 : 4;
    const size_t bytes = cf_weight_bytes(p->type, n, k, p->group);
    const size_t matrix = (size_t)n * cf_weight_row_bytes(p->type, k);
    char *all = cf_alloc(bytes, 1, err);
    float *floats =
        cf_alloc((size_t)(rows < n ? rows : n) * (size_t)k, sizeof(float), err);
    enum cf_status st = all && floats ? CF_OK : CF_ENOMEM;
    char name[CF_KEY_NAME + 8];

    scale_name(name, key);
    if (st == CF_OK)
        st = quantize(w, key, law, all, all + matrix, floats, rows, err);
    if (st == CF_OK)
        st = cf_st_put(w->st, key->name, all, matrix, err);
    if (st == CF_OK)
        st = cf_st_put(w->st, name, all + matrix, bytes - matrix, err);
    cf_free(floats);
    cf_free(all);
    return st;
}

static enum cf_status put(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
    struct writer *w = ctx;
    enum cf_wtype type = type_of(w->part, key);
    struct cf_synth_law law =
        cf_synth_law(key, w->part->seed, w->part->depth, w->part->head_dim);

    if (key->optional)
        return CF_OK;
    if (type > CF_W_BF16)
        return put_quantized(w, key, &law, err);
    return put_floats(w, key, dtype[type], &law, err);
}

enum cf_status cf_synth_part_write(const struct cf_synth_part *part, const char *path,
                                   struct cf_dnn *dnn, struct cf_error *err)
{
    struct writer w = {.part = part, .dnn = dnn};
    enum cf_status st;

    CF_TRY(cf_st_writer_open(&w.st, path, err));
    st = part->keys(part->geometry, declare, &w, err);
    if (st == CF_OK)
        st = cf_st_begin(w.st, NULL, err);
    if (st == CF_OK)
        st = part->keys(part->geometry, put, &w, err);
    if (st == CF_OK)
        return cf_st_finish(w.st, err);
    cf_st_abandon(w.st);
    return st;
}

struct measure {
    const struct cf_synth_part *part;
    size_t bytes;
};

static enum cf_status add_bytes(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct measure *m = ctx;
    enum cf_wtype type = type_of(m->part, key);
    size_t one = key->optional ? 0
                 : type > CF_W_BF16
                     ? cf_weight_bytes(type, key->dim[0], key->dim[1], m->part->group)
                     : (size_t)count(key) * (type == CF_W_F32 ? 4 : 2);

    if (!cf_add_size(m->bytes, one, &m->bytes))
        return cf_fail(err, CF_ERANGE, "%s: more bytes than memory has", key->name);
    return CF_OK;
}

enum cf_status cf_synth_part_measure(const struct cf_synth_part *part, size_t *bytes,
                                     struct cf_error *err)
{
    struct measure m = {part, *bytes};

    CF_TRY(part->keys(part->geometry, add_bytes, &m, err));
    *bytes = m.bytes;
    return CF_OK;
}
