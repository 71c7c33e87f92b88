#include "base/weight.h"

#include <string.h>

#include "base/bytes.h"

static const struct {
    const char *name;
    enum cf_dtype dtype; /* of the matrix in a file */
} types[CF_NWTYPE] = {
    [CF_W_F32] = {"f32", CF_F32},    [CF_W_F16] = {"f16", CF_F16},
    [CF_W_BF16] = {"bf16", CF_BF16}, [CF_W_I8] = {"int8", CF_I8},
    [CF_W_Q4] = {"4bit", CF_U8},
};

const char *cf_wtype_name(enum cf_wtype type)
{
    return types[type].name;
}

enum cf_status cf_wtype_parse(enum cf_wtype *type, const char *word, struct cf_error *err)
{
    for (int i = 0; i < CF_NWTYPE; i++) {
        if (strcmp(word, types[i].name) == 0) {
            *type = (enum cf_wtype)i;
            return CF_OK;
        }
    }
    return cf_fail(err, CF_EUSAGE,
                   "weight type \"%.40s\", expected f32, f16, bf16, int8 or 4bit", word);
}

enum cf_status cf_group_parse(int *group, const char *word, struct cf_error *err)
{
    if (strcmp(word, "32") != 0 && strcmp(word, "64") != 0)
        return cf_fail(err, CF_EUSAGE, "--group=%.40s, expected 32 or 64", word);
    *group = word[0] == '3' ? 32 : 64;
    return CF_OK;
}

size_t cf_weight_row_bytes(enum cf_wtype type, int64_t k)
{
    return type == CF_W_Q4 ? (size_t)k / 2 : (size_t)k * cf_dtype_size(types[type].dtype);
}

size_t cf_weight_bytes(enum cf_wtype type, int64_t n, int64_t k, int group)
{
    size_t row = cf_weight_row_bytes(type, k), all;

    if (type == CF_W_I8)
        row += sizeof(float);
    else if (type == CF_W_Q4)
        row += (size_t)(k / group) * 2;
    return cf_mul_size((size_t)n, row, &all) ? all : SIZE_MAX;
}

void cf_held_add(struct cf_held *held, const struct cf_weight *w, bool mapped)
{
    if (mapped)
        held->mapped += cf_weight_bytes(w->type, w->n, w->k, w->group);
    else
        held->own += cf_weight_bytes(CF_W_F32, w->n, w->k, 0);
}

enum cf_status cf_weight_of(struct cf_weight *w, const struct cf_view *view,
                            struct cf_error *err)
{
    char shape[96];

    *w = (struct cf_weight){.type = CF_NWTYPE};
    for (int i = 0; i <= CF_W_BF16; i++)
        if (types[i].dtype == view->dtype)
            w->type = (enum cf_wtype)i;
    if (w->type == CF_NWTYPE)
        return cf_fail(err, CF_EUNSUP, "weights: type %s, expected F32, F16 or BF16",
                       cf_dtype_name(view->dtype));
    if (view->ndim != 2 || view->dim[0] < 1 || view->dim[1] < 1)
        return cf_fail(err, CF_ESHAPE, "weights %s, expected [n, k]",
                       cf_shape_str(shape, sizeof shape, view->ndim, view->dim));
    w->n = view->dim[0];
    w->k = view->dim[1];
    w->w = view->data;
    return CF_OK;
}

struct cf_weight cf_weight_rows(const struct cf_weight *w, int64_t start, int64_t count)
{
    size_t per_row = w->type == CF_W_I8   ? sizeof(float)
                     : w->type == CF_W_Q4 ? (size_t)(w->k / w->group) * 2
                                          : 0;
    struct cf_weight part = *w;

    part.n = count;
    part.w = (const char *)w->w + (size_t)start * cf_weight_row_bytes(w->type, w->k);
    if (w->scale)
        part.scale = (const char *)w->scale + (size_t)start * per_row;
    return part;
}

static void row_q4(float *dst, const unsigned char *q, const unsigned char *scale,
                   int64_t k, int group)
{
    const struct cf_view s = {scale, CF_F16, 1, {k / group}};

    for (int64_t at = 0; at < k; at += 32) {
        float f = 0.0f;

        (void)cf_view_floats(&f, &s, at / group, 1, NULL); /* in range, and F16 */
        for (int j = 0; j < 16; j++, q++) {
            dst[at + j] = (float)((*q & 15) - 8) * f;
            dst[at + j + 16] = (float)((*q >> 4) - 8) * f;
        }
    }
}

void cf_weight_row(float *dst, const struct cf_weight *w, int64_t i)
{
    const struct cf_weight row = cf_weight_rows(w, i, 1);
    const struct cf_view v = {row.w, types[w->type].dtype, 1, {w->k}};
    float scale;

    if (w->type == CF_W_Q4) {
        row_q4(dst, row.w, row.scale, w->k, w->group);
        return;
    }
    (void)cf_view_floats(dst, &v, 0, w->k, NULL); /* in range, and a type of numbers */
    if (w->type == CF_W_I8) {
        memcpy(&scale, row.scale, sizeof scale);
        for (int64_t j = 0; j < w->k; j++)
            dst[j] *= scale;
    }
}
